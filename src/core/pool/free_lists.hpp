// SPDX-License-Identifier: MIT
/// @file free_lists.hpp
/// The buffers that a pool keeps: for each size class a list of free buffers, and one of those that are set aside. And what
/// concerns all pools of the process together: the thread that gives old buffers back, and fork(2).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include <sa/pool.hpp>

#include "core/base/spin_lock.hpp"
#include "core/buffer/buffer.hpp"

namespace sa { inline namespace v0 { namespace detail {

/// Requests that the same buffers can serve.
struct PoolClass {
  std::size_t size = 0; ///< bytes, as upstream rounds it
  Constraints constraints{};
  Traits require{};
  AllocFlag flags{};

  friend bool operator==(const PoolClass&, const PoolClass&) noexcept = default;
};

/// The lists have room for every member: keeping a buffer takes no memory.
struct SizeClass {
  PoolClass of;
  std::size_t members = 0;    ///< buffers of this class, in use or kept
  std::vector<Buffer*> free;  ///< the oldest first; the last is the next: its memory is still in the caches
  std::vector<Buffer*> aside; ///< had another holder when they came back; the oldest first, which is the next
};

/// The buffers that a pool keeps, behind one lock. Outlives the pool while one of its buffers is in use.
///
/// The bound is one number: `kept_bytes_ + reserved_bytes_ <= max_bytes_`. Reserved buffers own their room, in use or not;
/// kept_bytes_ counts the others, free or set aside.
class FreeLists final : public Recycler {
public:
  explicit FreeLists(const PoolOptions& options) noexcept;
  FreeLists(const FreeLists&) = delete;
  FreeLists& operator=(const FreeLists&) = delete;

  /// A free buffer, which the caller owns now; null when there is none.
  [[nodiscard]] Buffer* acquire(const PoolClass& of) noexcept;
  void recycle(Buffer& buffer) noexcept override;
  /// Frees a buffer that was acquired and is not handed out.
  void discard(Buffer& buffer) noexcept;

  /// The class for so many buffers that join the pool now.
  /// @throws std::bad_alloc
  [[nodiscard]] SizeClass& enter(const PoolClass& of, std::size_t buffers);
  void leave(SizeClass& size_class, std::size_t buffers) noexcept;
  /// Notes that the upstream made a buffer for a request. Returns a warning with the reason and the remedy, once, when
  /// most requests go upstream although buffers come back; else nothing.
  [[nodiscard]] std::string_view note_miss() noexcept;

  /// Takes room for reserved buffers, at the cost of others that are kept. False: the bound is too low.
  [[nodiscard]] bool reserve_room(std::size_t bytes) noexcept;
  /// Keeps a buffer for which room was taken.
  void keep_reserved(Buffer& buffer) noexcept;

  /// Gives kept buffers back; how many.
  std::size_t trim(bool reserved_too) noexcept;
  /// Closes what kept buffers have open besides their own descriptor; how many.
  std::size_t close_fdinfo() noexcept;
  /// The pool has ended: gives every buffer back, now and from now on.
  void close() noexcept;
  /// Gives back what a forked child found here.
  void drop_inherited() noexcept;

  [[nodiscard]] PoolStatistics statistics() const noexcept {
    const std::lock_guard guard(lock_);
    return numbers_;
  }

  using Clock = std::chrono::steady_clock;
  /// Gives back what is too old. When to look again; nothing while nothing can age.
  std::optional<Clock::time_point> age(Clock::time_point now) noexcept;

  // Over a fork.
  void lock() noexcept { lock_.lock(); }
  void unlock() noexcept { lock_.unlock(); }
  /// Locked, in a forked child: everything that is kept is the parent's.
  void disinherit() noexcept;

private:
  Buffer* acquire_aside(const PoolClass& of) noexcept;
  [[nodiscard]] SizeClass* find(const PoolClass& of) noexcept;
  bool make_room(std::size_t bytes, bool alone) noexcept;
  void put(Buffer& buffer, bool alone) noexcept;
  void taken(Buffer& buffer, std::uint64_t PoolStatistics::*list) noexcept;
  template <typename Holds>
  Buffer* take(Holds&& holds, bool aside_only = false) noexcept;
  template <typename Holds>
  std::size_t give_back(Holds&& holds, std::uint64_t PoolStatistics::*counter) noexcept;
  void let_go(Buffer& buffer, std::uint64_t PoolStatistics::*counter) noexcept;

  static constexpr unsigned ticks_per_age = 4;

  const std::size_t max_bytes_;
  const Recycle recycle_;
  const bool ages_; ///< whether buffers get too old at all
  const Clock::duration interval_;

  mutable SpinLock lock_; // for all below
  std::list<SizeClass> classes_;
  SizeClass* recent_ = nullptr;    ///< the class of the last request, or null
  std::list<SizeClass> inherited_; ///< a forked child's: of its parent
  std::size_t kept_bytes_ = 0;
  std::size_t reserved_bytes_ = 0;
  PoolStatistics numbers_;
  unsigned tick_ = 0;   ///< quarters of max_age
  bool closed_ = false; ///< the pool is gone
  bool dormant_;        ///< nothing ages; the next buffer that is kept wakes the ageing
  bool complained_ = false;
  std::optional<Clock::time_point> next_tick_;
};

/// Registers the pool for ageing and for the lock over forks, also after it has ended, until its last buffer has ended.
/// @throws std::bad_alloc
void enlist(const std::shared_ptr<FreeLists>& pool);

/// Says that a pool has buffers that age. Starts the thread, unless it runs. It sleeps while nothing ages.
void wake_ageing() noexcept;

}}} // namespace sa::v0::detail
