// SPDX-License-Identifier: MIT
/// @file buffer_pool.hpp
/// Buffers of a libsa heap that go round.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include <gst/gst.h>

#include <sa/sa.hpp>

#include "layouts.hpp"

G_BEGIN_DECLS
#define GST_TYPE_SA_BUFFER_POOL (gst_sa_buffer_pool_get_type())
G_DECLARE_FINAL_TYPE(GstSaBufferPool, gst_sa_buffer_pool, GST, SA_BUFFER_POOL, GstBufferPool)
G_END_DECLS

namespace sa::gst {

/// The counts that the pools of one element share.
struct Counters {
  std::atomic<std::uint64_t> allocated{0};
  std::mutex mutex;
  std::string heap_used;
};

/// The element's decision about its buffers.
struct Plan {
  GstAllocator* allocator = nullptr; ///< a GstSaAllocator; borrowed, the pool takes a reference
  std::optional<Picture> picture;    ///< nothing: the buffers are bytes
  ImageLayout layout;                ///< of a picture whose format the table has
  std::size_t size = 0;              ///< bytes of a buffer at least
};

/// A pool of what @p plan says, whose failures are posted as errors of @p element.
/// @return a reference of the caller's
[[nodiscard]] GstBufferPool* make_pool(Plan plan, std::shared_ptr<Counters> counters, GstElement* element);

} // namespace sa::gst
