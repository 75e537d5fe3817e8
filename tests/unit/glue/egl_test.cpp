// SPDX-License-Identifier: MIT
/// glue/egl.hpp: the attributes that EGL is told of an image.
#include <doctest/doctest.h>

#include <map>
#include <utility>

#include <sa/glue/egl.hpp>

#include "support/counters.hpp"
#include "unit/glue/pictures.hpp"

namespace {

/// The list as EGL reads it: name and value by turns, to the end.
template <typename Number>
std::map<Number, Number> read(const Number* list) {
  std::map<Number, Number> attributes;
  for (; *list != EGL_NONE; list += 2) {
    CHECK_FALSE(attributes.contains(list[0]));
    attributes[list[0]] = list[1];
  }
  return attributes;
}

template <typename Number>
void tells_all_of_two_planes() {
  const support::Counts before = support::count();
  {
    sa::ImageLayout layout = sa::parse_layout(pictures::two_buffers);
    layout.modifier = 0x0a00000180000002;
    layout.colour = {.matrix = 9, .full_range = true};
    const sa::Image image = pictures::of(layout);
    const sa::egl::ImageAttributes<Number> attributes(image, sa::egl::Modifiers::Told);
    CHECK(attributes);
    CHECK(attributes.size() == 2 * 15);
    CHECK(attributes.data()[attributes.size()] == EGL_NONE);
    const auto low = static_cast<Number>(0x80000002U); // as many bits as the number has
    const std::map<Number, Number> expected{
        {EGL_WIDTH, 640},
        {EGL_HEIGHT, 480},
        {EGL_LINUX_DRM_FOURCC_EXT, 0x3231564e}, // 'N' 'V' '1' '2'
        {EGL_DMA_BUF_PLANE0_FD_EXT, image.buffer(0).fd()},
        {EGL_DMA_BUF_PLANE0_OFFSET_EXT, 64},
        {EGL_DMA_BUF_PLANE0_PITCH_EXT, 704},
        {EGL_DMA_BUF_PLANE0_MODIFIER_LO_EXT, low},
        {EGL_DMA_BUF_PLANE0_MODIFIER_HI_EXT, 0x0a000001},
        {EGL_DMA_BUF_PLANE1_FD_EXT, image.buffer(1).fd()},
        {EGL_DMA_BUF_PLANE1_OFFSET_EXT, 128},
        {EGL_DMA_BUF_PLANE1_PITCH_EXT, 768},
        {EGL_DMA_BUF_PLANE1_MODIFIER_LO_EXT, low},
        {EGL_DMA_BUF_PLANE1_MODIFIER_HI_EXT, 0x0a000001},
        {EGL_YUV_COLOR_SPACE_HINT_EXT, EGL_ITU_REC2020_EXT},
        {EGL_SAMPLE_RANGE_HINT_EXT, EGL_YUV_FULL_RANGE_EXT},
    };
    CHECK(read(attributes.data()) == expected);
    CHECK(image.buffer(0).fd() != image.buffer(1).fd());
  }
  CHECK(support::leaked_since(before) == "");
}

} // namespace

TEST_CASE("EGL is told of each plane its buffer, its offset, its pitch and its modifier, in either type of number") {
  tells_all_of_two_planes<EGLAttrib>();
  tells_all_of_two_planes<EGLint>();
}

TEST_CASE("planes of one buffer have one descriptor in EGL, and a display that knows no modifiers is told none") {
  const sa::Image image = pictures::of(pictures::three_planes);
  const sa::egl::ImageAttributes attributes(image, sa::egl::Modifiers::Untold);
  const auto told = read(attributes.data());
  CHECK(told.size() == 3 + 3 * 3);
  for (const EGLAttrib name : {EGL_DMA_BUF_PLANE0_FD_EXT, EGL_DMA_BUF_PLANE1_FD_EXT, EGL_DMA_BUF_PLANE2_FD_EXT}) {
    CHECK(told.at(name) == image.buffer(0).fd());
  }
  CHECK(told.at(EGL_DMA_BUF_PLANE2_OFFSET_EXT) == 640 * 480 + 320 * 240);
  CHECK(told.at(EGL_DMA_BUF_PLANE2_PITCH_EXT) == 320);
}

TEST_CASE("EGL is told nothing of an image that it cannot be told of") {
  const auto nothing = [](const sa::Image& image, sa::egl::Modifiers modifiers) {
    const sa::egl::ImageAttributes attributes(image, modifiers);
    return !attributes && attributes.size() == 0 && *attributes.data() == EGL_NONE;
  };
  CHECK(nothing({}, sa::egl::Modifiers::Told));
  CHECK(nothing(pictures::of("SRGGB8 64x64 planes=0+0/64*64 sizes=4096"), sa::egl::Modifiers::Told)); // DRM has no such format
  sa::ImageLayout tiled = sa::parse_layout(pictures::three_planes);
  tiled.modifier = 0x0100000000000001;
  CHECK(nothing(pictures::of(tiled), sa::egl::Modifiers::Untold));
  CHECK_FALSE(nothing(pictures::of(tiled), sa::egl::Modifiers::Told));
}

TEST_CASE("EGL gets the known colours of an image") {
  using sa::egl::colour_space_of;
  using sa::egl::sample_range_of;
  CHECK(colour_space_of({.matrix = 1}) == EGL_ITU_REC709_EXT);
  CHECK(colour_space_of({.matrix = 5}) == EGL_ITU_REC601_EXT);
  CHECK(colour_space_of({.matrix = 6}) == EGL_ITU_REC601_EXT);
  CHECK(colour_space_of({.matrix = 9}) == EGL_ITU_REC2020_EXT);
  CHECK(colour_space_of({.matrix = 0}) == EGL_NONE);
  CHECK(colour_space_of({}) == EGL_NONE);
  CHECK(sample_range_of({.matrix = 1}) == EGL_YUV_NARROW_RANGE_EXT);
  CHECK(sample_range_of({.matrix = 1, .full_range = true}) == EGL_YUV_FULL_RANGE_EXT);
  CHECK(sample_range_of({.full_range = true}) == EGL_YUV_FULL_RANGE_EXT);
  CHECK(sample_range_of({.matrix = 0, .full_range = true}) == EGL_NONE);
  CHECK(sample_range_of({}) == EGL_NONE);
}
