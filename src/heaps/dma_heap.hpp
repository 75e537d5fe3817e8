// SPDX-License-Identifier: MIT
/// @file dma_heap.hpp
/// The kind of a heap in /dev/dma_heap, by its name.
#pragma once

#include <string_view>

#include <sa/types.hpp>

namespace sa { inline namespace v0 { namespace detail {

/// The known properties of a dma-heap's memory.
struct DmaHeapKind {
  Traits traits;
  bool cma = false;      ///< its memory is a CMA region's
  bool mainline = false; ///< a heap of the kernel's own, whose exporter is known
};

/// The promises of the mainline heaps of that name. A vendor's heap promises no more than that it makes dma-bufs: its suffixes
/// are hints.
/// @param is_region whether the kernel tells of a CMA region of that name
[[nodiscard]] DmaHeapKind dma_heap_kind(std::string_view node, bool is_region);

}}} // namespace sa::v0::detail
