// SPDX-License-Identifier: MIT
/// glue/wayland.hpp: what a compositor receives of an image. The compositor is here, in the same thread, and takes everything.
#include <doctest/doctest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <wayland-client.h>
#include <wayland-server.h>

#include "linux-dmabuf-client-protocol.h"
#include "linux-dmabuf-server-protocol.h"

#include <sa/glue/wayland.hpp>

#include "support/counters.hpp"
#include "unit/glue/pictures.hpp"

namespace {

struct Plane {
  ino_t inode; ///< of the descriptor that came
  std::uint32_t index, offset, stride;
  std::uint64_t modifier;
  friend bool operator==(const Plane&, const Plane&) = default;
};

/// What the compositor has of one wl_buffer.
struct Received {
  std::vector<Plane> planes;
  std::int32_t width = 0, height = 0;
  std::uint32_t format = 0, flags = 0;
  bool at_once = false; ///< by create_immed
};

ino_t inode_of(int fd) {
  struct stat about {};
  REQUIRE(::fstat(fd, &about) == 0);
  return about.st_ino;
}

/// A connection, and the compositor at its other end.
class Session {
public:
  Session() {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    server_ = wl_display_create();
    REQUIRE(wl_client_create(server_, ends[0]) != nullptr);
    wl_global_create(
        server_, &zwp_linux_dmabuf_v1_interface, 3, this, [](wl_client* client, void* session, uint32_t version, uint32_t id) {
          wl_resource* const resource = wl_resource_create(client, &zwp_linux_dmabuf_v1_interface, static_cast<int>(version), id);
          wl_resource_set_implementation(resource, &dmabuf_requests, session, nullptr);
        });
    client_ = wl_display_connect_to_fd(ends[1]);
    registry_ = wl_display_get_registry(client_);
    wl_registry_add_listener(registry_, &registry_events, this);
    pump();
    REQUIRE(dmabuf != nullptr);
  }
  ~Session() {
    zwp_linux_dmabuf_v1_destroy(dmabuf);
    wl_registry_destroy(registry_);
    wl_display_disconnect(client_);
    wl_display_destroy_clients(server_);
    wl_display_destroy(server_);
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// What the client has said is heard, and what the compositor answers.
  void pump() {
    for (int i = 0; i < 3; ++i) {
      wl_display_flush(client_);
      wl_event_loop_dispatch(wl_display_get_event_loop(server_), 0);
      wl_display_flush_clients(server_);
      if (wl_display_prepare_read(client_) == 0) {
        // Something came, or it is not waited for.
        char byte = 0;
        ::recv(wl_display_get_fd(client_), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0 ? (void)wl_display_read_events(client_)
                                                                                  : wl_display_cancel_read(client_);
      }
      wl_display_dispatch_pending(client_);
    }
    CHECK(wl_display_get_error(client_) == 0);
  }

  zwp_linux_dmabuf_v1* dmabuf = nullptr;
  Received received; ///< of the last wl_buffer that was asked for
  int requests = 0;  ///< of every kind but destroy
  int params = 0;    ///< zwp_linux_buffer_params_v1 that there are
  bool refuses = false;

private:
  static Session& of(wl_resource* resource) { return *static_cast<Session*>(wl_resource_get_user_data(resource)); }
  static void end(wl_client*, wl_resource* resource) { wl_resource_destroy(resource); }

  static wl_resource* made(wl_client* client, uint32_t id);
  void asked(std::int32_t width, std::int32_t height, std::uint32_t format, std::uint32_t flags, bool at_once) {
    ++requests;
    received.width = width;
    received.height = height;
    received.format = format;
    received.flags = flags;
    received.at_once = at_once;
  }

  static const wl_registry_listener registry_events;
  static const struct wl_buffer_interface buffer_requests;
  static const struct zwp_linux_buffer_params_v1_interface params_requests;
  static const struct zwp_linux_dmabuf_v1_interface dmabuf_requests;

  wl_display* client_ = nullptr;
  wl_registry* registry_ = nullptr;
  struct wl_display* server_ = nullptr;
};

const wl_registry_listener Session::registry_events{
    [](void* session, wl_registry* registry, uint32_t name, const char*, uint32_t version) {
      static_cast<Session*>(session)->dmabuf = static_cast<zwp_linux_dmabuf_v1*>(
          wl_registry_bind(registry, name, &zwp_linux_dmabuf_v1_interface, version)); // the only one there is
    },
    [](void*, wl_registry*, uint32_t) {}};

const struct wl_buffer_interface Session::buffer_requests { end };

wl_resource* Session::made(wl_client* client, uint32_t id) {
  wl_resource* const buffer = wl_resource_create(client, &wl_buffer_interface, 1, id);
  wl_resource_set_implementation(buffer, &buffer_requests, nullptr, nullptr);
  return buffer;
}

const struct zwp_linux_buffer_params_v1_interface Session::params_requests = [] {
  struct zwp_linux_buffer_params_v1_interface requests {}; // version 6 has set_sampling_device, too
  requests.destroy = end;
  requests.add = [](wl_client*, wl_resource* resource, int32_t fd, uint32_t plane, uint32_t offset, uint32_t stride,
                    uint32_t high, uint32_t low) {
    ++of(resource).requests;
    of(resource).received.planes.push_back({inode_of(fd), plane, offset, stride, std::uint64_t{high} << 32 | low});
    ::close(fd);
  };
  requests.create = [](wl_client* client, wl_resource* resource, int32_t width, int32_t height, uint32_t format, uint32_t flags) {
    of(resource).asked(width, height, format, flags, false);
    of(resource).refuses ? zwp_linux_buffer_params_v1_send_failed(resource)
                         : zwp_linux_buffer_params_v1_send_created(resource, made(client, 0));
  };
  requests.create_immed = [](wl_client* client, wl_resource* resource, uint32_t id, int32_t width, int32_t height,
                             uint32_t format, uint32_t flags) {
    of(resource).asked(width, height, format, flags, true);
    made(client, id);
  };
  return requests;
}();

const struct zwp_linux_dmabuf_v1_interface Session::dmabuf_requests {
  .destroy = end,
  .create_params =
      [](wl_client* client, wl_resource* resource, uint32_t id) {
        Session& session = of(resource);
        ++session.requests;
        ++session.params;
        session.received = {};
        wl_resource* const params =
            wl_resource_create(client, &zwp_linux_buffer_params_v1_interface, wl_resource_get_version(resource), id);
        wl_resource_set_implementation(params, &params_requests, &session, [](wl_resource* gone) { --of(gone).params; });
      },
  .get_default_feedback = nullptr, .get_surface_feedback = nullptr // version 4
};

} // namespace

TEST_CASE("a compositor receives each plane's memory, offset, stride and modifier, and the picture's size and format") {
  const support::Counts before = support::count();
  {
    Session session;
    sa::ImageLayout layout = sa::parse_layout(pictures::two_buffers);
    layout.modifier = 0x0a00000180000002;
    const sa::Image image = pictures::of(layout);
    wl_buffer* const buffer = sa::wayland::create_immed(session.dmabuf, image, ZWP_LINUX_BUFFER_PARAMS_V1_FLAGS_Y_INVERT);
    REQUIRE(buffer != nullptr);
    session.pump();
    const Received& received = session.received;
    CHECK(received.planes == std::vector<Plane>{{inode_of(image.buffer(0).fd()), 0, 64, 704, 0x0a00000180000002},
                                                {inode_of(image.buffer(1).fd()), 1, 128, 768, 0x0a00000180000002}});
    CHECK(received.width == 640);
    CHECK(received.height == 480);
    CHECK(received.format == 0x3231564e); // 'N' 'V' '1' '2'
    CHECK(received.flags == ZWP_LINUX_BUFFER_PARAMS_V1_FLAGS_Y_INVERT);
    CHECK(received.at_once);
    CHECK(session.params == 0); // of which one was made on the way
    wl_buffer_destroy(buffer);
    session.pump();
  }
  CHECK(support::leaked_since(before) == "");
}

TEST_CASE("a compositor that is asked for a wl_buffer answers with it, or that it failed") {
  const support::Counts before = support::count();
  {
    struct Answer {
      wl_buffer* buffer = nullptr;
      bool failed = false;
    };
    static constexpr zwp_linux_buffer_params_v1_listener events{
        [](void* answer, zwp_linux_buffer_params_v1*, wl_buffer* buffer) { static_cast<Answer*>(answer)->buffer = buffer; },
        [](void* answer, zwp_linux_buffer_params_v1*) { static_cast<Answer*>(answer)->failed = true; }};
    Session session;
    const sa::Image image = pictures::of(pictures::three_planes);
    for (const bool refuses : {false, true}) {
      session.refuses = refuses;
      Answer answer;
      zwp_linux_buffer_params_v1* const params = zwp_linux_dmabuf_v1_create_params(session.dmabuf);
      zwp_linux_buffer_params_v1_add_listener(params, &events, &answer);
      CHECK(sa::wayland::create(params, image, 0, sa::wayland::Modifier::Unknown));
      session.pump();
      CHECK(answer.failed == refuses);
      CHECK((answer.buffer != nullptr) != refuses);
      CHECK_FALSE(session.received.at_once);
      REQUIRE(session.received.planes.size() == 3);
      CHECK(session.received.planes[2] == Plane{inode_of(image.buffer(0).fd()), 2, 384000, 320, 0x00ffffffffffffff});
      zwp_linux_buffer_params_v1_destroy(params);
      if (answer.buffer != nullptr) {
        wl_buffer_destroy(answer.buffer);
      }
      session.pump();
    }
  }
  CHECK(support::leaked_since(before) == "");
}

TEST_CASE("nothing is requested of a compositor for an image that it cannot be told of") {
  Session session;
  CHECK(sa::wayland::create_immed(session.dmabuf, {}) == nullptr);
  const sa::Image bayer = pictures::of("SRGGB8 64x64 planes=0+0/64*64 sizes=4096"); // DRM has no such format
  CHECK(sa::wayland::create_immed(session.dmabuf, bayer) == nullptr);
  CHECK_FALSE(sa::wayland::create(nullptr, bayer));
  CHECK_FALSE(sa::wayland::add_planes(nullptr, bayer));
  session.pump();
  CHECK(session.requests == 0);
}
