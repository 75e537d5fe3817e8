// SPDX-License-Identifier: MIT
/// @file glue/drm.hpp
/// From images to libdrm: a framebuffer of an image, its fields copied. Header-only; needs libdrm (pkg-config libdrm).
///
///     sa::drm::Framebuffer shown = sa::drm::Framebuffer::make(card, frame);
///     drmModePageFlip(card, crtc, shown.id(), DRM_MODE_PAGE_FLIP_EVENT, nullptr);
#pragma once

#include <array>
#include <cerrno>
#include <cstdint>
#include <string>
#include <system_error>
#include <utility>

#include <drm.h>
#include <drm_mode.h>
#include <xf86drm.h>
#include <xf86drmMode.h>

#include <sa/error.hpp>
#include <sa/image.hpp>

namespace sa { inline namespace v0 { namespace drm {

/// A framebuffer id that the object removes when it ends (DRM_IOCTL_MODE_RMFB, which turns a plane off that shows it still).
/// Default-made and moved-from objects are empty.
///
/// Threads: distinct objects are independent, but make() on one card descriptor needs an order of the caller's: two imports of
/// one dma-buf on it have one handle.
class Framebuffer {
public:
  Framebuffer() noexcept = default;

  /// Makes a framebuffer of the image's visible size: DRM_IOCTL_PRIME_FD_TO_HANDLE of each buffer, and DRM_IOCTL_MODE_ADDFB2.
  /// The framebuffer holds the memory on its own from then on; the image may go. The modifier is told where the card takes one
  /// (DRM_CAP_ADDFB2_MODIFIERS) and wherever it is not linear.
  ///
  /// The handles are closed again, since a framebuffer holds its buffers itself (drm_gem_fb_init_with_funcs()). A program that
  /// imported the same dma-buf on the same descriptor by other means had the same handle and loses it: such a program makes its
  /// framebuffers on a descriptor of their own.
  /// @param card borrowed; it outlives the framebuffer
  /// @param image borrowed
  /// @throws Error EBADF: an empty image. EOPNOTSUPP: DRM has no code for its format. What the two calls report, with which of
  ///         them it was.
  [[nodiscard]] static Framebuffer make(int card, const Image& image) {
    const char* call = "";
    int error = 0;
    Framebuffer made = make(card, image, call, error);
    if (error != 0) {
      const std::error_code code(error, std::system_category());
      throw Error(code, "", "make a framebuffer of " + to_string(image.layout()), call + (": " + code.message()));
    }
    return made;
  }
  [[nodiscard]] static Framebuffer make(int card, const Image& image, std::error_code& ec) noexcept {
    const char* call = "";
    int error = 0;
    Framebuffer made = make(card, image, call, error);
    ec = error == 0 ? std::error_code() : std::error_code(error, std::system_category());
    return made;
  }

  Framebuffer(Framebuffer&& other) noexcept : card_(other.card_), id_(std::exchange(other.id_, 0)) {}
  Framebuffer& operator=(Framebuffer&& other) noexcept {
    if (this != &other) {
      reset();
      card_ = other.card_;
      id_ = std::exchange(other.id_, 0);
    }
    return *this;
  }
  ~Framebuffer() { reset(); }

  explicit operator bool() const noexcept { return id_ != 0; }

  /// For drmModeSetCrtc(), drmModePageFlip() and the property FB_ID; 0 for an empty object.
  [[nodiscard]] std::uint32_t id() const noexcept { return id_; }

  /// Gives the id away; the object is empty.
  [[nodiscard]] std::uint32_t release() noexcept { return std::exchange(id_, 0); }

  /// Removes the framebuffer; the object is empty.
  void reset() noexcept {
    if (id_ != 0) {
      ::drmModeRmFB(card_, std::exchange(id_, 0));
    }
  }

private:
  Framebuffer(int card, std::uint32_t id) noexcept : card_(card), id_(id) {}

  /// @param call what failed, @param error its errno; 0: nothing
  static Framebuffer make(int card, const Image& image, const char*& call, int& error) noexcept {
    const ImageLayout& layout = image.layout();
    const std::uint32_t format = layout.format.info().drm.code;
    if (!image) {
      call = "there is no image";
      error = EBADF;
      return {};
    }
    if (format == 0) {
      call = "DRM has no code for the format";
      error = EOPNOTSUPP;
      return {};
    }
    std::array<std::uint32_t, max_planes> of_buffer{};
    for (unsigned buffer = 0; error == 0 && buffer < layout.buffer_count(); ++buffer) {
      if (::drmPrimeFDToHandle(card, image.buffer(buffer).fd(), &of_buffer[buffer]) != 0) {
        call = "DRM_IOCTL_PRIME_FD_TO_HANDLE";
        error = errno;
        of_buffer[buffer] = 0;
      }
    }
    std::uint32_t id = 0;
    if (error == 0) {
      std::array<std::uint32_t, max_planes> handles{};
      std::array<std::uint32_t, max_planes> pitches{};
      std::array<std::uint32_t, max_planes> offsets{};
      std::array<std::uint64_t, max_planes> modifiers{};
      for (unsigned plane = 0; plane < layout.plane_count(); ++plane) {
        const PlaneLayout& where = layout.planes[plane];
        handles[plane] = of_buffer[where.buffer];
        pitches[plane] = where.stride;
        offsets[plane] = static_cast<std::uint32_t>(where.offset); // below max_image_size
        modifiers[plane] = layout.modifier;
      }
      std::uint64_t told = 0;
      const bool tell = layout.modifier != 0 || (::drmGetCap(card, DRM_CAP_ADDFB2_MODIFIERS, &told) == 0 && told != 0);
      const int result =
          ::drmModeAddFB2WithModifiers(card, layout.width, layout.height, format, handles.data(), pitches.data(), offsets.data(),
                                       tell ? modifiers.data() : nullptr, &id, tell ? DRM_MODE_FB_MODIFIERS : 0);
      if (result != 0) { // -errno
        call = "DRM_IOCTL_MODE_ADDFB2";
        error = -result;
        id = 0;
      }
    }
    for (unsigned buffer = 0; buffer < max_planes; ++buffer) {
      bool first = of_buffer[buffer] != 0; // a dma-buf that is there twice has one handle
      for (unsigned before = 0; before < buffer; ++before) {
        first = first && of_buffer[before] != of_buffer[buffer];
      }
      if (first) {
        ::drmCloseBufferHandle(card, of_buffer[buffer]);
      }
    }
    return {card, id};
  }

  int card_ = -1;
  std::uint32_t id_ = 0;
};

}}} // namespace sa::v0::drm
