// SPDX-License-Identifier: MIT
#include "layouts.hpp"

#include <algorithm>
#include <cerrno>
#include <numeric>
#include <string>
#include <system_error>

namespace sa::gst {

std::optional<Picture> picture_of(const GstCaps* caps) {
  Picture picture{};
#if GST_CHECK_VERSION(1, 24, 0)
  if (gst_video_is_dma_drm_caps(caps)) {
    GstVideoInfoDmaDrm drm;
    if (!gst_video_info_dma_drm_from_caps(&drm, caps)) {
      return std::nullopt;
    }
    picture.drm = true;
    picture.format = Format::find(DrmFourcc{drm.drm_fourcc});
    if (drm.drm_modifier != 0 || !gst_video_info_dma_drm_to_video_info(&drm, &picture.info)) {
      g_autofree char* text = gst_video_dma_drm_fourcc_to_string(drm.drm_fourcc, drm.drm_modifier);
      const std::error_code code(EOPNOTSUPP, std::system_category());
      throw Error(code, "", std::string("a picture of ") + text,
                  "a heap makes pictures that lie row by row (the linear modifier)");
    }
    return picture;
  }
#endif
  if (!gst_structure_has_name(gst_caps_get_structure(caps, 0), "video/x-raw") || !gst_video_info_from_caps(&picture.info, caps) ||
      GST_VIDEO_INFO_N_PLANES(&picture.info) == 0 || GST_VIDEO_FORMAT_INFO_IS_TILED(picture.info.finfo)) {
    return std::nullopt;
  }
  picture.format = Format::find(gst_video_format_to_string(GST_VIDEO_INFO_FORMAT(&picture.info)));
  return picture;
}

ImageLayout default_layout(const Picture& picture) {
  const GstVideoInfo& info = picture.info;
  ImageLayout layout;
  layout.format = picture.format;
  layout.width = static_cast<std::uint32_t>(GST_VIDEO_INFO_WIDTH(&info));
  layout.height = static_cast<std::uint32_t>(GST_VIDEO_INFO_HEIGHT(&info));
  for (unsigned plane = 0; plane < layout.plane_count(); ++plane) {
    const FormatPlane& one = layout.format.info().planes[plane];
    layout.planes[plane] = {0, static_cast<std::uint32_t>(info.stride[plane]), (layout.height + one.vsub - 1) / one.vsub,
                            info.offset[plane]};
  }
  layout.sizes[0] = info.size;
  return layout;
}

bool is_default(const ImageLayout& layout, const Picture& picture) {
  for (unsigned plane = 0; plane < layout.plane_count(); ++plane) {
    if (layout.planes[plane].stride != static_cast<std::uint32_t>(picture.info.stride[plane]) ||
        layout.planes[plane].offset != picture.info.offset[plane] || layout.planes[plane].buffer != 0) {
      return false;
    }
  }
  return true;
}

std::size_t size_of(const ImageLayout& layout) {
  return std::accumulate(layout.sizes.begin(), layout.sizes.begin() + layout.buffer_count(), std::size_t{0});
}

void add_video_meta(GstBuffer* buffer, const ImageLayout& layout, const Picture& picture) {
  const GstVideoInfo& info = picture.info;
  std::array<gsize, GST_VIDEO_MAX_PLANES> offsets;
  std::array<gint, GST_VIDEO_MAX_PLANES> strides;
  std::copy_n(info.offset, offsets.size(), offsets.begin());
  std::copy_n(info.stride, strides.size(), strides.begin());
  for (unsigned plane = 0; plane < layout.plane_count(); ++plane) {
    const PlaneLayout& where = layout.planes[plane];
    offsets[plane] = where.offset + std::accumulate(layout.sizes.begin(), layout.sizes.begin() + where.buffer, std::size_t{0});
    strides[plane] = static_cast<gint>(where.stride);
  }
#if GST_CHECK_VERSION(1, 24, 0)
  const GstVideoFormat format = picture.drm ? GST_VIDEO_FORMAT_DMA_DRM : GST_VIDEO_INFO_FORMAT(&info);
#else
  const GstVideoFormat format = GST_VIDEO_INFO_FORMAT(&info);
#endif
  gst_buffer_add_video_meta_full(buffer, GST_VIDEO_FRAME_FLAG_NONE, format, static_cast<guint>(GST_VIDEO_INFO_WIDTH(&info)),
                                 static_cast<guint>(GST_VIDEO_INFO_HEIGHT(&info)), GST_VIDEO_INFO_N_PLANES(&info), offsets.data(),
                                 strides.data());
}

} // namespace sa::gst
