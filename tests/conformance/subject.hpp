// SPDX-License-Identifier: MIT
/// The heap under test, and what the tests of every file need of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <sa/conformance.hpp>
#include <sa/sa.hpp>

#include "support/counters.hpp"

namespace sa { inline namespace v0 { namespace conformance {

/// What run() was called with.
struct Subject {
  std::string name;
  Registry* registry = nullptr; ///< has that heap alone
  std::shared_ptr<Heap> heap;
  Options options;

  [[nodiscard]] const HeapInfo& info() const { return heap->info(); }
  [[nodiscard]] bool has(Traits traits) const { return info().traits.contains(traits); }
  DmaBuf allocate(std::size_t size, std::string_view name = {}) const { return heap->allocate({.size = size, .name = name}); }

  /// What the heap keeps for later is no leak, and what it hands out next is fresh.
  void settle() const {
    if (options.settle) {
      options.settle();
    }
  }
  [[nodiscard]] support::Counts count() const { return settle(), support::count(); }
  [[nodiscard]] std::string leaked_since(const support::Counts& before) const { return settle(), support::leaked_since(before); }
  [[nodiscard]] int open_descriptors() const { return settle(), support::open_descriptors(); }
  [[nodiscard]] int mappings() const { return settle(), support::mappings(); }
};

Subject& subject();

/// Named by run(), each in the file of its tests.
void contents_tests();
void contract_tests();
void refusal_tests();
void sharing_tests();

/// Whether the suite is compiled over the C interface (tests/c/facade).
#ifdef SA_CONFORMANCE_THROUGH_C
inline constexpr bool through_c = true;
#else
inline constexpr bool through_c = false;
#endif

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
void fill(const DmaBuf& buffer, unsigned seed);
bool filled(const DmaBuf& buffer, unsigned seed);
bool all_zero(const DmaBuf& buffer);

}}} // namespace sa::v0::conformance
