// SPDX-License-Identifier: MIT
/// Images: their import, and the CPU's access by rows.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <sa/error.hpp>
#include <sa/image.hpp>
#include <sa/registry.hpp>

#include "support/counters.hpp"
#include "unit/page.hpp"

using sa::Image;
using sa::ImageLayout;

namespace {

std::vector<sa::DmaBuf> buffers_of(std::initializer_list<std::size_t> sizes) {
  std::vector<sa::DmaBuf> buffers;
  for (const std::size_t size : sizes) {
    buffers.push_back(sa::Registry::system().allocate("memfd:4k", {.size = size}));
  }
  return buffers;
}

} // namespace

TEST_CASE("an image is written and read by rows, and its padding is left alone") {
  for (const char* text : {"NV12 641x481 planes=0+0/1024*482,0+493568/1024*241 sizes=740352",
                           "NV12 641x481 planes=0+64/704*482,1+0/768*241 sizes=339392,185088"}) {
    CAPTURE(text);
    const ImageLayout layout = sa::parse_layout(text);
    std::vector<sa::DmaBuf> buffers;
    for (unsigned i = 0; i < layout.buffer_count(); ++i) {
      buffers.push_back(sa::Registry::system().allocate("memfd:4k", {.size = static_cast<std::size_t>(layout.sizes[i])}));
    }
    const Image image = Image::import(layout, std::move(buffers));
    REQUIRE(image);
    CHECK(&image.buffer_of(1) == &image.buffer(layout.buffer_count() - 1));
    {
      const sa::ImageAccess cpu = image.access(sa::Access::Write);
      unsigned rows = 0;
      for (unsigned plane = 0; plane < 2; ++plane) {
        for (const auto row : cpu.plane(plane)) {
          CHECK(row.size() == (plane == 0 ? 641 : 642));
          std::ranges::fill(row, std::byte{0xff});
          ++rows;
        }
      }
      CHECK(rows == 481 + 241);
      CHECK(cpu.plane(0).size() == 481);
      CHECK(cpu.plane(2).size() == 0);
    }
    const sa::ImageAccess cpu = image.access(sa::Access::Read);
    std::size_t written = 0;
    for (const sa::DmaBuf& buffer : image.buffers()) {
      const sa::CpuAccess bytes = buffer.access(sa::Access::Read);
      written += static_cast<std::size_t>(std::ranges::count(bytes.bytes(), std::byte{0xff}));
    }
    CHECK(written == 641U * 481 + 642U * 241);
    CHECK(cpu.plane(0)[480].back() == std::byte{0xff});
    CHECK(cpu.plane(1)[240].data() == cpu.plane(1).data() + cpu.plane(1).stride() * 240);
  }
}

TEST_CASE("an image is not made of buffers that its layout does not lie in") {
  const ImageLayout two = sa::parse_layout("NV12 64x64 planes=0+0/64*64,1+0/64*32 sizes=4096,2048");
  const std::string rows = std::to_string(unit::page / 64 + 1); // one more than a page has
  const std::string needed = std::to_string(unit::page + 64);
  const ImageLayout one = sa::parse_layout("R8 64x" + rows + " planes=0+0/64*" + rows + " sizes=" + needed);
  const support::Counts before = support::count();
  const auto refused = [](const ImageLayout& layout, std::vector<sa::DmaBuf> buffers) -> std::string {
    try {
      (void)Image::import(layout, std::move(buffers));
      return {};
    } catch (const sa::Error& error) {
      CHECK(error.code() == std::errc::invalid_argument);
      return error.what();
    }
  };
  CHECK(refused(one, buffers_of({4096})) ==
        "import an image: buffer 0 has " + std::to_string(unit::page) + " bytes, and the layout needs " + needed);
  CHECK(refused(two, buffers_of({4096})) == "import an image: 1 buffers are given, and the layout has 2");
  CHECK(refused(two, buffers_of({4096, 4096, 4096})) == "import an image: 3 buffers are given, and the layout has 2");
  CHECK(refused(two, {}) == "import an image: 0 buffers are given, and the layout has 2");
  CHECK_FALSE(refused(two,
                      [] {
                        auto buffers = buffers_of({4096, 4096});
                        buffers[1].reset();
                        return buffers;
                      }())
                  .empty());
  CHECK_FALSE(refused({}, {}).empty());
  ImageLayout wrong = two;
  wrong.planes[1].offset = ~std::uint64_t{0};
  CHECK_FALSE(refused(wrong, buffers_of({4096, 4096})).empty());
  wrong = two;
  wrong.planes[1].buffer = 200;
  CHECK_FALSE(refused(wrong, buffers_of({4096, 4096})).empty());
  wrong = two;
  wrong.planes[3].rows = 1;
  CHECK_FALSE(refused(wrong, buffers_of({4096, 4096})).empty());
  CHECK(refused(two, buffers_of({4096, 4096})).empty());
  CHECK(support::leaked_since(before) == "");
}

TEST_CASE("the same buffers can be looked at in another layout, if it lies in them") {
  sa::ImageLayout layout = sa::parse_layout("R8 64x32 planes=0+0/64*32 sizes=2048");
  Image image = Image::import(layout, buffers_of({4096}));
  image.access(sa::Access::Write).end();
  layout.planes[0].offset = 128; // a camera's data_offset
  std::error_code ec;
  image.set_layout(layout, ec);
  CHECK(ec == std::errc::invalid_argument); // 2048 bytes, as it says, are too few
  CHECK(image.layout().planes[0].offset == 0);
  layout.sizes[0] = 2048 + 128;
  const sa::ImageAccess before = image.access(sa::Access::Read);
  image.set_layout(layout);
  const sa::ImageAccess after = image.access(sa::Access::Read);
  CHECK(after.plane(0).data() == before.plane(0).data() + 128);
  layout.sizes[0] = unit::page + 1;
  CHECK_THROWS_AS(image.set_layout(layout), sa::Error);
  CHECK(image.layout().sizes[0] == 2048 + 128);
  Image{}.set_layout(layout, ec);
  CHECK(ec == std::errc::bad_file_descriptor);
}

TEST_CASE("an empty image has no rows and says so") {
  Image image;
  CHECK_FALSE(image);
  std::error_code ec;
  CHECK_FALSE(image.access(sa::Access::Read, ec));
  CHECK(ec == std::errc::bad_file_descriptor);
  sa::ImageAccess none;
  CHECK(none.plane(0).size() == 0);
  CHECK(none.plane(0).begin() == none.plane(0).end());
  none.end(ec);
  CHECK(ec == std::errc::bad_file_descriptor);
  image = Image::import(sa::parse_layout("R8 64x64 planes=0+0/64*64 sizes=4096"), buffers_of({4096}));
  sa::ImageAccess access = image.access(sa::Access::ReadWrite);
  CHECK(access.plane(0).size() == 64);
  access.end();
  CHECK_FALSE(access);
  CHECK(image.release().size() == 1);
  CHECK_FALSE(image);
}
