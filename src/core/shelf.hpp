// SPDX-License-Identifier: MIT
/// @file shelf.hpp
/// A stack of free buffers of one class. It keeps pointers beside each other, not links through the buffers: what comes back
/// on one processor and goes out on another is then eight pointers to a cache line, and the buffers' own lines stay where
/// they are.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "core/buffer.hpp"
#include "core/spin_lock.hpp"

namespace sa::inline v0::detail {

/// A number that only the holder of a lock changes and anybody may read.
class Count {
public:
  void add(std::uint64_t n) noexcept { value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }
  void subtract(std::uint64_t n) noexcept { add(~n + 1); }
  [[nodiscard]] std::uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

private:
  std::atomic<std::uint64_t> value_{0};
};

/// Pointers that move together, in two cache lines of their own.
struct alignas(128) Block {
  static constexpr unsigned size = 15;
  std::array<Buffer*, size> buffers{};
  Block* below = nullptr; ///< full, as are all under it
};

/// The blocks of one pool. A shelf needs one for each Block::size buffers that lie on it and none for the rest, so a block for
/// each Block::size buffers of the pool is enough wherever they lie: who brings a buffer back never allocates.
class Blocks {
public:
  Blocks() = default;
  Blocks(const Blocks&) = delete;
  Blocks& operator=(const Blocks&) = delete;
  ~Blocks();

  /// Provides for so many buffers more.
  /// @throws std::bad_alloc
  void enter(std::size_t buffers);
  /// They are on no shelf, and never will be.
  void leave(std::size_t buffers) noexcept;

  /// For the holder of a shelf with Block::size buffers that have no block yet.
  [[nodiscard]] Block& take() noexcept;
  void put(Block& block) noexcept;

  // Over a fork.
  void lock() noexcept { lock_.lock(); }
  void unlock() noexcept { lock_.unlock(); }

private:
  SpinLock lock_;
  Block* free_ = nullptr;
  std::size_t total_ = 0;   ///< free or not
  std::size_t buffers_ = 0; ///< provided for
};

/// Everything but the lock needs the lock. As long as few buffers lie here, its first cache line is all that travels; it shares
/// a pair of lines, which processors fetch together, with no other shelf.
class alignas(128) Shelf {
  SpinLock lock_;

public:
  [[nodiscard]] bool try_lock() noexcept { return lock_.try_lock(); }
  /// Waits; not for callers that hold another shelf.
  void lock() noexcept { lock_.lock(); }
  void unlock() noexcept { lock_.unlock(); }

  void push(Buffer& buffer, Blocks& blocks) noexcept {
    if (top_is_full()) {
      pack(blocks);
    }
    push_top(buffer);
  }
  /// The buffer that came last; null when there is none.
  [[nodiscard]] Buffer* pop(Blocks& blocks) noexcept { return some_on_top() || unpack(blocks) ? pop_top() : nullptr; }

  // The same, in most cases without a call.
  [[nodiscard]] bool top_is_full() const noexcept { return count_ == Block::size; }
  void push_top(Buffer& buffer) noexcept {
    top_[count_++] = &buffer;
    bytes.add(buffer.slip().bytes);
  }
  [[nodiscard]] bool some_on_top() const noexcept { return count_ != 0; }
  [[nodiscard]] Buffer* pop_top() noexcept {
    Buffer* const buffer = top_[--count_];
    bytes.subtract(buffer->slip().bytes);
    return buffer;
  }

  /// Takes all that @p other, locked too, has, and the room they need where there is not enough here. This shelf is empty.
  /// Touches no buffer and no block.
  bool take_all(Shelf& other) noexcept;

  /// Takes out buffers of which @p which says so, as many as @p taken holds; how many.
  template <typename Which>
  std::size_t take_if(Which&& which, std::span<Buffer*> taken, Blocks& blocks) noexcept;
  /// Whether @p which says so of any.
  template <typename Which>
  [[nodiscard]] bool any(Which&& which) const noexcept;

  /// Bytes by which it may grow. Without the lock a guess.
  [[nodiscard]] std::size_t room() const noexcept { return allowance.get() - bytes.get(); }
  /// Gives room away, @p most at most; how much.
  std::size_t give_room(std::size_t most) noexcept;

  /// Puts everything here aside, in a forked child. It is not looked at before take_inherited(), and nothing may come here
  /// before that.
  void disinherit() noexcept;
  /// What lies aside: the uppermost, of which the first @p count are buffers.
  [[nodiscard]] Block take_inherited(unsigned& count) noexcept;

private:
  std::uint8_t count_ = 0;           ///< buffers in top_
  std::uint8_t inherited_count_ = 0; ///< buffers in top_ that lie aside
public:
  std::uint32_t source = 0; ///< the shelf that last had what this one lacked
  Count allowance;          ///< bytes it may have; a part of the pool's max_bytes
  Count bytes;              ///< of the buffers here
  Count handed_out;         ///< buffers popped for a user
  Count came_back;          ///< buffers pushed by a user
private:
  Block* below_ = nullptr; ///< under top_
  std::array<Buffer*, Block::size> top_{};
  Block* inherited_below_ = nullptr;

  void pack(Blocks& blocks) noexcept;
  bool unpack(Blocks& blocks) noexcept;
};

template <typename Which>
bool Shelf::any(Which&& which) const noexcept {
  const auto one_of = [&](const auto& buffers, unsigned count) {
    return std::any_of(buffers.begin(), buffers.begin() + count, [&](const Buffer* buffer) { return which(*buffer); });
  };
  bool found = one_of(top_, count_);
  for (const Block* block = below_; block != nullptr && !found; block = block->below) {
    found = one_of(block->buffers, Block::size);
  }
  return found;
}

template <typename Which>
std::size_t Shelf::take_if(Which&& which, std::span<Buffer*> taken, Blocks& blocks) noexcept {
  if (!any(which)) {
    return 0;
  }
  std::size_t found = 0;
  const auto sort = [&](const auto& buffers, unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
      Buffer* const buffer = buffers[i];
      if (found < taken.size() && which(*buffer)) {
        taken[found++] = buffer;
      } else {
        push(*buffer, blocks);
      }
    }
  };
  Block* upwards = nullptr; // the blocks, the lowest first: put on again they lie as they lay
  for (Block* block = std::exchange(below_, nullptr); block != nullptr;) {
    Block* const below = std::exchange(block->below, upwards);
    upwards = block;
    block = below;
  }
  const auto top = top_;
  const unsigned count = std::exchange(count_, std::uint8_t{0});
  bytes.subtract(bytes.get());
  while (upwards != nullptr) {
    const Block block = *upwards;
    blocks.put(*upwards); // before its buffers need one
    sort(block.buffers, Block::size);
    upwards = block.below;
  }
  sort(top, count);
  return found;
}

} // namespace sa::inline v0::detail
