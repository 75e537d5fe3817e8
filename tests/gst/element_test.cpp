// SPDX-License-Identifier: MIT
/// The element saheap, its allocator and its pool, each by itself.
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gst/allocators/allocators.h>
#include <gst/check/gstharness.h>
#include <gst/video/video.h>
#include <linux/dma-buf.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <sa/sa.hpp>

#include "gst/heaps.hpp"
#include "support/counters.hpp"
#include "support/sync_count.hpp"
#include "vm/guest.hpp"
#include "vm/timeline.hpp"

namespace {

constexpr const char* heap = "dma-heap:system";

/// saheap between two pads of the test.
class Harness {
public:
  /// @param properties as gst-launch-1.0 takes them; @param metas whether the next element reads GstVideoMeta
  explicit Harness(const std::string& properties, bool metas = true)
      : harness_(gst_harness_new_parse(("saheap " + properties).c_str())) {
    if (metas) {
      gst_harness_add_propose_allocation_meta(harness_, GST_VIDEO_META_API_TYPE, nullptr);
    }
    element_ = gst_harness_find_element(harness_, "saheap");
    gst_element_set_bus(element_, bus_);
  }
  Harness(const Harness&) = delete;
  Harness& operator=(const Harness&) = delete;
  ~Harness() {
    gst_element_set_bus(element_, nullptr);
    gst_object_unref(element_);
    gst_harness_teardown(harness_);
    gst_object_unref(bus_);
  }

  void set_caps(const std::string& caps) { gst_harness_set_src_caps_str(harness_, caps.c_str()); }

  /// A buffer as the element before has one: of the pool that it is given.
  [[nodiscard]] GstBuffer* make() {
    g_autoptr(GstCaps) caps = gst_pad_get_current_caps(harness_->srcpad);
    g_autoptr(GstQuery) query = gst_query_new_allocation(caps, TRUE);
    REQUIRE(gst_pad_peer_query(harness_->srcpad, query));
    REQUIRE(gst_query_get_n_allocation_pools(query) == 1);
    GstBufferPool* pool = nullptr;
    guint size = 0;
    guint least = 0;
    guint most = 0;
    gst_query_parse_nth_allocation_pool(query, 0, &pool, &size, &least, &most);
    REQUIRE(pool != nullptr);
    GstStructure* const config = gst_buffer_pool_get_config(pool);
    gst_buffer_pool_config_set_params(config, caps, size != 0 ? size : 4096, least, most);
    if (gst_query_find_allocation_meta(query, GST_VIDEO_META_API_TYPE, nullptr)) {
      gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
    }
    REQUIRE(gst_buffer_pool_set_config(pool, config));
    REQUIRE(gst_buffer_pool_set_active(pool, TRUE));
    GstBuffer* buffer = nullptr;
    REQUIRE(gst_buffer_pool_acquire_buffer(pool, &buffer, nullptr) == GST_FLOW_OK);
    gst_buffer_pool_set_active(pool, FALSE); // it ends with its last buffer
    gst_object_unref(pool);
    return buffer;
  }

  GstFlowReturn push(GstBuffer* buffer) { return gst_harness_push(harness_, buffer); }
  [[nodiscard]] GstBuffer* pull() { return gst_harness_pull(harness_); }

  [[nodiscard]] std::map<std::string, guint64> stats() const {
    GstStructure* values = nullptr;
    g_object_get(element_, "stats", &values, nullptr);
    std::map<std::string, guint64> numbers;
    for (const char* name : {"passed", "copied", "allocated"}) {
      CHECK(gst_structure_get_uint64(values, name, &numbers[name]));
    }
    gst_structure_free(values);
    return numbers;
  }

  [[nodiscard]] std::string heap_used() const {
    g_autofree char* name = nullptr;
    g_object_get(element_, "heap-used", &name, nullptr);
    return name != nullptr ? name : "";
  }

  /// Ends the stream. What the element says of it on the bus.
  [[nodiscard]] std::string end() {
    gst_harness_push_event(harness_, gst_event_new_eos());
    g_autoptr(GstMessage) message = gst_bus_pop_filtered(bus_, GST_MESSAGE_INFO);
    REQUIRE(message != nullptr);
    g_autoptr(GError) posted = nullptr;
    gst_message_parse_info(message, &posted, nullptr);
    return posted->message;
  }

  /// The sentence of the first error that was posted; empty: none.
  [[nodiscard]] std::string error() const {
    GstMessage* const message = gst_bus_pop_filtered(bus_, GST_MESSAGE_ERROR);
    if (message == nullptr) {
      return {};
    }
    g_autoptr(GError) posted = nullptr;
    gst_message_parse_error(message, &posted, nullptr);
    gst_message_unref(message);
    return posted->message;
  }

  [[nodiscard]] GstHarness* get() const { return harness_; }

private:
  GstHarness* harness_;
  GstElement* element_ = nullptr;
  GstBus* bus_ = gst_bus_new();
};

bool says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string caps(const char* format, int width, int height) {
  return std::string("video/x-raw,framerate=30/1,format=") + format + ",width=" + std::to_string(width) +
         ",height=" + std::to_string(height);
}

/// Which memory a buffer's first dma-buf is.
ino_t inode_of(GstBuffer* buffer) {
  struct stat about {};
  REQUIRE(gst_is_dmabuf_memory(gst_buffer_peek_memory(buffer, 0)));
  REQUIRE(::fstat(gst_dmabuf_memory_get_fd(gst_buffer_peek_memory(buffer, 0)), &about) == 0);
  return about.st_ino;
}

GstAllocator* allocator_of(const char* name) {
  g_autoptr(GstPlugin) plugin = gst_plugin_load_by_name("sa");
  REQUIRE(plugin != nullptr);
  auto* const made = GST_ALLOCATOR(g_object_new(g_type_from_name("GstSaAllocator"), "heap", name, nullptr));
  return GST_ALLOCATOR(gst_object_ref_sink(made));
}

GstBufferPool* pool_of(const char* name, const std::string& caps_text, guint size, guint least, guint most) {
  g_autoptr(GstPlugin) plugin = gst_plugin_load_by_name("sa");
  REQUIRE(plugin != nullptr);
  auto* const pool = GST_BUFFER_POOL(g_object_new(g_type_from_name("GstSaBufferPool"), "heap", name, nullptr));
  gst_object_ref_sink(pool);
  g_autoptr(GstCaps) its_caps = gst_caps_from_string(caps_text.c_str());
  GstStructure* const config = gst_buffer_pool_get_config(pool);
  gst_buffer_pool_config_set_params(config, its_caps, size, least, most);
  gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
  REQUIRE(gst_buffer_pool_set_config(pool, config));
  return pool;
}

} // namespace

TEST_CASE("a frame in a buffer of the heap passes untouched") {
  Harness harness(std::string("heap=") + heap);
  harness.set_caps(caps("NV12", 320, 240));
  for (int i = 0; i < 10; ++i) {
    GstBuffer* const frame = harness.make();
    const ino_t inode = inode_of(frame);
    REQUIRE(harness.push(frame) == GST_FLOW_OK);
    GstBuffer* const out = harness.pull();
    CHECK(out == frame);
    CHECK(inode_of(out) == inode);
    gst_buffer_unref(out);
  }
  CHECK(harness.stats() == std::map<std::string, guint64>{{"passed", 10}, {"copied", 0}, {"allocated", 10}});
  CHECK(harness.heap_used() == heap);
}

TEST_CASE("a frame in other memory is copied, with its pixels, its times and what else is known of it") {
  Harness harness(std::string("heap=") + heap);
  harness.set_caps(caps("NV12", 324, 240));
  GstVideoInfo info;
  REQUIRE(gst_video_info_set_format(&info, GST_VIDEO_FORMAT_NV12, 324, 240));
  std::vector<unsigned char> pixels(info.size);
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    pixels[i] = static_cast<unsigned char>(i * 7);
  }
  for (int i = 0; i < 5; ++i) {
    GstBuffer* const frame = gst_buffer_new_memdup(pixels.data(), pixels.size());
    GST_BUFFER_PTS(frame) = static_cast<GstClockTime>(i) * GST_SECOND;
    auto* const crop = gst_buffer_add_video_crop_meta(frame);
    crop->x = 2;
    REQUIRE(harness.push(frame) == GST_FLOW_OK);
    GstBuffer* const out = harness.pull();
    CHECK(gst_is_dmabuf_memory(gst_buffer_peek_memory(out, 0)));
    CHECK(GST_BUFFER_PTS(out) == static_cast<GstClockTime>(i) * GST_SECOND);
    REQUIRE(gst_buffer_get_video_crop_meta(out) != nullptr);
    CHECK(gst_buffer_get_video_crop_meta(out)->x == 2);
    CHECK(gst_buffer_memcmp(out, 0, pixels.data(), pixels.size()) == 0);
    gst_buffer_unref(out);
  }
  CHECK(harness.stats() == std::map<std::string, guint64>{{"passed", 0}, {"copied", 5}, {"allocated", 1}});
}

TEST_CASE("copy=never fails at a frame in other memory, and says what helps") {
  Harness harness(std::string("copy=never heap=") + heap);
  harness.set_caps(caps("NV12", 320, 240));
  CHECK(harness.push(gst_buffer_new_allocate(nullptr, 115200, nullptr)) == GST_FLOW_ERROR);
  CHECK(says(harness.error(), "in no buffer of saheap"));
}

TEST_CASE("copy=never tells a dma-buf of another's") {
  Harness harness(std::string("copy=never heap=") + heap);
  harness.set_caps(caps("NV12", 320, 240));
  Harness other(std::string("heap=") + heap);
  other.set_caps(caps("NV12", 320, 240));
  CHECK(harness.push(other.make()) == GST_FLOW_ERROR);
  CHECK(says(harness.error(), "in a dma-buf of its own"));
}

TEST_CASE("what the end of a stream says on the bus counts the frames") {
  Harness harness(std::string("heap=") + heap);
  harness.set_caps(caps("NV12", 320, 240));
  REQUIRE(harness.push(harness.make()) == GST_FLOW_OK);
  gst_buffer_unref(harness.pull());
  REQUIRE(harness.push(gst_buffer_new_allocate(nullptr, 115200, nullptr)) == GST_FLOW_OK);
  gst_buffer_unref(harness.pull());
  CHECK(harness.end() == std::string("1 frames passed, 1 copied; 2 buffers from ") + heap);
}

TEST_CASE("properties that contradict one another, or the element, are refused at once") {
  for (const auto& one :
       std::map<std::string, std::string>{{"min-buffers=8 max-buffers=2", "max-buffers=2 is less than min-buffers=8"},
                                          {"heap=memfd:4k", "udmabuf:4k"},
                                          {"devices=\"/dev/null2 /dev/null3\"", "/dev/null2: there is no such node"}}) {
    CAPTURE(one.first);
    g_autoptr(GError) error = nullptr;
    GstElement* const pipeline = gst_parse_launch(("videotestsrc ! saheap " + one.first + " ! fakesink").c_str(), &error);
    REQUIRE(pipeline != nullptr);
    CHECK(gst_element_set_state(pipeline, GST_STATE_PAUSED) == GST_STATE_CHANGE_FAILURE);
    g_autoptr(GstBus) bus = gst_element_get_bus(pipeline);
    g_autoptr(GstMessage) message = gst_bus_pop_filtered(bus, GST_MESSAGE_ERROR);
    REQUIRE(message != nullptr);
    g_autoptr(GError) posted = nullptr;
    gst_message_parse_error(message, &posted, nullptr);
    CHECK(says(posted->message, one.second.c_str()));
    gst_element_set_state(pipeline, GST_STATE_NULL);
    gst_object_unref(pipeline);
  }
}

TEST_CASE("copy=always copies a frame of its own heap, too") {
  Harness harness(std::string("copy=always heap=") + heap);
  harness.set_caps(caps("NV12", 320, 240));
  GstBuffer* const frame = harness.make();
  const ino_t inode = inode_of(frame);
  REQUIRE(harness.push(frame) == GST_FLOW_OK);
  GstBuffer* const out = harness.pull();
  CHECK(inode_of(out) != inode);
  gst_buffer_unref(out);
  CHECK(harness.stats().at("copied") == 1);
}

TEST_CASE("a frame whose pixels the library does not know passes, and is copied as bytes") {
  Harness harness(std::string("heap=") + heap);
  harness.set_caps("image/jpeg,width=320,height=240");
  for (const std::size_t size : {100U, 5000U, 70000U, 100U}) { // longer ones, too
    const std::vector<unsigned char> bytes(size, 0x5a);
    REQUIRE(harness.push(gst_buffer_new_memdup(bytes.data(), size)) == GST_FLOW_OK);
    GstBuffer* const out = harness.pull();
    CHECK(gst_is_dmabuf_memory(gst_buffer_peek_memory(out, 0)));
    CHECK(gst_buffer_get_size(out) == size);
    CHECK(gst_buffer_memcmp(out, 0, bytes.data(), size) == 0);
    gst_buffer_unref(out);
  }
  GstBuffer* const own = harness.make();
  REQUIRE(harness.push(own) == GST_FLOW_OK);
  gst_buffer_unref(harness.pull());
  CHECK(harness.stats().at("passed") == 1);
}

TEST_CASE("a heap that there is none of is an error before anything flows, with the heaps that there are") {
  g_autoptr(GstElement) element = gst_element_factory_make("saheap", nullptr);
  gst_object_ref_sink(element);
  g_autoptr(GstBus) bus = gst_bus_new();
  gst_element_set_bus(element, bus);
  g_object_set(element, "heap", "no-such-heap", nullptr);
  CHECK(gst_element_set_state(element, GST_STATE_READY) == GST_STATE_CHANGE_FAILURE);
  g_autoptr(GstMessage) message = gst_bus_pop_filtered(bus, GST_MESSAGE_ERROR);
  REQUIRE(message != nullptr);
  g_autoptr(GError) error = nullptr;
  gst_message_parse_error(message, &error, nullptr);
  CHECK(says(error->message, "no-such-heap"));
  CHECK(says(error->message, heap));
  gst_element_set_state(element, GST_STATE_NULL);
  gst_element_set_bus(element, nullptr);
}

TEST_CASE("rows are as wide as stride-align says, and the buffers say so") {
  Harness harness(std::string("stride-align=256 heap=") + heap);
  harness.set_caps(caps("NV12", 322, 240));
  GstBuffer* const frame = harness.make();
  const GstVideoMeta* const meta = gst_buffer_get_video_meta(frame);
  REQUIRE(meta != nullptr);
  CHECK(meta->stride[0] == 512);
  CHECK(meta->stride[1] == 512);
  CHECK(meta->offset[1] == 512 * 240);
  CHECK(gst_buffer_get_size(frame) >= 512 * 360);
  CHECK(gst_buffer_n_memory(frame) == 1);
  gst_buffer_unref(frame);
}

TEST_CASE("wider rows than a reader knows of are refused, since it would read them wrong") {
  Harness harness(std::string("stride-align=256 heap=") + heap, false);
  harness.set_caps(caps("NV12", 322, 240));
  GstVideoInfo info;
  REQUIRE(gst_video_info_set_format(&info, GST_VIDEO_FORMAT_NV12, 322, 240));
  CHECK(harness.push(gst_buffer_new_allocate(nullptr, info.size, nullptr)) == GST_FLOW_ERROR);
  CHECK(says(harness.error(), "Leave stride-align"));
}

#if GST_CHECK_VERSION(1, 24, 0)
TEST_CASE("caps in DRM's words are pictures, too, and a modifier that no heap makes is refused by its name") {
  const auto drm_caps = [](const char* format) {
    return std::string("video/x-raw(memory:DMABuf),format=DMA_DRM,width=320,height=240,framerate=30/1,drm-format=") + format;
  };
  {
    Harness harness(std::string("stride-align=256 heap=") + heap);
    harness.set_caps(drm_caps("NV12"));
    GstBuffer* const frame = harness.make();
    const GstVideoMeta* const meta = gst_buffer_get_video_meta(frame);
    REQUIRE(meta != nullptr);
    CHECK(meta->format == GST_VIDEO_FORMAT_DMA_DRM);
    CHECK(meta->n_planes == 2);
    CHECK(meta->stride[0] == 512);
    CHECK(meta->offset[1] == 512 * 240);
    REQUIRE(harness.push(frame) == GST_FLOW_OK);
    gst_buffer_unref(harness.pull());
    CHECK(harness.stats().at("passed") == 1);
  }
  Harness harness(std::string("heap=") + heap);
  harness.set_caps(drm_caps("NV12:0x0100000000000002"));
  CHECK(harness.push(gst_buffer_new_allocate(nullptr, 115200, nullptr)) == GST_FLOW_ERROR);
  const std::string said = harness.error();
  CAPTURE(said);
  CHECK(says(said, "NV12:0x0100000000000002"));
  CHECK(says(said, "linear"));
}
#endif

TEST_CASE("when the caps change the frames do, and those on their way pass") {
  Harness harness(std::string("heap=") + heap);
  harness.set_caps(caps("NV12", 320, 240));
  GstBuffer* const old = harness.make();
  harness.set_caps(caps("BGRx", 640, 480));
  GstBuffer* const frame = harness.make();
  CHECK(gst_buffer_get_size(frame) == 640 * 480 * 4);
  REQUIRE(harness.push(frame) == GST_FLOW_OK);
  gst_buffer_unref(harness.pull());
  REQUIRE(harness.push(old) == GST_FLOW_OK);
  gst_buffer_unref(harness.pull());
  CHECK(harness.stats().at("copied") == 0);
}

TEST_CASE("where the memory runs out the pipeline is told the library's whole sentence") {
  const heaps::Added few(std::make_shared<heaps::Few>(1));
  Harness harness("heap=few:test");
  harness.set_caps(caps("NV12", 320, 240));
  for (const bool served : {true, false}) {
    GstBuffer* const frame = gst_buffer_new_allocate(nullptr, 115200, nullptr);
    CHECK((harness.push(frame) == GST_FLOW_OK) == served); // the harness keeps what comes out
  }
  CHECK(says(harness.error(), "(few:test): all buffers of the test are in use"));
}

TEST_CASE("a memory is mapped once, and its outermost map begins and ends the access of the CPU") {
  GstAllocator* const allocator = allocator_of(heap);
  GstMemory* const memory = gst_allocator_alloc(allocator, 3 * 65536, nullptr);
  REQUIRE(memory != nullptr);
  void* where = nullptr;
  for (int round = 0; round < 3; ++round) {
    support::reset_sync_count();
    GstMapInfo outer;
    GstMapInfo inner;
    REQUIRE(gst_memory_map(memory, &outer, GST_MAP_READWRITE));
    REQUIRE(gst_memory_map(memory, &inner, GST_MAP_READ));
    CHECK(outer.data == inner.data);
    CHECK((where == nullptr || where == outer.data));
    where = outer.data;
    gst_memory_unmap(memory, &inner);
    CHECK(support::sync_count().starts == 1);
    CHECK(support::sync_count().ends == 0);
    gst_memory_unmap(memory, &outer);
    CHECK(support::sync_count().ends == 1);
    CHECK(support::sync_count().directions == DMA_BUF_SYNC_RW);
  }
  GstMapInfo info;
  REQUIRE(gst_memory_map(memory, &info, GST_MAP_WRITE));
  info.data[70000] = 7;
  gst_memory_unmap(memory, &info);
  GstMemory* const part = gst_memory_share(memory, 65536, 65536);
  REQUIRE(gst_memory_map(part, &info, GST_MAP_READ));
  CHECK(info.size == 65536);
  CHECK(info.data[70000 - 65536] == 7);
  gst_memory_unmap(part, &info);
  gst_memory_unref(part);
  gst_memory_unref(memory);
  gst_object_unref(allocator);
}

TEST_CASE("an allocator keeps prefix and padding, and refuses more than there is") {
  GstAllocator* const allocator = allocator_of(heap);
  GstAllocationParams params{};
  params.prefix = 100;
  params.padding = 200;
  params.align = 63;
  GstMemory* const memory = gst_allocator_alloc(allocator, 1000, &params);
  REQUIRE(memory != nullptr);
  gsize offset = 0;
  gsize most = 0;
  CHECK(gst_memory_get_sizes(memory, &offset, &most) == 1000);
  CHECK(offset == 100);
  CHECK(most >= 1300);
  gst_memory_unref(memory);
  CHECK(gst_allocator_alloc(allocator, G_MAXSIZE - 10, &params) == nullptr);
  CHECK(gst_allocator_alloc(allocator, std::size_t{1} << 60U, nullptr) == nullptr);
  gst_object_unref(allocator);
  GstAllocator* const none = allocator_of("no-such-heap");
  CHECK(gst_allocator_alloc(none, 1000, nullptr) == nullptr);
  gst_object_unref(none);
}

TEST_CASE("a pool gives the padding that a reader asks for, and lays rows out as its property says") {
  g_autoptr(GstPlugin) plugin = gst_plugin_load_by_name("sa");
  REQUIRE(plugin != nullptr);
  auto* const pool =
      GST_BUFFER_POOL(g_object_new(g_type_from_name("GstSaBufferPool"), "heap", heap, "stride-align", 128, nullptr));
  gst_object_ref_sink(pool);
  g_autoptr(GstCaps) its_caps = gst_caps_from_string(caps("BGRx", 56, 64).c_str());
  GstStructure* const config = gst_buffer_pool_get_config(pool);
  gst_buffer_pool_config_set_params(config, its_caps, 56 * 64 * 4, 0, 0);
  gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
  GstAllocationParams params{};
  params.padding = 5000;
  gst_buffer_pool_config_set_allocator(config, nullptr, &params);
  REQUIRE(gst_buffer_pool_set_config(pool, config));
  REQUIRE(gst_buffer_pool_set_active(pool, TRUE));
  GstBuffer* buffer = nullptr;
  REQUIRE(gst_buffer_pool_acquire_buffer(pool, &buffer, nullptr) == GST_FLOW_OK);
  CHECK(gst_buffer_get_video_meta(buffer)->stride[0] == 256);
  gsize most = 0;
  CHECK(gst_buffer_get_sizes(buffer, nullptr, &most) == 256 * 64);
  CHECK(most >= 256 * 64 + 5000);
  gst_buffer_unref(buffer);
  gst_buffer_pool_set_active(pool, FALSE);
  gst_object_unref(pool);
}

TEST_CASE("a pool hands its buffers out again, as many as it may have") {
  GstBufferPool* const pool = pool_of(heap, caps("BGRx", 64, 64), 64 * 64 * 4, 2, 2);
  REQUIRE(gst_buffer_pool_set_active(pool, TRUE));
  std::map<ino_t, int> seen;
  GstBufferPoolAcquireParams params{};
  params.flags = GST_BUFFER_POOL_ACQUIRE_FLAG_DONTWAIT;
  for (int i = 0; i < 50; ++i) {
    std::array<GstBuffer*, 2> held{};
    for (GstBuffer*& buffer : held) {
      REQUIRE(gst_buffer_pool_acquire_buffer(pool, &buffer, &params) == GST_FLOW_OK);
      ++seen[inode_of(buffer)];
    }
    GstBuffer* third = nullptr;
    CHECK(gst_buffer_pool_acquire_buffer(pool, &third, &params) == GST_FLOW_EOS);
    for (GstBuffer* buffer : held) {
      gst_buffer_unref(buffer);
    }
  }
  CHECK(seen.size() == 2);
  gst_buffer_pool_set_active(pool, FALSE);
  gst_object_unref(pool);
}

TEST_CASE("a buffer on which a device works is not handed out before its fence is signalled" *
          doctest::skip(!guest::is("full"))) {
  GstBufferPool* const pool = pool_of(heap, caps("BGRx", 64, 64), 64 * 64 * 4, 1, 1);
  REQUIRE(gst_buffer_pool_set_active(pool, TRUE));
  const guest::Timeline timeline;
  for (const bool flushed : {false, true}) {
    CAPTURE(flushed);
    GstBuffer* buffer = nullptr;
    REQUIRE(gst_buffer_pool_acquire_buffer(pool, &buffer, nullptr) == GST_FLOW_OK);
    const sa::UniqueFd fence = timeline.fence(flushed ? 2 : 1);
    dma_buf_import_sync_file import{DMA_BUF_SYNC_WRITE, fence.get()};
    REQUIRE(::ioctl(gst_dmabuf_memory_get_fd(gst_buffer_peek_memory(buffer, 0)), DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &import) == 0);
    gst_buffer_unref(buffer);
    std::atomic<bool> over{false};
    GstFlowReturn flow = GST_FLOW_OK;
    std::thread taker([&] {
      GstBuffer* again = nullptr;
      flow = gst_buffer_pool_acquire_buffer(pool, &again, nullptr);
      over = true;
      gst_clear_buffer(&again);
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    CHECK_FALSE(over);
    if (flushed) {
      gst_buffer_pool_set_flushing(pool, TRUE);
    } else {
      timeline.signal();
    }
    taker.join();
    CHECK(flow == (flushed ? GST_FLOW_FLUSHING : GST_FLOW_OK));
  }
  timeline.signal();
  gst_buffer_pool_set_active(pool, FALSE);
  gst_object_unref(pool);
}

TEST_CASE("nothing is lost over a hundred lives of the element") {
  const auto live = [] {
    Harness harness(std::string("heap=") + heap);
    harness.set_caps(caps("NV12", 320, 240));
    REQUIRE(harness.push(harness.make()) == GST_FLOW_OK);
    REQUIRE(harness.push(gst_buffer_new_allocate(nullptr, 115200, nullptr)) == GST_FLOW_OK);
    gst_buffer_unref(harness.pull());
    gst_buffer_unref(harness.pull());
  };
  live(); // what is open from then on
  const auto before = support::count();
  for (int i = 0; i < 100; ++i) {
    live();
  }
  CHECK(support::leaked_since(before) == "");
}
