// SPDX-License-Identifier: MIT
#include "core/pool/rack.hpp"

#include <mutex>

namespace sa { inline namespace v0 { namespace detail {

Rack::Rack(PoolClass of, std::size_t shelves) : size_(of.size), rest_(of.rest), shelves_(std::make_unique<Shelf[]>(shelves)) {}

Racks::~Racks() {
  for (auto& bin : bins_) {
    for (Rack* rack = bin.load(std::memory_order_relaxed); rack != nullptr;) {
      Rack* const next = rack->next_;
      delete rack;
      rack = next;
    }
  }
}

Rack& Racks::enter(PoolClass of, std::size_t buffers) {
  std::atomic<Rack*>& bin = bins_[bin_of(of)];
  std::unique_ptr<Rack> made;
  for (;;) {
    {
      const std::lock_guard guard(lock_);
      Rack* rack = find(of);
      if (rack == nullptr) {
        rack = bin.load(std::memory_order_relaxed);
        while (rack != nullptr && rack->buffers_.load(std::memory_order_acquire) != 0) {
          rack = rack->next_;
        }
        if (rack != nullptr) {
          // Somebody may be about to look here for what it was: all who did are gone from it, or will see.
          for (std::size_t i = 0; i <= mask_; ++i) {
            (*rack)[i].lock_all();
          }
          rack->size_.store(of.size, std::memory_order_relaxed);
          rack->rest_.store(of.rest, std::memory_order_relaxed);
          for (std::size_t i = 0; i <= mask_; ++i) {
            (*rack)[i].unlock();
          }
        }
      }
      if (rack == nullptr && made != nullptr) {
        rack = made.release();
        rack->next_ = bin.load(std::memory_order_relaxed);
        bin.store(rack, std::memory_order_release);
      }
      if (rack != nullptr) {
        rack->buffers_.fetch_add(buffers, std::memory_order_relaxed);
        return *rack;
      }
    }
    made = std::make_unique<Rack>(of, mask_ + 1); // with no lock held
  }
}

void Racks::lock_all() noexcept {
  lock_.lock(); // nobody makes another meanwhile
  each_shelf([](Shelf& shelf) { shelf.lock_all(); });
}

void Racks::unlock_all() noexcept {
  each_shelf([](Shelf& shelf) { shelf.unlock(); });
  lock_.unlock();
}

}}} // namespace sa::v0::detail
