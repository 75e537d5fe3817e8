// SPDX-License-Identifier: MIT
/// Whole pipelines with the devices of the kernel `full`: vivid's camera, vim2m's converter, vkms' display.
#include <doctest/doctest.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include <fcntl.h>
#include <gst/video/video.h>
#include <xf86drm.h>
#include <xf86drmMode.h>

#include <sa/glue/drm.hpp>
#include <sa/sa.hpp>

#include "gst/heaps.hpp"
#include "gst/pipeline.hpp"
#include "support/counters.hpp"
#include "vm/guest.hpp"
#include "vm/importers.hpp"
#include "vm/pixels.hpp"

using gst_tests::inodes;
using gst_tests::Pipeline;

namespace {

bool elsewhere() {
  return !guest::is("full");
}

bool contiguous_camera() {
  return guest::has_argument("vivid.allocators=1");
}

/// The card of vkms.
std::string display() {
  for (const std::string& card : guest::cards()) {
    if (importers::card_driver(card) == "vkms") {
      return card;
    }
  }
  return {};
}

/// The checksum of what a display shows, of some pictures that come after one another; each of them the same.
std::string checksum(const std::string& card) {
  const std::string folder = "/sys/kernel/debug/dri/" + card.substr(std::strlen("card")) + "/crtc-0/crc/";
  std::ofstream(folder + "control") << "auto";
  std::ifstream data(folder + "data");
  std::set<std::string> sums;
  for (int i = 0; i < 5; ++i) {
    std::string number;
    std::string sum;
    data >> number >> sum;
    REQUIRE(!sum.empty());
    sums.insert(sum);
  }
  REQUIRE(sums.size() == 1);
  return *sums.begin();
}

/// The checksum of a display that shows @p pixels, XRGB8888 and as large as the screen, by a program that knows no GStreamer.
std::string checksum_of(const std::string& card_name, const std::vector<unsigned char>& pixels, unsigned width, unsigned height) {
  sa::Image image = sa::Registry::system().allocate(
      {sa::Device::open("/dev/dri/" + card_name)},
      sa::ImageRequest{.width = width, .height = height, .formats = {sa::Format::find("XRGB8888")}});
  {
    const sa::ImageAccess cpu = image.access(sa::Access::Write);
    const sa::PlaneRows rows = cpu.plane(0);
    for (unsigned y = 0; y < height; ++y) {
      std::memcpy(rows[y].data(), &pixels[std::size_t{y} * width * 4], std::size_t{width} * 4);
    }
  }
  const sa::UniqueFd card{::open(("/dev/dri/" + card_name).c_str(), O_RDWR | O_CLOEXEC)};
  const sa::drm::Framebuffer shown = sa::drm::Framebuffer::make(card.get(), image);
  drmModeRes* const resources = drmModeGetResources(card.get());
  REQUIRE(resources->count_crtcs >= 1);
  std::string sum;
  for (int i = 0; i < resources->count_connectors && sum.empty(); ++i) {
    drmModeConnector* const connector = drmModeGetConnector(card.get(), resources->connectors[i]);
    for (int m = 0; m < connector->count_modes && sum.empty(); ++m) {
      drmModeModeInfo& mode = connector->modes[m];
      if (mode.hdisplay == width && mode.vdisplay == height) {
        REQUIRE(drmModeSetCrtc(card.get(), resources->crtcs[0], shown.id(), 0, 0, &connector->connector_id, 1, &mode) == 0);
        sum = checksum(card_name);
      }
    }
    drmModeFreeConnector(connector);
  }
  drmModeFreeResources(resources);
  return sum;
}

} // namespace

TEST_CASE("a camera's frames come to a display in six buffers of a heap, without a copy, and are what it shows" *
          doctest::skip(elsewhere())) {
  const std::string camera = importers::camera_node();
  const std::string card = display();
  std::set<std::uint64_t> seen;
  std::atomic<int> frames{0};
  std::mutex mutex;
  std::vector<unsigned char> picture;
  std::string sum;
  {
    Pipeline pipeline("v4l2src device=" + camera + " io-mode=dmabuf-import num-buffers=300 extra-controls=c,osd_text_mode=2 ! " +
                      "video/x-raw,format=BGRx,width=640,height=480,framerate=30/1 ! saheap name=heap max-buffers=6 devices=" +
                      camera + ",/dev/dri/" + card + " ! kmssink name=sink driver-name=vkms");
    pipeline.watch("sink", [&](GstBuffer* buffer) {
      const std::lock_guard lock(mutex);
      for (const std::uint64_t inode : inodes(buffer)) {
        seen.insert(inode);
      }
      if (++frames == 40) {
        picture.resize(std::size_t{640} * 480 * 4);
        CHECK(gst_buffer_extract(buffer, 0, picture.data(), picture.size()) == picture.size());
      }
    });
    REQUIRE(pipeline.reach(GST_STATE_PLAYING) == "");
    while (frames < 60) {
      g_usleep(10000);
    }
    sum = checksum(card);
    CHECK(pipeline.wait_for_end() == "");
    CHECK(frames == 300);
    CHECK(pipeline.statistic("passed") == 300);
    CHECK(pipeline.statistic("copied") == 0);
    CHECK(pipeline.statistic("allocated") <= 6);
    CHECK(seen.size() >= 2);
    CHECK(seen.size() <= 6);
    const sa::Traits traits = sa::Registry::system().at(pipeline.heap_used())->info().traits;
    CHECK(traits.contains(sa::Trait::Contiguous) == contiguous_camera());
  }
  for (unsigned x = 10; x < 640; x += 20) {
    const unsigned bar = x * 8 / 640;
    const unsigned char* const at = &picture[(std::size_t{400} * 640 + x) * 4];
    CHECK(pixels::close({at[2], at[1], at[0]}, pixels::bar_of_vivid(bar, false), 1));
  }
  CHECK(sum == checksum_of(card, picture, 640, 480));
}

TEST_CASE("a heap whose memory a camera cannot take is an error that says so, before a frame is lost" *
          doctest::skip(elsewhere() || !contiguous_camera())) {
  const std::string camera = importers::camera_node();
  const heaps::Added scattered(std::make_shared<heaps::Scattered>());
  Pipeline pipeline("v4l2src device=" + camera + " io-mode=dmabuf-import num-buffers=10 ! " +
                    "video/x-raw,format=BGRx,width=640,height=480,framerate=30/1 ! saheap heap=scattered:test devices=" + camera +
                    " ! fakesink");
  const std::string said = pipeline.play();
  CAPTURE(said);
  CHECK(said.find("scattered:test") != std::string::npos);
  CHECK(said.find("contiguous memory is needed") != std::string::npos);
}

TEST_CASE("a camera writes rows as wide as its program was asked for, or the pipeline says that it does not" *
          doctest::skip(elsewhere())) {
  const std::string camera = importers::camera_node();
  const auto words = [&](const char* format) {
    return "v4l2src device=" + camera + " io-mode=dmabuf-import num-buffers=10 extra-controls=c,osd_text_mode=2 ! " +
           "video/x-raw,width=640,height=480,framerate=30/1,format=" + format +
           " ! saheap name=heap stride-align=4096 devices=" + camera + " ! fakesink name=sink";
  };
  Pipeline wide(words("BGRx"));
  wide.reads_metas("sink");
  int frames = 0;
  wide.watch("sink", [&](GstBuffer* buffer) {
    const GstVideoMeta* const meta = gst_buffer_get_video_meta(buffer);
    REQUIRE(meta != nullptr);
    CHECK(meta->stride[0] == 4096);
    GstMapInfo info;
    REQUIRE(gst_buffer_map(buffer, &info, GST_MAP_READ));
    REQUIRE(info.size >= std::size_t{480} * 4096);
    for (unsigned x = 40; x < 640; x += 80) {
      const guint8* const at = info.data + std::size_t{400} * 4096 + std::size_t{x} * 4;
      CHECK(pixels::close({at[2], at[1], at[0]}, pixels::bar_of_vivid(x / 80, false), 1));
    }
    gst_buffer_unmap(buffer, &info);
    ++frames;
  });
  CHECK(wide.play() == "");
  CHECK(frames == 10);
  CHECK(wide.statistic("copied") == 0);
}

TEST_CASE("a camera that writes other rows than its program says is an error, not a torn picture" * doctest::skip(elsewhere())) {
  const importers::Camera other; // it sets RGB of 1280 pixels, 3840 bytes a row
  const std::string camera = importers::camera_node();
  Pipeline pipeline("videotestsrc num-buffers=10 ! video/x-raw,width=1280,height=720,format=RGB ! " +
                    ("saheap name=heap stride-align=4096 devices=" + camera) + " ! fakesink name=sink");
  pipeline.reads_metas("sink");
  const std::string said = pipeline.play();
  CAPTURE(said);
  CHECK(said.find("it writes rows of 3840 bytes where 4096 were agreed on") != std::string::npos);
}

TEST_CASE("frames of CMA memory go through a converter without a copy, and come out right" * doctest::skip(elsewhere())) {
  const std::string source = "videotestsrc num-buffers=100 pattern=smpte75 ! video/x-raw,format=RGB16,width=640,height=480 ! ";
  const auto run = [](Pipeline& pipeline, std::vector<guint64>& sums, std::set<std::uint64_t>* seen) {
    if (seen != nullptr) {
      pipeline.watch("convert", [seen](GstBuffer* buffer) { seen->merge(inodes(buffer)); });
    }
    pipeline.watch("sink", [&sums](GstBuffer* buffer) {
      GstMapInfo info;
      REQUIRE(gst_buffer_map(buffer, &info, GST_MAP_READ));
      guint64 sum = 1469598103934665603U; // FNV
      for (gsize i = 0; i < info.size; ++i) {
        sum = (sum ^ info.data[i]) * 1099511628211U;
      }
      gst_buffer_unmap(buffer, &info);
      sums.push_back(sum);
    });
    CHECK(pipeline.play() == "");
  };
  std::vector<guint64> sums;
  std::vector<guint64> wanted;
  std::set<std::uint64_t> seen;
  Pipeline converted(source + "saheap name=heap heap=cma ! v4l2convert name=convert output-io-mode=dmabuf-import ! " +
                     "video/x-raw,format=RGB16 ! fakesink name=sink");
  run(converted, sums, &seen);
  CHECK(converted.statistic("passed") == 100);
  CHECK(converted.statistic("copied") == 0);
  CHECK(converted.heap_used() == "dma-heap:reserved");
  CHECK(seen.size() == converted.statistic("allocated"));
  Pipeline plain(source + "fakesink name=sink");
  run(plain, wanted, nullptr);
  CHECK(sums.size() == 100);
  CHECK(sums == wanted);
}

TEST_CASE("nothing is lost over branches, queues, new caps, seeks, ends and a hundred starts" * doctest::skip(elsewhere())) {
  const auto live = [](int round) {
    Pipeline pipeline(
        "videotestsrc name=source num-buffers=20 ! capsfilter name=caps caps=video/x-raw,format=NV12,width=320,height=240 ! "
        "saheap name=heap heap=cma ! tee name=t ! queue max-size-buffers=3 ! fakesink sync=false t. ! queue max-size-buffers=3 ! "
        "fakesink name=sink sync=false");
    std::atomic<int> frames{0};
    pipeline.watch("sink", [&](GstBuffer*) {
      if (++frames == 10) {
        g_autoptr(GstCaps) caps = gst_caps_from_string("video/x-raw,format=NV12,width=640,height=480");
        g_object_set(pipeline.element("caps"), "caps", caps, nullptr);
      }
    });
    if (round % 3 == 1) {
      REQUIRE(pipeline.reach(GST_STATE_PAUSED) == "");
      REQUIRE(gst_element_seek_simple(pipeline.get(), GST_FORMAT_TIME, static_cast<GstSeekFlags>(GST_SEEK_FLAG_FLUSH), 0));
    } else if (round % 3 == 2) {
      REQUIRE(pipeline.reach(GST_STATE_PLAYING) == ""); // and ends in the midst of it
      return;
    }
    CHECK(pipeline.play() == "");
    CHECK(frames >= 10);
    CHECK(pipeline.statistic("copied") == 0);
  };
  for (int round = 0; round < 3; ++round) {
    live(round);
  }
  const auto before = support::count();
  for (int round = 0; round < 100; ++round) {
    live(round);
  }
  CHECK(support::leaked_since(before) == "");
}
