// SPDX-License-Identifier: MIT
#include "terminal/signals.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <system_error>

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace sactl {
namespace {

[[noreturn]] void fail(const char* call) {
  throw std::system_error(errno, std::system_category(), call);
}

} // namespace

Signals::Signals() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGINT);
  ::sigaddset(&set, SIGTERM);
  struct sigaction hang_up {};
  if (::sigaction(SIGHUP, nullptr, &hang_up) == 0 && hang_up.sa_handler != SIG_IGN) {
    ::sigaddset(&set, SIGHUP);
  }
  fd_.reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd_) {
    fail("signalfd");
  }
  ::sigprocmask(SIG_BLOCK, &set, &before_);
}

Signals::~Signals() {
  ::sigprocmask(SIG_SETMASK, &before_, nullptr);
}

Woken Signals::wait(int fd, std::optional<Clock::time_point> deadline) const {
  using std::chrono::milliseconds;
  std::array<pollfd, 2> polled{{{fd_.get(), POLLIN, 0}, {fd, POLLIN, 0}}};
  for (;;) {
    int left = -1;
    if (deadline) {
      // Rounded up: a wait that is 0 too early would be asked again and again.
      const auto rest = std::chrono::ceil<milliseconds>(*deadline - Clock::now()).count();
      left = static_cast<int>(std::clamp<long long>(rest, 0, INT_MAX));
    }
    const int ready = ::poll(polled.data(), polled.size(), left);
    if (ready < 0 && errno != EINTR) {
      fail("poll");
    }
    if (ready > 0) {
      return polled[0].revents != 0 ? Woken::Signal : Woken::Ready;
    }
    if (ready == 0 && left >= 0 && left < INT_MAX) {
      return Woken::Timeout;
    }
  }
}

void Signals::take() {
  signalfd_siginfo taken{};
  (void)!::read(fd_.get(), &taken, sizeof taken);
}

} // namespace sactl
