// SPDX-License-Identifier: MIT
/// @file carveout.hpp
/// Reserved physical memory as a heap, through /dev/mem.
///
/// Registry::refresh() makes such heaps from the configuration (sa/configuration.hpp) and from the environment variable
/// SA_CARVEOUT (docs/heaps.md). A program that knows its regions itself calls make_carveout().
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <sa/export.hpp>
#include <sa/heap.hpp>

namespace sa { inline namespace v0 {

/// A range of physical memory that Linux does not use.
struct CarveoutRegion {
  std::string name;           ///< the heap's instance: the heap is "carveout:<name>"
  std::uint64_t base = 0;     ///< physical address, bytes, a multiple of the page size
  std::uint64_t size = 0;     ///< bytes, a multiple of the page size
  bool device_memory = false; ///< true: use the range even if /dev/mem maps it as Device memory (arm64); see Trait::DeviceMemory

  friend bool operator==(const CarveoutRegion&, const CarveoutRegion&) = default;
};

/// Makes a heap over the physical range @p region. The result is never null: a heap that cannot be used says why in
/// info().reason and refuses to allocate. A range of System RAM, a range that a driver has claimed (both are listed in
/// /proc/iomem) and a malformed region cannot be used.
///
/// Several processes of one machine can share a region, also when one of them dies at any instant: file locks on
/// /run/simple-allocator record which pages are in use, and the kernel drops a lock when its last holder ends. The
/// processes must trust each other, since a receiver of a buffer can unlock its range. DMA of a device that still runs
/// after a crash is not stopped.
/// @throws std::bad_alloc
[[nodiscard]] SA_API std::shared_ptr<Heap> make_carveout(const CarveoutRegion& region);

}} // namespace sa::v0
