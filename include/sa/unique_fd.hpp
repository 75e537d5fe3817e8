// SPDX-License-Identifier: MIT
/// @file unique_fd.hpp
/// The owner of one file descriptor.
#pragma once

#include <utility>

#include <unistd.h>

namespace sa { inline namespace v0 {

/// Owns one file descriptor, and closes it when it ends. Moved-from and default-constructed objects hold -1.
///
/// Threads: different threads may use distinct objects at once. Threads that use the same object need a lock of their
/// own.
class UniqueFd {
public:
  /// Holds nothing.
  UniqueFd() noexcept = default;

  /// Takes ownership of @p fd; -1 holds nothing.
  explicit UniqueFd(int fd) noexcept : fd_(fd) {}

  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}

  /// Closes its own descriptor, then takes the descriptor of @p other.
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    reset(other.release());
    return *this;
  }

  ~UniqueFd() { reset(); }

  /// The descriptor, still owned by this object; -1 when empty.
  [[nodiscard]] int get() const noexcept { return fd_; }

  explicit operator bool() const noexcept { return fd_ >= 0; }

  /// Gives the descriptor to the caller, which must close it. This object is empty afterwards.
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

  /// Closes the descriptor it holds and takes ownership of @p fd. Resetting to the descriptor it already holds
  /// keeps it. close() is never repeated: Linux frees the number even when it reports EINTR (close(2)).
  void reset(int fd = -1) noexcept {
    if (const int old = std::exchange(fd_, fd); old >= 0 && old != fd) {
      ::close(old);
    }
  }

private:
  int fd_ = -1;
};

}} // namespace sa::v0
