// SPDX-License-Identifier: MIT
#include "system/kernel_text.hpp"

#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

#include <sa/unique_fd.hpp>

namespace sactl {

std::string_view take_field(std::string_view& text, char separator) {
  const std::size_t at = std::min(text.find(separator), text.size());
  const std::string_view first = text.substr(0, at);
  text.remove_prefix(std::min(at + 1, text.size()));
  return first;
}

int read_all(int folder, const char* path, std::string& text) {
  constexpr std::size_t piece = 4096; // what the kernel gives at once
  const sa::UniqueFd file{::openat(folder, path, O_RDONLY | O_CLOEXEC)};
  if (!file) {
    text.clear();
    return errno;
  }
  std::size_t length = 0;
  for (;;) {
    text.resize(std::max(text.size(), length + piece));
    const ssize_t got = ::read(file.get(), text.data() + length, text.size() - length);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      const int error = got < 0 ? errno : 0;
      text.resize(length);
      return error;
    }
    length += static_cast<std::size_t>(got);
  }
}

Folder open_folder(int at, const char* path) {
  sa::UniqueFd fd{::openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  DIR* const folder = fd ? ::fdopendir(fd.get()) : nullptr;
  if (folder != nullptr) {
    (void)fd.release();
  }
  return Folder(folder);
}

} // namespace sactl
