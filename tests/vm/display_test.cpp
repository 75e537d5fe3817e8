// SPDX-License-Identifier: MIT
/// Images on a display: vkms shows them, and what it showed is read back.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <set>
#include <string>
#include <vector>

#include <drm_fourcc.h>
#include <fcntl.h>
#include <xf86drm.h>
#include <xf86drmMode.h>

#include <sa/glue/drm.hpp>
#include <sa/sa.hpp>

#include "vm/guest.hpp"
#include "vm/importers.hpp"
#include "vm/pixels.hpp"
#include "vm/writeback.hpp"

// Linked with -Wl,--wrap=drmCloseBufferHandle.
extern "C" {
int __real_drmCloseBufferHandle(int card, std::uint32_t handle);
int __wrap_drmCloseBufferHandle(int card, std::uint32_t handle);
}

namespace {

unsigned handles_closed = 0;

/// vkms, and this test its master.
struct Display {
  Display() {
    for (const std::string& card : guest::cards()) {
      if (importers::card_driver(card) == "vkms") {
        node = "/dev/dri/" + card;
      }
    }
    REQUIRE(!node.empty());
    fd = sa::UniqueFd(::open(node.c_str(), O_RDWR | O_CLOEXEC));
    REQUIRE(fd);
    REQUIRE(::drmSetClientCap(fd.get(), DRM_CLIENT_CAP_UNIVERSAL_PLANES, 1) == 0);
    drmModeRes* resources = ::drmModeGetResources(fd.get());
    REQUIRE(resources != nullptr);
    REQUIRE(resources->count_connectors > 0);
    crtc = resources->crtcs[0];
    connector = resources->connectors[0];
    ::drmModeFreeResources(resources);
    drmModeConnector* screen = ::drmModeGetConnector(fd.get(), connector);
    REQUIRE(screen != nullptr);
    for (int i = 0; i < screen->count_modes; ++i) {
      if (screen->modes[i].hdisplay == 640 && screen->modes[i].vdisplay == 480) {
        mode = screen->modes[i];
      }
    }
    ::drmModeFreeConnector(screen);
    REQUIRE(mode.hdisplay == 640);
  }

  /// The codes that its planes take.
  [[nodiscard]] std::set<std::uint32_t> formats() const {
    std::set<std::uint32_t> codes;
    drmModePlaneRes* planes = ::drmModeGetPlaneResources(fd.get());
    REQUIRE(planes != nullptr);
    for (std::uint32_t i = 0; i < planes->count_planes; ++i) {
      drmModePlane* plane = ::drmModeGetPlane(fd.get(), planes->planes[i]);
      codes.insert(plane->formats, plane->formats + plane->count_formats);
      ::drmModeFreePlane(plane);
    }
    ::drmModeFreePlaneResources(planes);
    return codes;
  }

  void show(const sa::drm::Framebuffer& framebuffer) {
    REQUIRE(::drmModeSetCrtc(fd.get(), crtc, framebuffer.id(), 0, 0, &connector, 1, &mode) == 0);
  }

  /// The handle that the next import gets: 1 where no other is open.
  [[nodiscard]] std::uint32_t next_handle() const {
    const sa::DmaBuf buffer = sa::Registry::system().allocate("dma-heap:system", {.size = 4096});
    std::uint32_t handle = 0;
    REQUIRE(::drmPrimeFDToHandle(fd.get(), buffer.fd(), &handle) == 0);
    ::drmCloseBufferHandle(fd.get(), handle);
    return handle;
  }

  std::string node;
  sa::UniqueFd fd;
  std::uint32_t crtc = 0;
  std::uint32_t connector = 0;
  drmModeModeInfo mode{};
};

pixels::Rgb colour_at(unsigned x, unsigned y) {
  return {static_cast<int>(x * 255 / 640), static_cast<int>(y * 255 / 480), static_cast<int>((x ^ y) & 255)};
}

sa::Image painted(const std::vector<sa::Device>& devices, sa::Format format) {
  sa::Image image = sa::Registry::system().allocate(devices, sa::ImageRequest{.width = 640, .height = 480, .formats = {format}});
  const sa::ImageAccess cpu = image.access(sa::Access::Write);
  pixels::Picture picture(cpu, image.layout());
  for (unsigned y = 0; y < 480; ++y) {
    for (unsigned x = 0; x < 640; ++x) {
      picture.set(x, y, colour_at(x, y));
    }
  }
  return image;
}

/// Pixels of the screen that are not those that were painted.
unsigned wrong_on(const writeback::Screen& screen, int tolerance) {
  REQUIRE(screen.width == 640);
  REQUIRE(screen.height == 480);
  unsigned wrong = 0;
  for (unsigned y = 0; y < 480; ++y) {
    for (unsigned x = 0; x < 640; ++x) {
      const std::uint8_t* at = &screen.rgb[(std::size_t{y} * 640 + x) * 3];
      wrong += pixels::close({at[0], at[1], at[2]}, colour_at(x, y), tolerance) ? 0 : 1;
    }
  }
  return wrong;
}

} // namespace

int __wrap_drmCloseBufferHandle(int card, std::uint32_t handle) {
  ++handles_closed;
  return __real_drmCloseBufferHandle(card, handle);
}

TEST_CASE("an image that the CPU wrote is what the display shows, in every format that it offers") {
  Display display;
  const sa::Device device = sa::Device::open(display.node);
  const std::set<std::uint32_t> offered = display.formats();
  unsigned shown = 0;
  for (const std::uint32_t code : offered) {
    const sa::Format format = sa::Format::find(sa::DrmFourcc{code});
    if (!format) {
      std::printf("vkms: %s is not in the table\n", to_string(sa::DrmFourcc{code}).c_str());
      continue;
    }
    // Once as the display wants it, and once with rows that somebody else wants longer.
    for (const std::uint32_t stride_align : {1U, 1024U}) {
      const auto other = sa::Device::described("the test", {}, {{.format = format, .stride_align = stride_align}});
      sa::drm::Framebuffer framebuffer;
      std::string layout;
      {
        const sa::Image image = painted({device, other}, format);
        CHECK(image.layout().planes[0].stride % stride_align == 0);
        layout = to_string(image.layout()) + ", " + std::string(image.buffer(0).heap());
        framebuffer = sa::drm::Framebuffer::make(display.fd.get(), image);
      } // the framebuffer holds the memory on its own
      CHECK(display.next_handle() == 1);
      display.show(framebuffer);
      const unsigned wrong = wrong_on(writeback::read(display.fd.get(), display.crtc), format.name() == "RGB565" ? 8 : 0);
      std::printf("vkms: %s: %s\n", layout.c_str(), wrong == 0 ? "right" : "wrong");
      CHECK(wrong == 0);
      ++shown;
    }
  }
  CHECK(shown >= 2 * 3); // XRGB8888, ARGB8888, RGB565
}

TEST_CASE("of a format that the display does not offer no framebuffer is made, and no handle stays") {
  const Display display;
  const std::set<std::uint32_t> offered = display.formats();
  std::string refused, taken;
  for (const sa::Format format : sa::Format::all()) {
    if (format.info().drm && offered.contains(format.info().drm.code)) {
      continue;
    }
    const sa::ImageLayout layout = sa::lay_out({.format = format}, 640, 480);
    std::vector<sa::DmaBuf> buffers;
    for (unsigned buffer = 0; buffer < layout.buffer_count(); ++buffer) {
      buffers.push_back(sa::Registry::system().allocate("dma-heap:system", {.size = layout.sizes[buffer]}));
    }
    std::error_code ec;
    const auto framebuffer = sa::drm::Framebuffer::make(display.fd.get(), sa::Image::import(layout, std::move(buffers)), ec);
    CHECK(static_cast<bool>(framebuffer) == !ec);
    if (!format.info().drm) {
      CHECK(ec == std::errc::operation_not_supported);
    } else {
      (ec ? refused : taken) += " " + std::string(format.name()) + (ec ? " (" + ec.message() + ")" : "");
    }
    CHECK(display.next_handle() == 1);
  }
  std::printf("vkms: AddFB2 refuses%s\nvkms: AddFB2 takes, without a plane that shows it:%s\n", refused.c_str(), taken.c_str());
}

TEST_CASE("an image whose buffers are one dma-buf has one handle, which is closed once") {
  const Display display;
  const sa::Format format = sa::Format::find("NV12");
  const sa::ImageLayout layout = sa::lay_out({.format = format, .buffers = sa::Buffers::Separate}, 640, 480);
  const sa::DmaBuf buffer = sa::Registry::system().allocate("dma-heap:system", {.size = layout.sizes[0]});
  std::vector<sa::DmaBuf> twice;
  for (unsigned i = 0; i < 2; ++i) {
    twice.push_back(sa::DmaBuf::import(sa::UniqueFd(::fcntl(buffer.fd(), F_DUPFD_CLOEXEC, 0))));
  }
  std::error_code ec;
  handles_closed = 0;
  const auto framebuffer = sa::drm::Framebuffer::make(display.fd.get(), sa::Image::import(layout, std::move(twice)), ec);
  CHECK(ec == std::errc::invalid_argument); // vkms has no NV12
  CHECK(handles_closed == 1);
  CHECK(display.next_handle() == 1);
}

TEST_CASE("the kernel's answer to a framebuffer is in the error's sentence") {
  const Display display;
  const sa::ImageLayout layout = sa::lay_out({.format = sa::Format::find("NV12")}, 640, 480);
  std::vector<sa::DmaBuf> buffers;
  buffers.push_back(sa::Registry::system().allocate("dma-heap:system", {.size = layout.sizes[0]}));
  const sa::Image image = sa::Image::import(layout, std::move(buffers));
  try {
    (void)sa::drm::Framebuffer::make(display.fd.get(), image);
    FAIL("vkms has no NV12");
  } catch (const sa::Error& error) {
    const std::string said = error.what();
    INFO(said);
    CHECK(said.find("NV12 640x480") != std::string::npos);
    CHECK(said.find("DRM_IOCTL_MODE_ADDFB2: Invalid argument") != std::string::npos);
  }
  std::error_code ec;
  CHECK(!sa::drm::Framebuffer::make(display.fd.get(), sa::Image(), ec));
  CHECK(ec == std::errc::bad_file_descriptor);
}
