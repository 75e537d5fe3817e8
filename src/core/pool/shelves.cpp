// SPDX-License-Identifier: MIT
#include "core/pool/shelves.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "core/base/fork.hpp"
#include "core/base/process_barrier.hpp"
#include "core/base/thread_slot.hpp"
#include "core/buffer/buffer.hpp"
#include "core/buffer/unshared.hpp"
#include "core/pool/pools.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

/// max_age in parts, at least the kernel's usual timer resolution.
std::chrono::nanoseconds part_of(std::chrono::milliseconds max_age, unsigned parts) noexcept {
  constexpr std::chrono::milliseconds century = std::chrono::hours(24 * 365 * 100);
  return std::max<std::chrono::nanoseconds>(std::chrono::nanoseconds(std::min(max_age, century)) / parts,
                                            std::chrono::milliseconds(1));
}

/// With the owner's part of @p shelf, since no fork goes on then.
inline void hand_out(Shelf& shelf, Buffer& buffer) noexcept {
  shelf.handed_out.add(1);
  // Not written when it stays the same: the line is in another processor's cache, if it came back there.
  if (const unsigned now = fork_epoch.load(std::memory_order_relaxed); buffer.place().epoch != now) {
    buffer.place().epoch = now;
  }
}

inline void note_return(Shelf& shelf, Buffer& buffer, unsigned tick) noexcept {
  if (buffer.place().tick != tick) { // as above
    buffer.place().tick = tick;
  }
  shelf.came_back.add(1);
}

} // namespace

Shelves::Shelves(const PoolOptions& options)
    : max_bytes_(options.max_age.count() == 0 ? 0 : options.max_free_bytes), recycle_(options.recycle),
      ages_(options.max_age != std::chrono::milliseconds::max()), interval_(part_of(options.max_age, ticks_per_age)),
      racks_(slot_count()), attention_(ages_ ? dormant : 0), unclaimed_(max_bytes_) {
  static_cast<void>(has_process_barrier()); // registers the process now: no round does
}

Rack& Shelves::enter(PoolClass of, std::size_t buffers) {
  Rack& rack = racks_.enter(of, buffers);
  try {
    blocks_.enter(buffers);
  } catch (...) {
    Racks::leave(rack, buffers);
    throw;
  }
  return rack;
}

void Shelves::leave(Rack& rack, std::size_t buffers) noexcept {
  Racks::leave(rack, buffers);
  blocks_.leave(buffers);
}

/// The shelf that is this thread's; null when it has none.
inline Shelf* Shelves::own_shelf(Rack& rack) const noexcept {
  return own_slot <= racks_.mask() ? &rack[own_slot] : nullptr;
}

/// All of the shelf of this thread, or of one that it shares with others.
Shelf& Shelves::lock_near(Rack& rack) noexcept {
  claim_slot();
  if (Shelf* const own = own_shelf(rack); own != nullptr) {
    own->lock_as_owner();
    return *own;
  }
  for (std::size_t i = 0; i <= racks_.mask(); ++i) {
    if (Shelf& other = rack[i]; !other.biased() && other.try_lock()) {
      other.exclude_owner();
      return other;
    }
  }
  rack[0].lock_all();
  return rack[0];
}

// acquire() and recycle() do the usual here, where no call makes them save a register, and leave the rest to others.

Buffer* Shelves::acquire(PoolClass of) noexcept {
  Rack* const rack = racks_.find(of);
  if (rack == nullptr) [[unlikely]] {
    return nullptr;
  }
  if (Shelf* const own = own_shelf(*rack); own != nullptr && own->try_enter()) [[likely]] {
    Buffer* buffer = nullptr;
    if (own->some_in_hand() && rack->is(of)) [[likely]] {
      buffer = own->pop_hand();
      hand_out(*own, *buffer);
    }
    own->leave();
    if (buffer != nullptr) [[likely]] {
      return buffer;
    }
  }
  return acquire_with_care(*rack, of);
}

Buffer* Shelves::acquire_with_care(Rack& rack, PoolClass of) noexcept {
  Shelf& own = lock_near(rack);
  if (!rack.is(of)) { // since it was found; a rack that the class has by now is no older than this call
    own.unlock();
    return nullptr;
  }
  own.keep();
  Buffer* buffer = own.pop(blocks_);
  bool more = false; // which needs waiting for
  for (std::size_t i = 0; i <= racks_.mask() && buffer == nullptr; ++i) {
    const auto index = static_cast<std::uint32_t>((own.source + i) & racks_.mask()); // where it was last time, it will be again
    Shelf& other = rack[index];
    if (&other == &own) {
      continue;
    }
    if (!other.try_lock()) {
      more = true;
      continue;
    }
    if (own.take_from(other)) {
      buffer = own.pop(blocks_);
      own.source = index;
    }
    more = more || other.some_in_hand();
    other.unlock();
  }
  if (buffer != nullptr) {
    hand_out(own, *buffer);
  }
  own.unlock();
  return buffer == nullptr && more ? take_over(rack, own, of) : buffer;
}

/// What comes next is dear: first look once more where somebody was, and into others' hands. They give to others from then on.
Buffer* Shelves::take_over(Rack& rack, Shelf& own, PoolClass of) noexcept {
  Buffer* buffer = nullptr;
  for (std::size_t i = 0; i <= racks_.mask() && buffer == nullptr; ++i) {
    Shelf& other = rack[i];
    if (&other == &own) {
      continue;
    }
    other.lock();
    if (own.try_lock()) { // or two could wait for each other
      if (own_shelf(rack) != &own) {
        own.exclude_owner();
      }
      if (rack.is(of)) {
        buffer = own.pop(blocks_); // what came meanwhile
        if (buffer == nullptr && !other.some_for_others() && other.some_in_hand()) {
          other.exclude_owner();
          if (!other.some_for_others()) {
            other.empty_hand();
          }
        }
        if (buffer == nullptr && own.take_from(other)) {
          buffer = own.pop(blocks_);
        }
        if (buffer != nullptr) {
          hand_out(own, *buffer);
        }
      }
      own.unlock();
    }
    other.unlock();
  }
  return buffer;
}

/// The usual: nobody else saw the buffer, and there is room for it.
void Shelves::recycle(Buffer& buffer) noexcept {
  const PoolSlip& slip = buffer.slip();
  Shelf* const own = buffer.given_away() ? nullptr : own_shelf(*slip.rack);
  if (own == nullptr || !own->try_enter()) [[unlikely]] {
    recycle_with_care(buffer);
    return;
  }
  const unsigned attention = attention_.load(std::memory_order_relaxed);
  if (buffer.place().epoch != fork_epoch.load(std::memory_order_relaxed) ||
      (attention != 0 && !(attention == dormant && slip.reserved)) || !own->sees_room(slip.bytes) || !own->has_place())
      [[unlikely]] {
    own->leave();
    recycle_with_care(buffer);
    return;
  }
  note_return(*own, buffer, tick_.load(std::memory_order_relaxed));
  own->put(buffer);
  own->leave(); // the last touch of this object: who takes the buffer may end the pool, when close() has waited for this
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
        dispose(buffer);
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
    dispose(buffer);
  }
}

Shelves::Parked Shelves::park(Buffer& buffer) noexcept {
  const PoolSlip& slip = buffer.slip();
  PoolPlace& place = buffer.place();
  Shelf& shelf = lock_near(*slip.rack);
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
    if ((attention & dormant) != 0 && !slip.reserved) {
      wake = (attention_.fetch_and(~dormant, std::memory_order_relaxed) & dormant) != 0;
    }
    note_return(shelf, buffer, tick_.load(std::memory_order_relaxed));
    shelf.push(buffer, blocks_);
  }
  shelf.unlock(); // the last touch of this object: who takes the buffer may end the pool
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
  shelf.allowance.add(claim(bytes - shelf.room()));
  return shelf.room() >= bytes || racks_.any_shelf([&](Shelf& other) {
    if (&other != &shelf && other.room() != 0 && other.try_lock()) {
      other.exclude_owner();
      shelf.allowance.add(other.give_room(bytes - shelf.room()));
      other.unlock();
    }
    return shelf.room() >= bytes;
  });
}

bool Shelves::set_room_aside(std::size_t bytes, Which cost) noexcept {
  if (bytes > max_bytes_) {
    return false;
  }
  std::size_t have = 0;
  // First what shelves do not use, then what they use for buffers that age, then what is reserved for other requests.
  for (int effort = 0; effort <= (cost == Which::All ? 2 : 1) && have < bytes; ++effort) {
    if (effort != 0) {
      trim(effort == 1 ? Which::Unreserved : Which::All);
    }
    have += claim(bytes - have);
    have < bytes&& racks_.any_shelf([&](Shelf& shelf) {
      shelf.lock_all();
      have += shelf.give_room(bytes - have);
      shelf.unlock();
      return have == bytes;
    });
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
  Shelf& shelf = lock_near(*buffer.slip().rack);
  shelf.allowance.add(buffer.slip().bytes);
  shelf.push(buffer, blocks_);
  shelf.unlock();
  reserved_.fetch_add(1, std::memory_order_relaxed);
}

template <typename Decide>
std::size_t Shelves::give_back_if(Decide&& decide) noexcept {
  std::size_t count = 0;
  racks_.each_shelf([&](Shelf& shelf) {
    std::array<Buffer*, 128> taken;
    std::size_t found = 0;
    do { // so many at once: they end with no lock held
      shelf.lock_all();
      found = shelf.take_if(decide, taken, blocks_);
      if (found != 0) { // the class may be over
        return_room(shelf.give_room(max_bytes_));
      }
      shelf.unlock();
      std::for_each_n(taken.begin(), found, [&](Buffer* buffer) { dispose(*buffer); });
      count += found;
    } while (found == taken.size());
  });
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
  if (!inherited_.load(std::memory_order_acquire)) {
    return;
  }
  const auto dispose_of = [&](const auto& buffers, unsigned count) {
    std::for_each_n(buffers.begin(), count, [&](Buffer* buffer) { dispose(*buffer); });
  };
  racks_.each_shelf([&](Shelf& shelf) {
    shelf.lock_all();
    const Shelf::Inheritance all = shelf.take_inherited();
    shelf.unlock();
    dispose_of(all.buffers, all.count);
    for (Block* below = all.below; below != nullptr;) {
      const Block block = *below;
      blocks_.put(*below);
      dispose_of(block.buffers, Block::size);
      below = block.below;
    }
  });
  inherited_.store(false, std::memory_order_release); // others who came meanwhile saw to each shelf themselves
}

/// Ends @p buffer; and this with it, if it was the last of a pool that is gone.
void Shelves::dispose(Buffer& buffer) noexcept {
  leave(*buffer.slip().rack, 1);
  Buffer::dispose(&buffer);
}

void Shelves::discard(Buffer& buffer) noexcept {
  discarded_.fetch_add(1, std::memory_order_relaxed);
  dispose(buffer);
}

std::uint64_t Shelves::free_buffers() const noexcept {
  std::uint64_t in = reserved_.load(std::memory_order_relaxed);
  std::uint64_t out = given_back_.load(std::memory_order_relaxed);
  racks_.each_shelf([&](const Shelf& shelf) {
    in += shelf.came_back.get();
    out += shelf.handed_out.get();
  });
  return in > out ? in - out : 0;
}

PoolStatistics Shelves::statistics() const noexcept {
  PoolStatistics now;
  const std::uint64_t came_back = this->came_back();
  racks_.each_shelf([&](const Shelf& shelf) {
    now.hits += shelf.handed_out.get();
    now.free_bytes += shelf.bytes();
  });
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

bool Shelves::some_age() noexcept {
  return racks_.any_shelf([](Shelf& shelf) {
    shelf.lock_all();
    const bool ages = shelf.any([](const Buffer& buffer) { return !buffer.slip().reserved; });
    shelf.unlock();
    return ages;
  });
}

std::uint64_t Shelves::came_back() const noexcept {
  std::uint64_t count = 0;
  racks_.each_shelf([&](const Shelf& shelf) { count += shelf.came_back.get(); });
  return count;
}

std::optional<Shelves::Clock::time_point> Shelves::age(Clock::time_point now) noexcept {
  if ((attention_.load(std::memory_order_relaxed) & dormant) != 0 || !ages_) {
    next_tick_.reset();
    return std::nullopt;
  }
  if (next_tick_ && now < *next_tick_) {
    return next_tick_;
  }
  if (next_tick_) {
    const unsigned tick = tick_.fetch_add(1, std::memory_order_relaxed) + 1;
    // A buffer of tick t came back at t or up to one interval later: more than max_age ago, surely, at t + parts + 1.
    const std::size_t old =
        give_back_if([&](const Buffer& buffer) { return !buffer.slip().reserved && tick - buffer.place().tick > ticks_per_age; });
    freed_old_.fetch_add(old, std::memory_order_relaxed);
  }
  // A pool in use stays awake, also when every buffer happens to be out: to wake the ageing is a system call.
  const std::uint64_t returns = came_back();
  const bool in_use = std::exchange(came_back_at_tick_, returns) != returns;
  if (!in_use && !some_age()) {
    // Nothing left that ages: sleep. See park() for who wakes.
    attention_.fetch_or(dormant, std::memory_order_relaxed);
    if (!some_age()) {
      next_tick_.reset();
      return std::nullopt;
    }
    attention_.fetch_and(~dormant, std::memory_order_relaxed);
  }
  next_tick_ = now + interval_;
  return next_tick_;
}

void Shelves::lock_all() noexcept {
  racks_.lock_all();
  blocks_.lock();
}

void Shelves::unlock_all() noexcept {
  blocks_.unlock();
  racks_.unlock_all();
}

void Shelves::disinherit() noexcept {
  given_back_.fetch_add(free_buffers(), std::memory_order_relaxed);
  racks_.each_shelf([](Shelf& shelf) { shelf.disinherit(); });
  inherited_.store(true, std::memory_order_relaxed);
  attention_.fetch_or(ages_ ? dormant : 0, std::memory_order_relaxed);
  next_tick_.reset();
}

}}} // namespace sa::v0::detail
