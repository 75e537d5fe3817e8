// SPDX-License-Identifier: MIT
/// @file glue/egl.hpp
/// Connects images to EGL: makes the list of attributes with which eglCreateImage() imports an image. Header-only;
/// calls no function of EGL; needs EGL's headers (pkg-config egl).
///
///     const sa::egl::ImageAttributes attributes(frame, sa::egl::Modifiers::Told);
///     EGLImage image = eglCreateImage(display, EGL_NO_CONTEXT, EGL_LINUX_DMA_BUF_EXT, nullptr, attributes.data());
///     glEGLImageTargetTexture2DOES(GL_TEXTURE_EXTERNAL_OES, image);
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <EGL/egl.h>
#include <EGL/eglext.h>

#include <sa/image.hpp>

namespace sa { inline namespace v0 { namespace egl {

/// Whether the list of attributes has the modifier of the layout.
enum class Modifiers : bool {
  Untold, ///< no: for a display with only EGL_EXT_image_dma_buf_import, where every picture is linear
  Told,   ///< yes: for a display that also has EGL_EXT_image_dma_buf_import_modifiers (eglQueryString(), EGL_EXTENSIONS)
};

/// EGL's name of a layout's colour matrix (EGL_YUV_COLOR_SPACE_HINT_EXT): EGL_ITU_REC601_EXT, EGL_ITU_REC709_EXT or
/// EGL_ITU_REC2020_EXT. EGL_NONE: EGL has no name for the matrix, or the layout does not specify it.
[[nodiscard]] constexpr EGLint colour_space_of(const Colour& colour) noexcept {
  switch (colour.matrix) {
  case 1:
    return EGL_ITU_REC709_EXT;
  case 5: // ITU-T H.273: 5 and 6 have the same coefficients
  case 6:
    return EGL_ITU_REC601_EXT;
  case 9:
    return EGL_ITU_REC2020_EXT;
  default:
    return EGL_NONE;
  }
}

/// The range of a layout's luma (EGL_SAMPLE_RANGE_HINT_EXT): EGL_YUV_FULL_RANGE_EXT or EGL_YUV_NARROW_RANGE_EXT.
/// EGL_NONE: the colours are RGB, or the layout does not specify them.
[[nodiscard]] constexpr EGLint sample_range_of(const Colour& colour) noexcept {
  if (colour.matrix == 0) {
    return EGL_NONE;
  }
  return colour.full_range ? EGL_YUV_FULL_RANGE_EXT : colour.matrix == 2 ? EGL_NONE : EGL_YUV_NARROW_RANGE_EXT;
}

/// The list of attributes, ended by EGL_NONE, with which an image becomes an EGLImage: size in pixels, DRM's code of
/// the format, for each plane the descriptor, the offset and the pitch in bytes and the modifier, and the colours of
/// the layout as hints. A value type.
///
/// The descriptors are borrowed: the image must live until eglCreateImage() has returned. Afterwards EGL holds the
/// memory itself. It closes no descriptor, neither on success nor on failure (EGL_EXT_image_dma_buf_import, issue 3).
///
/// The list has only EGL_NONE if EGL cannot describe the image: an empty image, a format for which DRM has no code, a
/// buffer without a descriptor, or a layout that is not linear with Modifiers::Untold. eglCreateImage() then fails with
/// EGL_BAD_PARAMETER. A driver that does not take the format or the strides fails with EGL_BAD_MATCH or EGL_BAD_ACCESS;
/// Mesa's llvmpipe, which takes only one plane, fails with EGL_BAD_ALLOC.
/// @tparam Number EGLAttrib for eglCreateImage() of EGL 1.5, EGLint for eglCreateImageKHR()
template <typename Number = EGLAttrib>
class ImageAttributes {
  static_assert(std::is_same_v<Number, EGLAttrib> || std::is_same_v<Number, EGLint>);

public:
  ImageAttributes(const Image& image, Modifiers modifiers) noexcept {
    const ImageLayout& layout = image.layout();
    bool can = image && layout.format.info().drm && (layout.modifier == 0 || modifiers == Modifiers::Told);
    for (const DmaBuf& buffer : image.buffers()) {
      can = can && buffer.fd() >= 0;
    }
    if (!can) {
      return;
    }
    add(EGL_WIDTH, layout.width);
    add(EGL_HEIGHT, layout.height);
    add(EGL_LINUX_DRM_FOURCC_EXT, layout.format.info().drm.code);
    for (unsigned plane = 0; plane < layout.plane_count(); ++plane) {
      const PlaneLayout& where = layout.planes[plane];
      const Names& names = names_of[plane];
      add(names.fd, static_cast<std::uint32_t>(image.buffer_of(plane).fd()));
      add(names.offset, static_cast<std::uint32_t>(where.offset)); // below max_image_size
      add(names.pitch, where.stride);
      if (modifiers == Modifiers::Told) {
        add(names.modifier_low, static_cast<std::uint32_t>(layout.modifier));
        add(names.modifier_high, static_cast<std::uint32_t>(layout.modifier >> 32));
      }
    }
    if (const EGLint space = colour_space_of(layout.colour); space != EGL_NONE) {
      add(EGL_YUV_COLOR_SPACE_HINT_EXT, static_cast<std::uint32_t>(space));
    }
    if (const EGLint range = sample_range_of(layout.colour); range != EGL_NONE) {
      add(EGL_SAMPLE_RANGE_HINT_EXT, static_cast<std::uint32_t>(range));
    }
  }

  /// Whether EGL can describe the image.
  explicit operator bool() const noexcept { return size_ > 0; }

  /// The list of attributes. Valid as long as this object.
  [[nodiscard]] const Number* data() const noexcept { return list_.data(); }

  /// The number of elements before the EGL_NONE at the end; two for each attribute.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

private:
  struct Names {
    EGLint fd, offset, pitch, modifier_low, modifier_high;
  };
  static constexpr std::array<Names, max_planes> names_of{{
      {EGL_DMA_BUF_PLANE0_FD_EXT, EGL_DMA_BUF_PLANE0_OFFSET_EXT, EGL_DMA_BUF_PLANE0_PITCH_EXT, EGL_DMA_BUF_PLANE0_MODIFIER_LO_EXT,
       EGL_DMA_BUF_PLANE0_MODIFIER_HI_EXT},
      {EGL_DMA_BUF_PLANE1_FD_EXT, EGL_DMA_BUF_PLANE1_OFFSET_EXT, EGL_DMA_BUF_PLANE1_PITCH_EXT, EGL_DMA_BUF_PLANE1_MODIFIER_LO_EXT,
       EGL_DMA_BUF_PLANE1_MODIFIER_HI_EXT},
      {EGL_DMA_BUF_PLANE2_FD_EXT, EGL_DMA_BUF_PLANE2_OFFSET_EXT, EGL_DMA_BUF_PLANE2_PITCH_EXT, EGL_DMA_BUF_PLANE2_MODIFIER_LO_EXT,
       EGL_DMA_BUF_PLANE2_MODIFIER_HI_EXT},
      {EGL_DMA_BUF_PLANE3_FD_EXT, EGL_DMA_BUF_PLANE3_OFFSET_EXT, EGL_DMA_BUF_PLANE3_PITCH_EXT, EGL_DMA_BUF_PLANE3_MODIFIER_LO_EXT,
       EGL_DMA_BUF_PLANE3_MODIFIER_HI_EXT},
  }};

  void add(EGLint name, std::uint32_t value) noexcept {
    list_[size_++] = name;
    list_[size_++] = static_cast<Number>(value);
    list_[size_] = EGL_NONE;
  }

  // Three of the picture, five of each plane, two hints, and the end.
  std::array<Number, 2 * (3 + 5 * max_planes + 2) + 1> list_{EGL_NONE};
  std::size_t size_ = 0;
};

}}} // namespace sa::v0::egl
