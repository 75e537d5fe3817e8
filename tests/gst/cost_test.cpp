// SPDX-License-Identifier: MIT
/// What a buffer of the pool costs beside one of GStreamer's own, in system calls; benchmarks/pipeline measures time.
#include <doctest/doctest.h>

#include <gst/video/video.h>

#include <sa/sa.hpp>

#include "support/process.hpp"

namespace {

constexpr guint bytes = 640 * 480 * 4;

/// An active pool of two buffers.
class Pool {
public:
  explicit Pool(GstBufferPool* pool) : pool_(pool) {
    g_autoptr(GstCaps) caps = gst_caps_from_string("video/x-raw,format=BGRx,width=640,height=480,framerate=30/1");
    GstStructure* const config = gst_buffer_pool_get_config(pool);
    gst_buffer_pool_config_set_params(config, caps, bytes, 2, 2);
    gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
    REQUIRE(gst_buffer_pool_set_config(pool, config));
    REQUIRE(gst_buffer_pool_set_active(pool, TRUE));
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() {
    gst_buffer_pool_set_active(pool_, FALSE);
    gst_object_unref(pool_);
  }

  /// Acquires a buffer and releases it, @p rounds times.
  void go_round(int rounds) const {
    for (int i = 0; i < rounds; ++i) {
      GstBuffer* buffer = nullptr;
      REQUIRE(gst_buffer_pool_acquire_buffer(pool_, &buffer, nullptr) == GST_FLOW_OK);
      gst_buffer_unref(buffer);
    }
  }

  [[nodiscard]] long system_calls() const {
    go_round(2);
    return support::count_system_calls([this] {
      support::mark();
      go_round(10);
      support::mark();
      return support::passed;
    });
  }

private:
  GstBufferPool* pool_;
};

GstBufferPool* sa_pool() {
  g_autoptr(GstPlugin) plugin = gst_plugin_load_by_name("sa");
  REQUIRE(plugin != nullptr);
  auto* const pool = g_object_new(g_type_from_name("GstSaBufferPool"), "heap", "dma-heap:system", nullptr);
  return GST_BUFFER_POOL(gst_object_ref_sink(pool));
}

} // namespace

TEST_CASE("a round through the pool makes one system call more than through GStreamer's, which looks for fences") {
  const Pool ours(sa_pool());
  const Pool theirs(gst_video_buffer_pool_new());
  CHECK(ours.system_calls() == theirs.system_calls() + 10);
}
