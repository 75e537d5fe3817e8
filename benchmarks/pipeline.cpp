// SPDX-License-Identifier: MIT
/// What a frame from a camera to a display costs this process, in processor time: by saheap, by the camera's own buffers, by a
/// copy, and by a loop without GStreamer; and what a buffer of the plugin's pool costs. On the kernel `full`:
///   scripts/bench --kernel full pipeline
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <gst/gst.h>
#include <gst/video/video.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include <sa/glue/drm.hpp>
#include <sa/glue/v4l2.hpp>
#include <sa/sa.hpp>

namespace {

constexpr int first = 30; // the frame from which time counts: start costs more
constexpr int last = 150;
constexpr std::uint32_t width = 640;
constexpr std::uint32_t height = 480;

/// Microseconds of processor time that this process took so far.
double processor_time() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto of = [](const timeval& time) { return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec); };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

struct Clock {
  std::atomic<int> frames{0};
  double began = 0;
  double ended = 0;

  void tick() {
    const int now = ++frames;
    (now == first ? began : ended) = now == first || now == last ? processor_time() : now < first ? 0 : ended;
  }
  [[nodiscard]] double cost() const { return (ended - began) / (last - first); }
};

/// Microseconds a frame.
double cost_of(const std::string& description) {
  GError* error = nullptr;
  GstElement* const pipeline = gst_parse_launch(description.c_str(), &error);
  if (error != nullptr) {
    throw std::runtime_error(error->message);
  }
  GstElement* const sink = gst_bin_get_by_name(GST_BIN(pipeline), "sink");
  GstPad* const pad = gst_element_get_static_pad(sink, "sink");
  Clock clock;
  gst_pad_add_probe(
      pad, GST_PAD_PROBE_TYPE_BUFFER,
      [](GstPad*, GstPadProbeInfo*, gpointer its) {
        static_cast<Clock*>(its)->tick();
        return GST_PAD_PROBE_OK;
      },
      &clock, nullptr);
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  GstBus* const bus = gst_element_get_bus(pipeline);
  GstMessage* const end =
      gst_bus_timed_pop_filtered(bus, 60 * GST_SECOND, static_cast<GstMessageType>(GST_MESSAGE_ERROR | GST_MESSAGE_EOS));
  std::string said = end == nullptr ? "it did not end" : "";
  if (end != nullptr && GST_MESSAGE_TYPE(end) == GST_MESSAGE_ERROR) {
    gst_message_parse_error(end, &error, nullptr);
    said = error->message;
    g_error_free(error);
  }
  gst_element_set_state(pipeline, GST_STATE_NULL);
  if (end != nullptr) {
    gst_message_unref(end);
  }
  gst_object_unref(bus);
  gst_object_unref(pad);
  gst_object_unref(sink);
  gst_object_unref(pipeline);
  if (!said.empty() || clock.frames != last) {
    throw std::runtime_error(description + ": " + said);
  }
  return clock.cost();
}

void require(bool done, const char* what) {
  if (!done) {
    throw std::system_error(errno, std::system_category(), what);
  }
}

/// The same without GStreamer: what a program does by hand, on top of libsa.
double cost_by_hand(const std::string& camera_node, const std::string& card_node) {
  const std::vector devices{sa::Device::open(camera_node), sa::Device::open(card_node)};
  const sa::ImageRequest request{.width = width, .height = height, .formats = {sa::Format::find("XRGB8888")}};
  std::array<sa::Image, 5> images;
  const sa::UniqueFd card{::open(card_node.c_str(), O_RDWR | O_CLOEXEC)};
  const sa::UniqueFd camera{::open(camera_node.c_str(), O_RDWR | O_CLOEXEC)};
  std::vector<sa::drm::Framebuffer> framebuffers;
  for (sa::Image& image : images) {
    image = sa::Registry::system().allocate(devices, request);
    framebuffers.push_back(sa::drm::Framebuffer::make(card.get(), image));
  }
  drmModeRes* const resources = drmModeGetResources(card.get());
  require(resources != nullptr, "drmModeGetResources");
  drmModeConnector* const connector = drmModeGetConnector(card.get(), resources->connectors[0]);
  drmModeModeInfo* const mode = std::find_if(connector->modes, connector->modes + connector->count_modes,
                                             [](const auto& one) { return one.hdisplay == width && one.vdisplay == height; });
  const std::uint32_t crtc = resources->crtcs[0];
  require(drmModeSetCrtc(card.get(), crtc, framebuffers[0].id(), 0, 0, &connector->connector_id, 1, mode) == 0, "drmModeSetCrtc");
  const std::uint32_t type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  v4l2_format format = sa::v4l2::format_of(images[0].layout(), type);
  require(::ioctl(camera.get(), VIDIOC_S_FMT, &format) == 0, "VIDIOC_S_FMT");
  v4l2_requestbuffers queue{static_cast<std::uint32_t>(images.size()), type, V4L2_MEMORY_DMABUF, {}, {}, {}};
  require(::ioctl(camera.get(), VIDIOC_REQBUFS, &queue) == 0, "VIDIOC_REQBUFS");
  const auto fill = [&](std::uint32_t slot) {
    sa::v4l2::Buffer buffer(images[slot], type, slot);
    require(::ioctl(camera.get(), VIDIOC_QBUF, &buffer.buffer()) == 0, "VIDIOC_QBUF");
  };
  for (std::uint32_t slot = 1; slot < images.size(); ++slot) {
    fill(slot);
  }
  int its_type = static_cast<int>(type);
  require(::ioctl(camera.get(), VIDIOC_STREAMON, &its_type) == 0, "VIDIOC_STREAMON");
  Clock clock;
  std::uint32_t shown = 0;
  while (clock.frames < last) {
    sa::v4l2::Buffer filled(type);
    require(::ioctl(camera.get(), VIDIOC_DQBUF, &filled.buffer()) == 0, "VIDIOC_DQBUF");
    clock.tick();
    drmEventContext events{};
    require(drmModePageFlip(card.get(), crtc, framebuffers[filled.index()].id(), DRM_MODE_PAGE_FLIP_EVENT, nullptr) == 0,
            "drmModePageFlip");
    require(drmHandleEvent(card.get(), &events) == 0, "drmHandleEvent");
    fill(shown);
    shown = filled.index();
  }
  drmModeFreeConnector(connector);
  drmModeFreeResources(resources);
  return clock.cost();
}

/// A pool with two buffers acquires and releases one.
void go_round(benchmark::State& state, GstBufferPool* pool) {
  GstCaps* const caps = gst_caps_from_string("video/x-raw,format=BGRx,width=640,height=480,framerate=30/1");
  GstStructure* const config = gst_buffer_pool_get_config(pool);
  gst_buffer_pool_config_set_params(config, caps, width * height * 4, 2, 2);
  gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
  if (!gst_buffer_pool_set_config(pool, config) || !gst_buffer_pool_set_active(pool, TRUE)) {
    state.SkipWithError("the pool refuses");
  }
  for (auto _ : state) {
    GstBuffer* buffer = nullptr;
    gst_buffer_pool_acquire_buffer(pool, &buffer, nullptr);
    gst_buffer_unref(buffer);
  }
  gst_buffer_pool_set_active(pool, FALSE);
  gst_object_unref(pool);
  gst_caps_unref(caps);
}

/// Processor time of a frame, which @p cost gives in microseconds. A run has many frames: once is enough.
template <typename Cost>
void add(const char* who, Cost cost) {
  benchmark::RegisterBenchmark(("camera to display, a frame's processor time/" + std::string(who)).c_str(),
                               [cost](benchmark::State& state) {
                                 for (auto _ : state) {
                                   try {
                                     state.SetIterationTime(cost() / 1e6);
                                   } catch (const std::exception& error) {
                                     state.SkipWithError(error.what());
                                   }
                                 }
                               })
      ->Iterations(1)
      ->UseManualTime();
}

} // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  gst_init(nullptr, nullptr);
  const std::string camera = argc > 1 ? argv[1] : "/dev/video1";
  const std::string card = argc > 2 ? argv[2] : "/dev/dri/card1";
  const auto words = [&](const std::string& mode, const std::string& between) {
    return "v4l2src device=" + camera + " num-buffers=" + std::to_string(last) + " io-mode=" + mode +
           " ! video/x-raw,format=BGRx,width=640,height=480,framerate=30/1 ! " + between +
           "kmssink name=sink driver-name=vkms sync=false";
  };
  add("sa", [=] { return cost_of(words("dmabuf-import", "saheap devices=" + camera + "," + card + " copy=never ! ")); });
  add("camera's own buffers", [=] { return cost_of(words("dmabuf", "")); });
  add("copied", [=] { return cost_of(words("mmap", "")); });
  add("by hand on libsa", [=] { return cost_by_hand(camera, card); });
  benchmark::RegisterBenchmark("buffer acquired and released/sa", [](benchmark::State& state) {
    GstPlugin* const plugin = gst_plugin_load_by_name("sa");
    if (plugin == nullptr) {
      return state.SkipWithError("GST_PLUGIN_PATH does not name the folder of libgstsa.so");
    }
    gst_object_unref(plugin);
    go_round(state, GST_BUFFER_POOL(gst_object_ref_sink(
                        g_object_new(g_type_from_name("GstSaBufferPool"), "heap", "dma-heap:system", nullptr))));
  });
  benchmark::RegisterBenchmark("buffer acquired and released/GstVideoBufferPool",
                               [](benchmark::State& state) { go_round(state, gst_video_buffer_pool_new()); });
  benchmark::RunSpecifiedBenchmarks();
}
