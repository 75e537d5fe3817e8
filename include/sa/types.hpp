// SPDX-License-Identifier: MIT
/// @file types.hpp
/// Value types: how memory is touched, what it is, what is asked for, and what a heap says of itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include <sa/constraints.hpp>
#include <sa/export.hpp>

namespace sa { inline namespace v0 {

/// How the CPU touches memory.
enum class Access : unsigned { Read = 1, Write = 2, ReadWrite = 3 };

/// One property of memory. A heap that lacks one refuses what depends on it; it never pretends.
enum class Trait : unsigned {
  DmaBuf = 1U << 0,       ///< the fd is a real dma-buf: devices can import it
  Contiguous = 1U << 1,   ///< one physical run
  Cached = 1U << 2,       ///< CPU reads are cached
  Zeroed = 1U << 3,       ///< fresh memory reads as zero
  PhysAddr = 1U << 4,     ///< phys_addr() is known
  HugePages = 1U << 5,    ///< backed by 2 MiB pages: hugetlb always, shmem as far as the kernel finds them
  Protected = 1U << 6,    ///< the CPU cannot map it
  DeviceMemory = 1U << 7, ///< mapped without gathering or unaligned access (arm64 /dev/mem): memset may fault
};

/// A set of Trait.
class Traits {
public:
  constexpr Traits() noexcept = default;
  // Implicit on purpose: a Trait is the set of one.
  constexpr Traits(Trait trait) noexcept : bits_(static_cast<unsigned>(trait)) {} // NOLINT(google-explicit-constructor)

  /// Whether every trait of @p other is in this set. Every set contains the empty one.
  [[nodiscard]] constexpr bool contains(Traits other) const noexcept { return (bits_ & other.bits_) == other.bits_; }

  /// The traits of this set that @p other lacks.
  [[nodiscard]] constexpr Traits without(Traits other) const noexcept { return Traits{bits_ & ~other.bits_}; }

  friend constexpr Traits operator|(Traits a, Traits b) noexcept { return Traits{a.bits_ | b.bits_}; }
  friend constexpr Traits operator&(Traits a, Traits b) noexcept { return Traits{a.bits_ & b.bits_}; }
  friend constexpr bool operator==(Traits, Traits) noexcept = default;

private:
  explicit constexpr Traits(unsigned bits) noexcept : bits_(bits) {}
  unsigned bits_ = 0;
};

constexpr Traits operator|(Trait a, Trait b) noexcept {
  return Traits{a} | Traits{b};
}

/// The set as text, "dma-buf,contiguous,zeroed"; empty for the empty set.
[[nodiscard]] SA_API std::string to_string(Traits traits);

/// How an allocation is carried out.
enum class AllocFlag : unsigned {
  None = 0,
  Prefault = 1, ///< no page fault at first touch, where the memory allows it (docs/heaps.md says which does)
};

constexpr AllocFlag operator|(AllocFlag a, AllocFlag b) noexcept {
  return static_cast<AllocFlag>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}
constexpr AllocFlag operator&(AllocFlag a, AllocFlag b) noexcept {
  return static_cast<AllocFlag>(static_cast<unsigned>(a) & static_cast<unsigned>(b));
}

/// The longest buffer name in bytes: the kernel's DMA_BUF_NAME_LEN is 32 with the terminating zero (linux/dma-buf.h).
inline constexpr std::size_t max_name_length = 31;

/// What is asked of a heap.
struct AllocRequest {
  /// Bytes, greater than 0; rounded up to a common multiple of the heap's granularity, constraints.alignment and
  /// constraints.size_alignment.
  std::size_t size = 0;
  /// What a device needs of the memory. A heap that, by its HeapInfo, cannot promise it refuses with EOPNOTSUPP, an alias
  /// passes it over; where a contiguous heap lies is not always known (max_address 0), and then it is asked.
  Constraints constraints{};
  /// At most max_name_length bytes, no control characters. Borrowed for the call only.
  std::string_view name{};
  /// What else the memory must be; a heap without it refuses in the same way.
  Traits require{};
  AllocFlag flags = AllocFlag::None;
};

/// What a heap says of itself. A snapshot: what changes (free memory) is not in it.
struct HeapInfo {
  std::string name;              ///< canonical, "backend:instance"
  std::string backend;           ///< "memfd", "udmabuf", "dma-heap", "ion", "cma", "carveout", "drm", "alias", or a plugin's
  std::filesystem::path node;    ///< the device node; empty where there is none
  Traits traits;                 ///< what its memory is
  std::size_t granularity = 0;   ///< bytes; sizes are rounded up to a multiple
  std::size_t max_size = 0;      ///< bytes, the largest request that can ever succeed, as far as the kernel tells
  bool usable = false;           ///< whether an allocation could succeed when this was written
  std::string reason;            ///< why not, and the fix; empty when usable
  std::size_t max_alignment = 0; ///< bytes, the largest alignment it can promise; 0 means granularity
  std::uint64_t max_address = 0; ///< bytes; all of its memory lies below that physical address; 0: not known

  friend bool operator==(const HeapInfo&, const HeapInfo&) = default;
};

}} // namespace sa::v0
