// SPDX-License-Identifier: MIT
/// Images for PipeWire, and of what it brings.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include <sa/glue/pipewire.hpp>

#include <spa/param/video/raw-types.h>

#include "glue/images.hpp"
#include "support/counters.hpp"

namespace pipewire = sa::pipewire;

namespace {

constexpr std::uint32_t everything = 1U << SPA_DATA_MemPtr | 1U << SPA_DATA_MemFd | 1U << SPA_DATA_DmaBuf;

/// A buffer as a stream with PW_STREAM_FLAG_ALLOC_BUFFERS gets it.
struct Slot {
  explicit Slot(unsigned blocks, std::uint32_t mask = everything) : chunks(blocks), datas(blocks) {
    for (unsigned i = 0; i < blocks; ++i) {
      datas[i].type = mask;
      datas[i].fd = -1;
      datas[i].chunk = &chunks[i];
    }
    buffer.n_datas = blocks;
    buffer.datas = datas.data();
  }
  std::vector<spa_chunk> chunks;
  std::vector<spa_data> datas;
  spa_buffer buffer{};
};

std::error_code import_error(const Slot& slot, const spa_video_info_raw& info) {
  std::error_code ec;
  CHECK(!pipewire::import(slot.buffer, info, ec));
  CHECK_THROWS_AS((void)pipewire::import(slot.buffer, info), sa::Error);
  return ec;
}

} // namespace

TEST_CASE("PipeWire's name of a format is GStreamer's, and there is no other") {
  for (const sa::Format format : sa::Format::all()) {
    CAPTURE(format.name());
    std::uint32_t theirs = SPA_VIDEO_FORMAT_UNKNOWN;
    for (const spa_type_info* one = spa_type_video_format; one->name != nullptr; ++one) {
      const std::string_view name(one->name);
      if (name.substr(name.rfind(':') + 1) == format.info().gstreamer) {
        theirs = one->type;
      }
    }
    CHECK(pipewire::video_format_of(format) == theirs);
    if (theirs != SPA_VIDEO_FORMAT_UNKNOWN) {
      CHECK(pipewire::format_of(static_cast<spa_video_format>(theirs)) == format);
    }
  }
  CHECK(pipewire::video_format_of(sa::Format()) == SPA_VIDEO_FORMAT_UNKNOWN);
  CHECK(!pipewire::format_of(SPA_VIDEO_FORMAT_ENCODED));
}

TEST_CASE("a slot gets the image's memory, and each plane where the layout has it") {
  for (const auto text : glue::layouts) {
    CAPTURE(text);
    const sa::Image image = glue::image_of(text);
    const sa::ImageLayout& layout = image.layout();
    const bool dma_buf = image.buffer(0).traits().contains(sa::Trait::DmaBuf);
    CHECK(pipewire::data_type_of(image) == (dma_buf ? SPA_DATA_DmaBuf : SPA_DATA_MemFd));
    const Slot slot(2);
    REQUIRE(pipewire::offer(slot.buffer, image));
    for (unsigned i = 0; i < 2; ++i) {
      CHECK(slot.datas[i].type == static_cast<std::uint32_t>(dma_buf ? SPA_DATA_DmaBuf : SPA_DATA_MemFd));
      CHECK(slot.datas[i].flags == SPA_DATA_FLAG_READWRITE);
      CHECK(slot.datas[i].fd == image.buffer_of(i).fd());
      CHECK(slot.datas[i].mapoffset == 0);
      CHECK(slot.datas[i].maxsize == image.buffer_of(i).size());
      CHECK(slot.datas[i].data == nullptr);
      CHECK(slot.chunks[i].offset == layout.planes[i].offset);
      CHECK(slot.chunks[i].size == layout.planes[i].stride * layout.planes[i].rows);
      CHECK(slot.chunks[i].stride == static_cast<std::int32_t>(layout.planes[i].stride));
    }
  }
  const spa_video_info_raw info = pipewire::info_of(sa::parse_layout(glue::layouts[0]));
  CHECK(info.format == SPA_VIDEO_FORMAT_NV12);
  CHECK(info.size.width == 64);
  CHECK(info.size.height == 32);
  CHECK(info.flags == SPA_VIDEO_FLAG_NONE);
}

TEST_CASE("the last row of a plane may be without its padding, and its chunk does not reach behind the buffer") {
  const sa::Image image = glue::image_of("R8 64x32 planes=0+0/128*32 sizes=4032");
  const Slot slot(1);
  REQUIRE(pipewire::offer(slot.buffer, image));
  CHECK(slot.chunks[0].size == 4032);
}

TEST_CASE("a slot that cannot have the image is left as it was") {
  const sa::Image image = glue::image_of(glue::layouts[0]);
  const auto refused = [](const Slot& slot, const sa::Image& offered) {
    const bool did = pipewire::offer(slot.buffer, offered);
    return !did && slot.datas[0].fd == -1 && slot.datas[0].type == slot.datas.back().type && slot.chunks[0].stride == 0;
  };
  CHECK(refused(Slot(1), image));
  CHECK(refused(Slot(3), image));
  CHECK(refused(Slot(2, 1U << SPA_DATA_MemPtr), image));
  CHECK(refused(Slot(2), sa::Image()));
  CHECK(pipewire::data_type_of(sa::Image()) == SPA_DATA_Invalid);
}

TEST_CASE("the image in a slot is the one that was offered, and outlives it") {
  for (const auto text : glue::layouts) {
    CAPTURE(text);
    const int before = support::open_descriptors();
    {
      sa::Image image = glue::image_of(text);
      glue::draw(image);
      const sa::ImageLayout layout = image.layout();
      const Slot slot(2);
      REQUIRE(pipewire::offer(slot.buffer, image));
      const sa::Image imported = pipewire::import(slot.buffer, pipewire::info_of(layout));
      REQUIRE(imported.buffers().size() == layout.buffer_count());
      for (unsigned i = 0; i < layout.buffer_count(); ++i) {
        CHECK(imported.buffer(i).id() == image.buffer(i).id());
        CHECK(imported.buffer(i).fd() != image.buffer(i).fd());
      }
      image = sa::Image();
      CHECK(imported.layout().planes == layout.planes);
      CHECK(imported.layout().format == layout.format);
      CHECK(imported.layout().width == 64);
      CHECK(imported.layout().height == 32);
      const sa::ImageAccess cpu = imported.access(sa::Access::Read);
      CHECK(cpu.plane(1)[15][63] == static_cast<std::byte>(100 + 15 * 3 + 63));
      CHECK(cpu.plane(0)[31][0] == static_cast<std::byte>(31 * 3));
    }
    CHECK(support::open_descriptors() == before);
  }
}

TEST_CASE("planes of one memory share a buffer, whatever their descriptors' numbers are") {
  const sa::Image image = glue::image_of(glue::layouts[0]);
  Slot slot(2);
  REQUIRE(pipewire::offer(slot.buffer, image));
  const sa::UniqueFd another = image.buffer(0).dup();
  slot.datas[1].fd = another.get();
  const sa::Image imported = pipewire::import(slot.buffer, pipewire::info_of(image.layout()));
  CHECK(imported.buffers().size() == 1);
  CHECK(imported.layout().planes[1].buffer == 0);
}

TEST_CASE("planes in one block follow from the first, as a V4L2 camera lays them out") {
  const sa::Image image = glue::image_of("YUV420 64x31 planes=0+0/96*31,0+2976/48*16,0+3744/48*16 sizes=4512");
  Slot slot(1);
  slot.datas[0].type = pipewire::data_type_of(image);
  slot.datas[0].fd = image.buffer(0).fd();
  slot.datas[0].mapoffset = 0;
  slot.chunks[0].stride = 96;
  const sa::Image imported = pipewire::import(slot.buffer, pipewire::info_of(image.layout()));
  CHECK(imported.layout().planes == image.layout().planes);
  slot.datas[0].mapoffset = 64;
  slot.chunks[0].offset = 32;
  const sa::Image later = pipewire::import(slot.buffer, pipewire::info_of(image.layout()));
  CHECK(later.layout().planes[0].offset == 96);
  CHECK(later.layout().planes[2].offset == 96 + 3744);
}

TEST_CASE("a modifier goes both ways") {
  const sa::Image image = glue::image_of("XRGB8888 64x32 planes=0+0/256*32 sizes=8192 modifier=0x100000000000002");
  const spa_video_info_raw info = pipewire::info_of(image.layout());
  CHECK(info.modifier == 0x100000000000002);
  CHECK(info.flags == SPA_VIDEO_FLAG_MODIFIER);
  const Slot slot(1);
  REQUIRE(pipewire::offer(slot.buffer, image));
  CHECK(pipewire::import(slot.buffer, info).layout().modifier == 0x100000000000002);
}

TEST_CASE("a slot that holds no image is an error, and no descriptor stays open") {
  const sa::Image image = glue::image_of(glue::layouts[1]);
  const spa_video_info_raw info = pipewire::info_of(image.layout());
  const int before = support::open_descriptors();
  const auto offered = [&] {
    Slot slot(2);
    REQUIRE(pipewire::offer(slot.buffer, image));
    return slot;
  };
  {
    spa_video_info_raw unknown = info;
    unknown.format = SPA_VIDEO_FORMAT_v308;
    const Slot slot = offered();
    CHECK(import_error(slot, unknown) == std::errc::operation_not_supported);
    unknown = info;
    unknown.format = SPA_VIDEO_FORMAT_I420;
    CHECK(import_error(slot, unknown) == std::errc::invalid_argument); // three planes in two blocks
    unknown = info;
    unknown.size.height = 4096;
    CHECK(import_error(slot, unknown) == std::errc::invalid_argument);
  }
  Slot slot = offered();
  slot.datas[1].type = SPA_DATA_MemPtr;
  CHECK(import_error(slot, info) == std::errc::operation_not_supported);
  slot = offered();
  slot.datas[1].fd = 999;
  CHECK(import_error(slot, info) == std::errc::bad_file_descriptor);
  slot = offered();
  slot.chunks[1].stride = -192;
  CHECK(import_error(slot, info) == std::errc::invalid_argument);
  slot = offered();
  slot.chunks[1].offset = 0x7fffffff;
  CHECK(import_error(slot, info) == std::errc::invalid_argument);
  slot = offered();
  {
    const glue::NoDescriptors none;
    CHECK(import_error(slot, info) == std::errc::too_many_files_open);
  }
  Slot three(3);
  std::copy(slot.datas.begin(), slot.datas.end(), three.datas.begin());
  CHECK(import_error(three, info) == std::errc::invalid_argument);
  sa::Image row = glue::image_of("R8 64x1 planes=0+0/64*1 sizes=64");
  Slot upwards(1);
  REQUIRE(pipewire::offer(upwards.buffer, row));
  upwards.chunks[0].stride = -64;
  CHECK(import_error(upwards, pipewire::info_of(row.layout())) == std::errc::invalid_argument);
  row = sa::Image();
  CHECK(support::open_descriptors() == before);
}
