// SPDX-License-Identifier: MIT
/// @file types.hpp
/// Value types: kinds of access, properties of memory, requests, and descriptions of heaps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include <sa/constraints.hpp>
#include <sa/export.hpp>

namespace sa { inline namespace v0 {

/// How the CPU, or a device, accesses memory.
enum class Access : unsigned { Read = 1, Write = 2, ReadWrite = 3 };

/// One property of memory. A call that depends on a property fails with EOPNOTSUPP on memory that lacks it.
enum class Trait : unsigned {
  DmaBuf = 1U << 0,       ///< the fd is a real dma-buf: devices can import it
  Contiguous = 1U << 1,   ///< one physical run
  Cached = 1U << 2,       ///< CPU reads are cached
  Zeroed = 1U << 3,       ///< fresh memory reads as zero
  PhysAddr = 1U << 4,     ///< DmaBuf::phys_addr() is known
  HugePages = 1U << 5,    ///< backed by 2 MiB pages: hugetlb always, shmem as far as the kernel finds them
  Protected = 1U << 6,    ///< the CPU cannot map it
  DeviceMemory = 1U << 7, ///< mapped without gathering or unaligned access (arm64 /dev/mem): memset() may fault
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

/// Options of an allocation.
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

/// A request for a buffer.
struct AllocRequest {
  /// Bytes, greater than 0; rounded up to a common multiple of the heap's granularity, constraints.alignment and
  /// constraints.size_alignment.
  std::size_t size = 0;
  /// Demands on the memory, such as those of a device. A heap that cannot promise them by its HeapInfo refuses with
  /// EOPNOTSUPP, and an alias tries its next candidate. The address of a contiguous heap is not always known
  /// (HeapInfo::max_address 0); such a heap is tried.
  Constraints constraints{};
  /// The buffer's name: at most max_name_length bytes, no control characters. Borrowed for the call only.
  std::string_view name{};
  /// Traits that the memory must have. A heap without them refuses with EOPNOTSUPP.
  Traits require{};
  AllocFlag flags = AllocFlag::None; ///< options of the allocation
};

/// A heap's description of itself. A snapshot: facts that change, such as free memory, are not in it.
struct HeapInfo {
  std::string name;              ///< canonical, "backend:instance"
  std::string backend;           ///< "memfd", "udmabuf", "dma-heap", "ion", "cma", "carveout", "drm", "alias", or a plugin's
  std::filesystem::path node;    ///< the device node; empty where there is none
  Traits traits;                 ///< properties of its memory
  std::size_t granularity = 0;   ///< bytes; sizes are rounded up to a multiple
  std::size_t max_size = 0;      ///< bytes, the largest request that can ever succeed, as far as the kernel tells
  bool usable = false;           ///< whether an allocation could succeed when the heap was last looked at
  std::string reason;            ///< why the heap is not usable, and the remedy; empty when it is
  std::size_t max_alignment = 0; ///< bytes, the largest alignment that the heap can promise; 0: granularity
  std::uint64_t max_address = 0; ///< bytes; every physical address of its memory is lower; 0: not known

  friend bool operator==(const HeapInfo&, const HeapInfo&) = default;
};

}} // namespace sa::v0
