// SPDX-License-Identifier: MIT
/// @file constraints.hpp
/// What a device, or several, needs of memory.
///
/// The textual form, the same in the configuration, on the command line, in messages and in errors, is a list of words
/// separated by commas, each at most once; the empty text asks for nothing:
///
///     contiguous          one physical run (the same as segments=1)
///     segments=N          at most N physical runs, N from 1 to 2^32-1
///     align=BYTES         the device address is a multiple, a power of two
///     size-align=BYTES    the buffer's size is a multiple, any number above 0
///     max-address=BYTES   every address lies below: 4G for a device that drives 32 address lines
///     cached, uncached    how the CPU reads it
///     coherent            CPU and device see each other's writes without SYNC
///     dma-buf             the descriptor is a real dma-buf
///     protected           the CPU cannot map it
///
/// BYTES is decimal or 0x hexadecimal, above 0 and below 2^64, with K, M, G, T, P or E for a power of 1024 (after 0x an E is
/// a digit). N is decimal.
///
/// No memory can be cached and uncached; or protected and either of them, since both say how the CPU maps it; or aligned to
/// so much that no address but 0 is left below the limit (align=4G,max-address=4G), since no kernel hands out page 0.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>

#include <sa/export.hpp>

namespace sa { inline namespace v0 {

/// A set of demands on memory; the default demands nothing. A value: copy it, compare it, change its members.
struct Constraints {
  std::uint64_t alignment = 1;      ///< bytes, a power of two; of the device address
  std::uint64_t size_alignment = 1; ///< bytes, above 0; the buffer's size is a multiple of it
  std::uint64_t max_address = 0;    ///< bytes; every physical address lies below it; 0: anywhere
  std::uint32_t max_segments = 0;   ///< physical runs at most; 1: contiguous; 0: any number
  bool cached = false;              ///< CPU reads are cached
  bool uncached = false;            ///< CPU reads are not cached
  bool coherent = false;            ///< needs no SYNC
  bool dma_buf = false;             ///< a device imports it by its descriptor
  bool protected_memory = false;    ///< the CPU cannot map it

  friend bool operator==(const Constraints&, const Constraints&) noexcept = default;
};

/// What satisfies both, and nothing more: associative, commutative and idempotent, with Constraints{} as the neutral one.
/// Alignments become their least common multiple, limits the lower one, and what either needs is needed. Several merged
/// in any order give the same, or conflict in every order.
/// @throws Error EINVAL: no memory can satisfy both (the sentence names the two that conflict; a common multiple of 2^64 or
///         more is a conflict too), or one of the two alone is out of range or in conflict with itself.
[[nodiscard]] SA_API Constraints merge(const Constraints& a, const Constraints& b);
[[nodiscard]] SA_API Constraints merge(const Constraints& a, const Constraints& b, std::error_code& ec) noexcept;

/// Reads the textual form, words in any order, each at most once, contiguous and segments=N being one; spaces, tabs and line
/// ends around a word are passed over. What it returns, merge() takes.
/// @throws Error EINVAL: names the word that is unknown, empty, twice there, without its value or with one it does not take,
///         out of its range or in conflict with another.
[[nodiscard]] SA_API Constraints parse_constraints(std::string_view text);
[[nodiscard]] SA_API Constraints parse_constraints(std::string_view text, std::error_code& ec) noexcept;

/// The textual form, in the order of the list above, without what is not demanded: "contiguous" for one segment, bytes in
/// the largest unit that is exact. parse_constraints() reads exactly the same value from it, if it is one that merge() takes.
/// @throws std::bad_alloc
[[nodiscard]] SA_API std::string to_string(const Constraints& constraints);

}} // namespace sa::v0
