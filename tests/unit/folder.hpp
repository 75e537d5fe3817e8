// SPDX-License-Identifier: MIT
/// A folder of a test's own.
#pragma once

#include <cstdlib>
#include <filesystem>

namespace unit {

/// Made in /tmp, and removed with all that is in it.
class Folder {
public:
  Folder() {
    char path[] = "/tmp/sa-unit-XXXXXX";
    path_ = ::mkdtemp(path);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }
  [[nodiscard]] std::filesystem::path operator/(const char* name) const { return path_ / name; }

private:
  std::filesystem::path path_;
};

} // namespace unit
