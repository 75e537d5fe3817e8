// SPDX-License-Identifier: MIT
/// @file glue/ffmpeg.hpp
/// From images to FFmpeg's DRM frames (libavutil/hwcontext_drm.h): the fields of a descriptor and of a frame, copied.
/// Header-only; needs libavutil 57 or newer, FFmpeg 5.0 (pkg-config libavutil).
///
///     sa::ffmpeg::set_format(*reinterpret_cast<AVHWFramesContext*>(frames->data), image.layout());
///     av_hwframe_ctx_init(frames);
///     sa::ffmpeg::Frame frame = sa::ffmpeg::frame_of(std::make_shared<sa::Image>(std::move(image)), frames);
///     av_hwframe_map(mapped, frame.get(), AV_HWFRAME_MAP_READ); // of the format that av_hwframe_ctx_init() was told
///
/// FFmpeg maps such a frame anew for each av_hwframe_map() and brackets it with DMA_BUF_IOCTL_SYNC. It needs no device for that:
/// AVDRMDeviceContext::fd may be -1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

extern "C" {
#include <libavutil/buffer.h>
#include <libavutil/frame.h>
#include <libavutil/hwcontext.h>
#include <libavutil/hwcontext_drm.h>
#include <libavutil/pixfmt.h>
}

#include <sa/error.hpp>
#include <sa/image.hpp>

namespace sa { inline namespace v0 { namespace ffmpeg {

/// A format's name, and what FFmpeg calls the same bytes.
struct FormatName {
  std::string_view name; ///< FormatInfo::name
  AVPixelFormat format;
};

/// Those that both have. FFmpeg names the bytes of a pixel as they lie in memory, DRM the bits of a little-endian word from the
/// highest on. FFmpeg has no VYUY, NV61 and formats with V before U, whose pointers its users exchange; of Bayer and MIPI-packed
/// formats it has those of 8 and 16 bits.
inline constexpr FormatName pixel_formats[] = {
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

/// What FFmpeg calls @p format; AV_PIX_FMT_NONE where it does not have it.
[[nodiscard]] inline AVPixelFormat pixel_format_of(Format format) noexcept {
  for (const FormatName& one : pixel_formats) {
    if (one.name == format.name()) {
      return one.format;
    }
  }
  return AV_PIX_FMT_NONE;
}

/// The format that FFmpeg calls so; none where the table does not have it.
[[nodiscard]] inline Format format_of(AVPixelFormat format) noexcept {
  for (const FormatName& one : pixel_formats) {
    if (one.format == format) {
      return Format::find(one.name);
    }
  }
  return {};
}

/// Says in a frames context, between av_hwframe_ctx_alloc() and av_hwframe_ctx_init(), that its frames are images of @p layout:
/// format, sw_format, width and height, in pixels. sw_format is AV_PIX_FMT_NONE where FFmpeg does not have the format; such
/// frames cannot be mapped.
inline void set_format(AVHWFramesContext& frames, const ImageLayout& layout) noexcept {
  frames.format = AV_PIX_FMT_DRM_PRIME;
  frames.sw_format = pixel_format_of(layout.format);
  frames.width = static_cast<int>(layout.width);
  frames.height = static_cast<int>(layout.height);
}

/// The image as FFmpeg describes one: an object for each buffer, and one layer with the planes of the format. It borrows the
/// image's descriptors; frame_of() makes a frame that holds them. nb_objects is 0 where FFmpeg cannot say the image: it is empty,
/// DRM has no code for its format, or a buffer has no descriptor (DmaBuf::fd()).
[[nodiscard]] inline AVDRMFrameDescriptor descriptor_of(const Image& image) noexcept {
  static_assert(max_planes == AV_DRM_MAX_PLANES);
  AVDRMFrameDescriptor descriptor{};
  const ImageLayout& layout = image.layout();
  bool can = static_cast<bool>(layout.format.info().drm);
  for (const DmaBuf& buffer : image.buffers()) {
    can = can && buffer.fd() >= 0;
    descriptor.objects[descriptor.nb_objects++] = {buffer.fd(), buffer.size(), layout.modifier};
  }
  if (!can || !image) {
    return {};
  }
  descriptor.nb_layers = 1;
  AVDRMLayerDescriptor& layer = descriptor.layers[0];
  layer.format = layout.format.info().drm.code;
  for (unsigned plane = 0; plane < layout.plane_count(); ++plane) {
    const PlaneLayout& where = layout.planes[plane];
    layer.planes[layer.nb_planes++] = {where.buffer, static_cast<std::ptrdiff_t>(where.offset), // below max_image_size
                                       static_cast<std::ptrdiff_t>(where.stride)};
  }
  return descriptor;
}

struct FrameDeleter {
  void operator()(AVFrame* frame) const noexcept { ::av_frame_free(&frame); }
};

/// Owns an AVFrame: av_frame_free() ends it. release() gives it to C code that does the same.
using Frame = std::unique_ptr<AVFrame, FrameDeleter>;

/// A frame of the pixel format AV_PIX_FMT_DRM_PRIME, with the size of the image, in pixels, and its colour. The frame holds the
/// image, as do its references (av_frame_ref()) and what is mapped from it (av_hwframe_map()): the shared_ptr is let go of, on
/// the thread that ends the last of them, and its deleter can give the image back to a pool.
///
/// @param image shared with the frame; nobody calls Image::set_layout() on it meanwhile
/// @param frames an AVHWFramesContext (set_format()), which the frame refers to and which FFmpeg maps by; borrowed. Null: none,
///        for a frame that goes to an encoder or a display as it is.
/// @param ec set where the twin throws
/// @throws Error EBADF: no image, or an empty one. EOPNOTSUPP: FFmpeg cannot say it, as in descriptor_of(). ENOMEM
[[nodiscard]] inline Frame frame_of(std::shared_ptr<const Image> image, AVBufferRef* frames, std::error_code& ec) noexcept {
  struct Held {
    AVDRMFrameDescriptor descriptor;
    std::shared_ptr<const Image> image;
  };
  const auto fail = [&](std::errc why) {
    ec = std::error_code(static_cast<int>(why), std::system_category());
    return Frame{};
  };
  ec.clear();
  if (image == nullptr || !*image) {
    return fail(std::errc::bad_file_descriptor);
  }
  const ImageLayout& layout = image->layout();
  const AVDRMFrameDescriptor descriptor = descriptor_of(*image);
  if (descriptor.nb_objects == 0) {
    return fail(std::errc::operation_not_supported);
  }
  Frame frame(::av_frame_alloc());
  std::unique_ptr<Held> held(new (std::nothrow) Held{descriptor, image});
  if (frame == nullptr || held == nullptr) {
    return fail(std::errc::not_enough_memory);
  }
  frame->buf[0] = ::av_buffer_create(
      reinterpret_cast<std::uint8_t*>(&held->descriptor), sizeof held->descriptor,
      [](void* opaque, std::uint8_t* /*data*/) { delete static_cast<Held*>(opaque); }, held.get(), AV_BUFFER_FLAG_READONLY);
  if (frame->buf[0] == nullptr) {
    return fail(std::errc::not_enough_memory);
  }
  frame->data[0] = frame->buf[0]->data;
  (void)held.release(); // the buffer's
  frame->format = AV_PIX_FMT_DRM_PRIME;
  frame->width = static_cast<int>(layout.width);
  frame->height = static_cast<int>(layout.height);
  // Both count as ITU-T H.273 does; what FFmpeg does not know yet is not said.
  const auto known = [](auto unspecified, auto end, std::uint8_t code) {
    return code < end ? static_cast<decltype(end)>(code) : unspecified;
  };
  frame->color_primaries = known(AVCOL_PRI_UNSPECIFIED, AVCOL_PRI_NB, layout.colour.primaries);
  frame->color_trc = known(AVCOL_TRC_UNSPECIFIED, AVCOL_TRC_NB, layout.colour.transfer);
  frame->colorspace = known(AVCOL_SPC_UNSPECIFIED, AVCOL_SPC_NB, layout.colour.matrix);
  frame->color_range = layout.colour.full_range ? AVCOL_RANGE_JPEG : AVCOL_RANGE_UNSPECIFIED;
  if (frames != nullptr && (frame->hw_frames_ctx = ::av_buffer_ref(frames)) == nullptr) {
    return fail(std::errc::not_enough_memory);
  }
  return frame;
}
[[nodiscard]] inline Frame frame_of(std::shared_ptr<const Image> image, AVBufferRef* frames = nullptr) {
  std::error_code ec;
  Frame frame = frame_of(image, frames, ec);
  if (ec) {
    const std::string layout = image == nullptr || !*image ? "no image" : to_string(image->layout());
    throw Error(ec, "", "make an AVFrame of " + layout, "");
  }
  return frame;
}

}}} // namespace sa::v0::ffmpeg
