// SPDX-License-Identifier: MIT
/// Images for libcamera, beside what it calls formats and makes of planes.
#include <doctest/doctest.h>

#include <string>

#include <fcntl.h>
#include <sys/stat.h>

#include <sa/glue/libcamera.hpp>

#include "glue/images.hpp"
#include "support/counters.hpp"

namespace camera = sa::libcamera;

namespace {

libcamera::StreamConfiguration configuration(libcamera::PixelFormat format, unsigned width, unsigned height, unsigned stride,
                                             unsigned frame_size) {
  libcamera::StreamConfiguration made;
  made.pixelFormat = format;
  made.size = {width, height};
  made.stride = stride;
  made.frameSize = frame_size;
  return made;
}

} // namespace

TEST_CASE("libcamera gives a format the name that the table gives it") {
  unsigned known = 0;
  for (const sa::Format format : sa::Format::all()) {
    const libcamera::PixelFormat theirs = camera::pixel_format_of(format);
    CAPTURE(format.name());
    REQUIRE(theirs.isValid());
    CHECK(camera::format_of(theirs) == format);
    std::string name = theirs.toString();
    if (name.starts_with('<')) {
      continue; // libcamera does not know DRM's code
    }
    ++known;
    if (const auto packed = name.find("_CSI2P"); packed != std::string::npos) {
      name = (name.starts_with('R') ? "Y10" : name.substr(0, packed)) + "P";
    }
    CHECK(name == format.name());
  }
  CHECK(known >= 50);
  CHECK(!camera::pixel_format_of(sa::Format()).isValid());
  CHECK(!camera::format_of(libcamera::formats::MJPEG));
  CHECK(!camera::format_of(libcamera::formats::SBGGR10_IPU3));
}

TEST_CASE("a modifier is DRM's, and packed formats of CSI-2 are linear") {
  constexpr std::uint64_t tiled = 0x100000000000002;
  CHECK(camera::pixel_format_of(sa::Format::find("NV12"), tiled).modifier() == tiled);
  CHECK(!camera::pixel_format_of(sa::Format::find("SRGGB8"), tiled).isValid());
  CHECK(camera::layout_of(configuration(libcamera::PixelFormat(libcamera::formats::NV12, tiled), 64, 32, 64, 3072)).modifier ==
        tiled);
  CHECK(camera::layout_of(configuration(libcamera::formats::SRGGB10_CSI2P, 64, 32, 80, 2560)).modifier == 0);
}

TEST_CASE("planes have a duplicate of each buffer's descriptor, which lives as long as they do") {
  for (const auto text : glue::layouts) {
    CAPTURE(text);
    const int before = support::open_descriptors();
    {
      sa::Image image = glue::image_of(text);
      const sa::ImageLayout layout = image.layout();
      const auto id = image.buffer_of(1).id();
      const int with_image = support::open_descriptors();
      auto planes = camera::planes_of(image);
      CHECK(support::open_descriptors() == with_image + static_cast<int>(layout.buffer_count()));
      REQUIRE(planes.size() == 2);
      for (unsigned i = 0; i < 2; ++i) {
        CHECK(planes[i].fd.get() != image.buffer_of(i).fd());
        CHECK((::fcntl(planes[i].fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
        CHECK(planes[i].offset == layout.planes[i].offset);
        CHECK(planes[i].length == layout.planes[i].stride * layout.planes[i].rows);
      }
      CHECK((planes[0].fd == planes[1].fd) == (layout.buffer_count() == 1));
      const libcamera::FrameBuffer buffer(planes);
      planes.clear();
      image = sa::Image();
      struct stat status {};
      REQUIRE(::fstat(buffer.planes()[1].fd.get(), &status) == 0);
      CHECK(status.st_ino == id->inode);
    }
    CHECK(support::open_descriptors() == before);
  }
}

TEST_CASE("a plane does not reach behind its buffer where the last row has no padding") {
  CHECK(camera::planes_of(glue::image_of("R8 64x32 planes=0+0/128*32 sizes=4032"))[0].length == 4032);
}

TEST_CASE("planes that cannot be had are an error, and no descriptor stays open") {
  std::error_code ec;
  CHECK(camera::planes_of(sa::Image(), ec).empty());
  CHECK(ec == std::errc::bad_file_descriptor);
  CHECK_THROWS_AS((void)camera::planes_of(sa::Image()), sa::Error);
  const sa::Image image = glue::image_of(glue::layouts[1]);
  const int before = support::open_descriptors();
  {
    const glue::NoDescriptors none;
    CHECK(camera::planes_of(image, ec).empty());
  }
  CHECK(ec == std::errc::too_many_files_open);
  CHECK(support::open_descriptors() == before);
}

TEST_CASE("the layout of a stream is what libcamera makes of its stride") {
  const auto text = [](const libcamera::StreamConfiguration& stream) { return sa::to_string(camera::layout_of(stream)); };
  namespace formats = libcamera::formats;
  CHECK(text(configuration(formats::NV12, 641, 481, 704, 0)) == "NV12 641x481 planes=0+0/704*481,0+338624/704*241 sizes=508288");
  CHECK(text(configuration(formats::YUV420, 64, 32, 96, 5000)) ==
        "YUV420 64x32 planes=0+0/96*32,0+3072/48*16,0+3840/48*16 sizes=5000");
  CHECK(text(configuration(formats::BGR888, 480, 360, 1440, 518400)) == "BGR888 480x360 planes=0+0/1440*360 sizes=518400");
  CHECK(!camera::layout_of(configuration(formats::MJPEG, 64, 32, 64, 4096)).format);
  CHECK(!camera::layout_of(configuration(formats::NV12, 64, 32, 0, 0)).format);
}

TEST_CASE("an image that a stream does not write as it lies is not taken for one") {
  const auto stream = configuration(libcamera::formats::NV12, 64, 32, 128, 6144);
  const auto holds = [&](std::string_view text) { return camera::holds(sa::parse_layout(text), stream); };
  CHECK(holds("NV12 64x32 planes=0+0/128*32,0+4096/128*16 sizes=6144"));
  CHECK(holds("NV12 60x30 planes=0+0/128*32,0+4096/128*16 sizes=8192"));
  CHECK(holds("NV12 64x32 planes=0+0/128*32,1+0/128*16 sizes=4096,2048"));
  CHECK(!holds("NV21 64x32 planes=0+0/128*32,0+4096/128*16 sizes=6144"));
  CHECK(!holds("NV12 66x32 planes=0+0/128*32,0+4096/128*16 sizes=6144"));
  CHECK(!holds("NV12 64x34 planes=0+0/128*34,0+4352/128*17 sizes=6528"));
  CHECK(!holds("NV12 64x32 planes=0+0/64*32,0+2048/64*16 sizes=6144"));
  CHECK(!holds("NV12 64x32 planes=0+0/128*33,0+4224/128*16 sizes=6272"));
  CHECK(!holds("NV12 64x32 planes=0+0/128*32,0+4096/128*16 sizes=6144 modifier=0x100000000000002"));
  CHECK(!holds("NV12 64x32 planes=0+0/128*32,1+64/128*16 sizes=4096,2112"));
  CHECK(!holds("NV12 64x30 planes=0+0/128*30,1+0/128*15 sizes=3840,1920"));
  CHECK(!holds("NV12 64x32 planes=1+0/128*32,0+0/128*16 sizes=4096,4096"));
  CHECK(!camera::holds(sa::ImageLayout(), libcamera::StreamConfiguration()));
  const auto grey = configuration(libcamera::formats::R8, 64, 32, 64, 4096);
  CHECK(camera::holds(sa::parse_layout("R8 64x32 planes=0+0/64*32 sizes=4096"), grey));
  CHECK(!camera::holds(sa::parse_layout("R8 64x33 planes=0+0/64*33 sizes=4096"), grey));
  CHECK(!camera::holds(sa::parse_layout("R8 64x32 planes=0+0/128*32 sizes=4096"), grey));
  CHECK(!camera::holds(sa::parse_layout("R8 64x32 planes=0+0/64*32 sizes=2048"), grey));
}
