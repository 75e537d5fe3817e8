// SPDX-License-Identifier: MIT
#include "core/shelves.hpp"

#include <algorithm>
#include <bit>
#include <climits>
#include <thread>
#include <utility>

#include "core/buffer.hpp"
#include "core/fork.hpp"
#include "core/pools.hpp"
#include "core/thread_index.hpp"
#include "core/unshared.hpp"

namespace sa::inline v0::detail {
namespace {

/// The shelf this thread turns to first. 0: not chosen yet.
[[gnu::tls_model("initial-exec")]] thread_local unsigned near = 0;
/// How often somebody was there.
[[gnu::tls_model("initial-exec")]] thread_local unsigned meetings = 0;
/// So many, and the thread moves on: somebody else lives there.
constexpr unsigned too_many_meetings = 16;

/// Tells the processor that it waits.
void relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
  asm volatile("yield" ::: "memory");
#endif
}

std::size_t shelves_for_this_machine() noexcept {
  constexpr unsigned most = 32;
  return std::bit_ceil(std::clamp(2 * std::thread::hardware_concurrency(), 4U, most));
}

/// max_age in parts, at least the kernel's usual timer resolution.
std::chrono::nanoseconds part_of(std::chrono::milliseconds max_age, unsigned parts) noexcept {
  constexpr std::chrono::milliseconds century = std::chrono::hours(24 * 365 * 100);
  return std::max<std::chrono::nanoseconds>(std::chrono::nanoseconds(std::min(max_age, century)) / parts,
                                            std::chrono::milliseconds(1));
}

/// With @p shelf locked, since no fork goes on then.
inline void hand_out(Shelf& shelf, Buffer& buffer) noexcept {
  shelf.handed_out.add(1);
  // Not written when it stays the same: the line is in another processor's cache, if it came back there.
  if (const unsigned now = fork_epoch.load(std::memory_order_relaxed); buffer.place().epoch != now) {
    buffer.place().epoch = now;
  }
}

std::size_t dispose_chain(Buffer* buffer) noexcept {
  std::size_t count = 0;
  while (buffer != nullptr) {
    Buffer* const below = buffer->place().below;
    Buffer::dispose(buffer);
    buffer = below;
    ++count;
  }
  return count;
}

} // namespace

// Shelf

void Shelf::lock() noexcept {
  // A holder is some nanoseconds from letting go, unless it was preempted or forks: then only sleeping lets a thread of
  // lower priority run.
  constexpr int patience = 1000; // some tens of microseconds
  for (int attempt = 0; locked_.load(std::memory_order_relaxed) || !try_lock(); ++attempt) {
    if (attempt < patience) {
      relax();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }
}

inline Shelf::Bin& Shelf::bin_of(PoolClass of) noexcept {
  constexpr std::uint64_t golden = 0x9E3779B97F4A7C15; // 2^64 over the golden ratio: multiplying spreads
  constexpr unsigned shift = 64 - std::bit_width(bin_count - 1);
  return bins_[(static_cast<std::uint64_t>(of.size) * golden) >> shift];
}

inline Buffer** Shelf::find(Bin& bin, PoolClass of) noexcept {
  Buffer** top = &bin;
  while (*top != nullptr && !((*top)->slip().of == of)) {
    top = &(*top)->place().beside;
  }
  return top;
}

[[gnu::always_inline]] inline void Shelf::push(Buffer& buffer) noexcept {
  const PoolSlip& slip = buffer.slip();
  PoolPlace& place = buffer.place();
  Buffer** const top = find(bin_of(slip.of), slip.of);
  place.below = *top;
  place.beside = nullptr;
  place.bytes_below = slip.bytes;
  if (place.below != nullptr) {
    place.beside = place.below->place().beside;
    place.bytes_below += place.below->place().bytes_below;
  }
  *top = &buffer;
  bytes.add(slip.bytes);
}

[[gnu::always_inline]] inline Buffer* Shelf::pop(PoolClass of) noexcept {
  Buffer** const top = find(bin_of(of), of);
  Buffer* const buffer = *top;
  if (buffer != nullptr) {
    const PoolPlace& place = buffer->place();
    if (place.below != nullptr) {
      if (place.below->place().beside != place.beside) {
        place.below->place().beside = place.beside;
      }
      *top = place.below;
    } else {
      *top = place.beside;
    }
    bytes.subtract(buffer->slip().bytes);
  }
  return buffer;
}

bool Shelf::take_all(Shelf& other, PoolClass of) noexcept {
  Buffer** const theirs = find(other.bin_of(of), of);
  Buffer* const chain = *theirs;
  if (chain == nullptr) {
    return false;
  }
  *theirs = chain->place().beside;
  chain->place().beside = nullptr;
  *find(bin_of(of), of) = chain;
  const std::size_t moved = chain->place().bytes_below;
  // What this shelf handed out came back there: the room it has left is for these. More comes with them.
  if (const std::size_t spare = room(); spare < moved) {
    allowance += moved - spare;
    other.allowance -= moved - spare;
  }
  bytes.add(moved);
  other.bytes.subtract(moved);
  return true;
}

template <typename Which>
Buffer* Shelf::take_if(Buffer* chain, Which&& which) noexcept {
  const auto hang = [](Buffer*& onto, Buffer* one) {
    one->place().below = onto;
    onto = one;
  };
  for (Bin& bin : bins_) {
    Buffer* top = std::exchange(bin, nullptr);
    while (top != nullptr) {
      Buffer* const beside = std::exchange(top->place().beside, nullptr);
      Buffer* kept = nullptr; // upside down: pushed again they lie as they lay
      while (top != nullptr) {
        Buffer* const below = top->place().below;
        bytes.subtract(top->slip().bytes);
        hang(which(*top) ? chain : kept, top);
        top = below;
      }
      while (kept != nullptr) {
        Buffer* const below = kept->place().below;
        push(*kept);
        kept = below;
      }
      top = beside;
    }
  }
  return chain;
}

template <typename Which>
bool Shelf::any(Which&& which) const noexcept {
  for (Buffer* top : bins_) {
    for (; top != nullptr; top = top->place().beside) {
      for (Buffer* buffer = top; buffer != nullptr; buffer = buffer->place().below) {
        if (which(*buffer)) {
          return true;
        }
      }
    }
  }
  return false;
}

void Shelf::disinherit() noexcept {
  for (Bin& bin : bins_) {
    Buffer** last = &inherited;
    while (*last != nullptr) {
      last = &(*last)->place().beside;
    }
    *last = std::exchange(bin, nullptr);
  }
  bytes.subtract(bytes.get());
}

// Shelves

Shelves::Shelves(const PoolOptions& options)
    : max_bytes_(options.max_age.count() == 0 ? 0 : options.max_bytes), recycle_(options.recycle),
      ages_(options.max_age != std::chrono::milliseconds::max()), interval_(part_of(options.max_age, ticks_per_age)),
      shelf_count_(shelves_for_this_machine()), shelves_(std::make_unique<Shelf[]>(shelf_count_)),
      attention_(ages_ ? dormant : 0), unclaimed_(max_bytes_) {}

/// Locks the shelf of this thread; when somebody is there, another.
[[gnu::always_inline]] inline Shelf& Shelves::lock_near() noexcept {
  Shelf& own = shelves_[near & (shelf_count_ - 1)];
  return near != 0 && own.try_lock() ? own : lock_another();
}

Shelf& Shelves::lock_another() noexcept {
  if (near == 0) {
    near = thread_index() + 1;
  } else if (++meetings >= too_many_meetings) {
    meetings = 0;
    near = near == UINT_MAX ? 1 : near + 1;
  }
  const std::size_t mask = shelf_count_ - 1;
  for (std::size_t i = 0; i < shelf_count_; ++i) {
    if (Shelf& other = shelves_[(near + i) & mask]; other.try_lock()) {
      return other;
    }
  }
  Shelf& own = shelves_[near & mask];
  own.lock();
  return own;
}

Buffer* Shelves::acquire(PoolClass of) noexcept {
  Shelf& shelf = lock_near();
  Buffer* const buffer = shelf.pop(of);
  if (buffer == nullptr) [[unlikely]] {
    return acquire_elsewhere(shelf, of);
  }
  hand_out(shelf, *buffer);
  __builtin_prefetch(buffer->place().below, 1); // it may have come back on another processor
  shelf.unlock();
  return buffer;
}

/// @param own locked; unlocked here
Buffer* Shelves::acquire_elsewhere(Shelf& own, PoolClass of) noexcept {
  Buffer* buffer = nullptr;
  bool passed_over = false;
  for (std::size_t i = 0; i < shelf_count_ && buffer == nullptr; ++i) {
    const std::size_t index = (own.source + i) & (shelf_count_ - 1); // where it was last time, it will be again
    Shelf& other = shelves_[index];
    if (&other == &own) {
      continue;
    }
    if (!other.try_lock()) {
      passed_over = true;
      continue;
    }
    if (own.take_all(other, of)) {
      buffer = own.pop(of);
      hand_out(own, *buffer);
      own.source = index;
    }
    other.unlock();
  }
  own.unlock();
  // What comes next is dear: first wait for shelves that somebody held.
  for (std::size_t i = 0; i < shelf_count_ && buffer == nullptr && passed_over; ++i) {
    shelves_[i].lock();
    buffer = shelves_[i].pop(of);
    if (buffer != nullptr) {
      hand_out(shelves_[i], *buffer);
    }
    shelves_[i].unlock();
  }
  return buffer;
}

void Shelves::recycle(Buffer& buffer) noexcept {
  if (!try_park(buffer)) [[unlikely]] {
    recycle_with_care(buffer);
  }
}

/// The usual case: nobody else saw the buffer, and there is room for it.
inline bool Shelves::try_park(Buffer& buffer) noexcept {
  const PoolSlip& slip = buffer.slip();
  PoolPlace& place = buffer.place();
  if (buffer.given_away()) {
    return false;
  }
  Shelf& shelf = lock_near();
  const unsigned attention = attention_.load(std::memory_order_relaxed);
  const bool usual = place.epoch == fork_epoch.load(std::memory_order_relaxed) &&
                     (attention == 0 || (attention == dormant && slip.reserved)) && shelf.room() >= slip.bytes;
  if (usual) [[likely]] {
    place.tick = tick_.load(std::memory_order_relaxed);
    shelf.came_back.add(1);
    shelf.push(buffer);
  }
  shelf.unlock(); // the last touch of this object: whoever takes the buffer may end the pool
  return usual;
}

void Shelves::recycle_with_care(Buffer& buffer) noexcept {
  const PoolSlip& slip = buffer.slip();
  PoolPlace& place = buffer.place();
  Parked parked = Parked::Forked;
  while (parked == Parked::Forked) { // since the look at it
    const unsigned now = fork_epoch.load(std::memory_order_acquire);
    if (buffer.given_away() || place.epoch != now) { // others may see it: it left by its descriptor, or lived through a fork
      // Epochs are compared as distances: they may wrap.
      const bool parents = static_cast<int>(place.epoch - first_epoch.load(std::memory_order_relaxed)) < 0;
      if (parents || !buffer.memory().fd || !(recycle_ == Recycle::Always || unshared(buffer))) {
        freed_shared_.fetch_add(1, std::memory_order_relaxed);
        Buffer::dispose(&buffer); // and this with it, if it was the pool's last
        return;
      }
      buffer.taken_back();
      place.epoch = now;
    }
    parked = park(buffer);
    // What is reserved comes before what is not.
    if (parked == Parked::NoRoom && slip.reserved && (attention_.load(std::memory_order_relaxed) & closed) == 0 &&
        set_room_aside(slip.bytes, Which::Unreserved)) {
      return_room(slip.bytes);
      parked = park(buffer);
    }
  }
  if (parked == Parked::NoRoom) {
    freed_full_.fetch_add(1, std::memory_order_relaxed);
    Buffer::dispose(&buffer);
  }
}

Shelves::Parked Shelves::park(Buffer& buffer) noexcept {
  const PoolSlip& slip = buffer.slip();
  PoolPlace& place = buffer.place();
  Shelf& shelf = lock_near();
  // Under the lock: close() and age() first say what they do, then look at each shelf under its lock, so one of the two
  // sees the other.
  const unsigned attention = attention_.load(std::memory_order_relaxed);
  Parked result = Parked::Yes;
  bool wake = false;
  if (place.epoch != fork_epoch.load(std::memory_order_relaxed)) {
    result = Parked::Forked;
  } else if ((attention & closed) != 0 || (shelf.room() < slip.bytes && !grow(shelf, slip.bytes))) {
    result = Parked::NoRoom;
  } else {
    place.tick = tick_.load(std::memory_order_relaxed);
    shelf.came_back.add(1);
    if ((attention & dormant) != 0 && !slip.reserved) {
      wake = (attention_.fetch_and(~dormant, std::memory_order_relaxed) & dormant) != 0;
    }
    shelf.push(buffer);
  }
  shelf.unlock(); // the last touch of this object, as above
  if (wake) {
    wake_ageing();
  }
  return result;
}

std::size_t Shelves::claim(std::size_t bytes) noexcept {
  std::size_t left = unclaimed_.load(std::memory_order_relaxed);
  while (!unclaimed_.compare_exchange_weak(left, left - std::min(left, bytes), std::memory_order_relaxed)) {
  }
  return std::min(left, bytes);
}

/// Gives @p shelf, locked, room for @p bytes: what nobody has claimed, then what other shelves do not use.
bool Shelves::grow(Shelf& shelf, std::size_t bytes) noexcept {
  if (bytes > max_bytes_) {
    return false;
  }
  shelf.allowance += claim(bytes - shelf.room());
  for (std::size_t i = 0; i < shelf_count_ && shelf.room() < bytes; ++i) {
    Shelf& other = shelves_[i];
    if (&other != &shelf && other.try_lock()) {
      const std::size_t moved = std::min(other.room(), bytes - shelf.room());
      other.allowance -= moved;
      shelf.allowance += moved;
      other.unlock();
    }
  }
  return shelf.room() >= bytes;
}

bool Shelves::set_room_aside(std::size_t bytes, Which cost) noexcept {
  if (bytes > max_bytes_) {
    return false;
  }
  std::size_t have = claim(bytes);
  // First what shelves do not use, then what they use for buffers that age, then what is reserved for other requests.
  for (int effort = 0; effort <= (cost == Which::All ? 2 : 1) && have < bytes; ++effort) {
    if (effort != 0) {
      trim(effort == 1 ? Which::Unreserved : Which::All);
    }
    for (std::size_t i = 0; i < shelf_count_ && have < bytes; ++i) {
      shelves_[i].lock();
      const std::size_t moved = std::min(shelves_[i].room(), bytes - have);
      shelves_[i].allowance -= moved;
      shelves_[i].unlock();
      have += moved;
    }
  }
  if (have < bytes) {
    return_room(have);
  }
  return have == bytes;
}

void Shelves::return_room(std::size_t bytes) noexcept {
  unclaimed_.fetch_add(bytes, std::memory_order_relaxed);
}

void Shelves::park_reserved(Buffer& buffer) noexcept {
  Shelf& shelf = lock_near();
  shelf.allowance += buffer.slip().bytes;
  shelf.push(buffer);
  shelf.unlock();
  reserved_.fetch_add(1, std::memory_order_relaxed);
}

template <typename Decide>
std::size_t Shelves::give_back_if(Decide&& decide) noexcept {
  std::size_t count = 0;
  for (std::size_t i = 0; i < shelf_count_; ++i) {
    Shelf& shelf = shelves_[i];
    shelf.lock();
    Buffer* const chain = shelf.any(decide) ? shelf.take_if(nullptr, decide) : nullptr;
    shelf.unlock();
    count += dispose_chain(chain);
  }
  given_back_.fetch_add(count, std::memory_order_relaxed);
  return count;
}

std::size_t Shelves::trim(Which which) noexcept {
  drop_inherited();
  return give_back_if([&](const Buffer& buffer) { return which == Which::All || !buffer.slip().reserved; });
}

void Shelves::close() noexcept {
  // Before the locks below: who parks after them sees it.
  attention_.fetch_or(closed, std::memory_order_relaxed);
  trim(Which::All);
}

void Shelves::drop_inherited() noexcept {
  for (std::size_t i = 0; i < shelf_count_; ++i) {
    Shelf& shelf = shelves_[i];
    shelf.lock();
    Buffer* top = std::exchange(shelf.inherited, nullptr);
    shelf.unlock();
    while (top != nullptr) {
      Buffer* const beside = top->place().beside;
      dispose_chain(top);
      top = beside;
    }
  }
}

void Shelves::discard(Buffer& buffer) noexcept {
  discarded_.fetch_add(1, std::memory_order_relaxed);
  Buffer::dispose(&buffer);
}

std::uint64_t Shelves::free_buffers() const noexcept {
  std::uint64_t in = reserved_.load(std::memory_order_relaxed);
  std::uint64_t out = given_back_.load(std::memory_order_relaxed);
  for (std::size_t i = 0; i < shelf_count_; ++i) {
    in += shelves_[i].came_back.get();
    out += shelves_[i].handed_out.get();
  }
  return in > out ? in - out : 0;
}

PoolStatistics Shelves::statistics() const noexcept {
  PoolStatistics now;
  std::uint64_t came_back = 0;
  for (std::size_t i = 0; i < shelf_count_; ++i) {
    came_back += shelves_[i].came_back.get();
    now.hits += shelves_[i].handed_out.get();
    now.free_bytes += shelves_[i].bytes.get();
  }
  now.hits -= std::min(now.hits, discarded_.load(std::memory_order_relaxed));
  now.misses = misses_.load(std::memory_order_relaxed);
  now.freed_shared = freed_shared_.load(std::memory_order_relaxed);
  now.freed_full = freed_full_.load(std::memory_order_relaxed);
  now.freed_old = freed_old_.load(std::memory_order_relaxed);
  now.free_buffers = free_buffers();
  const std::uint64_t given = now.hits + now.misses;
  const std::uint64_t ended = came_back + now.freed_shared + now.freed_full;
  now.live = given > ended ? given - ended : 0;
  return now;
}

std::optional<Shelves::Clock::time_point> Shelves::age(Clock::time_point now) noexcept {
  if ((attention_.load(std::memory_order_relaxed) & dormant) != 0 || !ages_) {
    next_tick_.reset();
    return std::nullopt;
  }
  if (next_tick_ && now >= *next_tick_) {
    const unsigned tick = tick_.fetch_add(1, std::memory_order_relaxed) + 1;
    // A buffer of tick t came back at t or up to one interval later: more than max_age ago, surely, at t + parts + 1.
    const std::size_t old =
        give_back_if([&](const Buffer& buffer) { return !buffer.slip().reserved && tick - buffer.place().tick > ticks_per_age; });
    freed_old_.fetch_add(old, std::memory_order_relaxed);
    next_tick_.reset();
  }
  // Nothing left that ages: sleep. See park() for who wakes.
  attention_.fetch_or(dormant, std::memory_order_relaxed);
  for (std::size_t i = 0; i < shelf_count_; ++i) {
    shelves_[i].lock();
    const bool found = shelves_[i].any([](const Buffer& buffer) { return !buffer.slip().reserved; });
    shelves_[i].unlock();
    if (found) {
      attention_.fetch_and(~dormant, std::memory_order_relaxed);
      if (!next_tick_) {
        next_tick_ = now + interval_;
      }
      return next_tick_;
    }
  }
  next_tick_.reset();
  return std::nullopt;
}

void Shelves::lock_all() noexcept {
  for (std::size_t i = 0; i < shelf_count_; ++i) {
    shelves_[i].lock();
  }
}

void Shelves::unlock_all() noexcept {
  for (std::size_t i = 0; i < shelf_count_; ++i) {
    shelves_[i].unlock();
  }
}

void Shelves::disinherit() noexcept {
  given_back_.fetch_add(free_buffers(), std::memory_order_relaxed);
  for (std::size_t i = 0; i < shelf_count_; ++i) {
    shelves_[i].disinherit();
  }
  attention_.fetch_or(ages_ ? dormant : 0, std::memory_order_relaxed);
  next_tick_.reset();
}

} // namespace sa::inline v0::detail
