// SPDX-License-Identifier: MIT
/// Whether a picture of a compositor's output is the frame of that number as examples/pipelines/wayland.cpp draws it:
///     shown_frame PNG NUMBER
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <png.h>

int main(int argc, char** argv) {
  png_image picture{};
  picture.version = PNG_IMAGE_VERSION;
  if (argc != 3 || png_image_begin_read_from_file(&picture, argv[1]) == 0) {
    return std::fprintf(stderr, "no picture: %s\n", picture.message), 1;
  }
  picture.format = PNG_FORMAT_RGB;
  std::vector<png_byte> rgb(PNG_IMAGE_SIZE(picture));
  if (png_image_finish_read(&picture, nullptr, rgb.data(), 0, nullptr) == 0 || picture.width != 640 || picture.height != 480) {
    return std::fprintf(stderr, "%ux%u: %s\n", picture.width, picture.height, picture.message), 1;
  }
  const auto frame = static_cast<std::uint32_t>(std::atoi(argv[2]));
  for (std::uint32_t at = 0; at < 640 * 480; ++at) {
    const std::uint32_t x = at % 640;
    const std::uint32_t y = at / 640;
    const std::uint32_t drawn[3] = {x & 0xff, y & 0xff, (frame * 16 + (x >> 8) * 4 + (y >> 8)) & 0xff};
    for (std::uint32_t i = 0; i < 3; ++i) {
      if (rgb[std::size_t{at} * 3 + i] != drawn[i]) {
        return std::fprintf(stderr, "%u,%u: component %u is %u, not %u\n", x, y, i, rgb[std::size_t{at} * 3 + i], drawn[i]), 1;
      }
    }
  }
}
