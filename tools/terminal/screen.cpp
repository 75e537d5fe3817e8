// SPDX-License-Identifier: MIT
#include "terminal/screen.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <system_error>

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace sactl {
Screen::Screen() : keys_(::isatty(STDIN_FILENO) != 0) {
  sigset_t wanted;
  sigemptyset(&wanted);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH}) {
    struct sigaction action {};
    if (::sigaction(signal, nullptr, &action) == 0 && action.sa_handler != SIG_IGN) {
      sigaddset(&wanted, signal);
    }
  }
  ::sigprocmask(SIG_BLOCK, &wanted, &before_);
  signals_.reset(::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_ || (keys_ && ::tcgetattr(STDIN_FILENO, &usual_) != 0)) {
    const int error = errno;
    ::sigprocmask(SIG_SETMASK, &before_, nullptr);
    throw std::system_error(error, std::generic_category(), "the terminal");
  }
  enter();
}

Screen::~Screen() {
  leave();
  ::sigprocmask(SIG_SETMASK, &before_, nullptr);
}

void Screen::enter() {
  if (keys_) {
    termios quiet = usual_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO); // Ctrl-C stays a signal
    ::tcsetattr(STDIN_FILENO, TCSADRAIN, &quiet);
  }
  // Alternate screen, no cursor, and no wrapping of a line that a terminal finds wider than counted here.
  write("\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J");
}

void Screen::leave() {
  write("\x1b[?7h\x1b[?25h\x1b[?1049l");
  if (keys_) {
    ::tcsetattr(STDIN_FILENO, TCSADRAIN, &usual_);
  }
}

void Screen::write(std::string_view text) {
  while (!text.empty() && !gone_) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {
      pollfd ready{STDOUT_FILENO, POLLOUT, 0};
      ::poll(&ready, 1, -1);
    } else if (errno != EINTR) {
      gone_ = true;
    }
  }
}

Screen::Size Screen::size() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) {
    return {80, 24};
  }
  return {size.ws_col, size.ws_row};
}

void Screen::show(const std::vector<std::string>& lines) {
  std::string frame = "\x1b[H";
  bool first = true;
  for (const auto& line : lines) {
    // Erased before it is written: after a full line the cursor stands on its last character.
    frame += (first ? "\x1b[K" : "\r\n\x1b[K") + line;
    first = false;
  }
  frame += lines.size() < size().rows ? "\r\n\x1b[J" : "";
  write(frame);
}

Screen::Event Screen::wait(std::chrono::milliseconds timeout) {
  if (gone_) {
    return {.kind = Event::End};
  }
  pollfd polled[]{{signals_.get(), POLLIN, 0}, {keys_ ? STDIN_FILENO : -1, POLLIN, 0}};
  if (::poll(polled, 2, static_cast<int>(std::clamp<std::chrono::milliseconds::rep>(timeout.count(), 0, INT32_MAX))) <= 0) {
    return {};
  }
  signalfd_siginfo info{};
  if (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    switch (const int signal = static_cast<int>(info.ssi_signo); signal) {
    case SIGTSTP:
      leave();
      ::kill(::getpid(), SIGSTOP); // which the parent shell sees; SIGCONT comes next
      enter();
      return {.kind = Event::Redraw};
    case SIGCONT: // after a SIGSTOP of somebody else's the shell has had the terminal
      enter();
      return {.kind = Event::Redraw};
    case SIGWINCH:
      return {.kind = Event::Redraw};
    default:
      return {.kind = Event::End, .signal = signal};
    }
  }
  char keys[64];
  if (polled[1].revents != 0) {
    const ssize_t got = ::read(STDIN_FILENO, keys, sizeof keys);
    if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) {
      return {.kind = Event::End};
    }
    // A sequence of a cursor or function key has letters in it that are none.
    if (got > 0 && keys[0] != '\x1b') {
      return {.kind = Event::Key, .key = keys[0]};
    }
  }
  return {};
}

} // namespace sactl
