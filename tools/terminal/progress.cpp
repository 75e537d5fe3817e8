// SPDX-License-Identifier: MIT
#include "terminal/progress.hpp"

#include <cstdlib>

#include <sys/ioctl.h>
#include <unistd.h>

#include "terminal/text.hpp"

namespace sactl {
namespace {

constexpr std::string_view erase = "\r\x1b[K";

void write(std::string_view text) {
  (void)!::write(STDERR_FILENO, text.data(), text.size()); // a terminal that is gone needs no progress
}

std::size_t columns_of_stderr() {
  const char* const kind = std::getenv("TERM");
  winsize size{};
  if (::isatty(STDERR_FILENO) == 0 || kind == nullptr || std::string_view(kind) == "dumb" ||
      ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0) {
    return 0;
  }
  return size.ws_col == 0 ? 80 : size.ws_col;
}

} // namespace

Progress::Progress() : columns_(columns_of_stderr()) {}

Progress::~Progress() {
  end();
}

void Progress::end() {
  if (!said_.empty()) {
    write(erase);
    said_.clear();
  }
}

void Progress::say(std::string_view text) {
  if (columns_ > 1 && text != said_) {
    said_ = text;
    write(std::string(erase) + cut(text, columns_ - 1)); // a full line would wrap
  }
}

} // namespace sactl
