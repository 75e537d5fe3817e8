// SPDX-License-Identifier: MIT
#include "system/socket.hpp"

#include <cerrno>
#include <cstring>
#include <system_error>
#include <thread>

#include <fmt/format.h>
#include <unistd.h>

namespace sactl {
namespace {

[[noreturn]] void fail(int error, const std::string& sentence) {
  throw std::system_error(error, std::system_category(), sentence);
}

/// Whether a process has the socket at that address. A connection of another type is refused in another way by one that lives,
/// and does not disturb it.
bool somebody_has(const Address& address) {
  const sa::UniqueFd other{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  return ::connect(other.get(), address.get(), sizeof address.address) == 0 || errno != ECONNREFUSED;
}

} // namespace

Address::Address(const std::string& path) {
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    fail(ENAMETOOLONG, fmt::format("\"{}\": a socket's path has 1 to {} bytes", path, sizeof address.sun_path - 1));
  }
  path.copy(static_cast<char*>(address.sun_path), path.size());
}

Listener::Listener(std::string path, mode_t mode)
    : path_(std::move(path)), fd_(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
  const Address address(path_);
  if (!fd_) {
    fail(errno, "socket");
  }
  bind(address, mode);
  if (::lstat(path_.c_str(), &made_) < 0 || ::listen(fd_.get(), 1) < 0) {
    const int error = errno;
    ::unlink(path_.c_str());
    fail(error, path_);
  }
}

void Listener::bind(const Address& address, mode_t mode) {
  // Not by chmod, before which somebody could connect, or find another file behind the path.
  const auto try_bind = [&] {
    const mode_t before = ::umask(0777 & ~mode);
    const int error = ::bind(fd_.get(), address.get(), sizeof address.address) == 0 ? 0 : errno;
    ::umask(before);
    return error;
  };
  int error = try_bind();
  if (error == EADDRINUSE) {
    struct stat there {};
    if (::lstat(path_.c_str(), &there) == 0) {
      if (!S_ISSOCK(there.st_mode)) {
        fail(EEXIST, path_ + " is no socket and is left alone; choose another path");
      }
      if (somebody_has(address)) {
        fail(error, path_ + " belongs to a program that runs; choose another path");
      }
      ::unlink(path_.c_str());
    }
    error = try_bind();
  }
  if (error != 0) {
    fail(error, path_);
  }
}

Listener::~Listener() {
  struct stat there {};
  if (::lstat(path_.c_str(), &there) == 0 && there.st_dev == made_.st_dev && there.st_ino == made_.st_ino) {
    ::unlink(path_.c_str());
  }
}

sa::UniqueFd connect(const std::string& path, Clock::time_point deadline) {
  const Address address(path);
  for (;;) {
    sa::UniqueFd fd{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!fd) {
      fail(errno, "socket");
    }
    if (::connect(fd.get(), address.get(), sizeof address.address) == 0) {
      return fd;
    }
    switch (errno) {
    case ENOENT:
    case ECONNREFUSED: // made, but not yet listening; or left by one that was killed
    case EAGAIN:       // another sender is first
    case EINTR:
      break;
    case EACCES:
      fail(EACCES, path + ": a sender must be allowed to write to the socket, and to enter its folders (sactl recv --mode 666)");
    case EPROTOTYPE:
      fail(EPROTOTYPE, path + " is the socket of something else than sactl recv");
    default:
      fail(errno, path);
    }
    if (Clock::now() >= deadline) {
      fail(ETIMEDOUT, path + ": nobody waits there; start sactl recv on it");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

Clock::time_point after(double seconds) {
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

} // namespace sactl
