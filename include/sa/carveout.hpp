// SPDX-License-Identifier: MIT
/// @file carveout.hpp
/// Reserved physical memory as a heap, through /dev/mem.
///
/// Registry::refresh() makes such heaps from the configuration (sa/configuration.hpp) and from the environment variable
/// SA_CARVEOUT (docs/heaps.md); this is the same for a program that knows its regions by itself.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <sa/export.hpp>
#include <sa/heap.hpp>

namespace sa { inline namespace v0 {

/// A physical range that Linux does not use.
struct CarveoutRegion {
  std::string name;           ///< the instance: the heap is "carveout:<name>"
  std::uint64_t base = 0;     ///< bytes, physical, a multiple of the page size
  std::uint64_t size = 0;     ///< bytes, a multiple of the page size
  bool device_memory = false; ///< accept Device memory where /dev/mem maps the range so (arm64); see Trait::DeviceMemory

  friend bool operator==(const CarveoutRegion&, const CarveoutRegion&) = default;
};

/// A heap over @p region. Never null: one that cannot be used says why in info().reason and refuses to allocate. System
/// RAM, a range that a driver has claimed and a malformed region are refused (/proc/iomem).
///
/// Processes of one machine share a region safely, also when one dies at any instant: who holds which pages is kept in
/// kernel locks that end with their holder, in the machine's one /run/simple-allocator. They trust each other: a receiver could
/// unlock the range. Device DMA that still runs after a crash is not stopped.
/// @throws std::bad_alloc
[[nodiscard]] SA_API std::shared_ptr<Heap> make_carveout(const CarveoutRegion& region);

}} // namespace sa::v0
