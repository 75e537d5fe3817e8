// SPDX-License-Identifier: MIT
/// @file constraints.hpp
/// Constraints: the demands of one or several devices on memory.
///
/// The textual form, the same in the configuration, on the command line, in messages and in errors, is a list of words
/// separated by commas, each at most once; the empty text asks for nothing:
///
///     contiguous          one physical run (the same as segments=1)
///     segments=N          at most N physical runs, N from 1 to 2^32-1
///     align=BYTES         the device address is a multiple, a power of two
///     size-align=BYTES    the buffer's size is a multiple, any number above 0
///     max-address=BYTES   every address is lower: 4G for a device that drives 32 address lines
///     cached, uncached    how the CPU reads it
///     coherent            CPU and device see each other's writes without SYNC
///     dma-buf             the descriptor is a real dma-buf
///     protected           the CPU cannot map it
///
/// BYTES is decimal or 0x hexadecimal, above 0 and below 2^64, with K, M, G, T, P or E for a power of 1024 (after 0x an E is
/// a digit). N is decimal.
///
/// Three combinations conflict. Memory cannot be both cached and uncached. Memory that is protected can be neither,
/// since both say how the CPU maps it. An alignment must leave an address other than 0 below max-address
/// (align=4G,max-address=4G leaves none), since no kernel hands out page 0.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>

#include <sa/export.hpp>

namespace sa { inline namespace v0 {

/// A set of demands on memory; the default demands nothing. A value: copy it, compare it, change its members.
struct Constraints {
  std::uint64_t alignment = 1;      ///< bytes, a power of two; the device address is a multiple of it
  std::uint64_t size_alignment = 1; ///< bytes, above 0; the buffer's size is a multiple of it
  std::uint64_t max_address = 0;    ///< bytes; every physical address is lower; 0: any address
  std::uint32_t max_segments = 0;   ///< physical runs at most; 1: contiguous; 0: any number
  bool cached = false;              ///< CPU reads are cached
  bool uncached = false;            ///< CPU reads are not cached
  bool coherent = false;            ///< CPU and device see each other's writes without DMA_BUF_IOCTL_SYNC
  bool dma_buf = false;             ///< the descriptor is a real dma-buf, which a device can import
  bool protected_memory = false;    ///< the CPU cannot map it

  friend bool operator==(const Constraints&, const Constraints&) noexcept = default;
};

/// Merges two sets of constraints into the weakest one that satisfies both. Alignments become their least common
/// multiple, a limit becomes the lower of the two, and a flag is set if either has it. The operation is associative,
/// commutative and idempotent, and Constraints{} is its neutral element: several sets give the same result in any
/// order, or conflict in every order.
/// @throws Error EINVAL: no memory can satisfy both (the sentence names the two demands that conflict; a common
///         multiple of 2^64 or more is a conflict too), or one argument alone is out of range or contradicts itself.
[[nodiscard]] SA_API Constraints merge(const Constraints& a, const Constraints& b);
[[nodiscard]] SA_API Constraints merge(const Constraints& a, const Constraints& b, std::error_code& ec) noexcept;

/// Reads constraints from their textual form. The words may come in any order, each at most once; contiguous and
/// segments=N count as the same word. Spaces, tabs and line ends around a word are ignored. merge() accepts every
/// result.
/// @throws Error EINVAL: a word is unknown, empty, repeated, without its value, with a value that it does not take or
///         out of range, or it conflicts with another word; the sentence names the word.
[[nodiscard]] SA_API Constraints parse_constraints(std::string_view text);
[[nodiscard]] SA_API Constraints parse_constraints(std::string_view text, std::error_code& ec) noexcept;

/// Writes constraints in their textual form, in the order of the list at the top of this file. Members that demand
/// nothing are left out, one segment is "contiguous", and bytes are in the largest unit that is exact.
/// parse_constraints() reads the same value from the text, if merge() accepts that value.
/// @throws std::bad_alloc
[[nodiscard]] SA_API std::string to_string(const Constraints& constraints);

}} // namespace sa::v0
