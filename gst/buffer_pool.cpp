// SPDX-License-Identifier: MIT
#include "buffer_pool.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>
#include <vector>

#include "allocator.hpp"

GST_DEBUG_CATEGORY_STATIC(sa_pool_debug);
#define GST_CAT_DEFAULT sa_pool_debug

namespace sa::gst { namespace {

struct PoolState {
  std::string heap;       ///< its name, for a pool that an application makes
  guint stride_align = 1; ///< bytes, likewise
  GstAllocator* allocator = nullptr;
  bool planned = false; ///< an element decided what the buffers are
  std::optional<Picture> picture;
  ImageLayout layout;
  std::vector<std::size_t> sizes; ///< bytes of each memory of a buffer, as GStreamer sees it
  std::size_t padding = 0;        ///< bytes behind each memory, for readers that look ahead
  std::shared_ptr<Counters> counters = std::make_shared<Counters>();
  GWeakRef element{};
};

} // namespace
} // namespace sa::gst

struct _GstSaBufferPool {
  GstBufferPool parent;
  sa::gst::PoolState* state;
};

G_DEFINE_TYPE_WITH_CODE(GstSaBufferPool, gst_sa_buffer_pool, GST_TYPE_BUFFER_POOL,
                        GST_DEBUG_CATEGORY_INIT(sa_pool_debug, "sapool", 0, "pools of libsa's buffers"))

namespace sa::gst {
namespace {

enum { prop_heap = 1, prop_stride_align };

PoolState& state_of(gpointer pool) {
  return *GST_SA_BUFFER_POOL(pool)->state;
}

void report(GstBufferPool* pool, const char* sentence) {
  GST_ERROR_OBJECT(pool, "%s", sentence);
  if (auto* const element = static_cast<GstElement*>(g_weak_ref_get(&state_of(pool).element)); element != nullptr) {
    GST_ELEMENT_ERROR(element, RESOURCE, NO_SPACE_LEFT, ("%s", sentence), (nullptr));
    gst_object_unref(element);
  }
}

const gchar** options(GstBufferPool* /*pool*/) {
  static const gchar* names[] = {GST_BUFFER_POOL_OPTION_VIDEO_META, nullptr};
  return names;
}

/// How a picture of such caps lies where no element decided it.
void lay_out_by_caps(PoolState& state, const GstCaps* caps) {
  state.picture = picture_of(caps);
  state.layout = {};
  if (!state.picture || !state.picture->format) {
    return;
  }
  state.layout = default_layout(*state.picture);
  if (state.stride_align > 1) {
    LayoutRule rule;
    rule.format = state.picture->format;
    rule.stride_align = state.stride_align;
    rule.buffers = Buffers::One;
    rule.sources = {"stride-align"};
    state.layout = lay_out(rule, state.layout.width, state.layout.height);
  }
}

gboolean set_config(GstBufferPool* pool, GstStructure* config) try {
  PoolState& state = state_of(pool);
  GstCaps* caps = nullptr;
  guint size = 0;
  guint least = 0;
  guint most = 0;
  if (!gst_buffer_pool_config_get_params(config, &caps, &size, &least, &most)) {
    GST_WARNING_OBJECT(pool, "a configuration without caps, size and numbers of buffers");
    return FALSE;
  }
  if (!state.planned && caps != nullptr) {
    lay_out_by_caps(state, caps);
  }
  state.sizes.clear();
  const bool knows_metas = gst_buffer_pool_config_has_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META) != FALSE;
  if (state.layout.format) {
    if (!knows_metas && !is_default(state.layout, *state.picture)) {
      GST_WARNING_OBJECT(pool, "%s can only be told by GstVideoMeta, which is not among the options",
                         to_string(state.layout).c_str());
      return FALSE;
    }
    for (unsigned i = 0; i < state.layout.buffer_count(); ++i) {
      state.sizes.push_back(state.layout.sizes[i]);
    }
  } else {
    state.sizes.push_back(state.picture ? state.picture->info.size : 0);
  }
  if (state.sizes.size() == 1) { // a driver may want more than its picture takes
    state.sizes[0] = std::max<std::size_t>(state.sizes[0], size);
  }
  std::size_t all = 0;
  for (const std::size_t one : state.sizes) {
    all += one;
  }
  if (all == 0 || all > G_MAXUINT) {
    GST_WARNING_OBJECT(pool, "buffers of %zu bytes", all);
    return FALSE;
  }
  if (state.allocator == nullptr) {
    state.allocator = make_allocator(Registry::system().at(state.heap));
  }
  // Its own allocator, whatever the configuration has: sources hand on what a query said, nothing included.
  GstAllocationParams params;
  gst_allocation_params_init(&params);
  gst_buffer_pool_config_get_allocator(config, nullptr, &params);
  state.padding = params.padding;
  params.prefix = 0; // a device begins at the beginning
  gst_buffer_pool_config_set_allocator(config, state.allocator, &params);
  gst_buffer_pool_config_set_params(config, caps, static_cast<guint>(all), least, most);
  return GST_BUFFER_POOL_CLASS(gst_sa_buffer_pool_parent_class)->set_config(pool, config);
} catch (const std::exception& error) {
  report(pool, error.what());
  return FALSE;
}

GstFlowReturn alloc_buffer(GstBufferPool* pool, GstBuffer** out, GstBufferPoolAcquireParams* /*params*/) try {
  PoolState& state = state_of(pool);
  const std::shared_ptr<Heap> heap = heap_of(state.allocator);
  std::vector<DmaBuf> buffers;
  const std::size_t most = *std::max_element(state.sizes.begin(), state.sizes.end());
  AllocRequest request{.size = most + state.padding, .name = "gstreamer", .require = Trait::DmaBuf};
  if (state.layout.format) {
    request.size = state.sizes.size() == 1 || state.padding != 0 ? request.size : 0; // each buffer is as large as its planes
    buffers = heap->allocate(state.layout, request).release();
  } else {
    buffers.push_back(heap->allocate(request));
  }
  {
    const std::lock_guard lock(state.counters->mutex);
    state.counters->heap_used = buffers[0].heap();
  }
  state.counters->allocated.fetch_add(1, std::memory_order_relaxed);
  GstBuffer* const buffer = gst_buffer_new();
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    gst_buffer_append_memory(buffer, wrap(state.allocator, std::move(buffers[i]), state.sizes[i]));
  }
  if (state.picture) {
    ImageLayout layout = state.layout.format ? state.layout : default_layout(*state.picture);
    layout.sizes = {};
    std::copy(state.sizes.begin(), state.sizes.end(), layout.sizes.begin());
    add_video_meta(buffer, layout, *state.picture);
  }
  *out = buffer;
  return GST_FLOW_OK;
} catch (const std::exception& error) {
  report(pool, error.what());
  return GST_FLOW_ERROR;
}

/// Waits for devices that still work on the buffer: their fences are in its dma-bufs (Documentation/driver-api/dma-buf.rst,
/// "Implicit Fence Poll Support").
GstFlowReturn acquire_buffer(GstBufferPool* pool, GstBuffer** out, GstBufferPoolAcquireParams* params) {
  const GstFlowReturn flow = GST_BUFFER_POOL_CLASS(gst_sa_buffer_pool_parent_class)->acquire_buffer(pool, out, params);
  if (flow != GST_FLOW_OK) {
    return flow;
  }
  constexpr std::chrono::milliseconds step{100};
  for (guint i = 0; i < gst_buffer_n_memory(*out); ++i) {
    const DmaBuf* const buffer = buffer_of(gst_buffer_peek_memory(*out, i));
    std::error_code ec = std::make_error_code(std::errc::timed_out);
    while (buffer != nullptr && ec == std::errc::timed_out) {
      buffer->wait(Access::Write, step, ec);
      if (ec == std::errc::timed_out && GST_BUFFER_POOL_IS_FLUSHING(pool)) {
        GST_BUFFER_POOL_GET_CLASS(pool)->release_buffer(pool, std::exchange(*out, nullptr));
        return GST_FLOW_FLUSHING;
      }
    }
  }
  return GST_FLOW_OK;
}

void set_property(GObject* object, guint id, const GValue* value, GParamSpec* spec) {
  switch (id) {
  case prop_heap:
    if (const char* const name = g_value_get_string(value); name != nullptr) {
      state_of(object).heap = name;
    }
    break;
  case prop_stride_align:
    state_of(object).stride_align = g_value_get_uint(value);
    break;
  default:
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
  }
}

void get_property(GObject* object, guint id, GValue* value, GParamSpec* spec) {
  switch (id) {
  case prop_heap:
    g_value_set_string(value, state_of(object).heap.c_str());
    break;
  case prop_stride_align:
    g_value_set_uint(value, state_of(object).stride_align);
    break;
  default:
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
  }
}

void finalize(GObject* object) {
  PoolState& state = state_of(object);
  g_weak_ref_clear(&state.element);
  gst_clear_object(&state.allocator); // NOLINT(bugprone-sizeof-expression): the macro's
  G_OBJECT_CLASS(gst_sa_buffer_pool_parent_class)->finalize(object);
  delete &state;
}

} // namespace

GstBufferPool* make_pool(Plan plan, std::shared_ptr<Counters> counters, GstElement* element) {
  auto* const pool = GST_BUFFER_POOL(g_object_new(GST_TYPE_SA_BUFFER_POOL, nullptr));
  PoolState& state = state_of(pool);
  state.planned = true;
  state.allocator = GST_ALLOCATOR(gst_object_ref(plan.allocator));
  state.picture = plan.picture;
  state.layout = plan.layout;
  state.counters = std::move(counters);
  g_weak_ref_set(&state.element, element);
  return GST_BUFFER_POOL(gst_object_ref_sink(pool));
}

} // namespace sa::gst

static void gst_sa_buffer_pool_init(GstSaBufferPool* self) {
  self->state = new sa::gst::PoolState;
  g_weak_ref_init(&self->state->element, nullptr);
}

static void gst_sa_buffer_pool_class_init(GstSaBufferPoolClass* type) {
  GObjectClass* const object = G_OBJECT_CLASS(type);
  object->set_property = sa::gst::set_property;
  object->get_property = sa::gst::get_property;
  object->finalize = sa::gst::finalize;
  GstBufferPoolClass* const pool = GST_BUFFER_POOL_CLASS(type);
  pool->get_options = sa::gst::options;
  pool->set_config = sa::gst::set_config;
  pool->alloc_buffer = sa::gst::alloc_buffer;
  pool->acquire_buffer = sa::gst::acquire_buffer;
  constexpr auto flags = static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);
  g_object_class_install_property(
      object, sa::gst::prop_heap,
      g_param_spec_string("heap", "Heap", "The heap or alias that memory is taken from, or several with | between them",
                          "dma-buf", flags));
  g_object_class_install_property(object, sa::gst::prop_stride_align,
                                  g_param_spec_uint("stride-align", "Stride alignment",
                                                    "Bytes of which each plane's stride is a multiple", 1, 65536, 1, flags));
}
