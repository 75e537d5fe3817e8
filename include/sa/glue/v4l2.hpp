// SPDX-License-Identifier: MIT
/// @file glue/v4l2.hpp
/// Between images and linux/videodev2.h: the fields of a format and of a buffer, copied. Header-only; makes no call.
///
///     v4l2_format format = sa::v4l2::format_of(frame.layout(), V4L2_BUF_TYPE_VIDEO_CAPTURE);
///     ioctl(camera, VIDIOC_S_FMT, &format);
///     if (!sa::v4l2::holds(frame.layout(), format)) { ... } // the driver changed it
///     sa::v4l2::Buffer slot(frame, V4L2_BUF_TYPE_VIDEO_CAPTURE, 0);
///     ioctl(camera, VIDIOC_QBUF, &slot.buffer());
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include <linux/videodev2.h>

#include <sa/image.hpp>

namespace sa { inline namespace v0 { namespace v4l2 {

/// Whether a queue of that type (v4l2_buf_type) is multi-planar.
[[nodiscard]] constexpr bool multi_planar(std::uint32_t type) noexcept {
  return type == V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE || type == V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE;
}

/// The type of the queue (v4l2_buf_type) in which a node with these capabilities, as VIDIOC_QUERYCAP returned them, captures.
[[nodiscard]] constexpr std::uint32_t capture_type(const v4l2_capability& capability) noexcept {
  return (capability.device_caps & (V4L2_CAP_VIDEO_CAPTURE_MPLANE | V4L2_CAP_VIDEO_M2M_MPLANE)) != 0
             ? V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE
             : V4L2_BUF_TYPE_VIDEO_CAPTURE;
}

/// The code under which V4L2 knows a layout's format: that of a buffer for each plane where it has several buffers. None: V4L2
/// has none.
[[nodiscard]] inline V4l2Fourcc fourcc_of(const ImageLayout& layout) noexcept {
  return layout.buffer_count() > 1 ? layout.format.info().v4l2_split : layout.format.info().v4l2;
}

/// The format that a queue of @p type is asked for with VIDIOC_TRY_FMT and VIDIOC_S_FMT. Its pixelformat is 0 where V4L2 cannot
/// say the layout: the format has no code, it is not linear, a plane does not begin where the one before it ends, or there are
/// several buffers and the queue is not multi-planar.
[[nodiscard]] inline v4l2_format format_of(const ImageLayout& layout, std::uint32_t type) noexcept {
  v4l2_format format{};
  format.type = type;
  const FormatInfo& info = layout.format.info();
  const unsigned buffers = layout.buffer_count();
  bool can = layout.modifier == 0 && (buffers == 1 || multi_planar(type));
  std::uint64_t end = 0; // bytes of the planes before
  for (unsigned plane = 0; plane < layout.plane_count(); ++plane) {
    const PlaneLayout& where = layout.planes[plane];
    can = can && where.offset == (buffers > 1 ? 0 : end);
    end = where.offset + std::uint64_t{where.stride} * where.rows;
  }
  const std::uint32_t fourcc = can ? fourcc_of(layout).code : 0;
  const std::uint32_t width = (layout.width + info.width_step - 1U) / info.width_step * info.width_step;
  // Further planes begin behind so many rows as the height says.
  const std::uint32_t height = layout.plane_count() > 1 && buffers == 1
                                   ? layout.planes[0].rows
                                   : (layout.height + info.height_step - 1U) / info.height_step * info.height_step;
  if (multi_planar(type)) {
    v4l2_pix_format_mplane& pix = format.fmt.pix_mp;
    pix.width = width;
    pix.height = height;
    pix.pixelformat = fourcc;
    pix.field = V4L2_FIELD_NONE;
    pix.num_planes = static_cast<std::uint8_t>(buffers);
    for (unsigned buffer = 0; buffer < buffers; ++buffer) {
      pix.plane_fmt[buffer].bytesperline = layout.planes[buffer].stride; // the first plane's in it: one buffer, or one each
      pix.plane_fmt[buffer].sizeimage = static_cast<std::uint32_t>(layout.sizes[buffer]);
    }
  } else {
    v4l2_pix_format& pix = format.fmt.pix;
    pix.width = width;
    pix.height = height;
    pix.pixelformat = fourcc;
    pix.field = V4L2_FIELD_NONE;
    pix.bytesperline = layout.planes[0].stride;
    pix.sizeimage = static_cast<std::uint32_t>(layout.sizes[0]);
  }
  return format;
}

/// Bytes of a row and of the whole, of @p format's memory plane.
struct Lines {
  std::uint32_t stride = 0; ///< bytes
  std::uint32_t size = 0;   ///< bytes
};
[[nodiscard]] inline Lines lines_of(const v4l2_format& format, unsigned buffer) noexcept {
  if (multi_planar(format.type)) {
    const v4l2_plane_pix_format& plane = format.fmt.pix_mp.plane_fmt[buffer];
    return {plane.bytesperline, plane.sizeimage};
  }
  return {format.fmt.pix.bytesperline, format.fmt.pix.sizeimage};
}

/// Whether an image of @p layout is what a queue with @p format, as VIDIOC_S_FMT or VIDIOC_TRY_FMT returned it, reads or
/// writes: the same format, as many rows, the same strides, and no more bytes than the buffers have.
[[nodiscard]] inline bool holds(const ImageLayout& layout, const v4l2_format& format) noexcept {
  const v4l2_format wanted = format_of(layout, format.type);
  const bool planar = multi_planar(format.type);
  const std::uint32_t code = planar ? format.fmt.pix_mp.pixelformat : format.fmt.pix.pixelformat;
  const std::uint32_t height = planar ? format.fmt.pix_mp.height : format.fmt.pix.height;
  const std::uint32_t width = planar ? format.fmt.pix_mp.width : format.fmt.pix.width;
  const std::uint32_t wanted_code = planar ? wanted.fmt.pix_mp.pixelformat : wanted.fmt.pix.pixelformat;
  const std::uint32_t wanted_height = planar ? wanted.fmt.pix_mp.height : wanted.fmt.pix.height;
  bool same = wanted_code != 0 && code == wanted_code && width >= layout.width &&
              (layout.plane_count() > 1 && layout.buffer_count() == 1 ? height == wanted_height : height >= layout.height) &&
              (!planar || format.fmt.pix_mp.num_planes == layout.buffer_count());
  for (unsigned buffer = 0; buffer < layout.buffer_count(); ++buffer) {
    const Lines lines = lines_of(format, buffer);
    same = same && lines.stride == layout.planes[buffer].stride && lines.size <= layout.sizes[buffer];
  }
  return same;
}

/// The layout of the pictures of a queue whose format is @p format, as VIDIOC_G_FMT returned it: for a decoder, which says it
/// itself. Empty (no format) where the table does not have the format.
[[nodiscard]] inline ImageLayout layout_of(const v4l2_format& format) noexcept {
  const bool planar = multi_planar(format.type);
  const V4l2Fourcc code{planar ? format.fmt.pix_mp.pixelformat : format.fmt.pix.pixelformat};
  ImageLayout layout;
  layout.format = Format::find(code);
  if (!layout.format) {
    return layout;
  }
  const FormatInfo& info = layout.format.info();
  layout.width = planar ? format.fmt.pix_mp.width : format.fmt.pix.width;
  layout.height = planar ? format.fmt.pix_mp.height : format.fmt.pix.height;
  const bool split = code == info.v4l2_split;
  std::uint64_t end = 0;
  for (unsigned plane = 0; plane < info.plane_count; ++plane) {
    const FormatPlane& first = info.planes[0];
    const FormatPlane& one = info.planes[plane];
    PlaneLayout& where = layout.planes[plane];
    where.buffer = static_cast<std::uint8_t>(split ? plane : 0);
    // In one buffer the other strides follow from the first (Documentation/userspace-api/media/v4l/pixfmt-yuv-planar.rst).
    where.stride = split ? lines_of(format, plane).stride
                         : static_cast<std::uint32_t>(std::uint64_t{lines_of(format, 0).stride} * one.bytes * first.pixels /
                                                      (std::uint64_t{one.pixels} * one.hsub * first.bytes));
    where.rows = (layout.height + one.vsub - 1U) / one.vsub;
    where.offset = split ? 0 : end;
    end = where.offset + std::uint64_t{where.stride} * where.rows;
  }
  for (unsigned buffer = 0; buffer < layout.buffer_count(); ++buffer) {
    layout.sizes[buffer] = lines_of(format, buffer).size;
  }
  return layout;
}

/// A v4l2_buffer of memory type V4L2_MEMORY_DMABUF and what it points to, filled with an image's descriptors: for VIDIOC_QBUF
/// and VIDIOC_DQBUF. Borrows the descriptors, which the driver holds on its own after VIDIOC_QBUF.
class Buffer {
public:
  /// @param image borrowed
  /// @param type of the queue, v4l2_buf_type; @param index of the slot
  Buffer(const Image& image, std::uint32_t type, std::uint32_t index) noexcept : Buffer(type, index) {
    const ImageLayout& layout = image.layout();
    buffer_.length = multi_planar(type) ? layout.buffer_count()
                                        : static_cast<std::uint32_t>(std::min<std::size_t>(image.buffer(0).size(), UINT32_MAX));
    for (unsigned i = 0; i < layout.buffer_count(); ++i) {
      const int fd = image.buffer(i).fd();
      const auto used = static_cast<std::uint32_t>(layout.sizes[i]); // of an output queue
      if (multi_planar(type)) {
        planes_[i].m.fd = fd;
        planes_[i].length = static_cast<std::uint32_t>(std::min<std::size_t>(image.buffer(i).size(), UINT32_MAX));
        planes_[i].bytesused = used;
      } else {
        buffer_.m.fd = fd;
        buffer_.bytesused = used;
      }
    }
  }
  /// Without an image, for VIDIOC_DQBUF.
  explicit Buffer(std::uint32_t type, std::uint32_t index = 0) noexcept {
    buffer_.type = type;
    buffer_.index = index;
    buffer_.memory = V4L2_MEMORY_DMABUF;
    buffer_.field = V4L2_FIELD_NONE;
    if (multi_planar(type)) {
      buffer_.m.planes = planes_.data();
      buffer_.length = max_planes;
    }
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  [[nodiscard]] v4l2_buffer& buffer() noexcept { return buffer_; }
  [[nodiscard]] std::uint32_t index() const noexcept { return buffer_.index; }

  /// After VIDIOC_DQBUF: @p layout, the queued image's, with the pixels where the driver put them. A multi-planar driver can put
  /// something of its own before them (v4l2_plane::data_offset), which no other call tells; Image::set_layout() takes it.
  [[nodiscard]] ImageLayout filled(ImageLayout layout) const noexcept {
    for (unsigned plane = 0; multi_planar(buffer_.type) && plane < layout.plane_count(); ++plane) {
      PlaneLayout& where = layout.planes[plane];
      where.offset += planes_[where.buffer].data_offset;
    }
    return layout;
  }

private:
  v4l2_buffer buffer_{};
  std::array<v4l2_plane, max_planes> planes_{};
};

}}} // namespace sa::v0::v4l2
