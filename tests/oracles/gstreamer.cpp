// SPDX-License-Identifier: MIT
#include "oracles/told.hpp"

#include <stdexcept>
#include <string>

#include <gst/video/video.h>

namespace oracles::gstreamer {
namespace {

GstVideoFormat format_of(sa::Format format) {
  const std::string name(format.info().gstreamer);
  const GstVideoFormat found = gst_video_format_from_string(name.c_str());
  if (found == GST_VIDEO_FORMAT_UNKNOWN) {
    throw std::invalid_argument("GStreamer has no format " + name);
  }
  return found;
}

} // namespace

std::optional<Told> lay_out(sa::Format format, std::uint32_t width, std::uint32_t height) {
  if (format.info().gstreamer.empty()) {
    return std::nullopt;
  }
  GstVideoInfo info;
  if (gst_video_info_set_format(&info, format_of(format), width, height) == 0) {
    throw std::invalid_argument("GStreamer refuses the size");
  }
  Told told;
  told.size = GST_VIDEO_INFO_SIZE(&info);
  const unsigned planes = GST_VIDEO_INFO_N_PLANES(&info);
  for (unsigned i = 0; i < planes; ++i) {
    const std::uint64_t offset = GST_VIDEO_INFO_PLANE_OFFSET(&info, i);
    const std::uint64_t end = i + 1 < planes ? GST_VIDEO_INFO_PLANE_OFFSET(&info, i + 1) : told.size;
    const auto stride = static_cast<std::uint64_t>(GST_VIDEO_INFO_PLANE_STRIDE(&info, i));
    told.planes.push_back({offset, stride, (end - offset) / stride});
  }
  return told;
}

std::vector<Component> components(sa::Format format) {
  std::vector<Component> all;
  if (format.info().gstreamer.empty()) {
    return all;
  }
  const GstVideoFormatInfo* const info = gst_video_format_get_info(format_of(format));
  for (unsigned i = 0; i < GST_VIDEO_FORMAT_INFO_N_COMPONENTS(info); ++i) {
    all.push_back({GST_VIDEO_FORMAT_INFO_PLANE(info, i), GST_VIDEO_FORMAT_INFO_POFFSET(info, i)});
  }
  return all;
}

} // namespace oracles::gstreamer
