// SPDX-License-Identifier: MIT
/// Choosing format, layout and heap of a picture for devices that are described.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include <sa/sa.hpp>

#include "core/selection/image_selection.hpp"
#include "support/counters.hpp"
#include "test_heap.hpp"

using sa::Certainty;
using sa::Device;
using sa::Format;
using sa::ImageRequest;
using sa::LayoutRule;
using sa::Trait;
using unit::TestHeap;

namespace {

constexpr sa::Traits scattered = Trait::DmaBuf | Trait::Cached | Trait::Zeroed;

LayoutRule rule(std::string_view format, std::string_view words, std::string source = {}, bool known = true) {
  LayoutRule made = sa::parse_layout_rule(words);
  made.format = Format::find(format);
  made.known = known;
  if (!source.empty()) {
    made.sources = {std::move(source)};
  }
  return made;
}

struct Board {
  Board() {
    for (const auto& heap : {system, cma}) {
      registry.add(heap);
    }
  }
  std::shared_ptr<TestHeap> system = std::make_shared<TestHeap>("dma-heap:system", scattered);
  std::shared_ptr<TestHeap> cma = std::make_shared<TestHeap>("cma:cma0", scattered | Trait::Contiguous);
  sa::Registry registry;
};

std::string text_of(const sa::ImageSelection& selection) {
  std::string text;
  for (const auto& choice : selection.choices) {
    text += (text.empty() ? "" : " ") + std::string(choice.layout.format.name()) + "/" + choice.heap->info().name;
  }
  return text;
}

const sa::ImageRequest full_hd{.width = 1920, .height = 1080};

} // namespace

TEST_CASE("format, layout and heap are chosen together, and each choice says who made its layout") {
  Board board;
  const Device camera = Device::described(
      "camera", {.max_segments = 1},
      {rule("NV12", "stride-align=64,tied,buffers=one", "camera: manual"), rule("YUYV", "stride-align=32", "camera: manual")});
  const Device display = Device::described(
      "display", {}, {rule("YUYV", "stride-align=256", "display: driver"), rule("NV12", "stride-align=128", "display: driver")});
  const sa::ImageSelection selection = board.registry.select_image({camera, display}, {.width = 1936, .height = 1080});
  CHECK(text_of(selection) == "YUYV/cma:cma0 NV12/cma:cma0"); // the table's order
  CHECK(to_string(selection.choices[0].layout) == "YUYV 1936x1080 planes=0+0/4096*1080 sizes=4423680");
  CHECK(selection.choices[0].sources == std::vector<std::string>{"camera: manual", "display: driver"});
  CHECK(selection.choices[0].certainty == Certainty::Suits);
  CHECK(selection.constraints.max_segments == 1);
  CHECK(std::ranges::any_of(selection.refusals, [](const auto& one) { return one.heap == "dma-heap:system" && !one.format; }));

  const sa::ImageSelection wanted = board.registry.select_image(
      {camera, display},
      {.width = 1936, .height = 1080, .formats = {Format::find("NV12"), Format::find("XRGB8888")}, .colour = {.matrix = 5}});
  CHECK(text_of(wanted) == "NV12/cma:cma0");
  CHECK(wanted.choices[0].layout.colour.matrix == 5);
  CHECK(wanted.refusals[0].format.name() == "XRGB8888");
  CHECK(wanted.refusals[0].reason == "camera is described without XRGB8888");
}

TEST_CASE("rows of one length against an alignment are refused with both sources and the width that fits") {
  Board board;
  const Device camera = Device::described("camera", {}, {rule("NV12", "stride=1936,tied", "/dev/video0: VIDIOC_TRY_FMT")});
  const Device display = Device::described("display", {}, {rule("NV12", "stride-align=256", "profile of driver:amdgpu")});
  const ImageRequest request{.width = 1936, .height = 1080};
  const sa::ImageSelection selection = board.registry.select_image({camera, display}, request);
  CHECK(selection.choices.empty());
  CHECK(selection.refusals[0].reason == "NV12: stride=1936 (/dev/video0: VIDIOC_TRY_FMT) and stride-align=256 (profile of "
                                        "driver:amdgpu) exclude each other");
  CHECK(selection.refusals[0].width_that_fits == 0); // the camera takes no other
  try {
    (void)board.registry.allocate({camera, display}, request);
    FAIL("it was allocated");
  } catch (const sa::Error& error) {
    CHECK(error.code() == std::errc::operation_not_supported);
    CHECK(std::string(error.what())
              .starts_with("allocate an image of 1936x1080 pixels for camera, display: nothing suits [NV12: "
                           "stride=1936 (/dev/video0"));
  }
  CHECK(board.registry.allocate({camera}, request));
  CHECK(board.registry.allocate({display}, request));
}

TEST_CASE("a profile's rule of layout is obeyed, and named where it is in the way") {
  Board board;
  const std::vector<std::shared_ptr<sa::Heap>> heaps{board.system};
  const sa::detail::Wishes wishes{{}, {{"camera", std::nullopt, sa::parse_layout_rule("stride-align=256")}}};
  const ImageRequest request{.width = 1936, .height = 4, .formats = {Format::find("R8")}};
  std::error_code ec;
  const Device flexible = Device::described("camera", {}, {rule("R8", "", "manual")});
  sa::ImageSelection selection = sa::detail::select_images(heaps, request, {flexible}, wishes, {}, ec);
  REQUIRE(selection.choices.size() == 1);
  CHECK(selection.choices[0].layout.planes[0].stride == 2048);
  CHECK(selection.choices[0].sources == std::vector<std::string>{"manual", "profile of camera"});
  const Device fixed = Device::described("camera", {}, {rule("R8", "stride=1936", "manual")});
  selection = sa::detail::select_images(heaps, request, {fixed}, wishes, {}, ec);
  CHECK(selection.choices.empty());
  CHECK(selection.refusals[0].reason == "R8: stride=1936 (manual) and stride-align=256 (profile of camera) exclude each other");
}

TEST_CASE("a layout that is a guess comes last, whatever format was preferred") {
  Board board;
  const Device gpu = Device::described("gpu", {}, {rule("NV12", "stride-align=256", "a guess", false), rule("R8", "", "manual")});
  const ImageRequest request{.width = 64, .height = 64, .formats = {Format::find("NV12"), Format::find("R8")}};
  const sa::ImageSelection selection = board.registry.select_image({gpu}, request);
  CHECK(text_of(selection) == "R8/dma-heap:system R8/cma:cma0 NV12/dma-heap:system NV12/cma:cma0");
  CHECK(selection.choices[2].certainty == Certainty::Unknown);
  CHECK(selection.choices[2].note.find("guess") != std::string::npos);
  CHECK(board.registry.allocate({gpu}, request).layout().format.name() == "R8");
  const ImageRequest only{.width = 64, .height = 64, .formats = {Format::find("NV12")}};
  CHECK(board.registry.allocate({gpu}, only).layout().planes[0].stride == 256);
  std::error_code ec;
  CHECK_FALSE(board.registry.allocate({gpu}, only, ec, Certainty::Suits));
  CHECK(ec == std::errc::operation_not_supported);
}

TEST_CASE("of several ways to lay out one that all devices take is chosen") {
  Board board;
  const Device codec =
      Device::described("codec", {}, {rule("NV12", "buffers=one,tied", "codec"), rule("NV12", "buffers=separate,tied", "codec")});
  const Device other = Device::described("other", {}, {rule("NV12", "buffers=separate", "other")});
  const sa::Image image = board.registry.allocate({codec, other}, full_hd);
  CHECK(image.buffers().size() == 2);
  CHECK(to_string(image.layout()) == "NV12 1920x1080 planes=0+0/1920*1080,1+0/1920*540 sizes=2073600,1036800");
  const Device third = Device::described("third", {}, {rule("NV12", "buffers=one", "third")});
  const sa::ImageSelection none = board.registry.select_image({codec, other, third}, full_hd);
  CHECK(none.refusals[0].reason == "NV12: buffers=separate (other) and buffers=one (third) exclude each other");
}

TEST_CASE("an image has all of its buffers from one heap, or none") {
  Board board;
  const Device split = Device::described("split", {}, {rule("NV12", "buffers=separate", "split")});
  board.system->error = ENOMEM;
  board.system->error_from = 2;
  const support::Counts before = support::count();
  {
    const sa::Image image = board.registry.allocate({split}, {.width = 64, .height = 64, .memory = {.name = "frame"}});
    CHECK(image.buffer(0).heap() == "cma:cma0");
    CHECK(image.buffer(1).heap() == "cma:cma0");
    CHECK(image.buffer(1).name() == "frame");
  }
  CHECK(support::leaked_since(before) == "");
}

TEST_CASE("an impossible picture or device is refused") {
  Board board;
  std::error_code ec;
  CHECK_FALSE(board.registry.allocate({}, ImageRequest{.width = 0, .height = 1}, ec));
  CHECK(ec == std::errc::invalid_argument);
  CHECK_FALSE(board.registry.allocate({}, ImageRequest{.width = 65536, .height = 1}, ec));
  CHECK(ec == std::errc::invalid_argument);
  CHECK_FALSE(board.registry.allocate({Device{}}, full_hd, ec));
  CHECK(ec == std::errc::invalid_argument);
  CHECK_FALSE(board.registry.allocate({}, ImageRequest{.width = 1, .height = 1, .formats = {Format{}}}, ec));
  CHECK(ec == std::errc::operation_not_supported);
  CHECK_FALSE(board.registry.allocate({}, ImageRequest{.width = 1, .height = 1, .memory = {.name = "a\nb"}}, ec));
  CHECK(ec == std::errc::invalid_argument);
  std::string huge;
  try {
    (void)board.registry.allocate({}, ImageRequest{.width = 65535, .height = 65535, .formats = {Format::find("NV12")}});
  } catch (const sa::Error& error) {
    huge = error.what();
  }
  CHECK(huge.find("kernel interfaces count to 2147483647 in one buffer") != std::string::npos);
  CHECK(board.registry.allocate({}, ImageRequest{.width = 1, .height = 1}, ec)); // any format
  CHECK_FALSE(ec);
}

TEST_CASE("a device is asked once for a format and size, and a copy of it remembers") {
  const Device device = Device::described("accelerator", {}, {rule("R8", "stride-align=64")});
  CHECK(device.rules(Format::find("R8"), 4, 4).front().stride_align == 64);
  std::error_code ec;
  CHECK(device.rules(Format::find("NV12"), 4, 4, ec).empty());
  CHECK(ec == std::errc::operation_not_supported);
  CHECK(device.rules(Format{}, 4, 4, ec).empty());
  CHECK(ec == std::errc::invalid_argument);
  CHECK(Device{}.rules(Format::find("R8"), 4, 4, ec).empty());
  CHECK(ec == std::errc::invalid_argument);
  CHECK(to_string(device.info().role) == "described");
}

TEST_CASE("a heap of a selection of images gives those of the best layout, to be used again by a pool") {
  Board board;
  const Device camera = Device::described("camera", {}, {rule("NV12", "stride-align=256,buffers=separate"), rule("YUYV", "")});
  const sa::ImageSelection selection = board.registry.select_image(
      {camera}, {.width = 640, .height = 480, .formats = {Format::find("NV12"), Format::find("YUYV")}});
  const auto heap = sa::make_heap(selection);
  CHECK(heap->info().name == "dma-heap:system|cma:cma0");
  const sa::ImageLayout layout = selection.choices.front().layout;
  sa::Pool pool(heap);
  {
    const sa::Image image = pool.allocate(layout, {.name = "frame"});
    CHECK(image.layout() == layout);
    REQUIRE(image.buffers().size() == 2);
    CHECK(image.buffer(0).name() == "frame");
    CHECK(image.buffer(1).size() >= layout.sizes[1]);
    CHECK(image.buffer(1).heap() == "dma-heap:system");
  }
  CHECK(pool.statistics().free_buffers == 2);
  board.system->error = ENOMEM;
  CHECK(heap->allocate(layout).buffer(0).heap() == "cma:cma0");
  board.cma->error = EIO;
  const auto before = support::count();
  std::error_code ec;
  CHECK_FALSE(heap->allocate(layout, {}, ec));
  CHECK(ec == std::errc::io_error);
  CHECK_FALSE(heap->allocate(sa::ImageLayout{}, {}, ec));
  CHECK(ec == std::errc::invalid_argument);
  CHECK(support::leaked_since(before) == "");
  try {
    (void)sa::make_heap(board.registry.select_image({camera}, {.width = 640, .height = 480, .formats = {Format::find("NV21")}}));
    FAIL("not refused");
  } catch (const sa::Error& error) {
    CHECK(error.code() == std::errc::operation_not_supported);
    CHECK(std::string(error.what()).find("nothing suits") != std::string::npos);
  }
}
