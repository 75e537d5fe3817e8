// SPDX-License-Identifier: MIT
#include "oracles/told.hpp"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <stdexcept>
#include <string_view>

extern "C" {
#include <libavutil/imgutils.h>
#include <libavutil/pixdesc.h>
}

namespace oracles::ffmpeg {
namespace {

/// FFmpeg names the bytes of a pixel as they lie in memory, DRM the bits of a little-endian word from the highest on.
/// It has no VYUY, NV61 and formats with V before U, whose pointers its users exchange; of Bayer and MIPI-packed formats it
/// has those of 8 and 16 bits.
constexpr struct {
  std::string_view name;
  AVPixelFormat format;
} names[] = {
    {"XRGB8888", AV_PIX_FMT_BGR0},
    {"ARGB8888", AV_PIX_FMT_BGRA},
    {"XBGR8888", AV_PIX_FMT_RGB0},
    {"ABGR8888", AV_PIX_FMT_RGBA},
    {"RGBX8888", AV_PIX_FMT_0BGR},
    {"BGRX8888", AV_PIX_FMT_0RGB},
    {"RGBA8888", AV_PIX_FMT_ABGR},
    {"BGRA8888", AV_PIX_FMT_ARGB},
    {"RGB565", AV_PIX_FMT_RGB565LE},
    {"RGB888", AV_PIX_FMT_BGR24},
    {"BGR888", AV_PIX_FMT_RGB24},
    {"YUYV", AV_PIX_FMT_YUYV422},
    {"UYVY", AV_PIX_FMT_UYVY422},
    {"YVYU", AV_PIX_FMT_YVYU422},
    {"NV12", AV_PIX_FMT_NV12},
    {"NV21", AV_PIX_FMT_NV21},
    {"NV16", AV_PIX_FMT_NV16},
    {"NV24", AV_PIX_FMT_NV24},
    {"NV42", AV_PIX_FMT_NV42},
    {"P010", AV_PIX_FMT_P010LE},
    {"YUV420", AV_PIX_FMT_YUV420P},
    {"YUV422", AV_PIX_FMT_YUV422P},
    {"YUV444", AV_PIX_FMT_YUV444P},
    {"R8", AV_PIX_FMT_GRAY8},
    {"R10", AV_PIX_FMT_GRAY10LE},
    {"R12", AV_PIX_FMT_GRAY12LE},
    {"R16", AV_PIX_FMT_GRAY16LE},
    {"SRGGB8", AV_PIX_FMT_BAYER_RGGB8},
    {"SGRBG8", AV_PIX_FMT_BAYER_GRBG8},
    {"SGBRG8", AV_PIX_FMT_BAYER_GBRG8},
    {"SBGGR8", AV_PIX_FMT_BAYER_BGGR8},
    {"SRGGB16", AV_PIX_FMT_BAYER_RGGB16LE},
    {"SGRBG16", AV_PIX_FMT_BAYER_GRBG16LE},
    {"SGBRG16", AV_PIX_FMT_BAYER_GBRG16LE},
    {"SBGGR16", AV_PIX_FMT_BAYER_BGGR16LE},
};

AVPixelFormat format_of(sa::Format format) {
  const auto* const found =
      std::find_if(std::begin(names), std::end(names), [&](const auto& one) { return one.name == format.name(); });
  return found == std::end(names) ? AV_PIX_FMT_NONE : found->format;
}

} // namespace

std::optional<Told> lay_out(sa::Format format, std::uint32_t width, std::uint32_t height) {
  const AVPixelFormat theirs = format_of(format);
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
  const AVPixFmtDescriptor* const descriptor = av_pix_fmt_desc_get(format_of(format));
  for (unsigned i = 0; descriptor != nullptr && i < descriptor->nb_components; ++i) {
    all.push_back({static_cast<unsigned>(descriptor->comp[i].plane), static_cast<unsigned>(descriptor->comp[i].offset)});
  }
  return all;
}

} // namespace oracles::ffmpeg
