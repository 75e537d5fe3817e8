// SPDX-License-Identifier: MIT
/// Images for FFmpeg, beside what libavutil does with them.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <memory>

extern "C" {
#include <libavutil/imgutils.h>
#include <libavutil/mem.h>
#include <libavutil/pixdesc.h>
}

#include <sa/glue/ffmpeg.hpp>

#include "glue/images.hpp"
#include "support/counters.hpp"

namespace ffmpeg = sa::ffmpeg;

namespace {

/// AVBufferRef of an initialised frames context, on a device without a descriptor.
struct Unref {
  void operator()(AVBufferRef* ref) const { av_buffer_unref(&ref); }
};
using Ref = std::unique_ptr<AVBufferRef, Unref>;

Ref frames_of(const sa::ImageLayout& layout) {
  const Ref device(av_hwdevice_ctx_alloc(AV_HWDEVICE_TYPE_DRM));
  auto* const context = reinterpret_cast<AVHWDeviceContext*>(device->data);
  static_cast<AVDRMDeviceContext*>(context->hwctx)->fd = -1;
  REQUIRE(av_hwdevice_ctx_init(device.get()) == 0);
  Ref frames(av_hwframe_ctx_alloc(device.get()));
  ffmpeg::set_format(*reinterpret_cast<AVHWFramesContext*>(frames->data), layout);
  REQUIRE(av_hwframe_ctx_init(frames.get()) == 0);
  return frames;
}

} // namespace

TEST_CASE("a descriptor has an object for each buffer, and each plane where the layout has it") {
  for (const auto text : glue::layouts) {
    CAPTURE(text);
    const sa::Image image = glue::image_of(text);
    const sa::ImageLayout& layout = image.layout();
    const AVDRMFrameDescriptor said = ffmpeg::descriptor_of(image);
    REQUIRE(said.nb_objects == static_cast<int>(layout.buffer_count()));
    for (unsigned i = 0; i < layout.buffer_count(); ++i) {
      CHECK(said.objects[i].fd == image.buffer(i).fd());
      CHECK(said.objects[i].size == image.buffer(i).size());
      CHECK(said.objects[i].format_modifier == 0);
    }
    REQUIRE(said.nb_layers == 1);
    CHECK(said.layers[0].format == MKTAG('N', 'V', '1', '2'));
    REQUIRE(said.layers[0].nb_planes == 2);
    for (unsigned i = 0; i < 2; ++i) {
      CHECK(said.layers[0].planes[i].object_index == layout.planes[i].buffer);
      CHECK(said.layers[0].planes[i].offset == static_cast<std::ptrdiff_t>(layout.planes[i].offset));
      CHECK(said.layers[0].planes[i].pitch == static_cast<std::ptrdiff_t>(layout.planes[i].stride));
    }
  }
}

TEST_CASE("a descriptor has the modifier in each of its objects") {
  const sa::Image image = glue::image_of("NV12 64x32 planes=0+0/128*32,1+0/128*16 sizes=4096,2048 modifier=0x100000000000002");
  const AVDRMFrameDescriptor said = ffmpeg::descriptor_of(image);
  CHECK(said.objects[0].format_modifier == 0x100000000000002);
  CHECK(said.objects[1].format_modifier == 0x100000000000002);
}

TEST_CASE("an image that FFmpeg cannot say has a descriptor without objects, and no frame") {
  const int before = support::open_descriptors();
  {
    CHECK(ffmpeg::descriptor_of(sa::Image()).nb_objects == 0);
    auto bayer = std::make_shared<sa::Image>(glue::image_of("SRGGB8 64x32 planes=0+0/64*32 sizes=2048"));
    CHECK(ffmpeg::descriptor_of(*bayer).nb_objects == 0);
    std::error_code ec;
    CHECK(ffmpeg::frame_of(bayer, nullptr, ec) == nullptr);
    CHECK(ec == std::errc::operation_not_supported);
    CHECK_THROWS_WITH_AS(ffmpeg::frame_of(bayer), doctest::Contains("AVFrame of SRGGB8 64x32"), sa::Error);
    CHECK(ffmpeg::frame_of(nullptr, nullptr, ec) == nullptr);
    CHECK(ec == std::errc::bad_file_descriptor);
    CHECK(ffmpeg::frame_of(std::make_shared<sa::Image>(), nullptr, ec) == nullptr);
    CHECK(ec == std::errc::bad_file_descriptor);
    CHECK_THROWS_AS(ffmpeg::frame_of(nullptr), sa::Error);
  }
  CHECK(support::open_descriptors() == before);
}

TEST_CASE("FFmpeg maps the image of a frame, and the last mapping holds it") {
  for (const auto text : glue::layouts) {
    CAPTURE(text);
    const int before = support::open_descriptors();
    const Ref frames = frames_of(sa::parse_layout(text));
    bool given_back = false;
    auto* const image = new sa::Image(glue::image_of(text));
    glue::draw(*image);
    ffmpeg::Frame frame = ffmpeg::frame_of(std::shared_ptr<const sa::Image>(image,
                                                                            [&](const sa::Image* one) {
                                                                              given_back = true;
                                                                              delete one;
                                                                            }),
                                           frames.get());
    CHECK(frame->format == AV_PIX_FMT_DRM_PRIME);
    CHECK(frame->width == 64);
    CHECK(frame->height == 32);
    ffmpeg::Frame mapped(av_frame_alloc());
    mapped->format = AV_PIX_FMT_NV12;
    REQUIRE(av_hwframe_map(mapped.get(), frame.get(), AV_HWFRAME_MAP_READ) == 0);
    const ffmpeg::Frame another(av_frame_clone(mapped.get()));
    frame.reset();
    mapped.reset();
    CHECK(!given_back);
    {
      const sa::ImageAccess cpu = image->access(sa::Access::Read);
      for (unsigned plane = 0; plane < 2; ++plane) {
        for (std::uint32_t y = 0; y < cpu.plane(plane).size(); ++y) {
          const auto row = cpu.plane(plane)[y];
          CHECK(std::memcmp(row.data(), another->data[plane] + another->linesize[plane] * static_cast<int>(y), row.size()) == 0);
        }
      }
    }
    av_frame_unref(another.get());
    CHECK(given_back);
    CHECK(support::open_descriptors() == before);
  }
}

TEST_CASE("a frame has the colour of its image, as far as FFmpeg knows it") {
  const auto colours = [](std::string_view text) {
    auto image =
        std::make_shared<sa::Image>(glue::image_of("NV12 64x32 planes=0+0/64*32,0+2048/64*16 sizes=3072" + std::string(text)));
    return ffmpeg::frame_of(image);
  };
  const ffmpeg::Frame known = colours(" colour=9/16/9/1");
  CHECK(known->color_primaries == AVCOL_PRI_BT2020);
  CHECK(known->color_trc == AVCOL_TRC_SMPTE2084);
  CHECK(known->colorspace == AVCOL_SPC_BT2020_NCL);
  CHECK(known->color_range == AVCOL_RANGE_JPEG);
  CHECK(known->hw_frames_ctx == nullptr);
  const ffmpeg::Frame unknown = colours(" colour=250/250/250/0");
  CHECK(unknown->color_primaries == AVCOL_PRI_UNSPECIFIED);
  CHECK(unknown->color_trc == AVCOL_TRC_UNSPECIFIED);
  CHECK(unknown->colorspace == AVCOL_SPC_UNSPECIFIED);
  CHECK(unknown->color_range == AVCOL_RANGE_UNSPECIFIED);
}

TEST_CASE("a frame for which FFmpeg has no memory is an error, and lets go of the image") {
  auto image = std::make_shared<sa::Image>(glue::image_of(glue::layouts[0]));
  av_max_alloc(sizeof(AVFrame) - 1);
  std::error_code ec;
  CHECK(ffmpeg::frame_of(image, nullptr, ec) == nullptr);
  av_max_alloc(INT_MAX);
  CHECK(ec == std::errc::not_enough_memory);
  CHECK(image.use_count() == 1);
}

TEST_CASE("each name of FFmpeg's means the same bytes") {
  unsigned known = 0;
  for (const sa::Format format : sa::Format::all()) {
    const AVPixelFormat theirs = ffmpeg::pixel_format_of(format);
    CAPTURE(format.name());
    if (theirs == AV_PIX_FMT_NONE) {
      continue;
    }
    ++known;
    CHECK(ffmpeg::format_of(theirs) == format);
    CHECK(av_pix_fmt_count_planes(theirs) == static_cast<int>(format.plane_count()));
    sa::ImageLayout layout;
    layout.format = format;
    layout.width = 64;
    for (unsigned plane = 0; plane < format.plane_count(); ++plane) {
      CHECK(av_image_get_linesize(theirs, 64, static_cast<int>(plane)) == static_cast<int>(layout.row_bytes(plane)));
    }
  }
  CHECK(known == std::size(ffmpeg::pixel_formats));
  CHECK(ffmpeg::pixel_format_of(sa::Format()) == AV_PIX_FMT_NONE);
  CHECK(!ffmpeg::format_of(AV_PIX_FMT_DRM_PRIME));
}
