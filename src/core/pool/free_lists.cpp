// SPDX-License-Identifier: MIT
#include "core/pool/free_lists.hpp"

#include <algorithm>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

#include "core/base/fork.hpp"
#include "core/buffer/unshared.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

/// Whether a forked child has @p buffer from its parent. Epochs are compared as distances: they may wrap.
bool is_parents(const Buffer& buffer) noexcept {
  return static_cast<int>(buffer.place().epoch - first_epoch.load(std::memory_order_relaxed)) < 0;
}

bool is_reserved(const Buffer& buffer) noexcept {
  return buffer.slip().reserved;
}

} // namespace

FreeLists::FreeLists(const PoolOptions& options) noexcept
    : max_bytes_(options.max_age.count() == 0 ? 0 : options.max_free_bytes), recycle_(options.recycle),
      ages_(options.max_age != std::chrono::milliseconds::max()),
      interval_(std::clamp<std::chrono::milliseconds>(options.max_age / ticks_per_age, std::chrono::milliseconds(1),
                                                      std::chrono::hours(8760))),
      dormant_(ages_) {}

// With the lock held.

[[gnu::always_inline]] inline SizeClass* FreeLists::find(const PoolClass& of) noexcept {
  if (recent_ == nullptr || recent_->of != of) [[unlikely]] {
    const auto found = std::find_if(classes_.begin(), classes_.end(), [&](const SizeClass& one) { return one.of == of; });
    recent_ = found == classes_.end() ? nullptr : &*found;
  }
  return recent_;
}

inline void FreeLists::put(Buffer& buffer, bool alone) noexcept {
  (alone ? buffer.slip().size_class->free : buffer.slip().size_class->aside).push_back(&buffer);
  ++(alone ? numbers_.free_buffers : numbers_.set_aside);
  --numbers_.live;
  numbers_.free_bytes += buffer.memory().size;
  kept_bytes_ += is_reserved(buffer) ? 0 : buffer.memory().size;
  buffer.place().tick = tick_;
}

/// The numbers of a buffer that has come out of @p list.
inline void FreeLists::taken(Buffer& buffer, std::uint64_t PoolStatistics::*list) noexcept {
  --(numbers_.*list);
  ++numbers_.live;
  numbers_.free_bytes -= buffer.memory().size;
  kept_bytes_ -= is_reserved(buffer) ? 0 : buffer.memory().size;
}

/// The oldest one for which @p holds, of those that are free, else of those set aside; null when there is none.
template <typename Holds>
Buffer* FreeLists::take(Holds&& holds, bool aside_only) noexcept {
  for (const bool aside : {false, true}) {
    for (SizeClass& size_class : classes_) {
      auto& list = aside ? size_class.aside : size_class.free;
      const auto found = std::find_if(list.begin(), list.end(), [&](const Buffer* one) { return holds(*one); });
      if (found != list.end() && (aside || !aside_only)) {
        Buffer* const buffer = *found;
        list.erase(found);
        taken(*buffer, aside ? &PoolStatistics::set_aside : &PoolStatistics::free_buffers);
        return buffer;
      }
    }
  }
  return nullptr;
}

// A buffer is acquired.

Buffer* FreeLists::acquire(const PoolClass& of) noexcept {
  lock();
  SizeClass* const size_class = find(of);
  if (size_class != nullptr && !size_class->free.empty()) [[likely]] {
    Buffer& buffer = *size_class->free.back();
    size_class->free.pop_back();
    taken(buffer, &PoolStatistics::free_buffers);
    buffer.place().epoch = fork_epoch.load(std::memory_order_relaxed); // no fork goes on while the lock is held
    ++numbers_.hits;
    unlock();
    return &buffer;
  }
  const bool some_aside = size_class != nullptr && !size_class->aside.empty();
  unlock();
  return some_aside ? acquire_aside(of) : nullptr;
}

/// Looks again at what somebody else had: a V4L2 queue, for one, lets go of a buffer when another is queued in its place.
Buffer* FreeLists::acquire_aside(const PoolClass& of) noexcept {
  const std::lock_guard guard(*this);
  for (std::uint64_t left = numbers_.set_aside; left != 0; --left) { // each once
    SizeClass* const size_class = find(of);
    if (size_class == nullptr || size_class->aside.empty()) {
      break;
    }
    Buffer& buffer = *size_class->aside.front();
    size_class->aside.erase(size_class->aside.begin()); // in no list while the kernel is asked, with no lock held
    const unsigned epoch = fork_epoch.load(std::memory_order_relaxed);
    unlock();
    const bool alone = sharing_of(buffer) == Sharing::Alone;
    lock();
    if (alone && epoch == fork_epoch.load(std::memory_order_relaxed)) {
      taken(buffer, &PoolStatistics::set_aside);
      buffer.taken_back();
      buffer.place().epoch = epoch;
      ++numbers_.hits;
      return &buffer;
    }
    size_class->aside.push_back(&buffer);
  }
  return nullptr;
}

// A buffer comes back.

/// Locked. A buffer that is free is worth more than those that somebody else has.
inline bool FreeLists::make_room(std::size_t bytes, bool alone) noexcept {
  while (bytes > max_bytes_ - reserved_bytes_ - kept_bytes_) {
    Buffer* const one = alone ? take(std::not_fn(is_reserved), true) : nullptr;
    if (one == nullptr) {
      return false;
    }
    unlock();
    let_go(*one, &PoolStatistics::freed_shared);
    lock();
  }
  return true;
}

void FreeLists::recycle(Buffer& buffer) noexcept {
  for (;;) {
    const unsigned epoch = fork_epoch.load(std::memory_order_acquire);
    Sharing sharing = Sharing::Alone;
    if (buffer.given_away() || buffer.place().epoch != epoch) { // its descriptor was seen, or it lived through a fork
      if (is_parents(buffer)) {
        sharing = Sharing::Unknown;
      } else if (!buffer.memory().fd || recycle_ != Recycle::Always) {
        sharing = sharing_of(buffer);
      }
    }
    const bool alone = sharing == Sharing::Alone;
    const std::size_t bytes = is_reserved(buffer) ? 0 : buffer.memory().size; // that need room
    lock();
    if (epoch != fork_epoch.load(std::memory_order_relaxed)) { // since the look at it: again
      unlock();
      continue;
    }
    if (sharing == Sharing::Unknown || !make_room(bytes, alone) || closed_) {
      unlock();
      let_go(buffer, alone ? &PoolStatistics::freed_full : &PoolStatistics::freed_shared);
      return;
    }
    if (alone) {
      buffer.taken_back();
    }
    const bool wake = dormant_ && !is_reserved(buffer);
    dormant_ = dormant_ && !wake;
    put(buffer, alone);
    unlock(); // the last touch of this object: the thread that takes the buffer next may end the pool
    if (wake) {
      wake_ageing();
    }
    return;
  }
}

/// Ends a buffer that is in no list, and this with it if it was the last of a pool that is gone.
void FreeLists::let_go(Buffer& buffer, std::uint64_t PoolStatistics::*counter) noexcept {
  const bool own = !is_parents(buffer);
  lock();
  --numbers_.live;
  if (counter != nullptr) {
    ++(numbers_.*counter);
  }
  reserved_bytes_ -= own && is_reserved(buffer) ? buffer.memory().size : 0;
  unlock();
  if (own) {
    leave(*buffer.slip().size_class, 1);
  }
  Buffer::dispose(&buffer);
}

void FreeLists::leave(SizeClass& size_class, std::size_t buffers) noexcept {
  const std::lock_guard guard(*this);
  size_class.members -= buffers;
  if (size_class.members == 0) {
    recent_ = nullptr;
    classes_.remove_if([&](const SizeClass& one) { return &one == &size_class; });
  }
}

void FreeLists::discard(Buffer& buffer) noexcept {
  let_go(buffer, nullptr);
  const std::lock_guard guard(*this);
  --numbers_.hits;
}

/// Gives all back that is kept now and for which @p holds, with no lock held while a buffer ends; how many.
template <typename Holds>
std::size_t FreeLists::give_back(Holds&& holds, std::uint64_t PoolStatistics::*counter) noexcept {
  const PoolStatistics now = statistics(); // others may come back meanwhile, without end
  std::size_t count = 0;
  for (std::uint64_t left = now.free_buffers + now.set_aside; left != 0; --left, ++count) {
    lock();
    Buffer* const buffer = take(holds);
    unlock();
    if (buffer == nullptr) {
      break;
    }
    let_go(*buffer, counter);
  }
  return count;
}

std::size_t FreeLists::trim(bool reserved_too) noexcept {
  drop_inherited();
  return give_back([&](const Buffer& buffer) { return reserved_too || !is_reserved(buffer); }, nullptr);
}

std::optional<FreeLists::Clock::time_point> FreeLists::age(Clock::time_point now) noexcept {
  unsigned tick = 0;
  {
    const std::lock_guard guard(*this);
    if (dormant_ || !ages_) {
      next_tick_.reset();
      return std::nullopt;
    }
    if (next_tick_ && now < *next_tick_) {
      return next_tick_;
    }
    tick_ += next_tick_ ? 1 : 0;
    next_tick_ = now + interval_;
    tick = tick_;
  }
  // A buffer of tick t came back at t or up to one interval later: more than max_age ago, surely, at t + parts + 1.
  give_back([&](const Buffer& one) { return !is_reserved(one) && tick - one.place().tick > ticks_per_age; },
            &PoolStatistics::freed_old);
  const std::lock_guard guard(*this);
  dormant_ = kept_bytes_ == 0;
  return dormant_ ? std::nullopt : next_tick_;
}

std::size_t FreeLists::close_fdinfo() noexcept {
  std::size_t closed = 0;
  const std::lock_guard guard(*this); // a close() of procfs does not block
  for (SizeClass& size_class : classes_) {
    for (auto* list : {&size_class.free, &size_class.aside}) {
      for (Buffer* one : *list) {
        closed += one->fdinfo() ? 1 : 0;
        one->fdinfo().reset();
      }
    }
  }
  return closed;
}

void FreeLists::close() noexcept {
  lock();
  closed_ = true;
  unlock();
  trim(true);
}

// A buffer joins.

SizeClass& FreeLists::enter(const PoolClass& of, std::size_t buffers) {
  const std::lock_guard guard(*this);
  if (find(of) == nullptr) {
    recent_ = &classes_.emplace_back();
    recent_->of = of;
  }
  const std::size_t members = recent_->members + buffers;
  for (auto* list : {&recent_->free, &recent_->aside}) {
    if (list->capacity() < members) {
      list->reserve(2 * members);
    }
  }
  recent_->members = members;
  return *recent_;
}

std::string_view FreeLists::note_miss() noexcept {
  constexpr std::uint64_t enough = 32; // requests: a pool that is going finds more than it misses by then
  const std::lock_guard guard(*this);
  ++numbers_.misses;
  ++numbers_.live;
  const std::uint64_t shared = numbers_.freed_shared + numbers_.set_aside;
  if (complained_ || numbers_.misses < enough || numbers_.hits >= numbers_.misses ||
      2 * (shared + numbers_.freed_full) < numbers_.misses) { // or few came back at all
    return {};
  }
  complained_ = true;
  return numbers_.freed_full > shared
             ? "buffers came back to a full pool; raise its max_free_bytes"
             : "buffers came back while others could still see them; let devices and processes release them sooner, reserve "
               "one more than a device queues, or use Recycle::Always where the same device keeps them for ever (a memfd or a "
               "DRM buffer whose descriptor was taken is never used again without it)";
}

bool FreeLists::reserve_room(std::size_t bytes) noexcept {
  const std::lock_guard guard(*this);
  while (bytes <= max_bytes_ - reserved_bytes_) {
    if (bytes <= max_bytes_ - reserved_bytes_ - kept_bytes_) {
      reserved_bytes_ += bytes;
      return true;
    }
    Buffer* const one = take(std::not_fn(is_reserved));
    unlock();
    if (one != nullptr) {
      let_go(*one, nullptr);
    } else { // another thread looks at the last one
      std::this_thread::yield();
    }
    lock();
  }
  return false;
}

void FreeLists::keep_reserved(Buffer& buffer) noexcept {
  const std::lock_guard guard(*this);
  ++numbers_.live; // for a moment
  put(buffer, true);
}

// fork(2)

void FreeLists::disinherit() noexcept {
  inherited_.splice(inherited_.end(), classes_);
  recent_ = nullptr;
  kept_bytes_ = reserved_bytes_ = 0;
  numbers_ = {.live = numbers_.live}; // those are seen here too
}

void FreeLists::drop_inherited() noexcept {
  std::list<SizeClass> all;
  lock();
  all.swap(inherited_);
  unlock();
  for (const SizeClass& size_class : all) {
    for (const auto* list : {&size_class.free, &size_class.aside}) {
      std::for_each(list->begin(), list->end(), Buffer::dispose);
    }
  }
}

}}} // namespace sa::v0::detail
