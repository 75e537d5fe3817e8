// SPDX-License-Identifier: MIT
/// @file failure.hpp
/// Errors are values inside the library. At its edge, this file turns an error into a sentence and an exception.
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

namespace sa { inline namespace v0 { namespace detail {

class Explanation;
/// The innermost Explanation of this thread. initial-exec: an addition instead of a call, which every throwing function
/// pays.
[[gnu::tls_model("initial-exec")]] extern thread_local constinit Explanation* innermost_explanation;

/// While it lives, collects the sentences that the called code gives for a failure on this thread. A nested object
/// hides the outer one.
class Explanation {
public:
  Explanation() noexcept : outer_(std::exchange(innermost_explanation, this)) {}
  Explanation(const Explanation&) = delete;
  Explanation& operator=(const Explanation&) = delete;
  ~Explanation() { innermost_explanation = outer_; }

  [[nodiscard]] const std::string& text() const noexcept { return text_; }

  /// The innermost one of this thread; null when the caller gets no sentence.
  static Explanation* current() noexcept { return innermost_explanation; }

  void add(std::string_view sentence);

private:
  Explanation* outer_;
  std::string text_;
};

inline std::error_code from_errno(int error) noexcept {
  return {error, std::system_category()};
}

/// The general remedy for an errno; empty when there is no general advice.
std::string advice(int error);

/// The kernel's answer to @p call, and the remedy: "memfd_create: Too many open files; ...".
std::string kernel_said(std::string_view call, int error);

/// Sets @p ec. The sentence is that @p call failed with this error.
void fail(std::error_code& ec, int error, const char* call);

/// Sets @p ec; @p sentence (returns std::string) is called only when the caller gets it.
template <typename Sentence>
void fail(std::error_code& ec, int error, Sentence&& sentence) {
  ec = from_errno(error);
  if (auto* explanation = Explanation::current(); explanation != nullptr) {
    explanation->add(std::forward<Sentence>(sentence)());
  }
}

/// Runs @p body(ec); a set @p ec becomes an Error. @p operation returns the operation as a std::string; @p heap is the
/// heap's name, or returns it.
template <typename Name, typename Operation, typename Body>
auto or_throw(Name&& heap, Operation&& operation, Body&& body) {
  const auto refused = [&](std::error_code ec, const Explanation& explanation) {
    if constexpr (std::is_invocable_v<Name>) {
      throw Error(ec, std::string(heap()), operation(), explanation.text());
    } else {
      throw Error(ec, std::string(heap), operation(), explanation.text());
    }
  };
  Explanation explanation;
  std::error_code ec;
  if constexpr (std::is_void_v<decltype(body(ec))>) {
    body(ec);
    if (ec) {
      refused(ec, explanation);
    }
  } else {
    auto result = body(ec);
    if (ec) {
      refused(ec, explanation);
    }
    return result;
  }
}

/// The code of the exception that is being handled; a foreign one's text becomes the explanation.
std::error_code code_of_exception() noexcept;

/// Runs @p body() for a noexcept twin: an exception becomes @p ec and an empty result.
template <typename Body>
auto or_code(std::error_code& ec, Body&& body) noexcept -> decltype(body()) {
  ec.clear();
  try {
    return body();
  } catch (...) {
    ec = code_of_exception();
  }
  if constexpr (!std::is_void_v<decltype(body())>) {
    return {};
  }
}

}}} // namespace sa::v0::detail
