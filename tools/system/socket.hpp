// SPDX-License-Identifier: MIT
/// The talk of `sactl send` and `sactl recv`: over a Unix socket of type SEQPACKET first the buffer (sa/ipc.hpp), with
/// the pattern of memory.hpp in it, then, back, one packet of text: "ok", or the sentence that says what went wrong.
#pragma once

#include <string>
#include <string_view>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <sa/unique_fd.hpp>

#include "terminal/signals.hpp"

namespace sactl {

inline constexpr std::string_view all_is_well = "ok";
inline constexpr std::size_t longest_answer = 1024; // bytes
inline constexpr double longest_timeout = 1e6;      // seconds

struct Address {
  /// @throws std::system_error the path is longer than an address can be
  explicit Address(const std::string& path);
  [[nodiscard]] const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&address); }
  sockaddr_un address{};
};

/// A path at which a buffer can be handed in; gone with this object.
class Listener {
public:
  /// Takes over the socket that a program left which was killed; nothing else that is there.
  /// @param mode the path's permissions
  /// @throws std::system_error
  Listener(std::string path, mode_t mode);
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener();

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }

private:
  void bind(const Address& address, mode_t mode);

  std::string path_;
  sa::UniqueFd fd_;
  struct stat made_ {}; ///< so that only this one's path is removed
};

/// Connects, and waits for a listener.
/// @throws std::system_error ETIMEDOUT: there was none
[[nodiscard]] sa::UniqueFd connect(const std::string& path, Clock::time_point deadline);

/// A moment so many seconds from now.
[[nodiscard]] Clock::time_point after(double seconds);

} // namespace sactl
