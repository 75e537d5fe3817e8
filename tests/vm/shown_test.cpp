// SPDX-License-Identifier: MIT
/// The example of a camera and a display: what the display shows is what the camera saw.
#include <doctest/doctest.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <linux/videodev2.h>
#include <png.h>

#include "paths.hpp"
#include "vm/guest.hpp"
#include "vm/importers.hpp"
#include "vm/pixels.hpp"
#include "vm/video.hpp"

namespace {

/// What is wrong with the colour bars in a picture file, below vivid's text; empty: nothing.
std::string wrong_in(const std::string& path) {
  png_image file{};
  file.version = PNG_IMAGE_VERSION;
  REQUIRE(::png_image_begin_read_from_file(&file, path.c_str()) != 0);
  file.format = PNG_FORMAT_RGB;
  const unsigned width = file.width;
  const unsigned height = file.height;
  std::vector<std::uint8_t> rgb(PNG_IMAGE_SIZE(file));
  REQUIRE(::png_image_finish_read(&file, nullptr, rgb.data(), 0, nullptr) != 0);
  std::printf("the display shows %ux%u pixels\n", width, height);
  for (unsigned y = height / 2; y < height; ++y) {
    for (unsigned x = 0; x < width; ++x) {
      const unsigned bar = x * 8 / width;
      const std::uint8_t* at = &rgb[(std::size_t{y} * width + x) * 3];
      const pixels::Rgb is{at[0], at[1], at[2]};
      // One to one: a bar begins at its very pixel.
      if (!pixels::close(is, pixels::bar_of_vivid(bar, false), 1)) {
        return "pixel " + std::to_string(x) + "," + std::to_string(y) + " is " + to_string(is);
      }
    }
  }
  return {};
}

} // namespace

TEST_CASE("the picture of a camera is what a second process's display shows") {
  guest::load("vivid");
  auto cameras = video::nodes("vivid", V4L2_CAP_VIDEO_CAPTURE);
  for (const auto& node : video::nodes("vivid", V4L2_CAP_VIDEO_CAPTURE_MPLANE)) {
    cameras.push_back(node);
  }
  REQUIRE(!cameras.empty());
  for (const std::string& camera : cameras) {
    for (const std::string& card : guest::cards()) {
      if (importers::card_driver(card) != "vkms") {
        continue;
      }
      const std::string picture = "/tmp/shown.png";
      std::remove(picture.c_str());
      const std::string command = "SA_SHOWN=" + picture + " " CAMERA_TO_SHOWN " " + camera + " /dev/dri/" + card + " 12";
      INFO(command);
      REQUIRE(std::system(command.c_str()) == 0);
      CHECK(wrong_in(picture) == "");
    }
  }
}
