// SPDX-License-Identifier: MIT
/// A camera's pictures on a screen that a second process drives, without a copy:   camera_to_display [CAMERA [CARD [FRAMES]]]
#include <algorithm>
#include <bit>
#include <cstdio>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sa/glue/drm.hpp>
#include <sa/glue/v4l2.hpp>
#include <sa/sa.hpp>

constexpr std::uint8_t slots = 4; // images that go round: one is on the screen, the others are the camera's
static void require(bool done, const char* what) {
  done ? void() : throw std::system_error(errno, std::system_category(), what);
}

/// The first connector with a screen, and a CRTC that drives it.
static std::pair<const drmModeConnector*, std::uint32_t> screen_of(int card) {
  const drmModeRes* const all = drmModeGetResources(card);
  for (int i = 0; all != nullptr && i < all->count_connectors; ++i) {
    const drmModeConnector* const one = drmModeGetConnector(card, all->connectors[i]);
    if (one != nullptr && one->count_modes > 0) {
      return {one, all->crtcs[std::countr_zero(drmModeGetEncoder(card, one->encoders[0])->possible_crtcs)]};
    }
  }
  throw std::runtime_error("no screen is connected");
}

/// The second process. Each image comes once; from then on its number comes to have it shown, and the one before it goes back.
static void show(int card, std::uint32_t crtc, std::uint32_t connector, drmModeModeInfo mode, int socket) {
  std::vector<sa::drm::Framebuffer> framebuffers;
  while (framebuffers.size() < slots) {
    framebuffers.push_back(sa::drm::Framebuffer::make(card, sa::receive_image(socket).image));
  }
  require(drmModeSetCrtc(card, crtc, framebuffers[0].id(), 0, 0, &connector, 1, &mode) == 0, "drmModeSetCrtc");
  for (std::uint8_t next = 0, now = 0; recv(socket, &next, 1, 0) == 1; now = next) {
    drmEventContext events{};
    require(drmModePageFlip(card, crtc, framebuffers[next].id(), DRM_MODE_PAGE_FLIP_EVENT, nullptr) == 0, "drmModePageFlip");
    require(drmHandleEvent(card, &events) == 0, "drmHandleEvent"); // waits for the flip
    send(socket, &now, 1, MSG_NOSIGNAL);
  }
}

/// The first process.
static void capture(const char* node, const std::vector<sa::Image>& images, int socket, int frames) {
  const sa::UniqueFd camera{open(node, O_RDWR | O_CLOEXEC)};
  const auto ask = [&](unsigned long request, auto& what) { require(ioctl(camera.get(), request, &what) == 0, node); };
  v4l2_capability about{};
  ask(VIDIOC_QUERYCAP, about);
  std::uint32_t type = sa::v4l2::capture_type(about);
  v4l2_format format = sa::v4l2::format_of(images[0].layout(), type);
  ask(VIDIOC_S_FMT, format);
  require(sa::v4l2::holds(images[0].layout(), format), "the layout that the camera answers");
  v4l2_requestbuffers queue{slots, type, V4L2_MEMORY_DMABUF, {}, {}, {}};
  ask(VIDIOC_REQBUFS, queue);
  const auto fill = [&](std::uint32_t slot) { ask(VIDIOC_QBUF, sa::v4l2::Buffer(images[slot], type, slot).buffer()); };
  for (std::uint32_t slot = 1; slot < slots; ++slot) { // slot 0 is on the screen
    fill(slot);
  }
  ask(VIDIOC_STREAMON, type);
  for (int frame = 0; frame < frames; ++frame) {
    sa::v4l2::Buffer filled(type);
    ask(VIDIOC_DQBUF, filled.buffer());
    auto slot = static_cast<std::uint8_t>(filled.index());
    require(send(socket, &slot, 1, MSG_NOSIGNAL) == 1 && recv(socket, &slot, 1, 0) == 1, "the screen's process");
    fill(slot);
  }
}

int main(int argc, char** argv) try {
  const std::vector devices{sa::Device::open(argc > 1 ? argv[1] : "/dev/video0"),
                            sa::Device::open(argc > 2 ? argv[2] : "/dev/dri/card0")};
  const sa::UniqueFd card{open(devices[1].info().name.c_str(), O_RDWR | O_CLOEXEC)}; // its master, where no other program is
  const auto [screen, crtc] = screen_of(card.get());
  sa::ImageRequest request;
  const auto mode = std::find_if(screen->modes, screen->modes + screen->count_modes, [&](const drmModeModeInfo& one) {
    request = {.width = one.hdisplay, .height = one.vdisplay};
    return !sa::Registry::system().select_image(devices, request, {.probe = true}).choices.empty();
  });
  request.formats = {sa::Registry::system().allocate(devices, request).layout().format}; // or the reason why there is none
  int sockets[2];
  require(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets) == 0, "socketpair");
  if (fork() == 0) {
    close(sockets[0]);
    return show(card.get(), crtc, screen->connector_id, *mode, sockets[1]), 0;
  }
  close(sockets[1]);
  std::vector<sa::Image> images(slots);
  for (sa::Image& image : images) {
    sa::send(sockets[0], image = sa::Registry::system().allocate(devices, request));
  }
  std::printf("%s\n", sa::to_string(images[0].layout()).c_str());
  capture(devices[0].info().name.c_str(), images, sockets[0], argc > 3 ? std::stoi(argv[3]) : 100);
} catch (const std::exception& error) {
  return std::fprintf(stderr, "%s\n", error.what()), 1;
}
