// SPDX-License-Identifier: MIT
/// Images of ours through FFmpeg: mapped as DRM frames, which copies nothing, converted by swscale, encoded, and decoded again to
/// compare.   ffmpeg [FILE.m1v [FRAMES]]   writes a film that any player shows; needs no device.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

extern "C" {
#include <libavcodec/avcodec.h>
#include <libswscale/swscale.h>
}

#include <sa/glue/ffmpeg.hpp>
#include <sa/sa.hpp>

constexpr int width = 640, height = 480;
static void require(int result, const char* what) {
  if (char reason[AV_ERROR_MAX_STRING_SIZE] = ""; result < 0) {
    av_strerror(result, reason, sizeof reason);
    throw std::runtime_error(std::string(what) + ": " + reason);
  }
}

/// The picture: a moving ramp of luma (plane 0), and a chroma that changes from frame to frame (1 and 2).
static int drawn(int plane, int x, int y, int frame) {
  return plane == 0 ? 16 + (x / 4 + y / 8 + frame * 4) % 128 : plane == 1 ? 96 + frame % 32 : 160 - frame % 32;
}

/// A frame of NV12 in memory of a heap, drawn by rows: a plane of luma, and one of both chromas side by side.
static std::shared_ptr<const sa::Image> draw(int frame) {
  const sa::ImageRequest request{.width = width, .height = height, .formats = {sa::Format::find("NV12")}};
  auto image = std::make_shared<sa::Image>(sa::Registry::system().allocate(std::vector<sa::Device>{}, request));
  const sa::ImageAccess cpu = image->access(sa::Access::Write);
  for (unsigned plane = 0; plane < 2; ++plane) {
    int y = 0;
    for (const auto row : cpu.plane(plane)) {
      for (int x = 0; x < width; ++x) {
        row[static_cast<std::size_t>(x)] = static_cast<std::byte>(drawn(plane == 0 ? 0 : 1 + x % 2, x, y, frame));
      }
      ++y;
    }
  }
  return image;
}

/// Makes the frames context that a map needs, on a DRM device without a descriptor.
static AVBufferRef* frames_of(const sa::ImageLayout& layout) {
  AVBufferRef* device = av_hwdevice_ctx_alloc(AV_HWDEVICE_TYPE_DRM);
  static_cast<AVDRMDeviceContext*>(reinterpret_cast<AVHWDeviceContext*>(device->data)->hwctx)->fd = -1;
  require(av_hwdevice_ctx_init(device), "av_hwdevice_ctx_init");
  AVBufferRef* frames = av_hwframe_ctx_alloc(device);
  sa::ffmpeg::set_format(*reinterpret_cast<AVHWFramesContext*>(frames->data), layout);
  require(av_hwframe_ctx_init(frames), "av_hwframe_ctx_init");
  av_buffer_unref(&device); // the frames hold it
  return frames;
}

/// The mean difference between what came out and what went in, of the plane where it is largest.
static double difference(const AVFrame& decoded, int frame) {
  double sums[3] = {};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int plane = 0; plane < 3; ++plane) {
        const int at = plane == 0 ? y * decoded.linesize[0] + x : y / 2 * decoded.linesize[plane] + x / 2;
        sums[plane] += std::abs(decoded.data[plane][at] - drawn(plane, x, y, frame));
      }
    }
  }
  return *std::max_element(std::begin(sums), std::end(sums)) / (width * height);
}

static AVCodecContext* open(const AVCodec* codec) {
  AVCodecContext* context = avcodec_alloc_context3(codec);
  context->width = width;
  context->height = height;
  context->pix_fmt = AV_PIX_FMT_YUV420P;
  context->time_base = {1, 25};
  context->bit_rate = 8'000'000;
  require(avcodec_open2(context, codec, nullptr), codec->name);
  return context;
}

int main(int argc, char** argv) try {
  const char* const name = argc > 1 ? argv[1] : "film.m1v";
  std::FILE* const film = std::fopen(name, "wb");
  require(film == nullptr ? -errno : 0, name);
  const int count = argc > 2 ? std::stoi(argv[2]) : 25;
  AVCodecContext* encoder = open(avcodec_find_encoder(AV_CODEC_ID_MPEG1VIDEO));
  AVCodecContext* decoder = open(avcodec_find_decoder(AV_CODEC_ID_MPEG1VIDEO));
  SwsContext* scaler =
      sws_getContext(width, height, AV_PIX_FMT_NV12, width, height, AV_PIX_FMT_YUV420P, SWS_BILINEAR, {}, {}, {});
  const auto first = draw(0);
  std::printf("%s from %s\n", sa::to_string(first->layout()).c_str(), std::string(first->buffer(0).heap()).c_str());
  AVBufferRef* frames = frames_of(first->layout());
  const sa::ffmpeg::Frame decoded(av_frame_alloc());
  AVPacket* packet = av_packet_alloc();
  int compared = 0;
  double worst = 0;
  const auto compare = [&](const AVPacket* one) {
    for (int result = avcodec_send_packet(decoder, one); result >= 0 && avcodec_receive_frame(decoder, decoded.get()) >= 0;) {
      worst = std::max(worst, difference(*decoded, compared++));
    }
  };
  const auto encode = [&](const AVFrame* frame) {
    for (require(avcodec_send_frame(encoder, frame), "encode"); avcodec_receive_packet(encoder, packet) >= 0;
         av_packet_unref(packet)) {
      require(std::fwrite(packet->data, static_cast<std::size_t>(packet->size), 1, film) == 1 ? 0 : -1, "write");
      compare(packet);
    }
  };
  for (int number = 0; number < count; ++number) {
    const sa::ffmpeg::Frame frame = sa::ffmpeg::frame_of(draw(number), frames), mapped(av_frame_alloc()),
                            planar(av_frame_alloc());
    mapped->format = AV_PIX_FMT_NV12;
    require(av_hwframe_map(mapped.get(), frame.get(), AV_HWFRAME_MAP_READ), "av_hwframe_map");
    require(sws_scale_frame(scaler, planar.get(), mapped.get()), "sws_scale_frame");
    planar->pts = number;
    encode(planar.get());
  } // the image's memory goes back
  encode(nullptr);
  compare(nullptr);
  std::printf("%d frames, which differ by %.2f at most\n", compared, worst);
  require(std::fclose(film), "write");
  av_packet_free(&packet);
  av_buffer_unref(&frames);
  sws_freeContext(scaler);
  avcodec_free_context(&decoder);
  avcodec_free_context(&encoder);
  return compared == count && worst < 2 ? 0 : 1;
} catch (const std::exception& error) {
  return std::fprintf(stderr, "%s\n", error.what()), 1;
}
