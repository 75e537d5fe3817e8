// SPDX-License-Identifier: MIT
/// The heap under test, and what the tests of every file need of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <sa/sa.hpp>

#include "support/counters.hpp"

namespace conformance {

/// The heap named on the command line.
struct Subject {
  std::string name;
  sa::Registry* registry = nullptr;
  std::shared_ptr<sa::Heap> heap;
  std::vector<std::shared_ptr<sa::Pool>> pools; ///< around the heap

  [[nodiscard]] const sa::HeapInfo& info() const { return heap->info(); }
  [[nodiscard]] bool has(sa::Traits traits) const { return info().traits.contains(traits); }
  sa::DmaBuf allocate(std::size_t size, std::string_view name = {}) const { return heap->allocate({.size = size, .name = name}); }

  /// Empties the pools: what they keep is no leak, and what they hand out next is fresh.
  void settle() const {
    for (const auto& pool : pools) {
      pool->trim();
    }
  }
  [[nodiscard]] support::Counts count() const { return settle(), support::count(); }
  [[nodiscard]] std::string leaked_since(const support::Counts& before) const { return settle(), support::leaked_since(before); }
  [[nodiscard]] int open_descriptors() const { return settle(), support::open_descriptors(); }
  [[nodiscard]] int mappings() const { return settle(), support::mappings(); }
};

Subject& subject();

/// A frame of 1920x1080 NV12, bytes.
inline constexpr std::size_t frame_size = 3110400;

/// A byte that depends on its place and on @p seed.
inline std::byte pattern(std::size_t at, unsigned seed) {
  return static_cast<std::byte>((at * 2654435761U + seed * 40503U) >> 13);
}

void fill(std::span<std::byte> bytes, unsigned seed);
bool filled(std::span<const std::byte> bytes, unsigned seed);
bool all_zero(std::span<const std::byte> bytes);

/// The same through CpuAccess.
void fill(const sa::DmaBuf& buffer, unsigned seed);
bool filled(const sa::DmaBuf& buffer, unsigned seed);

} // namespace conformance
