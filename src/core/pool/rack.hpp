// SPDX-License-Identifier: MIT
/// @file rack.hpp
/// The shelves of each class of a pool: a rack for a class, with several shelves, so that threads do not meet.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/buffer/recycler.hpp"
#include "core/pool/shelf.hpp"

namespace sa { inline namespace v0 { namespace detail {

/// Stays as long as its pool. Its class may change, with all its shelves locked, while the pool has no buffer of that class.
class Rack {
public:
  Rack(PoolClass of, std::size_t shelves);

  /// Certain only with one of the shelves locked.
  [[nodiscard]] bool is(PoolClass of) const noexcept {
    return size_.load(std::memory_order_relaxed) == of.size && rest_.load(std::memory_order_relaxed) == of.rest;
  }

  [[nodiscard]] Shelf& operator[](std::size_t index) noexcept { return shelves_[index]; }
  [[nodiscard]] const Shelf& operator[](std::size_t index) const noexcept { return shelves_[index]; }

private:
  friend class Racks;

  std::atomic<std::size_t> size_;
  std::atomic<std::uint64_t> rest_;
  const std::unique_ptr<Shelf[]> shelves_;
  Rack* next_ = nullptr; ///< in the same bin
  std::atomic<std::size_t> buffers_{0};
};

/// Found without a lock, since racks only ever become more: as many as there were classes at once.
class Racks {
public:
  /// @param shelves of each; a power of two
  explicit Racks(std::size_t shelves) noexcept : mask_(shelves - 1) {}
  Racks(const Racks&) = delete;
  Racks& operator=(const Racks&) = delete;
  ~Racks();

  /// The largest index of a shelf; all ones.
  [[nodiscard]] std::size_t mask() const noexcept { return mask_; }

  /// Null: the pool has no buffer of that class.
  [[nodiscard]] Rack* find(PoolClass of) const noexcept {
    Rack* rack = bins_[bin_of(of)].load(std::memory_order_acquire);
    while (rack != nullptr && !rack->is(of)) {
      rack = rack->next_;
    }
    return rack;
  }

  /// The rack for so many buffers more.
  /// @throws std::bad_alloc
  [[nodiscard]] Rack& enter(PoolClass of, std::size_t buffers);
  /// They are on none of its shelves, and never will be. The caller has no use for the rack any more.
  static void leave(Rack& rack, std::size_t buffers) noexcept { rack.buffers_.fetch_sub(buffers, std::memory_order_release); }

  /// @param visit is called with each shelf, until it returns true; whether it did
  template <typename Visit>
  bool any_shelf(Visit&& visit) const noexcept {
    for (const auto& bin : bins_) {
      for (Rack* rack = bin.load(std::memory_order_acquire); rack != nullptr; rack = rack->next_) {
        for (std::size_t i = 0; i <= mask_; ++i) {
          if (visit((*rack)[i])) {
            return true;
          }
        }
      }
    }
    return false;
  }
  template <typename Visit>
  void each_shelf(Visit&& visit) const noexcept {
    any_shelf([&](Shelf& shelf) {
      visit(shelf);
      return false;
    });
  }

  // Over a fork: every shelf.
  void lock_all() noexcept;
  void unlock_all() noexcept;

private:
  static constexpr std::size_t bin_count = 64;

  static std::size_t bin_of(PoolClass of) noexcept {
    constexpr std::uint64_t golden = 0x9E3779B97F4A7C15; // 2^64 over the golden ratio: multiplying spreads
    constexpr unsigned shift = 64 - std::bit_width(bin_count - 1);
    return static_cast<std::size_t>(((of.size + of.rest) * golden) >> shift);
  }

  const std::size_t mask_;
  SpinLock lock_; ///< of those who enter
  std::array<std::atomic<Rack*>, bin_count> bins_{};
};

}}} // namespace sa::v0::detail
