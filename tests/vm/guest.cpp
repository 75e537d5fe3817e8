// SPDX-License-Identifier: MIT
#include "vm/guest.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "support/counters.hpp"

namespace guest {

bool is(const std::string& kernel) {
  const char* name = std::getenv("SA_VM_KERNEL");
  return name != nullptr && kernel == name;
}

bool has_argument(const std::string& argument) {
  return (" " + support::read_file("/proc/cmdline") + " ").find(" " + argument) != std::string::npos;
}

bool has_own_modules() {
  const char* folder = std::getenv("SA_VM_OWN_MODULES");
  return folder != nullptr && *folder != '\0';
}

void load(const std::string& module) {
  const char* folder = std::getenv("SA_VM_MODULES");
  if (folder != nullptr && *folder != '\0') {
    REQUIRE(std::system(("modprobe -d " + std::string(folder) + " " + module).c_str()) == 0);
  }
}

std::vector<std::string> cards() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/dri")) {
    if (entry.path().filename().string().starts_with("card")) {
      names.push_back(entry.path().filename());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

Setting::Setting(std::string path, const std::string& value) : path_(std::move(path)), before_(support::read_file(path_)) {
  // "always [never]": the one in brackets is in force.
  if (const auto open = before_.find('['); open != std::string::npos) {
    before_ = before_.substr(open + 1, before_.find(']') - open - 1);
  }
  std::ofstream(path_) << value;
}

Setting::~Setting() {
  std::ofstream(path_) << before_;
}

} // namespace guest
