// SPDX-License-Identifier: MIT
/// @file recycler.hpp
/// What a buffer knows of the pool it belongs to.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>

#include <sa/types.hpp>

namespace sa { inline namespace v0 { namespace detail {

class Buffer;
class Rack;

/// Who takes a buffer when nobody holds it any more.
class Recycler {
public:
  virtual ~Recycler() = default;

  /// Owns @p buffer from here on: keeps it for later, or disposes of it.
  virtual void recycle(Buffer& buffer) noexcept = 0;
};

/// Requests that the same buffers can serve. Two words, since each round compares them.
struct PoolClass {
  std::size_t size = 0;   ///< bytes, as upstream rounds it
  std::uint64_t rest = 0; ///< required traits, flags, and the alignment's binary logarithm plus one

  PoolClass() noexcept = default;
  PoolClass(std::size_t rounded_size, const AllocRequest& request) noexcept
      : size(rounded_size), rest(std::uint64_t{std::bit_cast<std::uint32_t>(request.require)} << 32 |
                                 std::uint64_t{static_cast<std::uint32_t>(request.flags)} << 8 |
                                 static_cast<unsigned>(std::bit_width(request.alignment))) {}

  friend bool operator==(const PoolClass&, const PoolClass&) noexcept = default;
};

/// What the pool knows of a buffer for good.
struct PoolSlip {
  std::shared_ptr<Recycler> recycler{}; ///< null: of no pool
  Rack* rack = nullptr;                 ///< of its class
  std::size_t bytes = 0;                ///< the buffer's size
  bool reserved = false;                ///< does not age
};

/// What rounds change, and only when it is another: a buffer that nobody writes stays in the caches of all who pass it on.
/// While the buffer is in use it belongs to the one thread that acquires or recycles it; while it lies on a shelf, to
/// whoever has locked the shelf.
struct PoolPlace {
  unsigned epoch = 0; ///< fork_epoch when the buffer was acquired
  unsigned tick = 0;  ///< of the pool's age, when it came back
};

}}} // namespace sa::v0::detail
