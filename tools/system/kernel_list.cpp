// SPDX-License-Identifier: MIT
#include "system/kernel_list.hpp"

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include <fcntl.h>

#include "system/kernel_text.hpp"

namespace sactl {
namespace {

/// A line "size flags mode count exp_name ino name". Names are others' and may hold a line break, but at most 31 bytes:
/// too few to forge a line of numbers this wide.
std::optional<HeldBuffer> parse_kernel_line(std::string_view line) {
  constexpr std::size_t width = 8;
  const auto wide = [&](int base) {
    const std::string_view text = take_field(line, '\t');
    return text.size() >= width ? number(text, base) : std::nullopt;
  };
  HeldBuffer buffer;
  const auto size = wide(10);
  const auto flags = wide(16);
  const auto mode = wide(16);
  const auto count = wide(10);
  buffer.exporter = take_field(line, '\t');
  const auto inode = wide(10);
  if (!size || !flags || !mode || !count || !inode) {
    return std::nullopt;
  }
  buffer.inode = *inode;
  buffer.size = *size;
  buffer.size_exact = true;
  buffer.name = line == "<none>" ? "" : line;
  buffer.references = *count;
  return buffer;
}

} // namespace

KernelList read_kernel_list(const std::string& path, std::string& text) {
  KernelList list;
  list.error = read_all(AT_FDCWD, path.c_str(), text);
  if (list.error != 0) {
    return list;
  }
  HeldBuffer* last = nullptr;
  bool devices = false;
  for (std::string_view rest = text; !rest.empty();) {
    std::string_view line = take_field(rest, '\n');
    if (auto buffer = parse_kernel_line(line)) {
      const std::uint64_t inode = buffer->inode;
      last = &list.buffers.insert_or_assign(inode, std::move(*buffer)).first->second;
      devices = false;
    } else if (line == "\tAttached Devices:") {
      devices = true;
    } else if (line.starts_with("Total ")) {
      devices = false;
      line.remove_prefix(std::strlen("Total "));
      const auto objects = number(take_field(line, ' '));
      if (objects && take_field(line, ' ') == "objects,") {
        if (const auto bytes = number(take_field(line, ' '))) {
          list.total = KernelTotal{*objects, *bytes};
        }
      }
    } else if (devices && last != nullptr && line.starts_with('\t')) {
      last->devices.emplace_back(line.substr(1));
    }
  }
  if (!list.total) {
    list.error = EBADMSG;
  }
  return list;
}

} // namespace sactl
