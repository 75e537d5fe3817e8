// SPDX-License-Identifier: MIT
/**
 * SECTION:element-saheap
 * @title: saheap
 * @short_description: frames in memory that devices share
 *
 * Gives the elements before it buffers of a libsa heap: one that has a name, or the one that suits some devices, in a layout that
 * all of them take. A frame that is in such a buffer passes untouched. Any other frame is copied into one, or refused.
 *
 * |[
 * gst-launch-1.0 v4l2src device=/dev/video1 io-mode=dmabuf-import ! video/x-raw,format=BGRx,width=640,height=480 ! \
 *   saheap devices=/dev/video1,/dev/dri/card1 ! kmssink driver-name=vkms
 * gst-launch-1.0 videotestsrc ! saheap heap=cma ! v4l2convert output-io-mode=dmabuf-import ! filesink location=frames
 * ]|
 */
#include "heap_element.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gst/allocators/gstdmabuf.h>
#include <gst/video/video.h>

#include <sa/glue/v4l2.hpp>
#include <sa/sa.hpp>

#include "allocator.hpp"
#include "buffer_pool.hpp"
#include "layouts.hpp"

GST_DEBUG_CATEGORY_STATIC(sa_heap_debug);
#define GST_CAT_DEFAULT sa_heap_debug

namespace sa::gst { namespace {

enum class Copy { Auto, Never, Always };
enum { prop_heap = 1, prop_devices, prop_least, prop_most, prop_stride_align, prop_copy, prop_heap_used, prop_stats };

GType copy_type() {
  static const GEnumValue values[] = {
      {static_cast<int>(Copy::Auto), "Copy a frame that is in other memory", "auto"},
      {static_cast<int>(Copy::Never), "Fail at a frame that is in other memory", "never"},
      {static_cast<int>(Copy::Always), "Copy every frame", "always"},
      {0, nullptr, nullptr},
  };
  static const GType type = g_enum_register_static("GstSaHeapCopy", values);
  return type;
}

/// The values of the properties. Guarded by the object's lock.
struct Settings {
  std::string heap;
  std::string devices;
  guint least = 0;
  guint most = 0;
  guint stride_align = 1;
  Copy copy = Copy::Auto;
};

struct ElementState {
  Settings settings;
  std::shared_ptr<Counters> counters = std::make_shared<Counters>();
  std::atomic<std::uint64_t> passed{0};
  std::atomic<std::uint64_t> copied{0};
  // From NULL to READY, and then until READY to NULL.
  std::vector<Device> devices;
  std::shared_ptr<Heap> named; ///< the heap of that name; null: none was named
  // Of the streaming thread.
  std::vector<Device> captures;          ///< the first frame shows whether they kept the stride
  std::uint32_t stride = 0;              ///< bytes, the first plane's, as planned
  GstBufferPool* pool = nullptr;         ///< for copies; made when there is one to be made
  std::mutex mutex;                      ///< of allocators
  std::vector<GstAllocator*> allocators; ///< made so far: one for each heap that was chosen
};

} // namespace
} // namespace sa::gst

struct _GstSaHeap {
  GstBaseTransform parent;
  sa::gst::ElementState* state;
};

G_DEFINE_TYPE_WITH_CODE(GstSaHeap, gst_sa_heap, GST_TYPE_BASE_TRANSFORM,
                        GST_DEBUG_CATEGORY_INIT(sa_heap_debug, "saheap", 0, "the element saheap"))

namespace sa::gst { namespace {

ElementState& state_of(gpointer element) {
  return *GST_SA_HEAP(element)->state;
}

Settings settings_of(gpointer element) {
  GST_OBJECT_LOCK(element);
  Settings settings = state_of(element).settings;
  GST_OBJECT_UNLOCK(element);
  return settings;
}

/// The parts of @p list between any of @p separators.
std::vector<std::string> split(const std::string& list, const char* separators) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin < list.size();) {
    const std::size_t end = std::min(list.find_first_of(separators, begin), list.size());
    if (end > begin) {
      parts.push_back(list.substr(begin, end - begin));
    }
    begin = end + 1;
  }
  return parts;
}

/// The name of the element that @p pad is linked to; one that only narrows caps is not meant.
std::string peer_of(GstPad* pad) {
  g_autoptr(GstPad) peer = gst_pad_get_peer(pad);
  g_autoptr(GstElement) element = peer != nullptr ? gst_pad_get_parent_element(peer) : nullptr;
  if (element == nullptr) {
    return "no element";
  }
  GstElementFactory* const factory = gst_element_get_factory(element);
  if (factory != nullptr && std::string_view(GST_OBJECT_NAME(factory)) == "capsfilter") {
    g_autoptr(GstPad) beyond = gst_element_get_static_pad(element, GST_PAD_DIRECTION(peer) == GST_PAD_SRC ? "sink" : "src");
    return peer_of(beyond);
  }
  g_autofree char* name = gst_element_get_name(element);
  return name;
}

[[noreturn]] void refuse(int why, const std::string& asked, const std::string& reason) {
  throw Error(std::error_code(why, std::system_category()), "", asked, reason);
}

/// Finds the heap, and asks the devices what memory they take: now, since no device streams yet.
void prepare(GstSaHeap* self) {
  ElementState& state = state_of(self);
  const Settings settings = settings_of(self);
  if (settings.most != 0 && settings.most < settings.least) {
    refuse(EINVAL, "set up saheap",
           "max-buffers=" + std::to_string(settings.most) + " is less than min-buffers=" + std::to_string(settings.least));
  }
  Registry& registry = Registry::system();
  registry.refresh();
  state.named = settings.heap.empty() ? nullptr : registry.at(settings.heap);
  if (state.named != nullptr && settings.heap.rfind("memfd:", 0) == 0 && settings.heap.find('|') == std::string::npos) {
    refuse(EOPNOTSUPP, "take memory from " + settings.heap,
           "saheap gives dma-bufs, and a memfd is none; udmabuf:4k makes dma-bufs of the same pages");
  }
  state.devices.clear();
  for (const std::string& node : split(settings.devices, ", ")) {
    state.devices.push_back(Device::open(node));
  }
  if (!state.devices.empty()) {
    (void)registry.select({}, state.devices, {.probe = true}); // what is found out is remembered
  } else if (state.named == nullptr) {
    state.named = registry.at("dma-buf");
  }
}

void forget_pool(ElementState& state) {
  if (state.pool != nullptr) {
    gst_buffer_pool_set_active(state.pool, FALSE);
    gst_clear_object(&state.pool); // NOLINT(bugprone-sizeof-expression): the macro's
  }
}

void forget(ElementState& state) {
  forget_pool(state);
  state.devices.clear();
  state.captures.clear();
  state.named = nullptr;
  const std::lock_guard lock(state.mutex);
  for (GstAllocator* const allocator : state.allocators) {
    gst_object_unref(allocator);
  }
  state.allocators.clear();
}

/// An allocator of @p heap; kept, so that a frame of it is known again. Borrowed.
GstAllocator* allocator_for(ElementState& state, std::shared_ptr<Heap> heap) {
  const std::lock_guard lock(state.mutex);
  for (GstAllocator* const allocator : state.allocators) {
    if (heap_of(allocator)->info().name == heap->info().name) {
      return allocator;
    }
  }
  return state.allocators.emplace_back(make_allocator(std::move(heap)));
}

/// The stride that a capture device has set for this picture, which its program cannot change any more; 0: it has another format.
std::uint32_t set_stride(const Device& device, const Picture& picture) {
  const DeviceInfo& info = device.info();
  const bool same = Format::find(info.fourcc) == picture.format &&
                    info.width == static_cast<std::uint32_t>(GST_VIDEO_INFO_WIDTH(&picture.info)) &&
                    info.height == static_cast<std::uint32_t>(GST_VIDEO_INFO_HEIGHT(&picture.info));
  return info.role == DeviceRole::Capture && same ? info.pitch : 0;
}

/// A device without a node, that demands one thing of a picture's rows.
Device demanding(const char* source, const Picture& picture, std::uint32_t align, std::uint32_t stride) {
  LayoutRule rule;
  rule.format = picture.format;
  rule.stride_align = align;
  rule.stride_min = rule.stride_max = stride;
  rule.sources = {source};
  return Device::described(source, {}, {rule});
}

/// The best choice for all devices; EOPNOTSUPP with every reason where there is none.
ImageSelection choose(const ElementState& state, const Settings& settings, const Picture& picture, std::uint32_t stride) {
  std::vector<Device> devices = state.devices;
  devices.push_back(demanding("saheap: stride-align", picture, settings.stride_align, 0));
  if (stride != 0) {
    devices.push_back(demanding("the format that is set: VIDIOC_G_FMT", picture, 1, stride));
  }
  return Registry::system().select_image(devices, {.width = static_cast<std::uint32_t>(GST_VIDEO_INFO_WIDTH(&picture.info)),
                                                   .height = static_cast<std::uint32_t>(GST_VIDEO_INFO_HEIGHT(&picture.info)),
                                                   .formats = {picture.format},
                                                   .memory = {.require = Trait::DmaBuf}});
}

/// The kind of buffers for frames of @p caps.
/// @throws Error where no memory or no layout serves
Plan plan_for(GstSaHeap* self, const GstCaps* caps) {
  ElementState& state = state_of(self);
  const Settings settings = settings_of(self);
  Plan plan;
  plan.picture = picture_of(caps);
  std::shared_ptr<Heap> heap = state.named;
  if (plan.picture && plan.picture->format) {
    std::uint32_t set = 0;
    state.captures.clear();
    for (const Device& device : state.devices) { // opened again: the current format is another one by now
      if (device.info().role == DeviceRole::Capture) {
        set = std::max(set, set_stride(Device::open(device.info().name), *plan.picture));
        state.captures.push_back(device);
      }
    }
    if (state.devices.empty() && settings.stride_align == 1) {
      plan.layout = default_layout(*plan.picture);
    } else {
      ImageSelection selection = choose(state, settings, *plan.picture, set);
      if (selection.choices.empty() && set != 0) { // the program of the camera may widen its rows
        selection = choose(state, settings, *plan.picture, 0);
      }
      std::shared_ptr<Heap> best = make_heap(selection); // or the reasons
      plan.layout = selection.choices.front().layout;
      if (heap == nullptr) {
        heap = std::move(best);
      } else {
        Selection named; // step by step: at a list of temporaries GCC 16 sees one that dangles
        named.constraints = selection.constraints;
        named.choices.push_back({std::move(heap), Certainty::Suits, {}});
        heap = make_heap(named);
      }
    }
    state.stride = plan.layout.planes[0].stride;
    plan.size = size_of(plan.layout);
  } else {
    if (heap == nullptr) {
      heap = make_heap(Registry::system().select({}, state.devices));
    }
    plan.size = plan.picture ? plan.picture->info.size : 0;
  }
  plan.allocator = allocator_for(state, std::move(heap));
  return plan;
}

void post(GstSaHeap* self, const std::exception& error) {
  GST_ELEMENT_ERROR(self, RESOURCE, NO_SPACE_LEFT, ("%s", error.what()), (nullptr));
}

/// Refuses a layout that the next element would read wrong.
void check_reader(GstSaHeap* self, const Plan& plan, bool knows_metas) {
  if (plan.layout.format && !knows_metas && !is_default(plan.layout, *plan.picture)) {
    refuse(EOPNOTSUPP, "give buffers for " + to_string(plan.layout),
           peer_of(GST_BASE_TRANSFORM_SRC_PAD(self)) +
               " does not say that it reads strides from GstVideoMeta, and would look for other rows. Leave stride-align and "
               "devices out, or take a width whose rows need no padding, or answer its ALLOCATION query with GstVideoMeta");
  }
}

/// Says in the query that rows are wider than @p picture needs: v4l2src sets its driver so (gst_v4l2_object_decide_allocation()).
void widen_rows(GstQuery* query, guint index, const Plan& plan) {
  const std::uint32_t stride = plan.layout.planes[0].stride;
  const gint pixel = GST_VIDEO_INFO_COMP_PSTRIDE(&plan.picture->info, 0);
  const auto own = static_cast<std::uint32_t>(plan.picture->info.stride[0]);
  if (pixel <= 0 || stride <= own || (stride - own) % static_cast<std::uint32_t>(pixel) != 0) {
    return;
  }
  GstStructure* const padding = gst_structure_new("video-meta", "padding-top", G_TYPE_UINT, 0U, "padding-bottom", G_TYPE_UINT, 0U,
                                                  "padding-left", G_TYPE_UINT, 0U, "padding-right", G_TYPE_UINT,
                                                  (stride - own) / static_cast<std::uint32_t>(pixel), nullptr);
  gst_query_remove_nth_allocation_meta(query, index);
  gst_query_add_allocation_meta(query, GST_VIDEO_META_API_TYPE, padding);
  gst_structure_free(padding);
}

/// Asks downstream what it needs, and puts a pool of the heap in the place of its own.
gboolean propose_allocation(GstBaseTransform* base, GstQuery* decide, GstQuery* query) try {
  GstSaHeap* const self = GST_SA_HEAP(base);
  ElementState& state = state_of(self);
  (void)GST_BASE_TRANSFORM_CLASS(gst_sa_heap_parent_class)->propose_allocation(base, decide, query);
  GstCaps* caps = nullptr;
  gboolean wants_pool = FALSE;
  gst_query_parse_allocation(query, &caps, &wants_pool);
  if (caps == nullptr) {
    return FALSE;
  }
  const Plan plan = plan_for(self, caps);
  const Settings settings = settings_of(self);
  guint size = 0;
  guint least = 0;
  for (guint i = 0; i < gst_query_get_n_allocation_pools(query); ++i) {
    guint its_size = 0;
    guint its_least = 0;
    gst_query_parse_nth_allocation_pool(query, i, nullptr, &its_size, &its_least, nullptr);
    size = std::max(size, its_size);
    least = std::max(least, its_least);
  }
  guint index = 0;
  const bool knows_metas = gst_query_find_allocation_meta(query, GST_VIDEO_META_API_TYPE, &index) != FALSE;
  check_reader(self, plan, knows_metas);
  if (plan.layout.format && !is_default(plan.layout, *plan.picture)) {
    widen_rows(query, index, plan);
  }
  if (plan.layout.format || plan.size != 0) {
    size = static_cast<guint>(std::max<std::size_t>(plan.size, plan.layout.format ? 0 : size));
  }
  least = std::max(least, settings.least);
  const guint most = settings.most == 0 ? 0 : std::max(least, settings.most);
  while (gst_query_get_n_allocation_pools(query) > 0) {
    gst_query_remove_nth_allocation_pool(query, 0);
  }
  while (gst_query_get_n_allocation_params(query) > 0) {
    gst_query_remove_nth_allocation_param(query, 0);
  }
  GstAllocationParams params;
  gst_allocation_params_init(&params);
  gst_query_add_allocation_param(query, plan.allocator, &params);
  GstBufferPool* pool = wants_pool ? make_pool(plan, state.counters, GST_ELEMENT(self)) : nullptr;
  if (pool != nullptr && size != 0) {
    GstStructure* const config = gst_buffer_pool_get_config(pool);
    gst_buffer_pool_config_set_params(config, caps, size, least, most);
    if (knows_metas) {
      gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
    }
    gst_buffer_pool_set_config(pool, config);
  }
  gst_query_add_allocation_pool(query, pool, size, least, most);
  gst_clear_object(&pool); // NOLINT(bugprone-sizeof-expression): the macro's
  return TRUE;
} catch (const std::exception& error) {
  post(GST_SA_HEAP(base), error);
  return FALSE;
}

/// Whether the whole frame lies in buffers of this element's heaps.
bool is_own(ElementState& state, GstBuffer* frame) {
  const std::lock_guard lock(state.mutex);
  for (guint i = 0; i < gst_buffer_n_memory(frame); ++i) {
    GstAllocator* const allocator = gst_buffer_peek_memory(frame, i)->allocator;
    if (std::find(state.allocators.begin(), state.allocators.end(), allocator) == state.allocators.end()) {
      return false;
    }
  }
  return true;
}

/// The pool for copies, active; null: an error was posted.
GstBufferPool* pool_for_copies(GstSaHeap* self, std::size_t size) {
  ElementState& state = state_of(self);
  if (state.pool != nullptr) {
    return state.pool;
  }
  GstPad* const pad = GST_BASE_TRANSFORM_SRC_PAD(self);
  g_autoptr(GstCaps) caps = gst_pad_get_current_caps(GST_BASE_TRANSFORM_SINK_PAD(self));
  if (caps == nullptr) {
    refuse(EINVAL, "copy a frame", "it came without caps");
  }
  g_autoptr(GstQuery) query = gst_query_new_allocation(caps, FALSE);
  const bool knows_metas =
      gst_pad_peer_query(pad, query) && gst_query_find_allocation_meta(query, GST_VIDEO_META_API_TYPE, nullptr);
  Plan plan = plan_for(self, caps);
  check_reader(self, plan, knows_metas);
  const Settings settings = settings_of(self);
  const std::size_t bytes = std::max(plan.size, plan.picture ? 0 : size);
  GstBufferPool* pool = make_pool(plan, state.counters, GST_ELEMENT(self));
  GstStructure* const config = gst_buffer_pool_get_config(pool);
  gst_buffer_pool_config_set_params(config, caps, static_cast<guint>(bytes), settings.least, settings.most);
  if (knows_metas) {
    gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
  }
  if (!gst_buffer_pool_set_config(pool, config) || !gst_buffer_pool_set_active(pool, TRUE)) {
    gst_object_unref(pool); // it said why
    return nullptr;
  }
  return state.pool = pool;
}

bool copy_pixels(const GstVideoInfo& info, GstBuffer* from, GstBuffer* to) {
  GstVideoFrame source;
  GstVideoFrame target;
  if (!gst_video_frame_map(&source, &info, from, GST_MAP_READ)) {
    return false;
  }
  bool copied = false;
  if (gst_video_frame_map(&target, &info, to, GST_MAP_WRITE)) {
    copied = gst_video_frame_copy(&target, &source) != FALSE;
    gst_video_frame_unmap(&target);
  }
  gst_video_frame_unmap(&source);
  return copied;
}

bool copy_bytes(GstBuffer* from, GstBuffer* to) {
  GstMapInfo source;
  if (!gst_buffer_map(from, &source, GST_MAP_READ)) {
    return false;
  }
  const bool copied = gst_buffer_fill(to, 0, source.data, source.size) == source.size;
  gst_buffer_unmap(from, &source);
  if (copied) {
    gst_buffer_set_size(to, static_cast<gssize>(gst_buffer_get_size(from)));
  }
  return copied;
}

GstFlowReturn copy_frame(GstSaHeap* self, GstBuffer* frame, GstBuffer** out) {
  ElementState& state = state_of(self);
  GstBufferPool* const pool = pool_for_copies(self, gst_buffer_get_size(frame));
  if (pool == nullptr) {
    return GST_FLOW_ERROR;
  }
  GstBuffer* copy = nullptr;
  if (const GstFlowReturn flow = gst_buffer_pool_acquire_buffer(pool, &copy, nullptr); flow != GST_FLOW_OK) {
    return flow;
  }
  g_autoptr(GstCaps) caps = gst_pad_get_current_caps(GST_BASE_TRANSFORM_SINK_PAD(self));
  const std::optional<Picture> picture = picture_of(caps);
  if (!picture && gst_buffer_get_size(copy) < gst_buffer_get_size(frame)) { // a larger one than any before it
    gst_buffer_unref(copy);
    forget_pool(state);
    return copy_frame(self, frame, out);
  }
  if (!(picture ? copy_pixels(picture->info, frame, copy) : copy_bytes(frame, copy))) {
    gst_buffer_unref(copy);
    GST_ELEMENT_ERROR(self, RESOURCE, READ, ("the frame could not be mapped"), (nullptr));
    return GST_FLOW_ERROR;
  }
  GST_BASE_TRANSFORM_GET_CLASS(self)->copy_metadata(GST_BASE_TRANSFORM(self), frame, copy);
  state.copied.fetch_add(1, std::memory_order_relaxed);
  *out = copy;
  return GST_FLOW_OK;
}

/// At the first frame of a plan: a camera whose program set another stride would be read wrong.
void check_strides(ElementState& state) {
  for (const Device& device : std::exchange(state.captures, {})) {
    const Device now = Device::open(device.info().name);
    if (now.info().pitch != state.stride && state.stride != 0) {
      refuse(EINVAL, "take a frame of " + device.info().name,
             "it writes rows of " + std::to_string(now.info().pitch) + " bytes where " + std::to_string(state.stride) +
                 " were agreed on: the element before does not set what the buffers say");
    }
  }
}

/// Of a frame in other memory: which memory, and what the user can do.
std::string how_it_came(GstSaHeap* self, GstBuffer* frame) {
  const bool dma_buf = gst_buffer_n_memory(frame) > 0 && gst_is_dmabuf_memory(gst_buffer_peek_memory(frame, 0)) != FALSE;
  const std::string from = peer_of(GST_BASE_TRANSFORM_SINK_PAD(self));
  return dma_buf ? from + " sent a frame in a dma-buf of its own: leave saheap out if the next device takes that, or let the "
                          "source import buffers (v4l2src: io-mode=dmabuf-import)"
                 : from + " sent a frame that is in no buffer of saheap: let the source import buffers (v4l2src: "
                          "io-mode=dmabuf-import), and put saheap directly behind it";
}

/// At the end of the stream, on the bus: gst-launch-1.0 prints it.
void report(GstSaHeap* self) {
  ElementState& state = state_of(self);
  std::string heap;
  {
    const std::lock_guard lock(state.counters->mutex);
    heap = state.counters->heap_used;
  }
  g_autofree char* said = g_strdup_printf(
      "%" G_GUINT64_FORMAT " frames passed, %" G_GUINT64_FORMAT " copied; %" G_GUINT64_FORMAT " buffers from %s",
      state.passed.load(), state.copied.load(), state.counters->allocated.load(), heap.empty() ? "no heap" : heap.c_str());
  GST_ELEMENT_INFO(self, RESOURCE, SETTINGS, ("%s", said), ("%s", said)); // gst-launch-1.0 prints the second alone
}

gboolean sink_event(GstBaseTransform* base, GstEvent* event) {
  if (GST_EVENT_TYPE(event) == GST_EVENT_EOS) {
    report(GST_SA_HEAP(base));
  }
  return GST_BASE_TRANSFORM_CLASS(gst_sa_heap_parent_class)->sink_event(base, event);
}

GstFlowReturn prepare_output_buffer(GstBaseTransform* base, GstBuffer* frame, GstBuffer** out) try {
  GstSaHeap* const self = GST_SA_HEAP(base);
  ElementState& state = state_of(self);
  GST_OBJECT_LOCK(self);
  const Copy mode = state.settings.copy;
  GST_OBJECT_UNLOCK(self);
  const bool own = is_own(state, frame);
  if (own && mode != Copy::Always) {
    check_strides(state);
    state.passed.fetch_add(1, std::memory_order_relaxed);
    *out = frame;
    return GST_FLOW_OK;
  }
  if (!own && mode == Copy::Never) {
    GST_ELEMENT_ERROR(self, RESOURCE, SETTINGS, ("copy=never, and %s", how_it_came(self, frame).c_str()), (nullptr));
    return GST_FLOW_ERROR;
  }
  if (!own && mode == Copy::Auto && state.copied == 0) {
    GST_WARNING_OBJECT(self, "frames are copied: %s", how_it_came(self, frame).c_str());
  }
  return copy_frame(self, frame, out);
} catch (const std::exception& error) {
  post(GST_SA_HEAP(base), error);
  return GST_FLOW_ERROR;
}

gboolean set_caps(GstBaseTransform* base, GstCaps* /*in*/, GstCaps* /*out*/) {
  forget_pool(state_of(base));
  return TRUE;
}

/// Everything goes along but what says how the other memory lay.
gboolean transform_meta(GstBaseTransform* /*base*/, GstBuffer* /*out*/, GstMeta* meta, GstBuffer* /*in*/) {
  static const GQuark of_memory = g_quark_from_static_string("memory");
  return meta->info->api != GST_VIDEO_META_API_TYPE && !gst_meta_api_type_has_tag(meta->info->api, of_memory);
}

gboolean stop(GstBaseTransform* base) {
  forget_pool(state_of(base));
  return TRUE;
}

GstStateChangeReturn change_state(GstElement* element, GstStateChange change) {
  GstSaHeap* const self = GST_SA_HEAP(element);
  if (change == GST_STATE_CHANGE_NULL_TO_READY) {
    try {
      prepare(self);
    } catch (const std::exception& error) {
      GST_ELEMENT_ERROR(self, RESOURCE, NOT_FOUND, ("%s", error.what()), (nullptr));
      return GST_STATE_CHANGE_FAILURE;
    }
  }
  const GstStateChangeReturn result = GST_ELEMENT_CLASS(gst_sa_heap_parent_class)->change_state(element, change);
  if (change == GST_STATE_CHANGE_READY_TO_NULL) {
    forget(state_of(self));
  }
  return result;
}

void set_property(GObject* object, guint id, const GValue* value, GParamSpec* spec) {
  const auto text = [&] { return std::string(g_value_get_string(value) != nullptr ? g_value_get_string(value) : ""); };
  GST_OBJECT_LOCK(object);
  Settings& settings = state_of(object).settings;
  switch (id) {
  case prop_heap:
    settings.heap = text();
    break;
  case prop_devices:
    settings.devices = text();
    break;
  case prop_least:
    settings.least = g_value_get_uint(value);
    break;
  case prop_most:
    settings.most = g_value_get_uint(value);
    break;
  case prop_stride_align:
    settings.stride_align = g_value_get_uint(value);
    break;
  case prop_copy:
    settings.copy = static_cast<Copy>(g_value_get_enum(value));
    break;
  default:
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
  }
  GST_OBJECT_UNLOCK(object);
}

void get_property(GObject* object, guint id, GValue* value, GParamSpec* spec) {
  ElementState& state = state_of(object);
  const Settings settings = settings_of(object);
  switch (id) {
  case prop_heap:
    g_value_set_string(value, settings.heap.c_str());
    break;
  case prop_devices:
    g_value_set_string(value, settings.devices.c_str());
    break;
  case prop_least:
    g_value_set_uint(value, settings.least);
    break;
  case prop_most:
    g_value_set_uint(value, settings.most);
    break;
  case prop_stride_align:
    g_value_set_uint(value, settings.stride_align);
    break;
  case prop_copy:
    g_value_set_enum(value, static_cast<int>(settings.copy));
    break;
  case prop_heap_used: {
    const std::lock_guard lock(state.counters->mutex);
    g_value_set_string(value, state.counters->heap_used.empty() ? nullptr : state.counters->heap_used.c_str());
    break;
  }
  case prop_stats:
    g_value_take_boxed(value, gst_structure_new("application/x-saheap-stats", "passed", G_TYPE_UINT64, state.passed.load(),
                                                "copied", G_TYPE_UINT64, state.copied.load(), "allocated", G_TYPE_UINT64,
                                                state.counters->allocated.load(), nullptr));
    break;
  default:
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
  }
}

void finalize(GObject* object) {
  forget(state_of(object));
  delete GST_SA_HEAP(object)->state;
  G_OBJECT_CLASS(gst_sa_heap_parent_class)->finalize(object);
}

void install_properties(GObjectClass* type) {
  constexpr auto changes = static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_READY);
  constexpr auto reads = static_cast<GParamFlags>(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  const auto install = [&](guint id, GParamSpec* spec) { g_object_class_install_property(type, id, spec); };
  install(prop_heap, g_param_spec_string("heap", "Heap",
                                         "The heap or alias that memory is taken from, or several with | between them; empty: "
                                         "the best heap for the devices, or dma-buf if there are none",
                                         nullptr, changes));
  install(prop_devices, g_param_spec_string("devices", "Devices",
                                            "The nodes of the devices that use the frames, with commas between them "
                                            "(/dev/video0,/dev/dri/card0): memory and layout are such that all of them take them",
                                            nullptr, changes));
  install(prop_least, g_param_spec_uint("min-buffers", "Minimum of buffers", "Buffers that are allocated at start, at least", 0,
                                        G_MAXUINT, 0, changes));
  install(prop_most, g_param_spec_uint("max-buffers", "Maximum of buffers",
                                       "Buffers that there are at most, unless an element needs more; 0: any number", 0,
                                       G_MAXUINT, 0, changes));
  install(prop_stride_align, g_param_spec_uint("stride-align", "Stride alignment",
                                               "Bytes of which each plane's stride is a multiple", 1, 65536, 1, changes));
  install(prop_copy, g_param_spec_enum("copy", "Copy", "How a frame in other memory is handled", copy_type(),
                                       static_cast<int>(Copy::Auto), changes));
  install(prop_heap_used, g_param_spec_string("heap-used", "Heap used", "The heap that gave the last buffer", nullptr, reads));
  install(prop_stats,
          g_param_spec_boxed("stats", "Statistics", "passed, copied: frames; allocated: buffers; each since the element was made",
                             GST_TYPE_STRUCTURE, reads));
}

} // namespace
} // namespace sa::gst

static void gst_sa_heap_init(GstSaHeap* self) {
  self->state = new sa::gst::ElementState;
  gst_base_transform_set_passthrough(GST_BASE_TRANSFORM(self), TRUE);
  gst_base_transform_set_gap_aware(GST_BASE_TRANSFORM(self), TRUE);
}

static void gst_sa_heap_class_init(GstSaHeapClass* type) {
  static GstStaticPadTemplate sink = GST_STATIC_PAD_TEMPLATE("sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS_ANY);
  static GstStaticPadTemplate source = GST_STATIC_PAD_TEMPLATE("src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS_ANY);
  GObjectClass* const object = G_OBJECT_CLASS(type);
  object->set_property = sa::gst::set_property;
  object->get_property = sa::gst::get_property;
  object->finalize = sa::gst::finalize;
  sa::gst::install_properties(object);
  GstElementClass* const element = GST_ELEMENT_CLASS(type);
  element->change_state = sa::gst::change_state;
  gst_element_class_add_static_pad_template(element, &sink);
  gst_element_class_add_static_pad_template(element, &source);
  gst_element_class_set_static_metadata(element, "Memory of a heap", "Generic",
                                        "Gives the elements before it memory that devices share, of a libsa heap",
                                        "The Simple Allocator authors");
  gst_type_mark_as_plugin_api(sa::gst::copy_type(), static_cast<GstPluginAPIFlags>(0));
  GstBaseTransformClass* const transform = GST_BASE_TRANSFORM_CLASS(type);
  transform->passthrough_on_same_caps = TRUE;
  transform->transform_ip_on_passthrough = FALSE;
  transform->propose_allocation = sa::gst::propose_allocation;
  transform->prepare_output_buffer = sa::gst::prepare_output_buffer;
  transform->transform_meta = sa::gst::transform_meta;
  transform->set_caps = sa::gst::set_caps;
  transform->sink_event = sa::gst::sink_event;
  transform->stop = sa::gst::stop;
}
