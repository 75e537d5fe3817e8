// SPDX-License-Identifier: MIT
/// The heap that is chosen for a device is the one the device takes: asked of real drivers.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <fcntl.h>
#include <linux/videodev2.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <xf86drm.h>

#include "support/counters.hpp"
#include "vm/guest.hpp"
#include "vm/importers.hpp"

namespace {

using sa::Certainty;
using sa::Device;
using sa::Trait;

bool contiguous_only() {
  return guest::has_argument("vivid.allocators=1");
}

bool says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// Registries find what modules brought.
struct Machine {
  Machine() {
    guest::load("vivid");
    registry.refresh();
  }
  sa::Registry registry;
};

/// The choice for @p heap; null when it was refused.
const sa::Choice* choice(const sa::Selection& selection, const std::string& heap) {
  const auto found = std::find_if(selection.choices.begin(), selection.choices.end(),
                                  [&](const auto& one) { return one.heap->info().name == heap; });
  return found == selection.choices.end() ? nullptr : &*found;
}

std::string reason(const sa::Selection& selection, const std::string& heap) {
  const auto found =
      std::find_if(selection.refusals.begin(), selection.refusals.end(), [&](const auto& one) { return one.heap == heap; });
  return found == selection.refusals.end() ? std::string() : found->reason;
}

/// Whether the machine was given QEMU's bochs-display, a PCI device with a DRM driver.
bool has_bochs() {
  std::error_code ec;
  return std::ranges::any_of(std::filesystem::directory_iterator("/sys/bus/pci/devices", ec), [](const auto& device) {
    return support::read_file((device.path() / "vendor").string()) == "0x1234\n";
  });
}

/// A node that is not there for as long as the object lives.
class Hidden {
public:
  explicit Hidden(std::filesystem::path node) : node_(std::move(node)) {
    std::filesystem::rename(node_, node_.string() + ".hidden");
  }
  Hidden(const Hidden&) = delete;
  Hidden& operator=(const Hidden&) = delete;
  ~Hidden() { std::filesystem::rename(node_.string() + ".hidden", node_); }

private:
  std::filesystem::path node_;
};

/// A camera of which nothing is remembered: one by another path, of this guest's own /tmp.
Device fresh_camera(const std::string& path) {
  std::filesystem::create_symlink(importers::camera_node(), path);
  return Device::open(path);
}

} // namespace

TEST_CASE("with a profile for its camera a board chooses as the profile says, without asking, and the camera agrees") {
  const std::string file = "/tmp/profile.toml";
  std::ofstream(file) << "[[device]]\nmatch = \"driver:vivid\"\nconstraints = \"contiguous\"\n";
  ::setenv("SA_CONFIG", file.c_str(), 1);
  Machine machine;
  ::unsetenv("SA_CONFIG");
  std::filesystem::remove(file);
  const Device camera = Device::open(importers::camera_node());
  const sa::Selection selection = machine.registry.select({}, {camera});
  if (guest::is("stock") && !guest::has_own_modules()) { // which has no contiguous memory
    CHECK(selection.choices.empty());
    return;
  }
  REQUIRE_FALSE(selection.choices.empty());
  for (const auto& choice : selection.choices) {
    CHECK(choice.heap->info().traits.contains(Trait::Contiguous));
    CHECK(choice.certainty == Certainty::Suits);
  }
  CHECK(says(reason(selection, "dma-heap:system"), "scattered"));
  CHECK(says(reason(selection, "dma-heap:system"), "its profile says so"));
  CHECK(says(reason(selection, "udmabuf:4k"), "(" + camera.info().name + ": its profile"));
  const sa::DmaBuf frame = machine.registry.allocate({camera}, {.size = camera.info().image_size});
  CHECK(camera.try_import(frame).verdict == sa::ImportVerdict::Accepted);
  const sa::DmaBuf scattered = sa::DmaBuf::import(importers::scattered_dma_buf((camera.info().image_size + 4095) / 4096));
  CHECK((camera.try_import(scattered).verdict == sa::ImportVerdict::Refused) == contiguous_only());
}

TEST_CASE("behind an IOMMU contiguity is no constraint, and the answer says so; without one it is not known" *
          doctest::skip(!has_bochs())) {
  guest::load("bochs");
  sa::Registry registry;
  registry.refresh();
  const Device display = Device::open("/dev/dri/card0");
  REQUIRE(display.info().driver == "bochs-drm");
  const sa::Selection selection = registry.select({}, {display});
  const sa::Choice* const scattered = choice(selection, "dma-heap:system");
  REQUIRE(scattered != nullptr);
  CAPTURE(scattered->note);
  if (guest::has_argument("intel_iommu=on")) {
    CHECK(display.info().iommu.starts_with("DMA"));
    CHECK(scattered->certainty == Certainty::Suits);
    CHECK(says(scattered->note, "behind an IOMMU (" + display.info().iommu + ") contiguity is no constraint"));
    CHECK(display.info().constraints.max_address == 0); // its 32 address lines see what the IOMMU shows
  } else {
    CHECK(display.info().iommu.empty());
    CHECK(scattered->certainty == Certainty::Unknown);
    CHECK(says(scattered->note, "is not known"));
    CHECK(display.info().constraints.max_address == std::uint64_t{1} << 32U);
  }
}

TEST_CASE("a display that imports nothing is not taken for one that needs contiguous memory" *
          doctest::skip(!has_bochs() || guest::has_argument("intel_iommu=on"))) {
  guest::load("bochs");
  sa::Registry registry;
  registry.refresh();
  const Device display = Device::open("/dev/dri/card0");
  CHECK(display.info().imports); // it says; all drivers do since Linux 6.6
  const sa::Selection selection = registry.select({}, {display}, {.probe = true});
  CHECK(selection.constraints.max_segments == 0);
  CHECK(says(reason(selection, "dma-heap:system"), "refused a buffer of it (DRM_IOCTL_PRIME_FD_TO_HANDLE: Invalid argument)"));
  REQUIRE(selection.choices.size() == 1);
  CHECK(selection.choices.front().heap->info().name == "drm:card0"); // its own
}

// The order of the next three matters: what a probe finds is remembered.

TEST_CASE("before a probe, whether a camera takes scattered memory is not known, and the answer says so") {
  Machine machine;
  const Device camera = Device::open(importers::camera_node());
  CHECK(camera.info().kind == sa::DeviceKind::V4l2);
  CHECK(camera.info().driver == "vivid");
  CHECK(camera.info().imports);
  CHECK(camera.info().image_size >= std::size_t{camera.info().pitch} * camera.info().height);
  CHECK(camera.info().formats.size() > 10);
  CHECK(std::ranges::any_of(camera.info().formats, [&](const auto& format) {
    return format.v4l2.code == V4L2_PIX_FMT_RGB24 && format.format.name() == "BGR888";
  }));
  const sa::Selection selection = machine.registry.select({}, {camera});
  const sa::Choice* const system = choice(selection, "dma-heap:system");
  REQUIRE(system != nullptr);
  CHECK(system->certainty == Certainty::Unknown);
  CHECK(says(system->note, "not known"));
  CHECK(says(reason(selection, "memfd:4k"), "no dma-buf"));
}

TEST_CASE("a camera that took a buffer by chance has proven nothing, and that is not remembered") {
  Machine machine;
  const Device camera = Device::open(importers::camera_node());
  {
    const Hidden udmabuf("/dev/udmabuf");
    const sa::Selection selection = machine.registry.select({}, {camera}, {.probe = true});
    const sa::Choice* const system = choice(selection, "dma-heap:system");
    if (system != nullptr) { // taken: by chance, or since it takes everything; no interface tells
      CHECK(system->certainty == Certainty::Unknown);
      CHECK(says(system->note, "by chance"));
    }
  }
  const sa::Selection later = machine.registry.select({}, {camera});
  const sa::Choice* const system = choice(later, "dma-heap:system");
  CHECK((system == nullptr || system->certainty == Certainty::Unknown));
}

TEST_CASE("however the kernel's pages lie, a camera that takes only contiguous memory is never thought to take scattered memory" *
          doctest::skip(!contiguous_only())) {
  Machine machine;
  const sa::UniqueFd node{::open(importers::camera_node().c_str(), O_RDWR | O_CLOEXEC)};
  v4l2_format before{};
  before.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  REQUIRE(::ioctl(node.get(), VIDIOC_G_FMT, &before) == 0);
  // 15 pages and 225, as they come, and once more within a huge page: that is one run for certain, in the order of the file.
  int cameras = 0;
  for (const std::string huge_pages : {"never", "always"}) {
    const guest::Setting pages("/sys/kernel/mm/transparent_hugepage/shmem_enabled", huge_pages);
    for (const unsigned width : {320U, 1280U}) {
      v4l2_format format = before;
      format.fmt.pix.width = width;
      format.fmt.pix.height = width * 9 / 16;
      format.fmt.pix.pixelformat = V4L2_PIX_FMT_GREY;
      format.fmt.pix.bytesperline = 0;
      REQUIRE(::ioctl(node.get(), VIDIOC_S_FMT, &format) == 0);
      for (int round = 0; round < 25; ++round) {
        const Device camera = fresh_camera("/tmp/camera-" + std::to_string(++cameras));
        CAPTURE(huge_pages);
        CAPTURE(camera.info().image_size);
        (void)machine.registry.select({}, {camera}, {.probe = true});
        const sa::Selection selection = machine.registry.select({}, {camera});
        CHECK(says(reason(selection, "udmabuf:4k"), "scattered on purpose"));
        CHECK(choice(selection, "dma-heap:system") == nullptr);
      }
    }
  }
  CHECK(::ioctl(node.get(), VIDIOC_S_FMT, &before) == 0);
}

TEST_CASE("after one probe the heap that is chosen for a camera is one that it streams into, with the reason for each other") {
  Machine machine;
  const Device camera = Device::open(importers::camera_node());
  (void)machine.registry.select({}, {camera}, {.probe = true}); // once, so that every node is open that stays open
  const auto before = support::count();
  const sa::Selection probed = machine.registry.select({}, {camera}, {.probe = true});
  CHECK(support::leaked_since(before) == "");
  for (const sa::Selection& selection : {probed, machine.registry.select({}, {camera})}) { // asked, then remembered
    REQUIRE_FALSE(selection.choices.empty());
    const sa::Choice& best = selection.choices.front();
    CHECK(best.certainty == Certainty::Proven);
    CHECK(best.heap->info().traits.contains(Trait::Contiguous) == contiguous_only());
    for (const auto& heap : machine.registry.heaps()) {
      CAPTURE(heap.name);
      if (!heap.usable) {
        CHECK(reason(selection, heap.name) == heap.reason);
      } else if (!heap.traits.contains(Trait::DmaBuf)) {
        CHECK(says(reason(selection, heap.name), "no dma-buf"));
      } else if (contiguous_only() && !heap.traits.contains(Trait::Contiguous)) {
        CHECK(says(reason(selection, heap.name), "scattered on purpose"));
      } else if (choice(selection, heap.name) != nullptr) {
        CHECK(choice(selection, heap.name)->certainty == Certainty::Proven);
      }
    }
  }
  // The device itself has the last word.
  importers::Camera streaming;
  const sa::DmaBuf frame = machine.registry.allocate({camera}, {.size = streaming.frame_size(), .name = "frame"});
  CHECK(frame.heap() == probed.choices.front().heap->info().name);
  CHECK(streaming.capture(frame) == 0);
  {
    const auto cpu = frame.access(sa::Access::Read);
    CHECK(streaming.shows_colour_bars(cpu.bytes()));
  }
  const sa::DmaBuf scattered = sa::DmaBuf::import(importers::scattered_dma_buf((streaming.frame_size() + 4095) / 4096));
  CHECK((streaming.capture(scattered) != 0) == contiguous_only());
  CHECK((camera.try_import(scattered).verdict == sa::ImportVerdict::Refused) == contiguous_only());
}

TEST_CASE("where CMA is used up the camera that needs it gets an error, and no scattered memory" *
          doctest::skip(!guest::is("full") || !contiguous_only() || guest::has_own_modules())) {
  Machine machine;
  const Device camera = fresh_camera("/tmp/fresh-camera");
  std::vector<sa::DmaBuf> frames;
  std::string said;
  try {
    for (int i = 0; i < 64; ++i) { // 512 MiB: the region has 128
      frames.push_back(machine.registry.allocate({camera}, {.size = 8 << 20}));
      CHECK(frames.back().traits().contains(Trait::Contiguous));
    }
  } catch (const sa::Error& error) {
    CHECK(error.code() == std::errc::not_enough_memory);
    said = error.what();
  }
  CAPTURE(said);
  CHECK_FALSE(frames.empty());
  CHECK(says(said, "used up"));
  CHECK(says(said, "[dma-heap:system: not asked, since it is not known to serve"));
}

TEST_CASE("a camera that another program uses is reported busy, and is not disturbed") {
  Machine machine;
  const Device camera = Device::open(importers::camera_node());
  const sa::DmaBuf frame = machine.registry.allocate({camera}, {.size = camera.info().image_size});
  const sa::UniqueFd other{::open(importers::camera_node().c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC)};
  v4l2_requestbuffers owned{};
  owned.count = 2;
  owned.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  owned.memory = V4L2_MEMORY_MMAP;
  REQUIRE(::ioctl(other.get(), VIDIOC_REQBUFS, &owned) == 0);
  for (unsigned i = 0; i < owned.count; ++i) {
    v4l2_buffer queued{};
    queued.index = i;
    queued.type = owned.type;
    queued.memory = owned.memory;
    REQUIRE(::ioctl(other.get(), VIDIOC_QBUF, &queued) == 0);
  }
  int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  REQUIRE(::ioctl(other.get(), VIDIOC_STREAMON, &type) == 0);
  const sa::ImportResult result = camera.try_import(frame);
  CHECK(result.verdict == sa::ImportVerdict::Busy);
  {
    const Device unknown = fresh_camera("/tmp/busy-camera");
    const sa::Selection without = machine.registry.select({}, {unknown});
    const sa::Selection probed = machine.registry.select({}, {unknown}, {.probe = true});
    REQUIRE(probed.choices.size() == without.choices.size());
    for (std::size_t i = 0; i < probed.choices.size(); ++i) { // a probe that proves nothing changes nothing
      CHECK(probed.choices[i].heap == without.choices[i].heap);
      CHECK(probed.choices[i].certainty == without.choices[i].certainty);
      CHECK(says(probed.choices[i].note, "not proven with /tmp/busy-camera: it is busy"));
    }
  }
  CHECK(says(result.said, "REQBUFS"));
  CHECK(Device::open(importers::camera_node()).info().imports); // that can be told all the same
  CHECK(::ioctl(other.get(), VIDIOC_STREAMOFF, &type) == 0);    // it still streamed
  owned.count = 0;
  CHECK(::ioctl(other.get(), VIDIOC_REQBUFS, &owned) == 0);
  CHECK(camera.try_import(frame).verdict == sa::ImportVerdict::Accepted);
}

TEST_CASE("a buffer too small for a camera's image proves nothing") {
  Machine machine;
  const Device camera = Device::open(importers::camera_node());
  const sa::DmaBuf small = machine.registry.allocate("dma-heap:system", {.size = 4096});
  const sa::ImportResult result = camera.try_import(small);
  CHECK(result.verdict == sa::ImportVerdict::Unknown);
  CHECK(says(result.said, "4096 bytes"));
}

TEST_CASE("a display takes every dma-buf heap, and neither memfds nor carveouts through /dev/mem" *
          doctest::skip(!guest::is("full"))) {
  Machine machine;
  int displays = 0;
  for (const auto& card : guest::cards()) {
    const Device device = Device::open("/dev/dri/" + card);
    if (device.info().driver != "vkms") {
      continue;
    }
    ++displays;
    CHECK(device.info().imports);
    CHECK(device.info().max_width >= 1024);
    CHECK_FALSE(device.info().formats.empty());
    const sa::Selection selection = machine.registry.select({}, {device}, {.probe = true});
    int taken = 0;
    for (const auto& heap : machine.registry.heaps()) {
      CAPTURE(heap.name);
      if (!heap.usable || !heap.traits.contains(Trait::DmaBuf)) {
        CHECK(choice(selection, heap.name) == nullptr);
      } else {
        REQUIRE(choice(selection, heap.name) != nullptr);
        CHECK(choice(selection, heap.name)->certainty == Certainty::Proven);
        ++taken;
      }
    }
    CHECK(taken >= 4);
    CHECK_FALSE(reason(selection, "memfd:4k").empty());
    if (!guest::has_own_modules()) { // which make real dma-bufs of it
      CHECK(says(reason(selection, "carveout:test"), "no dma-buf"));
    }
    CHECK_FALSE(selection.choices.front().heap->info().traits.contains(Trait::Contiguous)); // scarce memory is spared
    const sa::UniqueFd compositor{::open(("/dev/dri/" + card).c_str(), O_RDWR | O_CLOEXEC)};
    CHECK(::drmIsMaster(compositor.get()) == 1); // the probe did not keep it
  }
  CHECK(displays == 1);
}

TEST_CASE("a camera and a display get the heap that both take") {
  Machine machine;
  guest::load("vgem");
  sa::Registry registry;
  registry.refresh();
  const Device camera = Device::open(importers::camera_node());
  const Device display = Device::open("/dev/dri/" + guest::cards().front());
  const sa::Selection selection = registry.select({}, {camera, display}, {.probe = true});
  REQUIRE_FALSE(selection.choices.empty());
  CHECK(selection.choices.front().certainty == Certainty::Proven);
  const sa::DmaBuf frame = registry.allocate({camera, display}, {.size = camera.info().image_size, .name = "frame"});
  CHECK(frame.traits().contains(Trait::Contiguous) == contiguous_only());
  CHECK(camera.try_import(frame).verdict == sa::ImportVerdict::Accepted);
  CHECK(display.try_import(registry.allocate({camera, display}, {.size = 640 * 480 * 4})).verdict == sa::ImportVerdict::Accepted);
}

TEST_CASE("a codec's two queues are both asked; this camera's neighbour takes what vmalloc can map" *
          doctest::skip(!guest::is("full"))) {
  Machine machine;
  for (int number = 0; number < 16; ++number) {
    const std::string node = "/dev/video" + std::to_string(number);
    std::error_code ec;
    const Device codec = Device::open(node, ec);
    if (ec || codec.info().driver != "vim2m") {
      continue;
    }
    CHECK(codec.info().imports);
    const sa::Selection selection = machine.registry.select({}, {codec}, {.probe = true});
    REQUIRE_FALSE(selection.choices.empty());
    CHECK(selection.choices.front().certainty == Certainty::Proven);
    return;
  }
  FAIL("no vim2m");
}

TEST_CASE("an output takes the memory that a camera of the same driver takes") {
  Machine machine;
  const Device camera = Device::open(importers::camera_node());
  const Device output = Device::open(importers::output_node());
  CHECK(output.info().driver == "vivid");
  const std::size_t size = output.info().image_size;
  const sa::ImportResult scattered = output.try_import(sa::DmaBuf::import(importers::scattered_dma_buf((size + 4095) / 4096)));
  CHECK(scattered.said == (contiguous_only() ? "VIDIOC_QBUF: Bad address" : ""));
  const auto of = [&](const Device& device) {
    std::vector<std::string> names;
    for (const auto& one : machine.registry.select({}, {device}, {.probe = true}).choices) {
      CHECK(one.certainty == Certainty::Proven);
      names.push_back(one.heap->info().name);
    }
    return names;
  };
  CHECK(of(output) == of(camera));
}
