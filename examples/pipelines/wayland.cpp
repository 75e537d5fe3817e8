// SPDX-License-Identifier: MIT
/// Frames that the CPU draws, shown by a Wayland compositor without a copy; the last one until the input ends:
///     wayland [HEAP [FRAMES]] <FILE
///
/// Needs a compositor that imports dma-bufs (zwp_linux_dmabuf_v1, version 3). Without a GPU that is Weston with Mesa 24.1 or
/// newer:
///     weston --backend=headless --renderer=gl --shell=kiosk --width=640 --height=480 --socket=test &
///     WAYLAND_DISPLAY=test wayland dma-heap:system 60 </dev/null
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>

#include <unistd.h>
#include <wayland-client.h>

#include "linux-dmabuf-client-protocol.h"
#include "xdg-shell-client-protocol.h"

#include <sa/glue/wayland.hpp>
#include <sa/sa.hpp>

/// The announcements and answers of the compositor.
struct Session {
  wl_compositor* compositor = nullptr;
  xdg_wm_base* shell = nullptr;
  zwp_linux_dmabuf_v1* dmabuf = nullptr;
  bool linear = false;     ///< it takes linear XRGB8888
  bool configured = false; ///< the surface may be drawn
  bool shown = true;       ///< it is time for the next frame
};

/// An image, and whether the compositor reads it still.
struct Shown {
  sa::Image image;
  wl_buffer* buffer = nullptr;
  bool busy = false;
};

static Session& of(void* session) {
  return *static_cast<Session*>(session);
}

static const zwp_linux_dmabuf_v1_listener dmabuf_events{
    [](void*, zwp_linux_dmabuf_v1*, uint32_t) {},
    [](void* session, zwp_linux_dmabuf_v1*, uint32_t format, uint32_t high, uint32_t low) {
      of(session).linear |= format == sa::fourcc("XR24") && high == 0 && low == 0;
    }};
static const xdg_wm_base_listener shell_events{
    [](void*, xdg_wm_base* shell, uint32_t serial) { xdg_wm_base_pong(shell, serial); }};
static const wl_registry_listener registry_events{
    [](void* data, wl_registry* registry, uint32_t name, const char* interface, uint32_t) {
      Session& session = of(data);
      if (std::strcmp(interface, wl_compositor_interface.name) == 0) {
        session.compositor = static_cast<wl_compositor*>(wl_registry_bind(registry, name, &wl_compositor_interface, 4));
      } else if (std::strcmp(interface, xdg_wm_base_interface.name) == 0) {
        session.shell = static_cast<xdg_wm_base*>(wl_registry_bind(registry, name, &xdg_wm_base_interface, 1));
        xdg_wm_base_add_listener(session.shell, &shell_events, nullptr);
      } else if (std::strcmp(interface, zwp_linux_dmabuf_v1_interface.name) == 0) {
        // Version 4 announces formats in a table; 3, which such compositors speak as well, one by one.
        session.dmabuf = static_cast<zwp_linux_dmabuf_v1*>(wl_registry_bind(registry, name, &zwp_linux_dmabuf_v1_interface, 3));
        zwp_linux_dmabuf_v1_add_listener(session.dmabuf, &dmabuf_events, &session);
      }
    },
    [](void*, wl_registry*, uint32_t) {}};
static const xdg_surface_listener surface_events{[](void* session, xdg_surface* surface, uint32_t serial) {
  xdg_surface_ack_configure(surface, serial);
  of(session).configured = true;
}};
static const xdg_toplevel_listener window_events{[](void*, xdg_toplevel*, int32_t, int32_t, wl_array*) {},
                                                 [](void*, xdg_toplevel*) {}, nullptr, nullptr};
static const wl_callback_listener frame_events{[](void* session, wl_callback* frame, uint32_t) {
  wl_callback_destroy(frame);
  of(session).shown = true;
}};
static const wl_buffer_listener buffer_events{[](void* shown, wl_buffer*) { static_cast<Shown*>(shown)->busy = false; }};

static void require(bool done, const char* what) {
  done ? void() : throw std::runtime_error(what);
}

/// Every pixel differs from its neighbours, and from the last frame's.
static void draw(const sa::Image& image, std::uint32_t frame) {
  const sa::ImageAccess cpu = image.access(sa::Access::Write);
  for (std::uint32_t y = 0; y < image.layout().height; ++y) {
    for (std::uint32_t x = 0; x < image.layout().width; ++x) {
      const std::uint32_t pixel = (x & 0xff) << 16 | (y & 0xff) << 8 | ((frame * 16 + (x >> 8) * 4 + (y >> 8)) & 0xff);
      std::memcpy(&cpu.plane(0)[y][std::size_t{x} * 4], &pixel, 4);
    }
  }
}

int main(int argc, char** argv) try {
  wl_display* const display = wl_display_connect(nullptr);
  require(display != nullptr, "no compositor: WAYLAND_DISPLAY, XDG_RUNTIME_DIR");
  Session session;
  wl_registry_add_listener(wl_display_get_registry(display), &registry_events, &session);
  wl_display_roundtrip(display); // what there is
  require(session.compositor != nullptr && session.shell != nullptr, "the compositor has no windows (xdg_wm_base)");
  require(session.dmabuf != nullptr, "the compositor has no zwp_linux_dmabuf_v1");
  wl_display_roundtrip(display); // and which formats
  require(session.linear, "the compositor takes no linear XRGB8888");

  wl_surface* const surface = wl_compositor_create_surface(session.compositor);
  xdg_surface* const role = xdg_wm_base_get_xdg_surface(session.shell, surface);
  xdg_surface_add_listener(role, &surface_events, &session);
  xdg_toplevel_add_listener(xdg_surface_get_toplevel(role), &window_events, nullptr);
  wl_surface_commit(surface);
  const auto wait_for = [&](const bool& what, bool value) {
    while (what != value) {
      require(wl_display_dispatch(display) >= 0, "the compositor ended the connection");
    }
  };
  wait_for(session.configured, true);

  const sa::ImageLayout layout = sa::lay_out({.format = sa::Format::find("XRGB8888"), .stride_align = 256}, 640, 480);
  const std::shared_ptr<sa::Heap> memory = sa::Registry::system().at(argc > 1 ? argv[1] : "dma-buf");
  Shown ring[3];
  for (Shown& one : ring) {
    one.image = memory->allocate(layout, {.name = "frame"});
    one.buffer = sa::wayland::create_immed(session.dmabuf, one.image); // once for each buffer, not for each frame
    wl_buffer_add_listener(one.buffer, &buffer_events, &one);
  }
  const auto frames = static_cast<std::uint32_t>(argc > 2 ? std::stoi(argv[2]) : 60);
  for (std::uint32_t number = 0; number < frames; ++number) {
    Shown& next = ring[number % std::size(ring)];
    wait_for(next.busy, false);
    draw(next.image, number);
    wait_for(session.shown, true);
    session.shown = false;
    next.busy = true;
    wl_callback_add_listener(wl_surface_frame(surface), &frame_events, &session);
    wl_surface_attach(surface, next.buffer, 0, 0);
    wl_surface_damage_buffer(surface, 0, 0, 640, 480);
    wl_surface_commit(surface);
  }
  wait_for(session.shown, true);
  std::printf("%u frames shown, in %s\n", frames, std::string(ring[0].image.buffer(0).heap()).c_str());
  std::fflush(stdout);
  for (char input[64]; read(STDIN_FILENO, input, sizeof input) > 0;) {
  }
  for (Shown& one : ring) {
    wl_buffer_destroy(one.buffer);
  }
  wl_display_disconnect(display);
} catch (const std::exception& error) {
  return std::fprintf(stderr, "%s\n", error.what()), 1;
}
