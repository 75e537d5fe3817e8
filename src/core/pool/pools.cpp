// SPDX-License-Identifier: MIT
#include "core/pool/pools.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <pthread.h>

#include "core/base/fork.hpp"
#include "core/base/log.hpp"
#include "core/pool/shelves.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

using Clock = Shelves::Clock;

/// Every open pool. Held over a fork.
struct Pools {
  std::mutex lock;
  std::vector<std::weak_ptr<Shelves>> open;
  std::vector<std::shared_ptr<Shelves>> held; ///< over a fork: so that none ends meanwhile
};

/// The thread that looks for buffers that got too old. Held over a fork.
struct Ageing {
  std::mutex lock;
  std::condition_variable changed;
  bool started = false;
  bool woken = false;
  bool looking = false; ///< it frees buffers, with no lock held
  bool ended = false;   ///< the process exits
};

// Never destroyed: buffers may come back while other objects' destructors run, and the thread while they do.
Pools& pools() {
  static auto* const all = new Pools;
  return *all;
}

Ageing& ageing() {
  static auto* const one = new Ageing;
  return *one;
}

std::vector<std::shared_ptr<Shelves>> open_pools() {
  std::vector<std::shared_ptr<Shelves>> found;
  const std::lock_guard guard(pools().lock);
  found.reserve(pools().open.size());
  for (const auto& pool : pools().open) {
    if (auto shelves = pool.lock()) {
      found.push_back(std::move(shelves));
    }
  }
  return found;
}

/// Looks once; when to look again.
std::optional<Clock::time_point> look() noexcept {
  std::optional<Clock::time_point> next;
  try {
    for (const auto& shelves : open_pools()) {
      if (const auto due = shelves->age(Clock::now()); due && (!next || *due < *next)) {
        next = due;
      }
    }
  } catch (...) { // no memory for the list: again in a while
    next = Clock::now() + std::chrono::seconds(1);
  }
  return next;
}

void run() noexcept {
  Ageing& own = ageing();
  std::unique_lock guard(own.lock);
  for (;;) {
    own.woken = false;
    std::optional<Clock::time_point> next;
    if (!own.ended) {
      own.looking = true;
      guard.unlock();
      next = look();
      guard.lock();
      own.looking = false;
      own.changed.notify_all();
    }
    while (!own.woken) {
      if (!next) {
        own.changed.wait(guard);
      } else if (own.changed.wait_until(guard, *next) == std::cv_status::timeout) {
        break;
      }
    }
  }
}

/// At exit: waits until the thread frees nothing, since that may be the memory of objects that end now.
struct AtExit {
  AtExit() = default;
  AtExit(const AtExit&) = delete;
  AtExit& operator=(const AtExit&) = delete;
  ~AtExit() {
    Ageing& own = ageing();
    std::unique_lock guard(own.lock);
    own.ended = true;
    own.changed.wait(guard, [&] { return !own.looking; });
  }
};

bool start_thread() noexcept {
  static const AtExit at_exit;
  // The program's signals are for the program's threads.
  sigset_t every;
  sigset_t before;
  sigfillset(&every);
  ::pthread_sigmask(SIG_SETMASK, &every, &before);
  bool started = true;
  try {
    std::thread(run).detach();
  } catch (const std::exception& error) { // the next time a pool has something that ages tries again
    started = false;
    log_warning([&] { return std::string("no thread to give old buffers back: ") + error.what(); });
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

// fork(2): nobody has a shelf, so that the child finds each whole. The list first, as everywhere.

void before_fork() {
  Pools& all = pools();
  all.lock.lock();
  ageing().lock.lock();
  for (const auto& pool : all.open) { // has room: enlist() reserved it
    if (auto shelves = pool.lock()) {
      all.held.push_back(std::move(shelves));
    }
  }
  for (const auto& shelves : all.held) {
    shelves->lock_all();
  }
  fork_epoch.fetch_add(1, std::memory_order_relaxed);
}

void after_fork(bool child) {
  Pools& all = pools();
  fork_epoch.fetch_add(1, std::memory_order_relaxed);
  if (child) {
    first_epoch.store(fork_epoch.load(std::memory_order_relaxed), std::memory_order_relaxed);
  }
  for (const auto& shelves : all.held) {
    if (child) {
      shelves->disinherit();
    }
    shelves->unlock_all();
  }
  if (child) { // the thread is the parent's, and so is who waits
    new (&ageing().changed) std::condition_variable;
    ageing().started = ageing().woken = ageing().looking = false;
  }
  ageing().lock.unlock();
  all.held.clear();
  all.lock.unlock();
}

} // namespace

void enlist(const std::shared_ptr<Shelves>& shelves) {
  static const int registered = ::pthread_atfork(
      before_fork, [] { after_fork(false); }, [] { after_fork(true); });
  if (registered != 0) {
    throw std::bad_alloc();
  }
  Pools& all = pools();
  const std::lock_guard guard(all.lock);
  all.held.reserve(all.open.size() + 1);
  all.open.emplace_back(shelves);
}

void delist(const Shelves& shelves) noexcept {
  Pools& all = pools();
  const std::lock_guard guard(all.lock);
  std::erase_if(all.open, [&](const auto& pool) {
    const auto open = pool.lock();
    return open == nullptr || open.get() == &shelves;
  });
}

void wake_ageing() noexcept {
  Ageing& own = ageing();
  bool start = false;
  {
    const std::lock_guard guard(own.lock);
    own.woken = true;
    start = !std::exchange(own.started, true) && !own.ended;
    own.changed.notify_all();
  }
  if (start && !start_thread()) {
    const std::lock_guard guard(own.lock);
    own.started = false;
  }
}

}}} // namespace sa::v0::detail
