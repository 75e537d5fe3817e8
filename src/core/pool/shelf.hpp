// SPDX-License-Identifier: MIT
/// @file shelf.hpp
/// The free buffers of one class that are nearest to one thread, its owner. It keeps pointers beside each other, not links
/// through the buffers: what comes back on one processor and goes out on another is then eight pointers to a cache line, and
/// the buffers' own lines stay where they are.
///
/// They lie in three places:
/// - the hand, a stack for the owner's own use;
/// - the outbox, where an owner that only brings buffers back puts them for others;
/// - blocks below both, each of as many as the hand holds.
///
/// Who holds the lock may take from the outbox and the blocks. The owner alone changes the hand and adds to the outbox: with
/// the lock, or by its Bias without. Who else wants that holds the lock and has called exclude_owner(). Functions say what
/// they need: the lock, the owner's part, or all, which is both. The owner with the lock has all.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "core/base/bias.hpp"
#include "core/base/spin_lock.hpp"
#include "core/buffer/buffer.hpp"

namespace sa { inline namespace v0 { namespace detail {

/// A number that one thread at a time changes and anybody may read.
class Count {
public:
  void add(std::uint64_t n) noexcept { value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_release); }
  void subtract(std::uint64_t n) noexcept { add(~n + 1); }
  [[nodiscard]] std::uint64_t get() const noexcept { return value_.load(std::memory_order_acquire); }

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

class alignas(128) Shelf {
  // The owner's part, in lines of its own.
  Bias bias_;
  bool keeps_ = false;                 ///< the owner acquires too: what it brings back goes into its hand
  std::atomic<std::uint8_t> hand_{0};  ///< buffers in the hand
  std::uint32_t seen_head_ = 0;        ///< head_ is no less
  std::atomic<std::uint32_t> tail_{0}; ///< buffers put into the outbox, ever
  std::uint64_t seen_elsewhere_ = 0;   ///< elsewhere() is no more
  Count held_;                         ///< bytes put into the hand and the outbox, less those taken from the hand

public:
  std::uint32_t source = 0; ///< the shelf that last had what this one lacked. The owner's part
  Count allowance;          ///< bytes it may have; a part of the pool's max_free_bytes. The owner's part
  Count handed_out;         ///< buffers given to a user. The owner's part
  Count came_back;          ///< buffers that a user let go of. The owner's part

  /// For the owner: its part, until leave().
  [[nodiscard]] bool try_enter() noexcept { return bias_.try_enter(); }
  void leave() noexcept { bias_.leave(); }

  // The lock.
  [[nodiscard]] bool try_lock() noexcept { return lock_.try_lock(); }
  /// Waits; not for callers that hold another shelf.
  void lock() noexcept { lock_.lock(); }
  void unlock() noexcept { lock_.unlock(); }
  /// Needs the lock; all, until unlock(). Dear where the owner has been here a moment ago.
  void exclude_owner() noexcept { bias_.revoke(); }
  /// All, for anybody.
  void lock_all() noexcept {
    lock();
    exclude_owner();
  }
  /// All, for the owner.
  void lock_as_owner() noexcept {
    lock();
    bias_.note_owner();
  }
  /// Whether the owner comes in without the lock. A guess.
  [[nodiscard]] bool biased() const noexcept { return bias_.on(); }

  // The owner's part.

  /// Says that the owner acquires too.
  void keep() noexcept { keeps_ = true; }
  /// Whether there is a place for one more, without the lock.
  [[nodiscard]] bool has_place() noexcept;
  /// Where has_place(). Others may have it at once.
  void put(Buffer& buffer) noexcept;
  /// Whether there is room for so many bytes more; no is a guess.
  [[nodiscard]] bool sees_room(std::uint64_t bytes) const noexcept {
    return static_cast<std::int64_t>(allowance.get() - held_.get() - seen_elsewhere_) >= static_cast<std::int64_t>(bytes);
  }
  /// The buffer that came last, of those in the hand. Not when there is none.
  [[nodiscard]] Buffer* pop_hand() noexcept;

  // All.

  void push(Buffer& buffer, Blocks& blocks) noexcept;
  /// Of the hand, the outbox or a block, in this order; null when there is none.
  [[nodiscard]] Buffer* pop(Blocks& blocks) noexcept;
  /// Bytes by which it may grow. Without all a guess.
  [[nodiscard]] std::size_t room() const noexcept {
    const auto room = static_cast<std::int64_t>(allowance.get() - held_.get() - elsewhere());
    return static_cast<std::size_t>(std::max<std::int64_t>(room, 0));
  }
  /// Gives room away, @p most at most; how much.
  std::size_t give_room(std::size_t most) noexcept;
  /// Puts what is in the hand where others can take it. The outbox is empty.
  void empty_hand() noexcept;

  /// Takes what lies in @p other's outbox and blocks, and the room they need where there is not enough here. This shelf is
  /// empty. Needs @p other's lock and all here. Touches no block.
  bool take_from(Shelf& other) noexcept;

  /// Takes out buffers of which @p which says so, as many as @p taken holds; how many.
  template <typename Which>
  std::size_t take_if(Which&& which, std::span<Buffer*> taken, Blocks& blocks) noexcept;
  /// Whether @p which says so of any.
  template <typename Which>
  [[nodiscard]] bool any(Which&& which) const noexcept;

  /// Puts everything here aside, in a forked child. It is not looked at before take_inherited(), and nothing may come here
  /// before that.
  void disinherit() noexcept;
  struct Inheritance {
    std::array<Buffer*, std::size_t{2} * Block::size> buffers;
    unsigned count = 0; ///< of the buffers above
    Block* below = nullptr;
  };
  /// What lies aside.
  [[nodiscard]] Inheritance take_inherited() noexcept;

  // Anybody's. Guesses.

  [[nodiscard]] bool some_in_hand() const noexcept { return hand_.load(std::memory_order_relaxed) != 0; }
  /// Whether take_from() would find something.
  [[nodiscard]] bool some_for_others() const noexcept {
    return below_.load(std::memory_order_relaxed) != nullptr ||
           head_.load(std::memory_order_relaxed) != tail_.load(std::memory_order_acquire);
  }
  /// Bytes here. What moves from one shelf to another meanwhile may count twice, not less than once.
  [[nodiscard]] std::uint64_t bytes() const noexcept {
    const std::uint64_t taken = taken_.get(); // before what it is less than
    return held_.get() - taken + packed_.get();
  }

private:
  static constexpr unsigned slots = 16;
  static_assert(slots > Block::size);

  std::array<Buffer*, Block::size> top_{}; ///< the hand

  // In another pair of lines, which processors fetch together: what the lock guards.
  alignas(128) SpinLock lock_;
  std::uint8_t inherited_hand_ = 0;    ///< buffers in top_ that lie aside
  std::uint8_t inherited_outbox_ = 0;  ///< buffers before head_ that lie aside
  std::atomic<std::uint32_t> head_{0}; ///< buffers taken from the outbox, ever
  std::atomic<Block*> below_{nullptr}; ///< under the hand and the outbox
  Count packed_;                       ///< bytes in blocks
  Count taken_;                        ///< bytes taken from the outbox, but to the hand
  Count lent_;                         ///< bytes of the allowance that went with them
  Block* inherited_below_ = nullptr;
  std::array<Buffer*, slots> outbox_{}; ///< a ring, never with more than Block::size

  /// What counts beside held_ against the allowance. Needs the lock.
  [[nodiscard]] std::uint64_t elsewhere() const noexcept { return packed_.get() - taken_.get() + lent_.get(); }
  [[nodiscard]] unsigned in_outbox() const noexcept {
    return tail_.load(std::memory_order_acquire) - head_.load(std::memory_order_relaxed);
  }
  /// Copies what is in the outbox, the oldest first, and empties it; how many. Needs the lock.
  unsigned drain_outbox(std::array<Buffer*, Block::size>& drained) noexcept;
  [[nodiscard]] Block* below() const noexcept { return below_.load(std::memory_order_relaxed); }
  Block* exchange_below(Block* block) noexcept;

  void pack(Blocks& blocks) noexcept;
  bool fill_hand(Blocks& blocks) noexcept;
};

inline bool Shelf::has_place() noexcept {
  if (keeps_) {
    return hand_.load(std::memory_order_relaxed) != Block::size;
  }
  const std::uint32_t tail = tail_.load(std::memory_order_relaxed);
  if (tail - seen_head_ >= Block::size) [[unlikely]] {
    seen_head_ = head_.load(std::memory_order_acquire);
  }
  return tail - seen_head_ < Block::size;
}

inline void Shelf::put(Buffer& buffer) noexcept {
  held_.add(buffer.slip().bytes);
  if (keeps_) {
    const unsigned hand = hand_.load(std::memory_order_relaxed);
    top_[hand] = &buffer;
    hand_.store(static_cast<std::uint8_t>(hand + 1), std::memory_order_relaxed);
  } else {
    const std::uint32_t tail = tail_.load(std::memory_order_relaxed);
    outbox_[tail % slots] = &buffer;
    tail_.store(tail + 1, std::memory_order_release);
  }
}

inline Buffer* Shelf::pop_hand() noexcept {
  const auto hand = static_cast<std::uint8_t>(hand_.load(std::memory_order_relaxed) - 1);
  Buffer* const buffer = top_[hand];
  hand_.store(hand, std::memory_order_relaxed);
  held_.subtract(buffer->slip().bytes);
  return buffer;
}

template <typename Which>
bool Shelf::any(Which&& which) const noexcept {
  const auto one_of = [&](const auto& buffers, unsigned count) {
    return std::any_of(buffers.begin(), buffers.begin() + count, [&](const Buffer* buffer) { return which(*buffer); });
  };
  bool found = one_of(top_, hand_.load(std::memory_order_relaxed));
  for (unsigned i = 0; i < in_outbox() && !found; ++i) {
    found = which(*outbox_[(head_.load(std::memory_order_relaxed) + i) % slots]);
  }
  for (const Block* block = below(); block != nullptr && !found; block = block->below) {
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
  for (Block* block = exchange_below(nullptr); block != nullptr;) {
    Block* const below = std::exchange(block->below, upwards);
    upwards = block;
    block = below;
  }
  const auto top = top_;
  const unsigned hand = hand_.exchange(0, std::memory_order_relaxed);
  std::array<Buffer*, Block::size> outbox;
  const unsigned in_box = drain_outbox(outbox);
  held_.subtract(held_.get() - taken_.get()); // what was taken stays counted on both sides
  packed_.subtract(packed_.get());
  while (upwards != nullptr) {
    const Block block = *upwards;
    blocks.put(*upwards); // before its buffers need one
    sort(block.buffers, Block::size);
    upwards = block.below;
  }
  sort(outbox, in_box);
  sort(top, hand);
  return found;
}

}}} // namespace sa::v0::detail
