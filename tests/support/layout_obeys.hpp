// SPDX-License-Identifier: MIT
/// @file layout_obeys.hpp
/// Whether a layout obeys a rule and lies in its buffers, by other sums than those of the library.
#pragma once

#include <algorithm>
#include <cstdint>

#include <sa/layout.hpp>

namespace support {

/// Bytes from the beginning of a row of @p plane to behind the pixel at column @p x.
inline std::uint64_t bytes_to(const sa::FormatPlane& plane, std::uint64_t x) {
  return (x / plane.hsub / plane.pixels + 1) * plane.bytes;
}

/// Whether every pixel that is to be seen has its place in a buffer, and no row reaches into the next one.
inline bool lies_in_buffers(const sa::ImageLayout& layout) {
  const sa::FormatInfo& info = layout.format.info();
  for (unsigned i = 0; i < layout.plane_count(); ++i) {
    const sa::PlaneLayout& plane = layout.planes[i];
    const std::uint64_t row = bytes_to(info.planes[i], layout.width - 1);
    if (row != layout.row_bytes(i) || row > plane.stride || plane.buffer >= sa::max_planes) {
      return false;
    }
    const std::uint64_t size = layout.sizes[plane.buffer];
    if (size > sa::max_image_size || plane.offset > size) { // so that nothing below overflows
      return false;
    }
    const std::uint64_t rows = (layout.height - 1) / info.planes[i].vsub + 1;
    if (rows != layout.visible_rows(i) || rows > plane.rows) {
      return false;
    }
    for (std::uint64_t y = 0, at = plane.offset; y < rows; ++y, at += plane.stride) {
      if (at + row > size) {
        return false;
      }
    }
  }
  return true;
}

/// Whether no byte belongs to two planes, padding included.
inline bool planes_are_apart(const sa::ImageLayout& layout) {
  const auto end = [](const sa::PlaneLayout& plane) { return plane.offset + std::uint64_t{plane.stride} * plane.rows; };
  for (unsigned i = 0; i < layout.plane_count(); ++i) {
    for (unsigned j = 0; j < i; ++j) {
      const sa::PlaneLayout& a = layout.planes[i];
      const sa::PlaneLayout& b = layout.planes[j];
      if (a.buffer == b.buffer && a.offset < end(b) && b.offset < end(a)) {
        return false;
      }
    }
  }
  return true;
}

/// Whether @p layout obeys @p rule. stride_prefer is a wish.
inline bool obeys(const sa::ImageLayout& layout, const sa::LayoutRule& rule) {
  if (!rule.modifiers.empty() && std::count(rule.modifiers.begin(), rule.modifiers.end(), layout.modifier) == 0) {
    return false;
  }
  if (rule.format && rule.format != layout.format) {
    return false;
  }
  const sa::FormatInfo& info = layout.format.info();
  const std::uint32_t first = layout.planes[0].stride;
  if (first < rule.stride_min || (rule.stride_max != 0 && first > rule.stride_max) ||
      layout.planes[0].rows % rule.rows_align != 0 || (rule.rows_max != 0 && layout.planes[0].rows > rule.rows_max)) {
    return false;
  }
  // The last pixel and the last row of the padded picture.
  const std::uint64_t last_x = ((layout.width - 1) / rule.width_step + 1ULL) * rule.width_step - 1;
  const std::uint64_t last_y = ((layout.height - 1) / rule.height_step + 1ULL) * rule.height_step - 1;
  for (unsigned i = 0; i < layout.plane_count(); ++i) {
    const sa::PlaneLayout& plane = layout.planes[i];
    if (plane.stride % rule.stride_align != 0 || plane.offset % rule.offset_align != 0) {
      return false;
    }
    if (bytes_to(info.planes[i], last_x) > plane.stride || last_y / info.planes[i].vsub >= plane.rows) {
      return false;
    }
    const std::uint64_t size = layout.sizes[plane.buffer];
    if (size < rule.size_min || plane.offset + std::uint64_t{plane.stride} * plane.rows + rule.tail > size) {
      return false;
    }
    if ((rule.buffers == sa::Buffers::One && plane.buffer != 0) || (rule.buffers == sa::Buffers::Separate && plane.buffer != i)) {
      return false;
    }
    if (rule.tied && i > 0) {
      const sa::PlaneLayout& before = layout.planes[i - 1];
      if (plane.buffer == before.buffer && plane.offset != before.offset + std::uint64_t{before.stride} * before.rows) {
        return false;
      }
      // bytes of a picture's row, per byte of plane 0's: the same in the padded one
      if (std::uint64_t{plane.stride} * info.planes[i].pixels * info.planes[i].hsub * info.planes[0].bytes !=
          std::uint64_t{first} * info.planes[i].bytes * info.planes[0].pixels) {
        return false;
      }
    }
  }
  return true;
}

} // namespace support
