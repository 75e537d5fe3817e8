// SPDX-License-Identifier: MIT
/// Images for the tests of the glue, in memory that every machine has.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include <sa/image.hpp>
#include <sa/registry.hpp>

namespace pictures {

/// Padding, and pixels that begin later, in each.
inline constexpr std::string_view two_buffers = "NV12 640x480 planes=0+64/704*480,1+128/768*240 sizes=337984,184448";
inline constexpr std::string_view three_planes =
    "YUV420 640x480 planes=0+0/640*480,0+307200/320*240,0+384000/320*240 sizes=460800";

inline sa::Image of(const sa::ImageLayout& layout) {
  std::vector<sa::DmaBuf> buffers;
  for (unsigned i = 0; i < layout.buffer_count(); ++i) {
    buffers.push_back(sa::Registry::system().allocate("memfd:4k", {.size = static_cast<std::size_t>(layout.sizes[i])}));
  }
  return sa::Image::import(layout, std::move(buffers));
}
inline sa::Image of(std::string_view layout) {
  return of(sa::parse_layout(layout));
}

} // namespace pictures
