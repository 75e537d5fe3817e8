// SPDX-License-Identifier: MIT
#include "system/device_nodes.hpp"

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <system_error>

namespace sactl {
namespace {

/// Adds the nodes in @p folder that are called @p prefix and a number.
void add(std::vector<std::string>& found, const char* folder, std::string_view prefix) {
  std::error_code ec;
  for (std::filesystem::directory_iterator entry(folder, ec), end; !ec && entry != end; entry.increment(ec)) {
    const std::string name = entry->path().filename();
    const std::string digits = name.starts_with(prefix) ? name.substr(prefix.size()) : "";
    if (!digits.empty() && digits.find_first_not_of("0123456789") == std::string::npos) {
      found.push_back(entry->path());
    }
  }
}

void sort(std::vector<std::string>& nodes) {
  std::sort(nodes.begin(), nodes.end(), [](const auto& a, const auto& b) {
    return a.size() != b.size() ? a.size() < b.size() : a < b; // video2 before video10
  });
}

} // namespace

std::vector<std::string> importer_nodes() {
  std::vector<std::string> found;
  add(found, "/dev/dri", "card");
  add(found, "/dev", "video");
  sort(found);
  return found;
}

std::vector<std::string> device_nodes() {
  std::vector<std::string> found = importer_nodes();
  add(found, "/dev/dri", "renderD");
  sort(found);
  return found;
}

} // namespace sactl
