// SPDX-License-Identifier: MIT
#include "core/base/failure.hpp"

#include <cerrno>

#include <sys/resource.h>

#include <fmt/format.h>

namespace sa { inline namespace v0 {

struct Error::Text {
  std::string heap;
  std::string operation;
  std::string what;
};

namespace {

std::string sentence(const std::error_code& code, const std::string& heap, const std::string& operation,
                     const std::string& explanation) {
  const std::string asked = heap.empty() ? operation : fmt::format("{} ({})", operation, heap);
  if (!explanation.empty()) {
    return fmt::format("{}: {}", asked, explanation);
  }
  const std::string fix = detail::advice(code.value());
  return fix.empty() ? fmt::format("{}: {}", asked, code.message()) : fmt::format("{}: {}; {}", asked, code.message(), fix);
}

} // namespace

Error::Error(std::error_code code, std::string heap, std::string operation, const std::string& explanation)
    : std::system_error(code) {
  std::string what = sentence(code, heap, operation, explanation);
  text_ = std::make_shared<const Text>(Text{std::move(heap), std::move(operation), std::move(what)});
}

Error::~Error() = default;

const char* Error::what() const noexcept {
  return text_->what.c_str();
}

const std::string& Error::heap() const noexcept {
  return text_->heap;
}

const std::string& Error::operation() const noexcept {
  return text_->operation;
}

namespace detail {
thread_local constinit Explanation* innermost_explanation = nullptr;

void Explanation::add(std::string_view sentence) {
  if (!text_.empty()) {
    text_ += "; ";
  }
  text_ += sentence;
}

std::error_code code_of_exception() noexcept {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return from_errno(ENOMEM);
  } catch (const std::system_error& error) {
    return error.code();
  } catch (const std::exception& error) { // a heap from outside broke its promise
    try {
      std::error_code ec;
      fail(ec, EIO, [&] { return std::string(error.what()); });
    } catch (...) { // NOLINT(bugprone-empty-catch): the code still says what happened
    }
  } catch (...) { // NOLINT(bugprone-empty-catch): it says nothing
  }
  return from_errno(EIO);
}

std::string kernel_said(std::string_view call, int error) {
  const std::string message = from_errno(error).message();
  const std::string fix = advice(error);
  return fix.empty() ? fmt::format("{}: {}", call, message) : fmt::format("{}: {}; {}", call, message, fix);
}

void fail(std::error_code& ec, int error, const char* call) {
  fail(ec, error, [&] { return kernel_said(call, error); });
}

std::string advice(int error) {
  switch (error) {
  case EMFILE: {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    return fmt::format("{0} of {0} descriptors used by this process; free buffers, or raise the limit (ulimit -n)",
                       limit.rlim_cur);
  }
  case ENFILE:
    return "the machine's descriptors ran out; raise fs.file-max, or find the processes that hold them";
  case ENOMEM:
    return "memory ran out; free buffers, or ask a heap that has more";
  case EACCES:
  case EPERM:
    return "run as a user with permission, see docs/permissions.md";
  case EAGAIN:
    return "try again when poll() says so";
  default:
    return {};
  }
}

} // namespace detail
}} // namespace sa::v0
