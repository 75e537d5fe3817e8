// SPDX-License-Identifier: MIT
/// Devices take the buffers that say they are dma-bufs, and no others.
#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>

#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>
#include <xf86drm.h>

#include "support/counters.hpp"
#include "support/process.hpp"
#include "vm/guest.hpp"
#include "vm/importers.hpp"

using importers::Camera;

TEST_CASE("refresh finds the heap of a module that was loaded since, and an alias uses it" * doctest::skip(!guest::is("stock"))) {
  sa::Registry registry;
  registry.refresh();
  CHECK(registry.find("drm:card0") == nullptr);
  registry.alias("display", {"drm:*"});
  std::error_code ec;
  CHECK_FALSE(registry.allocate("display", {.size = 4096}, ec));
  CHECK(ec);
  guest::load("vgem");
  CHECK(registry.find("drm:card0") == nullptr);
  registry.refresh();
  REQUIRE(registry.find("drm:card0") != nullptr);
  CHECK(registry.allocate("display", {.size = 4096}).heap() == "drm:card0");
}

TEST_CASE("discovery opens no device node") {
  guest::load("vgem");
  const sa::UniqueFd watch{::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)};
  for (const char* node : {"/dev/dri/card0", "/dev/udmabuf", "/dev/dma_heap/system", "/dev/mem"}) {
    CAPTURE(node);
    REQUIRE(::inotify_add_watch(watch.get(), node, IN_OPEN) >= 0);
  }
  sa::Registry registry;
  registry.refresh();
  CHECK(registry.find("drm:card0") != nullptr);
  char events[4096];
  CHECK(::read(watch.get(), events, sizeof events) == -1);
  (void)registry.allocate("drm:card0", {.size = 4096});
  CHECK(::read(watch.get(), events, sizeof events) > 0); // the watch does see an open
}

TEST_CASE("DRM master is not kept: another program can become it") {
  guest::load("vgem");
  sa::Registry registry;
  registry.refresh();
  for (const auto& info : registry.heaps()) {
    if (info.backend == "drm") {
      CAPTURE(info.name);
      const sa::DmaBuf buffer = registry.allocate(info.name, {.size = 4096});
      const sa::UniqueFd compositor{::open(info.node.c_str(), O_RDWR | O_CLOEXEC)};
      CHECK(::drmIsMaster(compositor.get()) == 1);
    }
  }
}

TEST_CASE("DRM cards import every dma-buf, and refuse what is none") {
  guest::load("vgem");
  sa::Registry registry;
  registry.refresh();
  const auto before = support::count();
  int imports = 0;
  for (const auto& info : registry.heaps()) {
    if (!info.usable) {
      continue;
    }
    const sa::DmaBuf buffer = registry.allocate(info.name, {.size = 640 * 480 * 4});
    for (const auto& card : guest::cards()) {
      CAPTURE(info.name);
      CAPTURE(card);
      const bool dma_buf = info.traits.contains(sa::Trait::DmaBuf);
      const int error = importers::import_into_card(card, buffer.fd(), importers::card_driver(card) == "vkms");
      CHECK((error == 0) == dma_buf);
      imports += error == 0 ? 1 : 0;
    }
  }
  CHECK(imports >= (guest::is("full") ? 8 : 3));
  sa::Registry::system(); // so that its own nodes are not counted as leaked below
  CHECK(support::kernel_counters().at("bufinfo objects") == before.kernel.at("bufinfo objects"));
}

TEST_CASE("a camera streams into every dma-buf heap, and the pixels are its colour bars") {
  guest::load("vivid");
  Camera camera;
  sa::Registry registry;
  registry.refresh();
  const bool maps_ion = support::read_file("/proc/kallsyms").find(" ion_dma_buf_vmap") != std::string::npos; // as vendors' does
  int streamed = 0;
  for (const auto& info : registry.heaps()) {
    if (!info.usable || !info.traits.contains(sa::Trait::DmaBuf) || info.backend == "drm") {
      continue;
    }
    CAPTURE(info.name);
    const sa::DmaBuf buffer = registry.allocate(info.name, {.size = camera.frame_size(), .name = "camera"});
    const bool contiguous_only = guest::has_argument("vivid.allocators=1");
    if (contiguous_only && !info.traits.contains(sa::Trait::Contiguous)) {
      continue; // fresh pages may lie in one run by chance
    }
    if (guest::is("ion") && (info.backend == "udmabuf" || (info.backend == "ion" && !maps_ion))) {
      // This camera draws through a mapping of the kernel's own, which dma-bufs of udmabuf do not have in 5.10, nor mainline's of
      // ION: it refuses them, or, with the other allocator, the kernel dies.
      CHECK((contiguous_only || camera.capture(buffer) == EFAULT));
      continue;
    }
    REQUIRE(camera.capture(buffer) == 0);
    {
      const auto cpu = buffer.access(sa::Access::Read);
      CHECK(camera.shows_colour_bars(cpu.bytes()));
    }
    ++streamed;
  }
  CHECK(streamed >= 1);
}

TEST_CASE("a camera that takes only contiguous memory refuses scattered memory" *
          doctest::skip(!guest::has_argument("vivid.allocators=1"))) {
  Camera camera;
  const sa::DmaBuf scattered = sa::DmaBuf::import(importers::scattered_dma_buf((camera.frame_size() + 4095) / 4096));
  CHECK(camera.capture(scattered) != 0);
}

TEST_CASE("a camera that maps the buffer for itself fills every page of a udmabuf, also where shmem has huge pages" *
          doctest::skip(guest::is("ion"))) { // in 5.10 it cannot map a udmabuf
  guest::load("vivid");
  Camera camera;
  for (const char* policy : {"always", "never"}) {
    CAPTURE(policy);
    const guest::Setting setting("/sys/kernel/mm/transparent_hugepage/shmem_enabled", policy);
    const sa::DmaBuf buffer = sa::Registry::system().allocate("udmabuf:4k", {.size = camera.frame_size()});
    {
      const auto cpu = buffer.access(sa::Access::Write);
      std::ranges::fill(cpu.bytes(), std::byte{0xa5});
    }
    if (guest::has_argument("vivid.allocators=1")) {
      continue; // does not map for itself
    }
    REQUIRE(camera.capture(buffer) == 0);
    const sa::CpuAccess access = buffer.access(sa::Access::Read);
    const std::span<const std::byte> picture = access.bytes();
    int untouched = 0;
    for (std::size_t page = 0; page + 4096 <= camera.frame_size(); page += 4096) {
      const auto bytes = picture.subspan(page, 4096);
      untouched += std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0xa5}; }) ? 1 : 0;
    }
    CHECK(untouched == 0);
    CHECK(camera.shows_colour_bars(picture));
  }
}
