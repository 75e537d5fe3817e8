// SPDX-License-Identifier: MIT
/// @file failure.hpp
/// Errors are values inside the library; this is where one becomes a sentence and an exception, at the edge.
#pragma once

#include <cerrno>
#include <concepts>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

#include <sa/error.hpp>

namespace sa::inline v0::detail {

/// Collects, while it lives, what the code below says about a failure on this thread. Nested ones hide the outer.
class Explanation {
public:
  Explanation() noexcept;
  Explanation(const Explanation&) = delete;
  Explanation& operator=(const Explanation&) = delete;
  ~Explanation();

  [[nodiscard]] const std::string& text() const noexcept { return text_; }

  /// The innermost one of this thread; null when nobody listens.
  static Explanation* current() noexcept;

  void add(std::string_view sentence);

private:
  Explanation* outer_;
  std::string text_;
};

inline std::error_code from_errno(int error) noexcept {
  return {error, std::system_category()};
}

/// What to do about an errno when nothing better is known; empty when there is no general advice.
std::string advice(int error);

/// What the kernel said to @p call, and the advice: "memfd_create: Too many open files; ...".
std::string kernel_said(std::string_view call, int error);

/// Sets @p ec; what there is to say is that @p call failed so.
void fail(std::error_code& ec, int error, const char* call);

/// Sets @p ec; @p sentence (returns std::string) is called only when somebody listens.
template <typename Sentence>
void fail(std::error_code& ec, int error, Sentence&& sentence) {
  ec = from_errno(error);
  if (auto* explanation = Explanation::current(); explanation != nullptr) {
    explanation->add(std::forward<Sentence>(sentence)());
  }
}

/// Runs @p body(ec); a set @p ec becomes an Error. @p operation returns what was asked as a std::string.
template <typename Operation, typename Body>
auto or_throw(std::string_view heap, Operation&& operation, Body&& body) {
  Explanation explanation;
  std::error_code ec;
  if constexpr (std::is_void_v<decltype(body(ec))>) {
    body(ec);
    if (ec) {
      throw Error(ec, std::string(heap), operation(), explanation.text());
    }
  } else {
    auto result = body(ec);
    if (ec) {
      throw Error(ec, std::string(heap), operation(), explanation.text());
    }
    return result;
  }
}

/// Runs @p body() for a noexcept twin: an exception becomes @p ec and an empty result.
template <typename Body>
auto or_code(std::error_code& ec, Body&& body) noexcept -> decltype(body()) {
  ec.clear();
  try {
    return body();
  } catch (const std::bad_alloc&) {
    ec = from_errno(ENOMEM);
  } catch (const std::system_error& error) {
    ec = error.code();
  } catch (...) {
    ec = from_errno(EIO); // a heap from outside broke its promise
  }
  if constexpr (!std::is_void_v<decltype(body())>) {
    return {};
  }
}

} // namespace sa::inline v0::detail
