// SPDX-License-Identifier: MIT
/// The table of formats, beside the kernel's own headers.
#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <type_traits>

#include <linux/videodev2.h>

#include <sa/format.hpp>

#if __has_include(<drm_fourcc.h>)
#include <drm_fourcc.h>
#endif

using sa::DrmFourcc;
using sa::Format;
using sa::V4l2Fourcc;

static_assert(!std::is_convertible_v<DrmFourcc, V4l2Fourcc> && !std::is_convertible_v<V4l2Fourcc, DrmFourcc>);
static_assert(!std::is_convertible_v<std::uint32_t, DrmFourcc> && !std::is_constructible_v<DrmFourcc, V4l2Fourcc>);

TEST_CASE("one code means two formats, and its type says which") {
  const std::uint32_t code = sa::fourcc("RG16");
  CHECK(Format::find(DrmFourcc{code}).name() == "RGB565");
  CHECK(Format::find(V4l2Fourcc{code}).name() == "SRGGB16");
  CHECK(Format::find("drm:RG16").name() == "RGB565");
  CHECK(Format::find("v4l2:RG16").name() == "SRGGB16");
  CHECK(Format::find("drm:BA12") == Format{}); // BGRA4444, which the table does not have
  CHECK(Format::find("v4l2:BA12").name() == "SGRBG12");
}

TEST_CASE("the table's codes are those of the kernel's headers") {
  const auto v4l2 = [](std::uint32_t code) { return Format::find(V4l2Fourcc{code}).name(); };
  CHECK(v4l2(V4L2_PIX_FMT_NV12) == "NV12");
  CHECK(v4l2(V4L2_PIX_FMT_NV12M) == "NV12");
  CHECK(v4l2(V4L2_PIX_FMT_NV21M) == "NV21");
  CHECK(v4l2(V4L2_PIX_FMT_NV16M) == "NV16");
  CHECK(v4l2(V4L2_PIX_FMT_NV61M) == "NV61");
  CHECK(v4l2(V4L2_PIX_FMT_YUV420) == "YUV420");
  CHECK(v4l2(V4L2_PIX_FMT_YUV420M) == "YUV420");
  CHECK(v4l2(V4L2_PIX_FMT_YVU420M) == "YVU420");
  CHECK(v4l2(V4L2_PIX_FMT_YUV422P) == "YUV422");
  CHECK(v4l2(V4L2_PIX_FMT_YUV422M) == "YUV422");
  CHECK(v4l2(V4L2_PIX_FMT_YVU422M) == "YVU422");
  CHECK(v4l2(V4L2_PIX_FMT_YUV444M) == "YUV444");
  CHECK(v4l2(V4L2_PIX_FMT_YVU444M) == "YVU444");
  CHECK(v4l2(V4L2_PIX_FMT_RGB24) == "BGR888"); // named by bytes there, by the little-endian number here
  CHECK(v4l2(V4L2_PIX_FMT_BGR24) == "RGB888");
  CHECK(v4l2(V4L2_PIX_FMT_RGB565) == "RGB565");
  CHECK(v4l2(V4L2_PIX_FMT_XBGR32) == "XRGB8888");
  CHECK(v4l2(V4L2_PIX_FMT_ABGR32) == "ARGB8888");
  CHECK(v4l2(V4L2_PIX_FMT_RGBX32) == "XBGR8888");
  CHECK(v4l2(V4L2_PIX_FMT_RGBA32) == "ABGR8888");
  CHECK(v4l2(V4L2_PIX_FMT_BGRX32) == "RGBX8888");
  CHECK(v4l2(V4L2_PIX_FMT_BGRA32) == "RGBA8888");
  CHECK(v4l2(V4L2_PIX_FMT_XRGB32) == "BGRX8888");
  CHECK(v4l2(V4L2_PIX_FMT_ARGB32) == "BGRA8888");
  CHECK(v4l2(V4L2_PIX_FMT_YUYV) == "YUYV");
  CHECK(v4l2(V4L2_PIX_FMT_GREY) == "R8");
  CHECK(v4l2(V4L2_PIX_FMT_Y10) == "R10");
  CHECK(v4l2(V4L2_PIX_FMT_Y12) == "R12");
  CHECK(v4l2(V4L2_PIX_FMT_Y16) == "R16");
  CHECK(v4l2(V4L2_PIX_FMT_Y10P) == "Y10P");
  CHECK(v4l2(V4L2_PIX_FMT_SBGGR8) == "SBGGR8");
  CHECK(v4l2(V4L2_PIX_FMT_SGRBG10) == "SGRBG10");
  CHECK(v4l2(V4L2_PIX_FMT_SGBRG10P) == "SGBRG10P");
  CHECK(v4l2(V4L2_PIX_FMT_SRGGB12P) == "SRGGB12P");
  CHECK(v4l2(V4L2_PIX_FMT_SBGGR16) == "SBGGR16");
  CHECK(v4l2(V4L2_PIX_FMT_SGRBG16) == "SGRBG16");
#ifdef DRM_FORMAT_XRGB8888
  const auto drm = [](std::uint32_t code) { return Format::find(DrmFourcc{code}).name(); };
  CHECK(drm(DRM_FORMAT_XRGB8888) == "XRGB8888");
  CHECK(drm(DRM_FORMAT_BGRA8888) == "BGRA8888");
  CHECK(drm(DRM_FORMAT_RGB565) == "RGB565");
  CHECK(drm(DRM_FORMAT_BGR888) == "BGR888");
  CHECK(drm(DRM_FORMAT_NV15) == "NV15");
  CHECK(drm(DRM_FORMAT_P010) == "P010");
  CHECK(drm(DRM_FORMAT_YUV422) == "YUV422");
  CHECK(drm(DRM_FORMAT_YVU444) == "YVU444");
  CHECK(drm(DRM_FORMAT_R8) == "R8");
  CHECK(drm(DRM_FORMAT_R16) == "R16");
#endif
}

TEST_CASE("every format is found by each of its names, and nothing by none") {
  CHECK(Format::all().size() > 50);
  for (const Format format : Format::all()) {
    const sa::FormatInfo& info = format.info();
    CAPTURE(info.name);
    CHECK(Format::find(info.name) == format);
    CHECK((info.gstreamer.empty() || Format::find(info.gstreamer) == format));
    CHECK((!info.drm || Format::find(info.drm) == format));
    CHECK((!info.v4l2 || Format::find(info.v4l2) == format));
    CHECK((!info.v4l2_split || Format::find(info.v4l2_split) == format));
    CHECK((info.drm || info.v4l2 || info.v4l2_split));
    CHECK(info.plane_count >= 1);
    CHECK((!info.v4l2_split || info.plane_count > 1));
    for (unsigned plane = 0; plane < 4; ++plane) {
      CHECK((info.planes[plane].bytes != 0) == (plane < info.plane_count));
      CHECK(info.width_step % info.planes[plane].hsub == 0);
      CHECK(info.height_step % info.planes[plane].vsub == 0);
    }
  }
  for (const std::string_view none : {"", "nv12", "NV12 ", "NM12", "drm:", "v4l2:", "drm:NV12x", "0"}) {
    CAPTURE(none);
    CHECK_FALSE(Format::find(none));
  }
  CHECK_FALSE(Format::find(DrmFourcc{}));
  CHECK_FALSE(Format::find(V4l2Fourcc{}));
  CHECK(Format{}.name().empty());
  CHECK(Format{}.plane_count() == 0);
}

TEST_CASE("codes are written as their letters") {
  CHECK(to_string(DrmFourcc{sa::fourcc("NV12")}) == "NV12");
  CHECK(to_string(DrmFourcc{sa::fourcc("R8")}) == "R8");
  CHECK(to_string(V4l2Fourcc{V4L2_PIX_FMT_RGB565X}) == "RGBR");
  CHECK(to_string(V4l2Fourcc{V4L2_PIX_FMT_Y16_BE}) == "Y16-BE");
  CHECK(to_string(V4l2Fourcc{0x01020304}) == "0x01020304");
  CHECK(to_string(DrmFourcc{}) == "-");
}
