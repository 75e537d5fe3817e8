// SPDX-License-Identifier: MIT
/// The checks of a layout, and the making of a layout from a rule.
#include <sa/layout.hpp>

#include <algorithm>
#include <cerrno>
#include <limits>

#include <fmt/format.h>

#include "core/base/byte_size.hpp"
#include "core/base/failure.hpp"
#include "core/image/layout_rule.hpp"

namespace sa { inline namespace v0 {
namespace {

using detail::common_multiple;
using detail::fail;

constexpr std::uint64_t divided_up(std::uint64_t number, std::uint64_t divisor) noexcept {
  return (number + divisor - 1) / divisor;
}

/// Bytes of @p width pixels in a row of @p plane.
constexpr std::uint64_t tight(const FormatPlane& plane, std::uint64_t width) noexcept {
  return divided_up(divided_up(width, plane.hsub), plane.pixels) * plane.bytes;
}

bool in_range(std::uint32_t width, std::uint32_t height, std::error_code& ec) {
  if (width == 0 || height == 0 || width > max_image_side || height > max_image_side) {
    fail(ec, EINVAL, [&] { return fmt::format("{}x{}: a side is from 1 to {} pixels", width, height, max_image_side); });
    return false;
  }
  return true;
}

/// How the stride of a plane follows from plane 0's: multiplied by, and divided by.
struct Ratio {
  std::uint64_t times;
  std::uint64_t over;
};

Ratio ratio_of(const FormatPlane& first, const FormatPlane& plane) noexcept {
  const std::uint64_t times = std::uint64_t{plane.bytes} * first.pixels;
  const std::uint64_t over = std::uint64_t{plane.pixels} * plane.hsub * first.bytes;
  const std::uint64_t divisor = std::gcd(times, over);
  return {times / divisor, over / divisor};
}

/// Lays out one picture, plane after plane.
class Drafter {
public:
  /// @param preferred bytes that a stride is a multiple of where nothing forbids it
  Drafter(const LayoutRule& rule, std::uint32_t preferred, std::uint32_t width, std::uint32_t height, std::error_code& ec)
      : rule_(rule), preferred_(preferred), info_(rule.format.info()), ec_(ec) {
    layout_.format = rule.format;
    layout_.modifier = rule.modifiers.empty() ? 0 : rule.modifiers.front();
    layout_.width = width;
    layout_.height = height;
    // 65535 times a step that fits into 31 bits
    width_ = divided_up(width, std::lcm(std::uint64_t{rule.width_step}, std::uint64_t{info_.width_step}));
    width_ *= std::lcm(std::uint64_t{rule.width_step}, std::uint64_t{info_.width_step});
    const std::uint64_t height_step = std::lcm(std::uint64_t{rule.height_step}, std::uint64_t{info_.height_step});
    const std::uint64_t rows_step = std::lcm(std::uint64_t{rule.rows_align}, std::uint64_t{info_.height_step});
    rows_ = divided_up(divided_up(height, height_step) * height_step, rows_step) * rows_step;
  }

  ImageLayout draft() {
    if (width_ > max_image_size || rows_ > max_image_size) {
      return refuse([&] { return fmt::format("{}x{} pixels with padding are too many", width_, rows_); });
    }
    if (rule_.rows_max != 0 && rows_ > rule_.rows_max) {
      return refuse([&] {
        return fmt::format("{} rows with padding, in steps of {}; more than {} are not taken{}", rows_, rule_.rows_align,
                           rule_.rows_max, detail::by(rule_));
      });
    }
    for (unsigned plane = 0; plane < info_.plane_count; ++plane) {
      layout_.planes[plane].rows = static_cast<std::uint32_t>(rows_ / info_.planes[plane].vsub);
    }
    if (!(first_stride() && other_strides() && offsets())) {
      return {};
    }
    return layout_;
  }

private:
  template <typename Sentence>
  ImageLayout refuse(Sentence&& sentence) {
    fail(ec_, EINVAL, [&] { return fmt::format("{}: {}", layout_.format.name(), sentence()); });
    return {};
  }

  [[nodiscard]] bool tied() const noexcept { return rule_.tied && info_.plane_count > 1; }
  [[nodiscard]] bool separate() const noexcept { return rule_.buffers == Buffers::Separate && info_.plane_count > 1; }

  /// The number of which the stride of @p plane must be a multiple, so that the plane behind it begins at an allowed offset.
  [[nodiscard]] std::uint64_t needed(unsigned plane) const noexcept {
    std::uint64_t multiple = rule_.stride_align;
    if (tied() && !separate() && plane + 1U < info_.plane_count) { // the next plane adjoins
      multiple = std::lcm(multiple, rule_.offset_align / std::gcd(rule_.offset_align, layout_.planes[plane].rows));
    }
    return multiple;
  }

  bool first_stride() {
    std::uint64_t least = std::max<std::uint64_t>(tight(info_.planes[0], width_), rule_.stride_min);
    std::uint64_t multiple = needed(0);
    for (unsigned plane = 1; tied() && plane < info_.plane_count; ++plane) {
      const auto [times, over] = ratio_of(info_.planes[0], info_.planes[plane]);
      least = std::max(least, divided_up(tight(info_.planes[plane], width_) * over, times));
      const std::uint64_t wanted = needed(plane);
      // Of plane 0: a multiple of `over`, which makes the other's a whole number, and so many times that it is one of `wanted`.
      multiple = wanted > max_image_size ? 0 : common_multiple(multiple, over * (wanted / std::gcd(wanted, times)));
      if (multiple == 0 || multiple > max_image_size) {
        multiple = max_image_size + 1; // no stride is
        break;
      }
    }
    const std::uint64_t most = rule_.stride_max == 0 ? max_image_size : std::min<std::uint64_t>(rule_.stride_max, max_image_size);
    std::uint64_t stride = divided_up(least, multiple) * multiple;
    const std::uint64_t preferred = common_multiple(multiple, preferred_);
    if (preferred != 0 && preferred <= most && divided_up(least, preferred) * preferred <= most) {
      stride = divided_up(least, preferred) * preferred;
    }
    if (stride > most) {
      refuse([&] {
        return fmt::format("{} pixels and their padding take rows of {} bytes, in steps of {}; more than {} are not taken{}",
                           width_, divided_up(least, multiple) * multiple, multiple, most, detail::by(rule_));
      });
      return false;
    }
    layout_.planes[0].stride = static_cast<std::uint32_t>(stride);
    return true;
  }

  bool other_strides() {
    for (unsigned plane = 1; plane < info_.plane_count; ++plane) {
      std::uint64_t stride = 0;
      if (tied()) {
        const auto [times, over] = ratio_of(info_.planes[0], info_.planes[plane]);
        stride = layout_.planes[0].stride / over * times;
      } else {
        const std::uint64_t multiple = std::lcm(std::uint64_t{rule_.stride_align}, std::uint64_t{preferred_});
        stride = divided_up(tight(info_.planes[plane], width_), multiple) * multiple;
      }
      if (stride > max_image_size) {
        refuse([&] { return fmt::format("a row of plane {} takes {} bytes, over {}", plane, stride, max_image_size); });
        return false;
      }
      layout_.planes[plane].stride = static_cast<std::uint32_t>(stride);
    }
    return true;
  }

  bool offsets() {
    std::uint64_t end = 0;
    for (unsigned plane = 0; plane < info_.plane_count; ++plane) {
      PlaneLayout& one = layout_.planes[plane];
      one.buffer = static_cast<std::uint8_t>(separate() ? plane : 0);
      one.offset = separate() ? 0 : divided_up(end, rule_.offset_align) * rule_.offset_align;
      end = one.offset + std::uint64_t{one.stride} * one.rows;
      const std::uint64_t size = std::max(end + rule_.tail, rule_.size_min);
      if (end > max_image_size || size > max_image_size) {
        refuse([&] {
          return fmt::format("{}x{} take {} bytes{}; kernel interfaces count to {} in one buffer", layout_.width, layout_.height,
                             size, plane + 1U < info_.plane_count ? " and more" : "", max_image_size);
        });
        return false;
      }
      layout_.sizes[one.buffer] = size;
    }
    return true;
  }

  const LayoutRule& rule_;
  std::uint32_t preferred_;
  const FormatInfo& info_;
  std::error_code& ec_;
  ImageLayout layout_;
  std::uint64_t width_ = 0; // pixels, padding included
  std::uint64_t rows_ = 0;  // of plane 0, padding included
};

/// check(), of a layout with a format and a size in range; what is wrong, or nothing.
std::string fault_of(const ImageLayout& layout) {
  const unsigned buffers = layout.buffer_count();
  for (unsigned buffer = 0; buffer < max_planes; ++buffer) {
    const std::uint64_t size = layout.sizes[buffer];
    if (size > max_image_size) {
      return fmt::format("buffer {} has {} bytes; kernel interfaces count to {}", buffer, size, max_image_size);
    }
    if (size != 0 && buffer >= buffers) {
      return fmt::format("buffer {} has a size, and no plane lies in it", buffer);
    }
    const bool used = std::any_of(layout.planes.begin(), layout.planes.begin() + layout.plane_count(),
                                  [&](const PlaneLayout& plane) { return plane.buffer == buffer; });
    if (buffer < buffers && !used) {
      return fmt::format("no plane lies in buffer {}", buffer);
    }
  }
  for (unsigned i = 0; i < max_planes; ++i) {
    const PlaneLayout& plane = layout.planes[i];
    if (i >= layout.plane_count()) {
      if (plane != PlaneLayout{}) {
        return fmt::format("{} has {} planes, and plane {} has a place", layout.format.name(), layout.plane_count(), i);
      }
      continue;
    }
    const std::uint32_t row = layout.row_bytes(i);
    const std::uint32_t rows = layout.visible_rows(i);
    if (plane.stride < row) {
      return fmt::format("plane {}: a stride of {} bytes is shorter than a row, {}", i, plane.stride, row);
    }
    if (plane.rows < rows) {
      return fmt::format("plane {}: {} rows are fewer than {}", i, plane.rows, rows);
    }
    // Any offset and 32 bits times 32 bits fit into 64 when the offset is in range.
    const std::uint64_t size = layout.sizes[plane.buffer];
    if (plane.offset > size || plane.offset + std::uint64_t{plane.stride} * (plane.rows - 1) + row > size) {
      return fmt::format("plane {}: {} rows of {} bytes from {} on do not lie in {} bytes of buffer {}", i, plane.rows,
                         plane.stride, plane.offset, size, plane.buffer);
    }
  }
  return {};
}

} // namespace

unsigned ImageLayout::buffer_count() const noexcept {
  unsigned count = 0;
  for (unsigned plane = 0; plane < plane_count(); ++plane) {
    count = std::max(count, planes[plane].buffer + 1U);
  }
  return count;
}

std::uint32_t ImageLayout::row_bytes(unsigned plane) const noexcept {
  return plane < plane_count() ? static_cast<std::uint32_t>(tight(format.info().planes[plane], width)) : 0;
}

std::uint32_t ImageLayout::visible_rows(unsigned plane) const noexcept {
  return plane < plane_count() ? static_cast<std::uint32_t>(divided_up(height, format.info().planes[plane].vsub)) : 0;
}

void check(const ImageLayout& layout) {
  detail::or_throw(
      "", [] { return std::string("take a layout"); }, [&](std::error_code& ec) { check(layout, ec); });
}

void check(const ImageLayout& layout, std::error_code& ec) noexcept {
  detail::or_code(ec, [&] {
    if (!layout.format) {
      fail(ec, EINVAL, [] { return std::string("it has no format"); });
      return;
    }
    if (!in_range(layout.width, layout.height, ec)) {
      return;
    }
    const auto planes = std::span(layout.planes).first(layout.plane_count());
    const auto strayed = std::find_if(planes.begin(), planes.end(), [](const auto& plane) { return plane.buffer >= max_planes; });
    if (strayed != planes.end()) {
      fail(ec, EINVAL, [&] {
        return fmt::format("plane {} lies in buffer {}; there are {} at most", strayed - planes.begin(), strayed->buffer,
                           max_planes);
      });
    } else if (std::string fault = fault_of(layout); !fault.empty()) {
      fail(ec, EINVAL, [&] { return std::move(fault); });
    }
  });
}

ImageLayout lay_out(const LayoutRule& rule, std::uint32_t width, std::uint32_t height) {
  return detail::or_throw(
      "", [&] { return fmt::format("lay out {}x{} pixels", width, height); },
      [&](std::error_code& ec) { return lay_out(rule, width, height, ec); });
}

ImageLayout lay_out(const LayoutRule& rule, std::uint32_t width, std::uint32_t height, std::error_code& ec) noexcept {
  return detail::or_code(ec, [&]() -> ImageLayout {
    if (!rule.format) {
      fail(ec, EINVAL, [] { return std::string("the rule has no format"); });
      return {};
    }
    if (!in_range(width, height, ec) || !detail::possible(rule, ec)) {
      return {};
    }
    if (rule.stride_prefer != 1) {
      const detail::Explanation unheard; // a preference refuses nothing
      const ImageLayout layout = Drafter(rule, rule.stride_prefer, width, height, ec).draft();
      if (!ec) {
        return layout;
      }
      ec.clear();
    }
    return Drafter(rule, 1, width, height, ec).draft();
  });
}

}} // namespace sa::v0
