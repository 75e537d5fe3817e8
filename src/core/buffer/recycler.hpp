// SPDX-License-Identifier: MIT
/// @file recycler.hpp
/// The link of a buffer to its pool.
#pragma once

#include <cstddef>
#include <memory>

namespace sa { inline namespace v0 { namespace detail {

class Buffer;
struct SizeClass;

/// Takes a buffer whose last holder has ended.
class Recycler {
public:
  virtual ~Recycler() = default;

  /// Owns @p buffer from here on: keeps it for later, or disposes of it.
  virtual void recycle(Buffer& buffer) noexcept = 0;
};

/// The state of a pool's buffer that stays the same.
struct PoolSlip {
  std::shared_ptr<Recycler> recycler{}; ///< null: of no pool
  SizeClass* size_class = nullptr;
  bool reserved = false; ///< has room of its own and does not age
};

/// The state of a pool's buffer that changes with each use. While the buffer is in use it belongs to the thread that acquires or
/// recycles it; while a pool keeps it, to the pool's lock.
struct PoolPlace {
  unsigned epoch = 0; ///< fork_epoch when the buffer was acquired
  unsigned tick = 0;  ///< of the pool's age, when it came back
};

}}} // namespace sa::v0::detail
