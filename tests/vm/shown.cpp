// SPDX-License-Identifier: MIT
/// Linked to a program that shows pictures by drmModePageFlip(), with -Wl,--wrap=drmModePageFlip: writes what the display shows
/// as the PNG file that $SA_SHOWN names, once, when the program flips for the tenth time.
#include <cstdio>
#include <cstdlib>
#include <exception>

#include <png.h>
#include <xf86drmMode.h>

#include "vm/writeback.hpp"

extern "C" {
int __real_drmModePageFlip(int card, std::uint32_t crtc, std::uint32_t framebuffer, std::uint32_t flags, void* data);
int __wrap_drmModePageFlip(int card, std::uint32_t crtc, std::uint32_t framebuffer, std::uint32_t flags, void* data);
}

namespace {

constexpr unsigned flip_to_show = 10;

void show(const char* path, int card, std::uint32_t crtc) try {
  const writeback::Screen screen = writeback::read(card, crtc);
  png_image picture{};
  picture.version = PNG_IMAGE_VERSION;
  picture.width = screen.width;
  picture.height = screen.height;
  picture.format = PNG_FORMAT_RGB;
  if (::png_image_write_to_file(&picture, path, 0, screen.rgb.data(), 0, nullptr) == 0) {
    std::fprintf(stderr, "%s: %s\n", path, picture.message);
  }
} catch (const std::exception& error) {
  std::fprintf(stderr, "what the display shows: %s\n", error.what());
}

} // namespace

int __wrap_drmModePageFlip(int card, std::uint32_t crtc, std::uint32_t framebuffer, std::uint32_t flags, void* data) {
  static unsigned flips = 0;
  const char* const path = std::getenv("SA_SHOWN");
  if (++flips == flip_to_show && path != nullptr) {
    show(path, card, crtc); // the picture before this one
  }
  return __real_drmModePageFlip(card, crtc, framebuffer, flags, data);
}
