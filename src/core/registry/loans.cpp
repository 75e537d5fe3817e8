// SPDX-License-Identifier: MIT
#include "core/registry/loans.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <iterator>
#include <mutex>

#include <pthread.h>

#include "core/base/process_barrier.hpp"
#include "core/base/thread_slot.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

/// Where the control block of one loan lies. Never freed: who ends a loan may touch it when the heap is gone.
struct alignas(64) Place {
  /// Free when null; else the heap on loan, or in_use. Only the slot's thread takes a free one.
  std::atomic<const void*> lent{nullptr};
  alignas(std::max_align_t) std::array<std::byte, 48> block;
};

/// In Place::lent after the loan ended, while a weak_ptr needs the control block.
constexpr char in_use = 0;

/// A program keeps few heaps for long, and finds others for a moment.
constexpr std::size_t places_each = 8;
constinit std::array<std::array<Place, places_each>, most_slots> places{};

[[nodiscard]] bool is_lent(const Heap& heap) noexcept {
  return std::any_of(places.begin(), places.end(), [&](const auto& own) {
    return std::any_of(own.begin(), own.end(),
                       [&](const Place& place) { return place.lent.load(std::memory_order_acquire) == &heap; });
  });
}

/// What was on loan when its registry ended.
struct Kept {
  std::mutex lock; ///< held over a fork
  std::list<std::shared_ptr<Heap>> heaps;
};

// Never destroyed: loans end while other objects' destructors run.
Kept& kept() {
  static auto* const one = new Kept;
  return *one;
}

/// Whether anything is kept. Read at the end of each loan.
constinit std::atomic<bool> any_kept{false};

void let_go_of_returned() noexcept {
  std::list<std::shared_ptr<Heap>> returned; // ended after the lock: a heap's destructor is not ours
  Kept& all = kept();
  const std::lock_guard guard(all.lock);
  for (auto heap = all.heaps.begin(); heap != all.heaps.end();) {
    const auto next = std::next(heap);
    if (!is_lent(**heap)) {
      returned.splice(returned.end(), all.heaps, heap);
    }
    heap = next;
  }
  any_kept.store(!all.heaps.empty(), std::memory_order_relaxed);
}

// Beside the functions that are called, so that a static archive cannot lose it.
[[maybe_unused]] const int registered =
    ::pthread_atfork([] { kept().lock.lock(); }, [] { kept().lock.unlock(); }, [] { kept().lock.unlock(); });

/// The deleter of a loan.
struct Return {
  Place* place;
  void operator()(const Heap* /*lent*/) const noexcept {
    place->lent.store(&in_use, std::memory_order_release);
    std::atomic_signal_fence(std::memory_order_seq_cst); // for the compiler; the processor's order is keep_lent()'s barrier
    if (any_kept.load(std::memory_order_relaxed)) [[unlikely]] {
      let_go_of_returned();
    }
  }
};

/// The allocator of the control block: it takes a place and frees it.
template <typename Block>
struct InPlace {
  using value_type = Block;
  Place* place;

  explicit InPlace(Place* one) noexcept : place(one) {}
  template <typename Other>
  explicit InPlace(const InPlace<Other>& other) noexcept : place(other.place) {}

  [[nodiscard]] Block* allocate(std::size_t /*one*/) const noexcept {
    static_assert(sizeof(Block) <= sizeof(place->block) && alignof(Block) <= alignof(std::max_align_t));
    return reinterpret_cast<Block*>(place->block.data());
  }
  void deallocate(Block* /*one*/, std::size_t /*one*/) const noexcept { place->lent.store(nullptr, std::memory_order_release); }
  friend bool operator==(const InPlace& a, const InPlace& b) noexcept { return a.place == b.place; }
};

} // namespace

std::shared_ptr<Heap> lend(const std::shared_ptr<Heap>& heap) noexcept {
  claim_slot();
  if (own_slot != no_slot) [[likely]] {
    for (Place& place : places[own_slot]) {
      if (place.lent.load(std::memory_order_acquire) == nullptr) {
        place.lent.store(heap.get(), std::memory_order_relaxed);
        return {heap.get(), Return{&place}, InPlace<Heap*>{&place}};
      }
    }
  }
  return heap;
}

void keep_lent(std::list<std::shared_ptr<Heap>> heaps) noexcept {
  heaps.remove_if([](const auto& heap) { return !is_lent(*heap); });
  if (heaps.empty()) {
    return;
  }
  {
    const std::lock_guard guard(kept().lock);
    kept().heaps.splice(kept().heaps.end(), heaps);
    any_kept.store(true, std::memory_order_relaxed);
  }
  // Who ended a loan and did not see any_kept is seen to have ended it, after this.
  if (has_process_barrier()) {
    process_barrier();
  }
  let_go_of_returned();
}

}}} // namespace sa::v0::detail
