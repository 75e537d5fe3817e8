// SPDX-License-Identifier: MIT
/// Heaps and pools.
#include <chrono>

#include "inside.hpp"

namespace sa { inline namespace v0 { namespace c {
namespace {

std::string_view name_of(const char* heap) noexcept {
  return heap == nullptr ? "dma-buf" : heap;
}

sa_heap_info info_of(const HeapInfo& info) noexcept {
  return {sizeof(sa_heap_info), info.name.c_str(),    info.backend.c_str(), info.node.c_str(),
          info.reason.c_str(),  bits_of(info.traits), info.usable,          info.granularity,
          info.max_size,        info.max_alignment,   info.max_address};
}

PoolOptions options_of(const sa_pool_options* given) {
  PoolOptions options;
  if (given == nullptr) {
    return options;
  }
  const sa_pool_options wanted = read(given, "sa_pool_options");
  if (wanted.recycle > SA_RECYCLE_ALWAYS || wanted.zero > 1) {
    refuse(EINVAL, "struct sa_pool_options: recycle is an enum sa_recycle, and zero is 0 or 1");
  }
  if (wanted.reserved != 0) {
    refuse_unknown("sa_pool_options");
  }
  if (wanted.max_free_bytes != 0) {
    options.max_free_bytes = static_cast<std::size_t>(std::min<std::uint64_t>(wanted.max_free_bytes, SIZE_MAX));
  }
  if (wanted.max_age_ms != 0) {
    options.max_age =
        wanted.max_age_ms == UINT32_MAX ? std::chrono::milliseconds::max() : std::chrono::milliseconds(wanted.max_age_ms);
  }
  options.recycle = wanted.recycle == SA_RECYCLE_ALWAYS ? Recycle::Always : Recycle::WhenUnshared;
  options.zero = wanted.zero != 0;
  return options;
}

} // namespace

Pool& pool_of(const sa_heap* handle) {
  const Heap& heap = heap_of(handle);
  if (handle->pool == nullptr) {
    refuse(EOPNOTSUPP, heap.info().name + " is not a pool; make one around it");
  }
  return *handle->pool;
}

sa_heap* handle_of(std::shared_ptr<Heap> heap, Pool* pool) {
  auto handle = std::make_unique<sa_heap>();
  handle->heap = std::move(heap);
  handle->pool = pool;
  return handle.release();
}

}}} // namespace sa::v0::c

using namespace sa::c;

extern "C" {

int sa_refresh(void) {
  return guarded([] {
    sa::Registry::system().refresh();
    return 0;
  });
}

int sa_heap_list(int (*each)(void* data, const sa_heap_info* info), void* data) {
  return guarded([&] {
    if (each == nullptr) {
      refuse(EINVAL, "no function to call for each heap; it is NULL");
    }
    int status = 0;
    for (const sa::HeapInfo& heap : sa::Registry::system().heaps()) {
      const sa_heap_info info = info_of(heap);
      status = each(data, &info);
      if (status != 0) {
        break;
      }
    }
    return status;
  });
}

int sa_heap_find(const char* heap, sa_heap** out) {
  return guarded(out, [&] { return handle_of(sa::Registry::system().at(name_of(heap))); });
}

int sa_heap_for_devices(const char* const* nodes, size_t count, const char* constraints, uint32_t flags, sa_heap** out) {
  return guarded(out, [&] {
    check_flags(flags, SA_PROBE);
    const sa::Constraints demands = constraints_of(constraints);
    return handle_of(
        sa::make_heap(sa::Registry::system().select(demands, devices_of(nodes, count), {.probe = (flags & SA_PROBE) != 0})));
  });
}

int sa_heap_pool(sa_heap* heap, const sa_pool_options* options, sa_heap** out) {
  return guarded(out, [&] {
    (void)heap_of(heap);
    auto pool = std::make_shared<sa::Pool>(heap->heap, options_of(options));
    sa::Pool* const itself = pool.get();
    return handle_of(std::move(pool), itself);
  });
}

int sa_heap_reserve(sa_heap* pool, size_t count, const sa_request* request) {
  return guarded([&] {
    sa::Pool& of = pool_of(pool);
    of.reserve(count, request_of(request, of));
    return 0;
  });
}

int sa_heap_trim(sa_heap* pool) {
  return guarded([&] {
    pool_of(pool).trim();
    return 0;
  });
}

int sa_heap_statistics(const sa_heap* pool, sa_pool_statistics* out) {
  return guarded([&] {
    const sa::PoolStatistics now = pool_of(pool).statistics();
    const sa_pool_statistics statistics{
        sizeof(sa_pool_statistics), now.hits,       now.misses,   now.live, now.free_buffers, now.set_aside, now.free_bytes,
        now.freed_shared,           now.freed_full, now.freed_old};
    write(statistics, out, "sa_pool_statistics");
    return 0;
  });
}

int sa_heap_get_info(const sa_heap* heap, sa_heap_info* out) {
  return guarded([&] {
    write(info_of(heap_of(heap).info()), out, "sa_heap_info");
    return 0;
  });
}

sa_heap* sa_heap_ref(sa_heap* heap) {
  if (heap != nullptr) {
    heap->references.fetch_add(1, std::memory_order_relaxed);
  }
  return heap;
}

void sa_heap_unref(sa_heap* heap) {
  if (heap != nullptr && heap->references.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    delete heap;
  }
}

int sa_alloc_fd(const char* heap, size_t size, const char* name) {
  return guarded(
      [&] { return sa::Registry::system().allocate(name_of(heap), {.size = size, .name = text(name)}).release().release(); });
}

} // extern "C"
