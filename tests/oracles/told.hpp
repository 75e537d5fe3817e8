// SPDX-License-Identifier: MIT
/// @file told.hpp
/// What another library says of a picture without padding that anybody asked for.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <sa/format.hpp>

namespace oracles {

struct Plane {
  std::uint64_t offset = 0;
  std::uint64_t stride = 0;
  std::uint64_t rows = 0;
  friend bool operator==(const Plane&, const Plane&) = default;
};

struct Told {
  std::vector<Plane> planes;
  std::uint64_t size = 0;
  friend bool operator==(const Told&, const Told&) = default;
};

/// Where the first sample of a component lies: R, G, B, A or Y, U, V.
struct Component {
  unsigned plane = 0;
  unsigned byte = 0; ///< from the beginning of the plane
  friend bool operator==(const Component&, const Component&) = default;
};

namespace gstreamer {
/// gst_video_info_set_format(); nothing where the table has no name of GStreamer's.
/// @throws std::invalid_argument GStreamer does not know the name
std::optional<Told> lay_out(sa::Format format, std::uint32_t width, std::uint32_t height);
std::vector<Component> components(sa::Format format);
} // namespace gstreamer

namespace ffmpeg {
/// av_image_fill_linesizes(), av_image_fill_plane_sizes() and av_image_get_buffer_size() with an alignment of 1; nothing where
/// libavutil has no such format.
/// @throws std::invalid_argument libavutil refuses the size
std::optional<Told> lay_out(sa::Format format, std::uint32_t width, std::uint32_t height);
std::vector<Component> components(sa::Format format);
} // namespace ffmpeg

} // namespace oracles
