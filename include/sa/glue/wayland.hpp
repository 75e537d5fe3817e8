// SPDX-License-Identifier: MIT
/// @file glue/wayland.hpp
/// From images to Wayland: a wl_buffer of an image, by the protocol linux-dmabuf (zwp_linux_buffer_params_v1). Header-only; for
/// clients, which make the protocol's header with wayland-scanner and include it before this one:
///
///     #include "linux-dmabuf-v1-client-protocol.h" // wayland-scanner client-header
///     #include <sa/glue/wayland.hpp>
///
///     wl_buffer* shown = sa::wayland::create_immed(dmabuf, frame);
///     wl_surface_attach(surface, shown, 0, 0);
///
/// A compositor announces which formats it takes with which modifiers (the event modifier; from version 4 on
/// zwp_linux_dmabuf_feedback_v1): ask for an image of one of those (ImageRequest::formats).
///
/// Threads: as libwayland's proxies; each function makes its requests from the calling thread.
#pragma once

#include <cstdint>

#ifndef ZWP_LINUX_BUFFER_PARAMS_V1_ADD
#error "include the client header that wayland-scanner made of linux-dmabuf before sa/glue/wayland.hpp"
#endif

#include <sa/image.hpp>

namespace sa { inline namespace v0 { namespace wayland {

/// Which modifier a compositor is told.
enum class Modifier : bool {
  Told,    ///< that of the layout
  Unknown, ///< DRM_FORMAT_MOD_INVALID (drm_fourcc.h), for one that announces the format with that modifier alone
};

/// Whether a wl_buffer can be made of an image: there is one, DRM has a code for its format, and each buffer has a descriptor.
[[nodiscard]] inline bool can_be_shown(const Image& image) noexcept {
  bool can = image && image.layout().format.info().drm;
  for (const DmaBuf& buffer : image.buffers()) {
    can = can && buffer.fd() >= 0;
  }
  return can;
}

/// Adds each plane of an image to @p params (the request add): descriptor, offset and stride in bytes, and the modifier.
///
/// The descriptors are borrowed: libwayland duplicates each before the request returns (wl_closure_marshal()), and ends the
/// process when it has no descriptor left for that.
/// @returns false, and nothing was requested, where can_be_shown() says so
inline bool add_planes(zwp_linux_buffer_params_v1* params, const Image& image, Modifier modifier = Modifier::Told) noexcept {
  if (!can_be_shown(image)) {
    return false;
  }
  const ImageLayout& layout = image.layout();
  const std::uint64_t told = modifier == Modifier::Told ? layout.modifier : 0x00ffffffffffffff;
  for (unsigned plane = 0; plane < layout.plane_count(); ++plane) {
    const PlaneLayout& where = layout.planes[plane];
    zwp_linux_buffer_params_v1_add(params, image.buffer_of(plane).fd(), plane, static_cast<std::uint32_t>(where.offset),
                                   where.stride, static_cast<std::uint32_t>(told >> 32), static_cast<std::uint32_t>(told));
  }
  return true;
}

/// Asks for a wl_buffer of an image's visible size (the requests add and create). The answer comes as one of @p params' events,
/// created, with the wl_buffer, or failed; @p params serves for one buffer and is destroyed after it.
/// @param params new, without planes; borrowed
/// @param image borrowed
/// @param flags zwp_linux_buffer_params_v1_flags
/// @param modifier whether the modifier of the layout is told
/// @returns false, and nothing was requested, where can_be_shown() says so
inline bool create(zwp_linux_buffer_params_v1* params, const Image& image, std::uint32_t flags = 0,
                   Modifier modifier = Modifier::Told) noexcept {
  if (!add_planes(params, image, modifier)) {
    return false;
  }
  const ImageLayout& layout = image.layout();
  zwp_linux_buffer_params_v1_create(params, static_cast<std::int32_t>(layout.width), static_cast<std::int32_t>(layout.height),
                                    layout.format.info().drm.code, flags);
  return true;
}

/// The wl_buffer of an image's visible size at once (the requests create_params, add and create_immed; from version 2 of the
/// protocol on). The compositor holds the memory on its own, and reads it until the event release of the wl_buffer comes. One
/// that does not take the image may end the connection (the error invalid_wl_buffer): where that may be, use create().
/// @param dmabuf of the compositor; borrowed
/// @param image borrowed
/// @param flags zwp_linux_buffer_params_v1_flags
/// @param modifier whether the modifier of the layout is told
/// @returns the caller's, for wl_buffer_destroy(); null, and nothing was requested, where can_be_shown() says so
[[nodiscard]] inline wl_buffer* create_immed(zwp_linux_dmabuf_v1* dmabuf, const Image& image, std::uint32_t flags = 0,
                                             Modifier modifier = Modifier::Told) noexcept {
  if (!can_be_shown(image)) {
    return nullptr;
  }
  zwp_linux_buffer_params_v1* const params = zwp_linux_dmabuf_v1_create_params(dmabuf);
  if (params == nullptr) {
    return nullptr;
  }
  add_planes(params, image, modifier);
  const ImageLayout& layout = image.layout();
  wl_buffer* const buffer =
      zwp_linux_buffer_params_v1_create_immed(params, static_cast<std::int32_t>(layout.width),
                                              static_cast<std::int32_t>(layout.height), layout.format.info().drm.code, flags);
  zwp_linux_buffer_params_v1_destroy(params);
  return buffer;
}

}}} // namespace sa::v0::wayland
