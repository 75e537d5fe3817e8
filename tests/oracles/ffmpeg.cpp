// SPDX-License-Identifier: MIT
#include "oracles/told.hpp"

#include <cstddef>
#include <stdexcept>

extern "C" {
#include <libavutil/imgutils.h>
#include <libavutil/pixdesc.h>
}

#include <sa/glue/ffmpeg.hpp>

namespace oracles::ffmpeg {

std::optional<Told> lay_out(sa::Format format, std::uint32_t width, std::uint32_t height) {
  const AVPixelFormat theirs = sa::ffmpeg::pixel_format_of(format);
  if (theirs == AV_PIX_FMT_NONE) {
    return std::nullopt;
  }
  int strides[4] = {};
  std::size_t sizes[4] = {};
  const int size = av_image_get_buffer_size(theirs, static_cast<int>(width), static_cast<int>(height), 1);
  const bool good = size >= 0 && av_image_fill_linesizes(strides, theirs, static_cast<int>(width)) >= 0;
  const std::ptrdiff_t wide[4] = {strides[0], strides[1], strides[2], strides[3]};
  if (!good || av_image_fill_plane_sizes(sizes, theirs, static_cast<int>(height), wide) < 0) {
    throw std::invalid_argument("libavutil refuses the size");
  }
  Told told;
  told.size = static_cast<std::uint64_t>(size);
  std::uint64_t end = 0;
  for (unsigned i = 0; i < 4 && sizes[i] != 0; ++i) {
    const auto stride = static_cast<std::uint64_t>(strides[i]);
    told.planes.push_back({end, stride, sizes[i] / stride});
    end += sizes[i];
  }
  return told;
}

std::vector<Component> components(sa::Format format) {
  std::vector<Component> all;
  const AVPixFmtDescriptor* const descriptor = av_pix_fmt_desc_get(sa::ffmpeg::pixel_format_of(format));
  for (unsigned i = 0; descriptor != nullptr && i < descriptor->nb_components; ++i) {
    all.push_back({static_cast<unsigned>(descriptor->comp[i].plane), static_cast<unsigned>(descriptor->comp[i].offset)});
  }
  return all;
}

} // namespace oracles::ffmpeg
