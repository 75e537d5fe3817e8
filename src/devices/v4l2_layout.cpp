// SPDX-License-Identifier: MIT
/// The rules of a V4L2 queue for pictures. VIDIOC_TRY_FMT "does not change driver state" and is not refused while a device
/// streams (Documentation/userspace-api/media/v4l/vidioc-g-fmt.rst); it answers with what VIDIOC_S_FMT would make of a format.
#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <numeric>

#include <fmt/format.h>

#include <sa/glue/v4l2.hpp>

#include "core/base/failure.hpp"
#include "devices/v4l2.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

/// The most that a driver adds to a side for its alignment. One that adds more makes pictures of another size.
constexpr std::uint32_t most_padding = 32; // pixels

struct Extent {
  std::uint32_t width = 0;  // pixels
  std::uint32_t height = 0; // pixels
};

Extent extent_of(const v4l2_format& format) noexcept {
  return v4l2::multi_planar(format.type) ? Extent{format.fmt.pix_mp.width, format.fmt.pix_mp.height}
                                         : Extent{format.fmt.pix.width, format.fmt.pix.height};
}

V4l2Fourcc code_of(const v4l2_format& format) noexcept {
  return {v4l2::multi_planar(format.type) ? format.fmt.pix_mp.pixelformat : format.fmt.pix.pixelformat};
}

/// The step in which the driver rounded @p asked up to @p answered; 0 when that was no rounding up.
std::uint32_t step_of(std::uint32_t asked, std::uint32_t answered) noexcept {
  if (answered == asked) {
    return 1;
  }
  if (answered < asked || answered - asked >= most_padding) {
    return 0;
  }
  const std::uint32_t step = std::uint32_t{1} << std::countr_zero(answered);
  return answered - asked < step ? step : 0;
}

/// Asks one queue about one format and size.
class Questions {
public:
  Questions(int device, const OfferedFormat& offered, std::uint32_t width, std::uint32_t height)
      : device_(device), offered_(offered), width_(width), height_(height) {}

  /// @p stride bytes; 0: as the driver likes. False with errno when the driver refuses altogether.
  bool ask(std::uint32_t stride, v4l2_format& answer) {
    answer = {};
    answer.type = offered_.queue;
    const auto fill = [this](auto& pix) {
      pix.width = width_;
      pix.height = height_;
      pix.pixelformat = offered_.code.code;
      pix.field = V4L2_FIELD_ANY;
    };
    if (v4l2::multi_planar(offered_.queue)) {
      fill(answer.fmt.pix_mp);
      answer.fmt.pix_mp.num_planes = planes_;
      for (unsigned plane = 0; plane < planes_; ++plane) { // others follow, as far as the driver lets them
        answer.fmt.pix_mp.plane_fmt[plane].bytesperline = stride;
      }
    } else {
      fill(answer.fmt.pix);
      answer.fmt.pix.bytesperline = stride;
    }
    if (v4l2_request(device_, VIDIOC_TRY_FMT, &answer) != 0) {
      return false;
    }
    planes_ = v4l2::multi_planar(offered_.queue) ? std::min<std::uint8_t>(answer.fmt.pix_mp.num_planes, max_planes) : 1;
    return true;
  }

private:
  int device_;
  OfferedFormat offered_;
  std::uint32_t width_;
  std::uint32_t height_;
  std::uint8_t planes_ = 1;
};

/// Which strides the driver takes beside @p preferred, the one that it chose by itself.
void ask_strides(Questions& questions, std::uint32_t preferred, LayoutRule& rule) {
  v4l2_format answer{};
  std::uint32_t alignment = preferred;
  const auto longer_by = [&](std::uint32_t bytes) { // and counts the answer for the alignment
    const std::uint32_t stride = questions.ask(preferred + bytes, answer) ? v4l2::lines_of(answer, 0).stride : preferred;
    alignment = std::gcd(alignment, stride > preferred ? stride - preferred : preferred - stride);
    return stride > preferred;
  };
  // A driver that rounds up answers one byte more with the next multiple. One that rounds down moves for more than a page,
  // unless its rows have one length; what it makes of other lengths tells 16, 32, 48, 64, 128 and 256 from each other.
  if (!longer_by(1)) {
    if (!longer_by(4097)) {
      rule.stride_min = preferred;
      rule.stride_max = preferred;
      return;
    }
    longer_by(17);
    longer_by(257);
  }
  rule.stride_align = std::max<std::uint32_t>(alignment, 1);
  constexpr std::uint32_t far_too_long = std::uint32_t{1} << 31;
  if (questions.ask(far_too_long, answer)) {
    const std::uint32_t stride = v4l2::lines_of(answer, 0).stride;
    rule.stride_max = stride > preferred && stride < far_too_long ? stride : 0; // else it fell back to what it prefers
  }
}

} // namespace

LayoutRule ask_v4l2_queue(int device, const std::string& node, const OfferedFormat& offered, Format format, std::uint32_t width,
                          std::uint32_t height, std::error_code& ec) {
  LayoutRule rule;
  rule.format = format;
  rule.modifiers = {0};
  rule.tied = true;
  rule.sources = {node + ": VIDIOC_TRY_FMT"};
  if (format.plane_count() > 1) {
    rule.buffers = offered.code == format.info().v4l2_split ? Buffers::Separate : Buffers::One;
  }
  Questions questions(device, offered, width, height);
  v4l2_format answer{};
  if (!questions.ask(0, answer)) {
    const int error = errno;
    if (error == ENOTTY) {
      rule.known = false;
      rule.sources = {fmt::format("{}: has no VIDIOC_TRY_FMT", node)};
    } else {
      fail(ec, error == EINVAL ? EOPNOTSUPP : error, [&] {
        return fmt::format("{}: {} {}x{}: {}", node, format.name(), width, height, kernel_said("VIDIOC_TRY_FMT", error));
      });
    }
    return rule;
  }
  const Extent extent = extent_of(answer);
  const v4l2::Lines lines = v4l2::lines_of(answer, 0);
  rule.width_step = step_of(width, extent.width);
  rule.height_step = step_of(height, extent.height);
  if (code_of(answer) != offered.code || rule.width_step == 0 || rule.height_step == 0 || lines.stride == 0) {
    fail(ec, EOPNOTSUPP, [&] {
      return fmt::format("{} takes {} {}x{} in place of {} {}x{} (VIDIOC_TRY_FMT); ask for that, or set another input or mode",
                         node, to_string(code_of(answer)), extent.width, extent.height, format.name(), width, height);
    });
    return rule;
  }
  if (rule.buffers == Buffers::One) { // the driver looks for the next plane behind as many rows as the picture has
    const std::uint32_t step = format.info().height_step;
    rule.rows_max = (extent.height + step - 1) / step * step;
  }
  LayoutRule chosen = rule; // by the driver
  chosen.stride_min = chosen.stride_max = lines.stride;
  std::error_code unusual;
  const ImageLayout layout = lay_out(chosen, width, height, unusual);
  for (unsigned buffer = 0; !unusual && buffer < layout.buffer_count(); ++buffer) {
    const std::uint32_t needed = v4l2::lines_of(answer, buffer).size; // with what the driver keeps behind a picture
    if (needed > layout.sizes[buffer]) {
      rule.tail = std::max(rule.tail, needed - layout.sizes[buffer]);
    }
  }
  ask_strides(questions, lines.stride, rule);
  if (!unusual && rule.stride_max != rule.stride_min && lines.stride > layout.row_bytes(0)) { // more than a row: it likes that
    constexpr std::uint32_t most = 4096;                                                      // bytes
    rule.stride_prefer = std::min(std::uint32_t{1} << std::countr_zero(lines.stride), most);
  }
  return rule;
}

ImageLayout confirm_v4l2_layout(int device, const std::string& node, v4l2_buf_type queue, const ImageLayout& layout,
                                std::error_code& ec) {
  v4l2_format answer = v4l2::format_of(layout, queue);
  if (!code_of(answer)) {
    fail(ec, EOPNOTSUPP, [&] { return fmt::format("{}: V4L2 cannot describe this layout: {}", node, to_string(layout)); });
    return layout;
  }
  if (v4l2_request(device, VIDIOC_TRY_FMT, &answer) != 0) {
    const int error = errno;
    if (error != ENOTTY) {
      fail(ec, error == EINVAL ? EOPNOTSUPP : error,
           [&] { return fmt::format("{}: {}", node, kernel_said("VIDIOC_TRY_FMT", error)); });
    }
    return layout;
  }
  ImageLayout answered = layout;
  for (unsigned buffer = 0; buffer < layout.buffer_count(); ++buffer) {
    answered.sizes[buffer] = std::max<std::uint64_t>(layout.sizes[buffer], v4l2::lines_of(answer, buffer).size);
  }
  if (!v4l2::holds(answered, answer)) {
    const Extent extent = extent_of(answer);
    fail(ec, EOPNOTSUPP, [&] {
      return fmt::format("{} makes {} {}x{} with rows of {} bytes of {} (VIDIOC_TRY_FMT)", node, to_string(code_of(answer)),
                         extent.width, extent.height, v4l2::lines_of(answer, 0).stride, to_string(layout));
    });
  }
  return answered;
}

}}} // namespace sa::v0::detail
