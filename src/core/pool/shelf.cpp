// SPDX-License-Identifier: MIT
#include "core/pool/shelf.hpp"

#include <algorithm>
#include <mutex>
#include <numeric>
#include <utility>

namespace sa { inline namespace v0 { namespace detail {

static_assert(sizeof(Shelf) == 512 && sizeof(Block) == 128);

namespace {

std::size_t bytes_of(const std::array<Buffer*, Block::size>& buffers, unsigned count) noexcept {
  return std::accumulate(buffers.begin(), buffers.begin() + count, std::size_t{0},
                         [](std::size_t sum, const Buffer* buffer) { return sum + buffer->slip().bytes; });
}

} // namespace

Blocks::~Blocks() {
  while (free_ != nullptr) {
    delete std::exchange(free_, free_->below);
  }
}

void Blocks::enter(std::size_t buffers) {
  for (;;) {
    {
      const std::lock_guard guard(lock_);
      if ((buffers_ + buffers) / Block::size <= total_) {
        buffers_ += buffers;
        return;
      }
    }
    auto* const more = new Block; // with no lock held
    const std::lock_guard guard(lock_);
    more->below = std::exchange(free_, more);
    ++total_;
  }
}

void Blocks::leave(std::size_t buffers) noexcept {
  Block* surplus = nullptr;
  {
    const std::lock_guard guard(lock_);
    buffers_ -= buffers;
    // One is kept, or a buffer that comes and goes would cost an allocation each time.
    while (free_ != nullptr && total_ > buffers_ / Block::size + 1) {
      Block* const block = std::exchange(free_, free_->below);
      block->below = std::exchange(surplus, block);
      --total_;
    }
  }
  while (surplus != nullptr) {
    delete std::exchange(surplus, surplus->below);
  }
}

Block& Blocks::take() noexcept {
  const std::lock_guard guard(lock_);
  return *std::exchange(free_, free_->below);
}

void Blocks::put(Block& block) noexcept {
  const std::lock_guard guard(lock_);
  block.below = std::exchange(free_, &block);
}

Block* Shelf::exchange_below(Block* block) noexcept {
  Block* const before = below();
  below_.store(block, std::memory_order_relaxed); // the lock's
  return before;
}

unsigned Shelf::drain_outbox(std::array<Buffer*, Block::size>& drained) noexcept {
  const std::uint32_t head = head_.load(std::memory_order_relaxed);
  const unsigned count = in_outbox();
  for (unsigned i = 0; i < count; ++i) {
    drained[i] = outbox_[(head + i) % slots];
  }
  head_.store(head + count, std::memory_order_release); // the owner may use their places
  return count;
}

/// Puts the hand, or the outbox, into a block: it is full.
void Shelf::pack(Blocks& blocks) noexcept {
  Block& block = blocks.take();
  if (keeps_) {
    block.buffers = top_;
    hand_.store(0, std::memory_order_relaxed);
  } else {
    drain_outbox(block.buffers);
  }
  block.below = exchange_below(&block);
  const std::size_t moved = bytes_of(block.buffers, Block::size);
  packed_.add(moved);
  held_.subtract(moved);
}

void Shelf::push(Buffer& buffer, Blocks& blocks) noexcept {
  if (!has_place()) {
    pack(blocks);
    static_cast<void>(has_place()); // sees it
  }
  put(buffer);
  seen_elsewhere_ = elsewhere();
}

/// Fills the hand, which is empty; whether there was anything.
bool Shelf::fill_hand(Blocks& blocks) noexcept {
  if (const unsigned count = drain_outbox(top_); count != 0) {
    hand_.store(static_cast<std::uint8_t>(count), std::memory_order_relaxed);
    return true;
  }
  Block* const block = below();
  if (block == nullptr) {
    return false;
  }
  top_ = block->buffers;
  hand_.store(Block::size, std::memory_order_relaxed);
  exchange_below(block->below);
  blocks.put(*block);
  const std::size_t moved = bytes_of(top_, Block::size);
  held_.add(moved);
  packed_.subtract(moved);
  seen_elsewhere_ = elsewhere();
  return true;
}

Buffer* Shelf::pop(Blocks& blocks) noexcept {
  return some_in_hand() || fill_hand(blocks) ? pop_hand() : nullptr;
}

bool Shelf::take_from(Shelf& other) noexcept {
  const unsigned count = other.drain_outbox(top_);
  Block* const blocks = other.exchange_below(nullptr);
  if (count == 0 && blocks == nullptr) {
    return false;
  }
  hand_.store(static_cast<std::uint8_t>(count), std::memory_order_relaxed);
  exchange_below(blocks);
  const std::size_t loose = bytes_of(top_, count);
  const std::size_t packed = other.packed_.get();
  // What this shelf handed out came back there: the room it has left is for these. More comes with them.
  if (const std::size_t spare = room(); spare < loose + packed) {
    other.lent_.add(loose + packed - spare);
    allowance.add(loose + packed - spare);
  }
  held_.add(loose);
  packed_.add(packed);
  other.taken_.add(loose);
  other.packed_.subtract(packed);
  seen_elsewhere_ = elsewhere();
  return true;
}

std::size_t Shelf::give_room(std::size_t most) noexcept {
  const std::size_t given = std::min<std::size_t>(room(), most);
  allowance.subtract(given);
  seen_elsewhere_ = elsewhere();
  return given;
}

void Shelf::empty_hand() noexcept {
  keeps_ = false;
  const unsigned count = hand_.exchange(0, std::memory_order_relaxed);
  const std::uint32_t tail = tail_.load(std::memory_order_relaxed);
  for (unsigned i = 0; i < count; ++i) {
    outbox_[(tail + i) % slots] = top_[i];
  }
  tail_.store(tail + count, std::memory_order_release);
}

void Shelf::disinherit() noexcept {
  if (some_in_hand() || some_for_others()) { // or what lies aside stays there: a child of a child
    inherited_hand_ = hand_.exchange(0, std::memory_order_relaxed);
    inherited_outbox_ = static_cast<std::uint8_t>(in_outbox());
    head_.store(tail_.load(std::memory_order_relaxed), std::memory_order_relaxed);
    inherited_below_ = exchange_below(nullptr);
  }
  held_.subtract(held_.get() - taken_.get());
  packed_.subtract(packed_.get());
  seen_elsewhere_ = elsewhere();
}

Shelf::Inheritance Shelf::take_inherited() noexcept {
  Inheritance all;
  const std::uint32_t head = head_.load(std::memory_order_relaxed);
  for (; inherited_outbox_ != 0; --inherited_outbox_) {
    all.buffers[all.count++] = outbox_[(head - inherited_outbox_) % slots];
  }
  for (; inherited_hand_ != 0; --inherited_hand_) {
    all.buffers[all.count++] = top_[inherited_hand_ - 1];
  }
  all.below = std::exchange(inherited_below_, nullptr);
  return all;
}

}}} // namespace sa::v0::detail
