// SPDX-License-Identifier: MIT
#include "allocator.hpp"

#include <cstdint>
#include <exception>
#include <mutex>
#include <string>
#include <utility>

GST_DEBUG_CATEGORY_STATIC(sa_allocator_debug);
#define GST_CAT_DEFAULT sa_allocator_debug

struct _GstSaAllocator {
  GstDmaBufAllocator parent;
  std::string* name;               // of the heap, until it is found
  std::shared_ptr<sa::Heap>* heap; // null until then
};

G_DEFINE_TYPE_WITH_CODE(GstSaAllocator, gst_sa_allocator, GST_TYPE_DMABUF_ALLOCATOR,
                        GST_DEBUG_CATEGORY_INIT(sa_allocator_debug, "saallocator", 0, "memory of libsa's heaps"))

namespace sa::gst {
namespace {

constexpr const char* default_heap = "dma-buf";
enum { prop_heap = 1 };

/// The state that a GstMemory of this allocator owns.
struct Held {
  DmaBuf buffer;
  std::mutex mutex;
  unsigned maps = 0;       ///< that last
  unsigned directions = 0; ///< GST_MAP_READ, GST_MAP_WRITE: in which CPU access lasts
};

Held* held_by(GstMemory* memory) noexcept {
  static const GQuark quark = g_quark_from_static_string("sa-dma-buf");
  GstMemory* const whole = memory->parent != nullptr ? memory->parent : memory;
  return static_cast<Held*>(gst_mini_object_get_qdata(GST_MINI_OBJECT_CAST(whole), quark));
}

Access access_in(unsigned directions) noexcept {
  return directions == GST_MAP_READ ? Access::Read : directions == GST_MAP_WRITE ? Access::Write : Access::ReadWrite;
}

/// Mapped once, for as long as the buffer lives. The outermost map begins the access and the last unmap ends it: to begin
/// another one inside would invalidate what the outer one has written and the caches hold.
gpointer map(GstMemory* memory, GstMapInfo* info, gsize /*bytes*/) try {
  Held* const held = held_by(memory);
  g_return_val_if_fail(held != nullptr, nullptr);
  unsigned wanted = info->flags & GST_MAP_READWRITE;
  if (memory->parent != nullptr && (wanted & GST_MAP_WRITE) != 0) { // others may read other parts meanwhile
    wanted = GST_MAP_READWRITE;
  }
  const std::lock_guard lock(held->mutex);
  std::byte* const bytes = held->buffer.map_unsynchronized().bytes().data();
  if (const unsigned missing = wanted & ~held->directions; missing != 0) {
    held->buffer.begin_cpu_access(access_in(missing));
    held->directions |= missing;
  }
  ++held->maps;
  return bytes;
} catch (const std::exception& error) {
  GST_ERROR_OBJECT(memory->allocator, "%s", error.what());
  return nullptr;
}

void unmap(GstMemory* memory, GstMapInfo* /*info*/) {
  Held* const held = held_by(memory);
  g_return_if_fail(held != nullptr);
  const std::lock_guard lock(held->mutex);
  if (--held->maps > 0) {
    return;
  }
  std::error_code ec;
  held->buffer.end_cpu_access(access_in(std::exchange(held->directions, 0U)), ec);
  if (ec) {
    GST_WARNING_OBJECT(memory->allocator, "DMA_BUF_IOCTL_SYNC: %s", ec.message().c_str());
  }
}

GstMemory* allocate(GstAllocator* allocator, gsize size, GstAllocationParams* params) try {
  const std::shared_ptr<Heap> heap = heap_of(allocator);
  if (heap == nullptr) {
    return nullptr;
  }
  std::size_t all = size; // a dma-buf begins at a page, so that params->align holds
  if (__builtin_add_overflow(all, params->prefix, &all) || __builtin_add_overflow(all, params->padding, &all)) {
    GST_ERROR_OBJECT(allocator, "%" G_GSIZE_FORMAT " bytes and their padding are more than an address space has", size);
    return nullptr;
  }
  GstMemory* const memory = wrap(allocator, heap->allocate({.size = all, .name = "gstreamer", .require = Trait::DmaBuf}), all);
  gst_memory_resize(memory, static_cast<gssize>(params->prefix), size);
  return memory;
} catch (const std::exception& error) {
  GST_ERROR_OBJECT(allocator, "%s", error.what());
  return nullptr;
}

void set_property(GObject* object, guint id, const GValue* value, GParamSpec* spec) {
  if (id != prop_heap) {
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
  } else if (const char* const name = g_value_get_string(value); name != nullptr) {
    *GST_SA_ALLOCATOR(object)->name = name;
  }
}

void get_property(GObject* object, guint id, GValue* value, GParamSpec* spec) {
  if (id != prop_heap) {
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
  } else {
    g_value_set_string(value, GST_SA_ALLOCATOR(object)->name->c_str());
  }
}

void finalize(GObject* object) {
  GstSaAllocator* const self = GST_SA_ALLOCATOR(object);
  delete self->heap;
  delete self->name;
  G_OBJECT_CLASS(gst_sa_allocator_parent_class)->finalize(object);
}

} // namespace

GstAllocator* make_allocator(std::shared_ptr<Heap> heap) {
  auto* const self = GST_SA_ALLOCATOR(g_object_new(GST_TYPE_SA_ALLOCATOR, "heap", heap->info().name.c_str(), nullptr));
  *self->heap = std::move(heap);
  return GST_ALLOCATOR(gst_object_ref_sink(self));
}

std::shared_ptr<Heap> heap_of(GstAllocator* allocator) try {
  GstSaAllocator* const self = GST_SA_ALLOCATOR(allocator);
  GST_OBJECT_LOCK(self);
  std::shared_ptr<Heap> heap = *self->heap;
  GST_OBJECT_UNLOCK(self);
  if (heap == nullptr) {
    heap = Registry::system().at(*self->name);
    GST_OBJECT_LOCK(self);
    *self->heap = heap;
    GST_OBJECT_UNLOCK(self);
  }
  return heap;
} catch (const std::exception& error) {
  GST_ERROR_OBJECT(allocator, "%s", error.what());
  return nullptr;
}

GstMemory* wrap(GstAllocator* allocator, DmaBuf buffer, std::size_t size) {
  static const GQuark quark = g_quark_from_static_string("sa-dma-buf");
  const int fd = buffer.fd(); // the buffer's own, which lives as long as the memory
  auto held = std::make_unique<Held>();
  const std::size_t all = buffer.size();
  held->buffer = std::move(buffer);
  GstMemory* const memory = gst_dmabuf_allocator_alloc_with_flags(allocator, fd, all, GST_FD_MEMORY_FLAG_DONT_CLOSE);
  gst_mini_object_set_qdata(GST_MINI_OBJECT_CAST(memory), quark, held.release(),
                            [](gpointer owned) { delete static_cast<Held*>(owned); });
  gst_memory_resize(memory, 0, size);
  return memory;
}

const DmaBuf* buffer_of(GstMemory* memory) noexcept {
  Held* const held = GST_IS_SA_ALLOCATOR(memory->allocator) ? held_by(memory) : nullptr;
  return held != nullptr ? &held->buffer : nullptr;
}

} // namespace sa::gst

static void gst_sa_allocator_init(GstSaAllocator* self) {
  self->name = new std::string(sa::gst::default_heap);
  self->heap = new std::shared_ptr<sa::Heap>;
  GstAllocator* const allocator = GST_ALLOCATOR_CAST(self);
  allocator->mem_map_full = sa::gst::map;
  allocator->mem_unmap_full = sa::gst::unmap;
  GST_OBJECT_FLAG_UNSET(self, GST_ALLOCATOR_FLAG_CUSTOM_ALLOC); // gst_allocator_alloc() serves
}

static void gst_sa_allocator_class_init(GstSaAllocatorClass* type) {
  GObjectClass* const object = G_OBJECT_CLASS(type);
  object->set_property = sa::gst::set_property;
  object->get_property = sa::gst::get_property;
  object->finalize = sa::gst::finalize;
  GST_ALLOCATOR_CLASS(type)->alloc = sa::gst::allocate;
  g_object_class_install_property(
      object, sa::gst::prop_heap,
      g_param_spec_string("heap", "Heap", "The heap or alias that memory is taken from, or several with | between them",
                          sa::gst::default_heap,
                          static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS)));
}
