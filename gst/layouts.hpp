// SPDX-License-Identifier: MIT
/// @file layouts.hpp
/// Between GStreamer's caps and libsa's layouts.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include <gst/video/video.h>

#include <sa/sa.hpp>

namespace sa::gst {

/// A picture as caps describe it.
struct Picture {
  GstVideoInfo info; ///< with GStreamer's default strides and offsets for a picture
  Format format;     ///< none: the table does not have it
  bool drm = false;  ///< its caps are in DRM's words (video/x-raw(memory:DMABuf), format=DMA_DRM)
};

/// Nothing where the caps are of no picture that lies row by row: a compressed format, Bayer, audio.
/// @throws Error EOPNOTSUPP: of a modifier that is not linear
[[nodiscard]] std::optional<Picture> picture_of(const GstCaps* caps);

/// GStreamer's default layout. Its format is none where the table does not have it.
[[nodiscard]] ImageLayout default_layout(const Picture& picture);

/// Whether a reader that knows the caps alone finds every pixel.
[[nodiscard]] bool is_default(const ImageLayout& layout, const Picture& picture);

/// Bytes of all of its buffers.
[[nodiscard]] std::size_t size_of(const ImageLayout& layout);

/// Says in @p buffer how the picture lies, whose memories are the layout's buffers in their order.
void add_video_meta(GstBuffer* buffer, const ImageLayout& layout, const Picture& picture);

} // namespace sa::gst
