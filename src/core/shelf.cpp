// SPDX-License-Identifier: MIT
#include "core/shelf.hpp"

#include <algorithm>
#include <mutex>
#include <utility>

namespace sa::inline v0::detail {

static_assert(sizeof(Shelf) == 256 && sizeof(Block) == 128);

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

void Shelf::pack(Blocks& blocks) noexcept {
  Block& block = blocks.take();
  block.buffers = top_;
  block.below = std::exchange(below_, &block);
  count_ = 0;
}

bool Shelf::unpack(Blocks& blocks) noexcept {
  Block* const block = below_;
  if (block == nullptr) {
    return false;
  }
  top_ = block->buffers;
  below_ = block->below;
  count_ = Block::size;
  blocks.put(*block);
  return true;
}

bool Shelf::take_all(Shelf& other) noexcept {
  if (other.count_ == 0 && other.below_ == nullptr) {
    return false;
  }
  std::copy_n(other.top_.begin(), other.count_, top_.begin()); // no more: see the lines of a Shelf
  count_ = std::exchange(other.count_, std::uint8_t{0});
  below_ = std::exchange(other.below_, nullptr);
  const std::size_t moved = other.bytes.get();
  // What this shelf handed out came back there: the room it has left is for these. More comes with them.
  if (const std::size_t spare = room(); spare < moved) {
    allowance.add(moved - spare);
    other.allowance.subtract(moved - spare);
  }
  bytes.add(moved);
  other.bytes.subtract(moved);
  return true;
}

std::size_t Shelf::give_room(std::size_t most) noexcept {
  const std::size_t given = std::min<std::size_t>(room(), most);
  allowance.subtract(given);
  return given;
}

void Shelf::disinherit() noexcept {
  if (count_ != 0 || below_ != nullptr) { // or what lies aside stays there: a child of a child
    inherited_count_ = std::exchange(count_, std::uint8_t{0});
    inherited_below_ = std::exchange(below_, nullptr);
  }
  bytes.subtract(bytes.get());
}

Block Shelf::take_inherited(unsigned& count) noexcept {
  count = std::exchange(inherited_count_, std::uint8_t{0});
  return {top_, std::exchange(inherited_below_, nullptr)};
}

} // namespace sa::inline v0::detail
