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
namespace {

/// A character of UTF-8 and how many bytes it has.
struct Character {
  char32_t code = 0;
  std::size_t bytes = 1;
  bool valid = false;
};

Character first_of(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  const std::size_t bytes = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if ((lead >= 0x80 && lead < 0xC2) || lead > 0xF4 || bytes > text.size()) {
    return {lead, 1, false};
  }
  char32_t code = bytes == 1 ? lead : lead & (0x7FU >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80) {
      return {lead, 1, false};
    }
    code = (code << 6) | (byte(i) & 0x3FU);
  }
  constexpr char32_t least[]{0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xD800 && code < 0xE000;
  return {code, bytes, code >= least[bytes] && code <= 0x10FFFF && !surrogate};
}

bool moves(char32_t code) {
  const bool control = code < 0x20 || (code >= 0x7F && code < 0xA0);
  const bool direction = (code >= 0x200E && code <= 0x200F) || (code >= 0x2028 && code <= 0x202E) ||
                         (code >= 0x2066 && code <= 0x2069) || code == 0x061C;
  return control || direction;
}

std::size_t columns_of(const Character& character) {
  constexpr char32_t may_be_wide = 0x1100; // the first that East Asian Width calls wide
  return character.valid && character.code >= may_be_wide ? 2 : 1;
}

} // namespace

std::size_t columns_of(std::string_view text) {
  std::size_t columns = 0;
  while (!text.empty()) {
    const Character character = first_of(text);
    columns += columns_of(character);
    text.remove_prefix(character.bytes);
  }
  return columns;
}

std::string harmless(std::string_view text) {
  std::string clean;
  while (!text.empty()) {
    const Character character = first_of(text);
    const bool keep = character.valid && !moves(character.code);
    clean += keep ? text.substr(0, character.bytes) : std::string_view("?");
    text.remove_prefix(character.bytes);
  }
  return clean;
}

std::string cut(std::string_view text, std::size_t columns) {
  std::size_t bytes = 0;
  while (bytes < text.size()) {
    const Character character = first_of(text.substr(bytes));
    if (columns_of(character) > columns) {
      break;
    }
    columns -= columns_of(character);
    bytes += character.bytes;
  }
  return std::string(text.substr(0, bytes));
}

std::vector<std::string> wrapped(std::string_view text, std::size_t columns) {
  std::vector<std::string> lines;
  columns = std::max<std::size_t>(columns, 2);
  while (columns_of(text) > columns) {
    const std::size_t fits = cut(text, columns).size();
    const std::size_t space = text[fits] == ' ' ? fits : text.substr(0, fits).rfind(' ');
    const std::size_t end = space == std::string_view::npos || space == 0 ? fits : space;
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  }
  lines.emplace_back(text);
  return lines;
}

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
