// SPDX-License-Identifier: MIT
/// @file glue/pipewire.hpp
/// Between images and PipeWire's buffers (spa/buffer/buffer.h): the fields of its data and chunks, copied. Header-only; needs
/// the headers of libspa alone (pkg-config libspa-0.2).
///
/// A producer that connects with PW_STREAM_FLAG_ALLOC_BUFFERS gives its own memory, and a consumer makes images of it again:
///
///     void add_buffer(void* producer, pw_buffer* slot) {
///       if (!sa::pipewire::offer(*slot->buffer, image)) { ... } // the consumers take no such memory
///     }
///     void process(void* consumer) {
///       pw_buffer* slot = pw_stream_dequeue_buffer(stream);
///       const sa::Image image = sa::pipewire::import(*slot->buffer, negotiated); // once for each slot
///     }
///
/// Both say in SPA_PARAM_BUFFERS_dataType which memory they take, and the producer in SPA_PARAM_BUFFERS_blocks that a buffer has
/// a block for each plane (https://docs.pipewire.org/page_dma_buf.html). PipeWire has no fences of its own: DmaBuf::access()
/// waits for those of the memory, and brackets what the CPU does with DMA_BUF_IOCTL_SYNC, which PipeWire does not.
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>

#include <spa/buffer/buffer.h>
#include <spa/param/video/raw.h>

#include <sa/dma_buf.hpp>
#include <sa/error.hpp>
#include <sa/image.hpp>

namespace sa { inline namespace v0 { namespace pipewire {

/// A format's name, and what PipeWire calls the same bytes.
struct FormatName {
  std::string_view name; ///< FormatInfo::name
  spa_video_format format;
};

/// Those that both have. PipeWire's names are GStreamer's (spa/param/video/raw.h).
inline constexpr FormatName video_formats[] = {
    {"XRGB8888", SPA_VIDEO_FORMAT_BGRx}, {"ARGB8888", SPA_VIDEO_FORMAT_BGRA}, {"XBGR8888", SPA_VIDEO_FORMAT_RGBx},
    {"ABGR8888", SPA_VIDEO_FORMAT_RGBA}, {"RGBX8888", SPA_VIDEO_FORMAT_xBGR}, {"BGRX8888", SPA_VIDEO_FORMAT_xRGB},
    {"RGBA8888", SPA_VIDEO_FORMAT_ABGR}, {"BGRA8888", SPA_VIDEO_FORMAT_ARGB}, {"RGB565", SPA_VIDEO_FORMAT_RGB16},
    {"RGB888", SPA_VIDEO_FORMAT_BGR},    {"BGR888", SPA_VIDEO_FORMAT_RGB},    {"YUYV", SPA_VIDEO_FORMAT_YUY2},
    {"UYVY", SPA_VIDEO_FORMAT_UYVY},     {"YVYU", SPA_VIDEO_FORMAT_YVYU},     {"VYUY", SPA_VIDEO_FORMAT_VYUY},
    {"NV12", SPA_VIDEO_FORMAT_NV12},     {"NV21", SPA_VIDEO_FORMAT_NV21},     {"NV16", SPA_VIDEO_FORMAT_NV16},
    {"NV61", SPA_VIDEO_FORMAT_NV61},     {"NV24", SPA_VIDEO_FORMAT_NV24},     {"P010", SPA_VIDEO_FORMAT_P010_10LE},
    {"YUV420", SPA_VIDEO_FORMAT_I420},   {"YVU420", SPA_VIDEO_FORMAT_YV12},   {"YUV422", SPA_VIDEO_FORMAT_Y42B},
    {"YUV444", SPA_VIDEO_FORMAT_Y444},   {"R8", SPA_VIDEO_FORMAT_GRAY8},      {"R16", SPA_VIDEO_FORMAT_GRAY16_LE},
};

/// What PipeWire calls @p format; SPA_VIDEO_FORMAT_UNKNOWN where it does not have it.
[[nodiscard]] inline spa_video_format video_format_of(Format format) noexcept {
  for (const FormatName& one : video_formats) {
    if (one.name == format.name()) {
      return one.format;
    }
  }
  return SPA_VIDEO_FORMAT_UNKNOWN;
}

/// The format that PipeWire calls so; none where the table does not have it.
[[nodiscard]] inline Format format_of(spa_video_format format) noexcept {
  for (const FormatName& one : video_formats) {
    if (one.format == format) {
      return Format::find(one.name);
    }
  }
  return {};
}

/// What a producer of such images offers, for spa_format_video_raw_build(): the format, the size in pixels, and the modifier
/// where the layout is not linear. Linear memory that the CPU can map is offered without one (page_dma_buf, "v4l2"). The format
/// is SPA_VIDEO_FORMAT_UNKNOWN where PipeWire does not have it.
[[nodiscard]] inline spa_video_info_raw info_of(const ImageLayout& layout) noexcept {
  spa_video_info_raw info{};
  info.format = video_format_of(layout.format);
  info.size.width = layout.width;
  info.size.height = layout.height;
  info.modifier = layout.modifier;
  info.flags = layout.modifier != 0 ? SPA_VIDEO_FLAG_MODIFIER : SPA_VIDEO_FLAG_NONE;
  return info;
}

/// The kind of memory that an image is for PipeWire: SPA_DATA_DmaBuf, SPA_DATA_MemFd for a memfd, SPA_DATA_Invalid where a
/// buffer has no descriptor, or there is no image. SPA_PARAM_BUFFERS_dataType is a mask with the bit of this number.
[[nodiscard]] inline spa_data_type data_type_of(const Image& image) noexcept {
  const auto each = [&](auto is) { return image && std::ranges::all_of(image.buffers(), is); };
  if (each([](const DmaBuf& buffer) { return buffer.fd() >= 0 && buffer.traits().contains(Trait::DmaBuf); })) {
    return SPA_DATA_DmaBuf;
  }
  return each([](const DmaBuf& buffer) { return buffer.memfd() >= 0 && buffer.memfd() == buffer.fd(); }) ? SPA_DATA_MemFd
                                                                                                         : SPA_DATA_Invalid;
}

/// Says in the chunks of a buffer where each plane lies: offset and size in bytes from the beginning of its memory, stride in
/// bytes. offer() does so too; a producer calls it again when the layout changes.
/// @param buffer with a block for each plane
/// @param layout of the image behind it
inline void set_chunks(const spa_buffer& buffer, const ImageLayout& layout) noexcept {
  for (unsigned plane = 0; plane < layout.plane_count() && plane < buffer.n_datas; ++plane) {
    const PlaneLayout& where = layout.planes[plane];
    spa_chunk& chunk = *buffer.datas[plane].chunk;
    chunk.offset = static_cast<std::uint32_t>(where.offset); // below max_image_size, as the others
    chunk.size = static_cast<std::uint32_t>(std::min(layout.sizes[where.buffer] - where.offset,
                                                     std::uint64_t{where.stride} * where.rows)); // the last may lack padding
    chunk.stride = static_cast<std::int32_t>(where.stride);
    chunk.flags = SPA_CHUNK_FLAG_NONE;
  }
}

/// Makes @p image the memory of a buffer that PipeWire adds to a stream with PW_STREAM_FLAG_ALLOC_BUFFERS: in the event
/// add_buffer, before anything else. Borrows the descriptors, which PipeWire duplicates when the event has returned: the image
/// stays until remove_buffer.
/// @return whether it did. Else nothing was changed: the buffer has not a block for each plane, the consumers do not take the
///         image's kind of memory (data_type_of()), or a buffer is larger than PipeWire can say (32 bits).
[[nodiscard]] inline bool offer(const spa_buffer& buffer, const Image& image) noexcept {
  const ImageLayout& layout = image.layout();
  const spa_data_type type = data_type_of(image);
  bool can = type != SPA_DATA_Invalid && buffer.n_datas == layout.plane_count();
  for (unsigned plane = 0; can && plane < layout.plane_count(); ++plane) {
    can = (buffer.datas[plane].type & (1U << type)) != 0 && // until then it is a mask of what is taken
          image.buffer_of(plane).size() <= max_image_size;  // the protocol sends it as a signed number
  }
  for (unsigned plane = 0; can && plane < layout.plane_count(); ++plane) {
    const DmaBuf& memory = image.buffer_of(plane);
    spa_data& data = buffer.datas[plane];
    data.type = type;
    data.flags = SPA_DATA_FLAG_READWRITE;
    data.fd = memory.fd();
    data.mapoffset = 0;
    data.maxsize = static_cast<std::uint32_t>(memory.size()); // what a chunk's offset is within
    data.data = nullptr;
  }
  if (can) {
    set_chunks(buffer, layout);
  }
  return can;
}

/// The image in a buffer that a producer filled: its descriptors are duplicated (F_DUPFD_CLOEXEC), so that the image outlives
/// the buffer and the stream; planes of the same memory share one of the image's buffers. Where a format of several planes comes
/// in one block, as from a V4L2 camera, the others follow from the first: PipeWire says no more of them.
///
/// Make it once for each buffer, in the first event `process` that brings it, when its chunks are told, and keep it until
/// remove_buffer. The sizes that a producer says are not believed: the descriptors have theirs.
/// @param buffer borrowed
/// @param info as spa_format_video_raw_parse() read the negotiated format; its colour is not looked at
/// @param ec set where the twin throws
/// @throws Error EOPNOTSUPP: the table does not have the format, or the memory is neither a dma-buf nor a memfd. EINVAL: the
///         number of blocks is neither one nor that of the planes, or the planes do not lie in their memory (Image::import()).
///         EMFILE. What DmaBuf::import() reports.
[[nodiscard]] inline Image import(const spa_buffer& buffer, const spa_video_info_raw& info, std::error_code& ec) noexcept try {
  const auto fail = [&](int why) {
    ec = std::error_code(why, std::system_category());
    return Image{};
  };
  ImageLayout layout;
  layout.format = format_of(info.format);
  layout.modifier = (info.flags & SPA_VIDEO_FLAG_MODIFIER) != 0 ? info.modifier : 0;
  layout.width = info.size.width;
  layout.height = info.size.height;
  if (!layout.format) {
    return fail(EOPNOTSUPP);
  }
  const unsigned planes = layout.plane_count();
  if (buffer.n_datas != planes && buffer.n_datas != 1) {
    return fail(EINVAL);
  }
  std::vector<DmaBuf> buffers;
  std::vector<std::optional<BufferId>> ids;
  for (unsigned plane = 0; plane < planes; ++plane) {
    PlaneLayout& where = layout.planes[plane];
    const FormatPlane& one = layout.format.info().planes[plane];
    const FormatPlane& first = layout.format.info().planes[0];
    where.rows = (layout.height + one.vsub - 1U) / one.vsub;
    if (plane >= buffer.n_datas) {
      const PlaneLayout& before = layout.planes[plane - 1];
      where.stride = static_cast<std::uint32_t>(std::uint64_t{layout.planes[0].stride} * one.bytes * first.pixels /
                                                (std::uint64_t{one.pixels} * one.hsub * first.bytes));
      where.offset = before.offset + std::uint64_t{before.stride} * before.rows;
      continue;
    }
    const spa_data& data = buffer.datas[plane];
    if (data.type != SPA_DATA_DmaBuf && data.type != SPA_DATA_MemFd) {
      return fail(EOPNOTSUPP);
    }
    const spa_chunk chunk = *data.chunk; // once: another process can write it
    if (chunk.stride < 0) {
      return fail(EINVAL);
    }
    where.stride = static_cast<std::uint32_t>(chunk.stride);
    where.offset = std::uint64_t{data.mapoffset} + chunk.offset;
    UniqueFd fd(::fcntl(static_cast<int>(data.fd), F_DUPFD_CLOEXEC, 0));
    if (!fd) {
      return fail(errno);
    }
    DmaBuf memory = DmaBuf::import(std::move(fd), ec);
    if (ec) {
      return {};
    }
    const std::optional<BufferId> id = memory.id();
    const auto same = std::find(ids.begin(), ids.end(), id);
    where.buffer = static_cast<std::uint8_t>(same - ids.begin());
    if (same == ids.end()) {
      layout.sizes[where.buffer] = memory.size();
      ids.push_back(id);
      buffers.push_back(std::move(memory));
    }
  }
  return Image::import(layout, std::move(buffers), ec);
} catch (const std::bad_alloc&) {
  ec = std::error_code(ENOMEM, std::system_category());
  return {};
}
[[nodiscard]] inline Image import(const spa_buffer& buffer, const spa_video_info_raw& info) {
  std::error_code ec;
  Image image = import(buffer, info, ec);
  if (ec) {
    throw Error(ec, "", "import a buffer of PipeWire's with " + std::to_string(buffer.n_datas) + " blocks", "");
  }
  return image;
}

}}} // namespace sa::v0::pipewire
