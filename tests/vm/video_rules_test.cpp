// SPDX-License-Identifier: MIT
/// What real drivers demand of pictures: how they are asked, and that the answer is chosen and proven. Its name puts it behind
/// selection_test.cpp, whose first tests need devices that nobody has probed.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include <fcntl.h>
#include <linux/videodev2.h>
#include <sys/ioctl.h>

#include <sa/glue/v4l2.hpp>

#include "support/counters.hpp"
#include "support/process.hpp"
#include "vm/guest.hpp"
#include "vm/importers.hpp"

namespace {

using sa::Certainty;
using sa::Device;
using sa::DeviceRole;
using sa::Format;

/// The first device with that driver and role; REQUIREs that there is one.
Device device_of(const std::string& driver, DeviceRole role) {
  for (int number = 0; number < 16; ++number) {
    for (const char* base : {"/dev/video", "/dev/dri/card"}) {
      std::error_code ec;
      Device device = Device::open(base + std::to_string(number), ec);
      if (!ec && device.info().driver == driver && device.info().role == role) {
        return device;
      }
    }
  }
  FAIL("no such device: ", driver);
  return {};
}

/// A registry whose configuration says @p layout of @p match.
struct Profiled {
  Profiled(const std::string& match, const std::string& layout) {
    const std::string file = "/tmp/layouts.toml";
    std::ofstream(file) << "[[device]]\nmatch = \"" << match << "\"\nlayout = \"" << layout << "\"\n";
    ::setenv("SA_CONFIG", file.c_str(), 1);
    registry.refresh();
    ::unsetenv("SA_CONFIG");
  }
  sa::Registry registry;
};

/// Kernels that lack a driver show nothing here.
bool has_drivers() {
  return guest::is("full");
}

v4l2_format format_that_is_set(const std::string& node, std::uint32_t type) {
  const sa::UniqueFd fd{::open(node.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC)};
  v4l2_format format{};
  format.type = type;
  REQUIRE(::ioctl(fd.get(), VIDIOC_G_FMT, &format) == 0);
  return format;
}

} // namespace

TEST_CASE("a node says what it does with pictures, and its formats are those of the table") {
  if (!has_drivers()) {
    return;
  }
  const Device camera = device_of("vivid", DeviceRole::Capture);
  CHECK(std::ranges::any_of(camera.info().formats, [](const auto& one) { return one.format.name() == "NV12"; }));
  CHECK(std::ranges::none_of(camera.info().formats, [](const auto& one) { return static_cast<bool>(one.drm); }));
  CHECK(device_of("vivid", DeviceRole::Output).info().name != camera.info().name);
  CHECK(device_of("vim2m", DeviceRole::MemToMem).info().fourcc.code != 0);
  const Device display = device_of("vkms", DeviceRole::Display);
  CHECK(std::ranges::any_of(display.info().formats, [](const auto& one) { return one.format.name() == "XRGB8888"; }));
  CHECK(device_of("vgem", DeviceRole::Render).info().formats.empty());
}

TEST_CASE("asking a node what it demands takes eight ioctls at most, and none the second time") {
  if (!has_drivers()) {
    return;
  }
  const Device camera = device_of("vivid", DeviceRole::Capture);
  for (const char* name : {"NV12", "YUYV", "XRGB8888"}) {
    CAPTURE(std::string(name));
    const Format format = Format::find(name);
    const long calls = support::count_system_calls([&] {
      sa::Registry& registry = sa::Registry::system();
      (void)registry.select({}, {camera}); // what is read once of the machine
      support::mark();
      (void)camera.rules(format, 1280, 720);
      support::mark();
      return support::passed;
    });
    MESSAGE(std::string(name), ": system calls of asking: ", calls);
    const std::size_t codes = static_cast<std::size_t>(
        std::ranges::count_if(camera.info().formats, [&](const auto& one) { return one.format == format; }));
    CHECK(calls > 0);
    CHECK(calls <= static_cast<long>(8 * codes) + 2); // and open() and close()
    const long again = support::count_system_calls([&] {
      const sa::ImageRequest request{.width = 1280, .height = 720, .formats = {format}};
      sa::Registry& registry = sa::Registry::system();
      const bool first = !registry.select_image({camera}, request).choices.empty();
      support::mark();
      const bool second = !registry.select_image({camera}, request).choices.empty();
      support::mark();
      return first && second ? support::passed : 1;
    });
    CHECK(again == 0);
  }
  // A picture for both queues of a device, which each are asked, and asked to confirm.
  const Device scaler = device_of("vim2m", DeviceRole::MemToMem);
  const sa::ImageRequest request{.width = 640, .height = 400, .formats = {Format::find("RGB565")}};
  const long both = support::count_system_calls([&] {
    sa::Registry& registry = sa::Registry::system();
    (void)registry.select({}, {scaler});
    support::mark();
    const bool any = !registry.select_image({scaler}, request).choices.empty();
    support::mark();
    return any ? support::passed : 1;
  });
  MESSAGE("vim2m, both queues: system calls of asking and confirming: ", both);
  CHECK(both > 0);
  CHECK(both <= 8 + 4); // and open() and close() of both times
}

TEST_CASE("a camera that streams is asked without being disturbed") {
  if (!has_drivers()) {
    return;
  }
  const Device camera = device_of("vivid", DeviceRole::Capture);
  importers::Camera program;
  sa::Registry registry;
  registry.refresh();
  std::vector<sa::DmaBuf> buffers;
  for (int i = 0; i < 4; ++i) {
    buffers.push_back(registry.allocate({camera}, {.size = program.frame_size()}));
  }
  const std::uint32_t type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  importers::Stream stream(program, 4);
  for (unsigned slot = 0; slot < 4; ++slot) {
    stream.queue(slot, buffers[slot]);
  }
  unsigned slot = stream.dequeue();
  const v4l2_format before = format_that_is_set(camera.info().name, type);
  const Device asked = Device::open(camera.info().name);
  CHECK(asked.info().formats.size() > 10);
  for (const char* name : {"NV12", "YUYV", "BGR888", "SRGGB8"}) {
    CHECK_FALSE(asked.rules(Format::find(name), 1280, 720).empty());
    stream.queue(slot, buffers[slot]);
    slot = stream.dequeue();
  }
  const sa::ImageRequest request{.width = 1280, .height = 720, .formats = {Format::find("YUYV")}};
  const sa::ImageSelection selection = registry.select_image({asked}, request, {.probe = true});
  REQUIRE_FALSE(selection.choices.empty());
  CHECK(selection.choices.front().certainty != Certainty::Proven); // it was busy, and left alone
  stream.queue(slot, buffers[slot]);
  slot = stream.dequeue();
  const v4l2_format after = format_that_is_set(camera.info().name, type);
  CHECK(std::memcmp(&before.fmt.pix, &after.fmt.pix, sizeof before.fmt.pix) == 0);
}

TEST_CASE("rows of one length against a pitch of 256 are refused with both sources and the width that fits") {
  if (!has_drivers()) {
    return;
  }
  const Device scaler = device_of("vim2m", DeviceRole::MemToMem); // bytesperline is (width * depth) >> 3 there
  const Device display = device_of("vkms", DeviceRole::Display);
  const Format format = Format::find("RGB565");
  const sa::ImageRequest request{.width = 616, .height = 400, .formats = {format}};
  Profiled planted("driver:vkms", "stride-align=256");
  const sa::ImageSelection selection = planted.registry.select_image({scaler, display}, request);
  CHECK(selection.choices.empty());
  REQUIRE_FALSE(selection.refusals.empty());
  const std::string& reason = selection.refusals.front().reason;
  CHECK(reason == "RGB565: stride=1232 (" + scaler.info().name +
                      ": VIDIOC_TRY_FMT) and stride-align=256 (profile of driver:vkms) exclude each other; a width of 640 "
                      "serves all");
  CHECK(selection.refusals.front().width_that_fits == 640);
  const sa::ImageRequest wider{.width = 640, .height = 400, .formats = {format}};
  CHECK(planted.registry.select_image({scaler, display}, wider).choices.at(0).layout.planes[0].stride == 1280);
  // each alone
  CHECK(planted.registry.select_image({display}, request).choices.at(0).layout.planes[0].stride == 1280);
  CHECK(planted.registry.select_image({scaler}, request).choices.at(0).layout.planes[0].stride == 1232);
  // without the profile
  sa::Registry plain;
  plain.refresh();
  CHECK(plain.allocate({scaler, display}, request).layout().planes[0].stride == 1232);
}

TEST_CASE("with a probe the very layout is imported by each device, and so proven") {
  if (!has_drivers()) {
    return;
  }
  const Device camera = device_of("vivid", DeviceRole::Capture);
  const Device scaler = device_of("vim2m", DeviceRole::MemToMem);
  const Device display = device_of("vkms", DeviceRole::Display);
  sa::Registry registry;
  registry.refresh();
  const sa::ImageRequest request{.width = 640, .height = 360, .formats = {Format::find("XRGB8888")}};
  const sa::ImageSelection told = registry.select_image({camera, display}, request);
  REQUIRE_FALSE(told.choices.empty());
  CHECK(told.choices.front().certainty != Certainty::Proven);
  std::error_code ec;
  CHECK_FALSE(registry.allocate({camera, display}, request, ec, Certainty::Proven));
  CHECK(ec == std::errc::operation_not_supported);
  const sa::ImageSelection proven = registry.select_image({camera, display}, request, {.probe = true});
  REQUIRE_FALSE(proven.choices.empty());
  CAPTURE(proven.choices.front().note);
  CHECK(proven.choices.front().certainty == Certainty::Proven);
  CHECK(proven.choices.front().sources.size() >= 2);
  CHECK(registry.allocate({camera, display}, request, Certainty::Proven).layout() == proven.choices.front().layout); // remembered
  CHECK(registry.select_image({camera, display}, request).choices.front().certainty == Certainty::Proven);
  const sa::ImageRequest scaled{.width = 320, .height = 240, .formats = {Format::find("RGB565")}};
  CHECK(registry.select_image({scaler, display}, scaled, {.probe = true}).choices.at(0).certainty == Certainty::Proven);

  const support::Counts before = support::count(); // the heaps' nodes are open
  {
    const sa::Image image = registry.allocate({camera, display}, request);
    v4l2_format format = sa::v4l2::format_of(image.layout(), V4L2_BUF_TYPE_VIDEO_CAPTURE);
    const sa::UniqueFd program{::open(camera.info().name.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC)};
    REQUIRE(::ioctl(program.get(), VIDIOC_S_FMT, &format) == 0);
    CHECK(sa::v4l2::holds(image.layout(), format));
    CHECK(sa::v4l2::layout_of(format) == image.layout());
    CHECK(camera.try_import(image).verdict == sa::ImportVerdict::Accepted);
    CHECK(display.try_import(image).verdict == sa::ImportVerdict::Accepted);
    CHECK(display.try_import(sa::Image{}).verdict == sa::ImportVerdict::Refused);
    // What a driver does not take is refused by it, and not by its rules alone.
    const sa::ImageLayout wrong = sa::parse_layout("NV12 640x360 planes=0+0/640*360,0+230400/640*180 sizes=345600");
    std::vector<sa::DmaBuf> memory;
    memory.push_back(registry.allocate("dma-buf", {.size = static_cast<std::size_t>(wrong.sizes[0])}));
    const sa::ImportResult refused = display.try_import(sa::Image::import(wrong, std::move(memory)));
    CHECK(refused.verdict == sa::ImportVerdict::Refused);
    CHECK(refused.said.find("ADDFB2") != std::string::npos);
  }
  CHECK(support::leaked_since(before) == "");
}

TEST_CASE("a size that a camera does not make is refused with the one that it makes") {
  if (!has_drivers()) {
    return;
  }
  const Device camera = device_of("vivid", DeviceRole::Capture);
  sa::Registry registry;
  registry.refresh();
  const sa::ImageSelection selection =
      registry.select_image({camera}, {.width = 641, .height = 481, .formats = {Format::find("NV12")}});
  CHECK(selection.choices.empty());
  REQUIRE_FALSE(selection.refusals.empty());
  CHECK(selection.refusals.front().reason.find("takes NV12 640x480 in place of NV12 641x481 (VIDIOC_TRY_FMT)") !=
        std::string::npos);
}
