// SPDX-License-Identifier: MIT
/// @file ion_abi.hpp
/// The interface of /dev/ion in kernels 4.12 to 5.10 (drivers/staging/android/uapi/ion.h there). No distribution installs a
/// header of it: these are the facts, in definitions of our own.
#pragma once

#include <cstdint>

#include <sys/ioctl.h>

namespace sa { inline namespace v0 { namespace detail { namespace ion {

/// A heap's kind, `type` of HeapData. Larger numbers are a vendor's own.
enum Type : std::uint32_t {
  System = 0,           ///< pages anywhere
  SystemContiguous = 1, ///< one run of pages, of the buddy allocator
  Carveout = 2,         ///< a reserved range
  Chunk = 3,            ///< a reserved range, in chunks of one size
  Dma = 4,              ///< CMA
  FirstOfVendors = 5,
};

/// The CPU's mappings are cached; without it they are write-combining.
constexpr std::uint32_t flag_cached = 1;

struct AllocationData {
  std::uint64_t length; ///< bytes
  std::uint32_t heap_id_mask;
  std::uint32_t flags;
  std::uint32_t fd; ///< out: a dma-buf
  std::uint32_t unused;
};

struct HeapData {
  char name[32]; ///< with its end
  std::uint32_t type;
  std::uint32_t id;
  std::uint32_t reserved[3];
};

struct HeapQuery {
  std::uint32_t count; ///< in: of heaps that there is room for; out: of heaps
  std::uint32_t reserved0;
  std::uint64_t heaps; ///< the address of the first HeapData; 0: only the count is asked for
  std::uint32_t reserved[2];
};

constexpr unsigned long allocate = _IOWR('I', 0, AllocationData);
constexpr unsigned long query_heaps = _IOWR('I', 8, HeapQuery);

}}}} // namespace sa::v0::detail::ion
