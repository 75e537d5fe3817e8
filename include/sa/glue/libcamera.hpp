// SPDX-License-Identifier: MIT
/// @file glue/libcamera.hpp
/// Connects images and libcamera: converts images to the planes of a FrameBuffer, formats to PixelFormats, and a
/// stream's configuration to a layout. Header-only; needs libcamera (pkg-config libcamera).
///
///     camera->configure(configuration.get());
///     const sa::ImageLayout layout = sa::libcamera::layout_of(configuration->at(0)); // libcamera chooses the stride
///     const sa::Image image = sa::Registry::system().at("dma-buf")->allocate(layout);
///     libcamera::FrameBuffer buffer(sa::libcamera::planes_of(image));
///     request->addBuffer(configuration->at(0).stream(), &buffer);
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <new>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <libcamera/formats.h>
#include <libcamera/framebuffer.h>
#include <libcamera/pixel_format.h>
#include <libcamera/stream.h>

#include <sa/error.hpp>
#include <sa/image.hpp>

namespace sa { inline namespace v0 { namespace libcamera {

/// A format's name, and libcamera's code of it.
struct FormatName {
  std::string_view name; ///< FormatInfo::name
  ::libcamera::PixelFormat format;
};

/// The formats for which DRM has no code, and libcamera has its own. For all other formats libcamera uses DRM's codes.
inline constexpr FormatName own_formats[] = {
    {"Y10P", ::libcamera::formats::R10_CSI2P},         {"SRGGB8", ::libcamera::formats::SRGGB8},
    {"SGRBG8", ::libcamera::formats::SGRBG8},          {"SGBRG8", ::libcamera::formats::SGBRG8},
    {"SBGGR8", ::libcamera::formats::SBGGR8},          {"SRGGB10", ::libcamera::formats::SRGGB10},
    {"SGRBG10", ::libcamera::formats::SGRBG10},        {"SGBRG10", ::libcamera::formats::SGBRG10},
    {"SBGGR10", ::libcamera::formats::SBGGR10},        {"SRGGB10P", ::libcamera::formats::SRGGB10_CSI2P},
    {"SGRBG10P", ::libcamera::formats::SGRBG10_CSI2P}, {"SGBRG10P", ::libcamera::formats::SGBRG10_CSI2P},
    {"SBGGR10P", ::libcamera::formats::SBGGR10_CSI2P}, {"SRGGB12", ::libcamera::formats::SRGGB12},
    {"SGRBG12", ::libcamera::formats::SGRBG12},        {"SGBRG12", ::libcamera::formats::SGBRG12},
    {"SBGGR12", ::libcamera::formats::SBGGR12},        {"SRGGB12P", ::libcamera::formats::SRGGB12_CSI2P},
    {"SGRBG12P", ::libcamera::formats::SGRBG12_CSI2P}, {"SGBRG12P", ::libcamera::formats::SGBRG12_CSI2P},
    {"SBGGR12P", ::libcamera::formats::SBGGR12_CSI2P}, {"SRGGB16", ::libcamera::formats::SRGGB16},
    {"SGRBG16", ::libcamera::formats::SGRBG16},        {"SGBRG16", ::libcamera::formats::SGBRG16},
    {"SBGGR16", ::libcamera::formats::SBGGR16},
};

/// libcamera's name of @p format with @p modifier (drm_fourcc.h; 0: linear). The result is not valid (isValid()) for no
/// format, and for a format with a code of libcamera's own together with a modifier.
[[nodiscard]] inline ::libcamera::PixelFormat pixel_format_of(Format format, std::uint64_t modifier = 0) noexcept {
  if (format.info().drm) {
    return ::libcamera::PixelFormat(format.info().drm.code, modifier);
  }
  const auto* const found =
      std::find_if(std::begin(own_formats), std::end(own_formats), [&](const auto& one) { return one.name == format.name(); });
  return found == std::end(own_formats) || modifier != 0 ? ::libcamera::PixelFormat() : found->format;
}

/// The format for a PixelFormat of libcamera's; none when the table does not have it. The modifier is the
/// PixelFormat's, except for the packed formats of MIPI CSI-2: libcamera's modifier only says that they are packed, so
/// they are linear here.
[[nodiscard]] inline Format format_of(const ::libcamera::PixelFormat& format) noexcept {
  const auto* const found = std::find_if(std::begin(own_formats), std::end(own_formats), [&](const auto& one) {
    return one.format.fourcc() == format.fourcc() && one.format.modifier() == format.modifier();
  });
  return found == std::end(own_formats) ? Format::find(DrmFourcc{format.fourcc()}) : Format::find(found->name);
}

/// The layout of the pictures of a stream, as Camera::configure() left its configuration: all planes in one buffer, one behind
/// the other, with the strides that follow from the first, as libcamera lays them out itself. The layout is empty (no
/// format) if the table does not have the format, or the stream has no stride because it is not configured or is
/// compressed. Its colour is unspecified.
[[nodiscard]] inline ImageLayout layout_of(const ::libcamera::StreamConfiguration& configuration) noexcept {
  ImageLayout layout;
  const Format format = format_of(configuration.pixelFormat);
  if (!format || configuration.stride == 0) {
    return layout;
  }
  layout.format = format;
  layout.modifier = format.info().drm ? configuration.pixelFormat.modifier() : 0;
  layout.width = configuration.size.width;
  layout.height = configuration.size.height;
  const FormatPlane& first = format.info().planes[0];
  std::uint64_t end = 0;
  for (unsigned plane = 0; plane < format.plane_count(); ++plane) {
    const FormatPlane& one = format.info().planes[plane];
    PlaneLayout& where = layout.planes[plane];
    where.stride = static_cast<std::uint32_t>(std::uint64_t{configuration.stride} * one.bytes * first.pixels /
                                              (std::uint64_t{one.pixels} * one.hsub * first.bytes));
    where.rows = (layout.height + one.vsub - 1U) / one.vsub;
    where.offset = end;
    end += std::uint64_t{where.stride} * where.rows;
  }
  layout.sizes[0] = std::max<std::uint64_t>(end, configuration.frameSize);
  return layout;
}

/// Whether a stream with this configuration writes into images of @p layout: the format, the number of rows, the
/// strides and the offsets are the same, and the buffers are large enough. A layout with a buffer for each plane is
/// accepted too, if the strides are the same: a configuration does not tell which of the two a camera writes, and some
/// cameras write only one of them.
[[nodiscard]] inline bool holds(const ImageLayout& layout, const ::libcamera::StreamConfiguration& configuration) noexcept {
  const ImageLayout written = layout_of(configuration);
  const bool apart = layout.buffer_count() > 1;
  bool same = written.format && layout.format == written.format && layout.modifier == written.modifier &&
              layout.width <= written.width && layout.height <= written.height && (apart || layout.sizes[0] >= written.sizes[0]);
  for (unsigned plane = 0; same && plane < layout.plane_count(); ++plane) {
    const PlaneLayout& ours = layout.planes[plane];
    const PlaneLayout& theirs = written.planes[plane];
    same = ours.stride == theirs.stride && ours.offset == (apart ? 0 : theirs.offset) &&
           (!apart || (ours.buffer == plane && layout.sizes[plane] >= std::uint64_t{theirs.stride} * theirs.rows));
  }
  return same;
}

/// Makes the planes of a libcamera::FrameBuffer in the memory of @p image: a duplicate of each buffer's descriptor
/// (DmaBuf::dup()), which libcamera closes with the last FrameBuffer that has it, and the offset and the length of each
/// plane in bytes. The memory lives as long as the FrameBuffer or the image. (SharedFD's own duplicate has no
/// O_CLOEXEC, and ends the process when descriptors run out.)
///
/// Cameras take only dma-bufs, so allocate with Trait::DmaBuf: libcamera 0.0.3 never completes a request whose memory
/// the driver refuses, and ends the process by an assertion when the camera stops.
///
/// Make the planes once for each image: libcamera recognises a buffer by its descriptor's number, and imports the same
/// buffer again under another number. Most cameras demand that planes in one buffer adjoin, as in layout_of().
/// @throws Error EBADF: an empty image. EOPNOTSUPP: a buffer has no descriptor. EMFILE
[[nodiscard]] inline std::vector<::libcamera::FrameBuffer::Plane> planes_of(const Image& image, std::error_code& ec) noexcept
    try {
  ec.clear();
  if (!image) {
    ec = std::error_code(EBADF, std::system_category());
  }
  std::array<::libcamera::SharedFD, max_planes> descriptors;
  for (std::size_t buffer = 0; !ec && buffer < image.buffers().size(); ++buffer) {
    UniqueFd fd = image.buffers()[buffer].dup(ec);
    if (!ec) {
      int number = fd.get();
      descriptors[buffer] = ::libcamera::SharedFD(std::move(number)); // can fail, and has not taken it then
      (void)fd.release();
    }
  }
  std::vector<::libcamera::FrameBuffer::Plane> planes;
  const ImageLayout& layout = image.layout();
  for (unsigned plane = 0; !ec && plane < layout.plane_count(); ++plane) {
    const PlaneLayout& where = layout.planes[plane];
    const std::uint64_t bytes = std::uint64_t{where.stride} * where.rows;
    ::libcamera::FrameBuffer::Plane& one = planes.emplace_back();
    one.fd = descriptors[where.buffer];
    one.offset = static_cast<unsigned>(where.offset); // below max_image_size, as the length
    one.length = static_cast<unsigned>(std::min(bytes, layout.sizes[where.buffer] - where.offset)); // the last may lack padding
  }
  return planes;
} catch (const std::bad_alloc&) {
  ec = std::error_code(ENOMEM, std::system_category());
  return {};
}
[[nodiscard]] inline std::vector<::libcamera::FrameBuffer::Plane> planes_of(const Image& image) {
  std::error_code ec;
  std::vector<::libcamera::FrameBuffer::Plane> planes = planes_of(image, ec);
  if (ec) {
    throw Error(ec, "", "make planes of " + to_string(image.layout()), "");
  }
  return planes;
}

}}} // namespace sa::v0::libcamera
