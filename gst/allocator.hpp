// SPDX-License-Identifier: MIT
/// @file allocator.hpp
/// Memory of a libsa heap as GStreamer's memory: a GstDmaBufAllocator, so that every element that takes dma-bufs takes it.
#pragma once

#include <cstddef>
#include <memory>

#include <gst/allocators/allocators.h>

#include <sa/sa.hpp>

G_BEGIN_DECLS
#define GST_TYPE_SA_ALLOCATOR (gst_sa_allocator_get_type())
G_DECLARE_FINAL_TYPE(GstSaAllocator, gst_sa_allocator, GST, SA_ALLOCATOR, GstDmaBufAllocator)
G_END_DECLS

namespace sa::gst {

/// @return a reference of the caller's
[[nodiscard]] GstAllocator* make_allocator(std::shared_ptr<Heap> heap);

/// The heap of a GstSaAllocator; null, with the sentence logged, where its name finds none.
[[nodiscard]] std::shared_ptr<Heap> heap_of(GstAllocator* allocator);

/// A memory of the first @p size bytes of @p buffer, which it owns.
[[nodiscard]] GstMemory* wrap(GstAllocator* allocator, DmaBuf buffer, std::size_t size);

/// The buffer under a memory of a GstSaAllocator, or under a part of one; null for every other memory. Borrowed.
[[nodiscard]] const DmaBuf* buffer_of(GstMemory* memory) noexcept;

} // namespace sa::gst
