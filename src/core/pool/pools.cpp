// SPDX-License-Identifier: MIT
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <memory>
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
#include "core/pool/free_lists.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

using Clock = FreeLists::Clock;

struct Pools {
  std::mutex lock;                             ///< for all of it; held over a fork
  std::vector<std::shared_ptr<FreeLists>> all; ///< pools, also those that have ended: their buffers may be in use

  // The thread that gives old buffers back.
  std::condition_variable changed;
  bool started = false;
  bool woken = false;
  bool looking = false; ///< it frees buffers, with no lock held
  bool exiting = false; ///< the process is
};

// Never destroyed: buffers may come back while other objects' destructors run, and the thread runs while they do.
Pools& pools() {
  static auto* const one = new Pools;
  return *one;
}

/// Looks once, without the lock; when to look again.
std::optional<Clock::time_point> look() noexcept {
  std::optional<Clock::time_point> next;
  for (std::size_t i = 0;; ++i) { // the list may change meanwhile: what is passed over is seen the next time
    std::shared_ptr<FreeLists> one;
    {
      const std::lock_guard guard(pools().lock);
      if (i >= pools().all.size()) {
        return next;
      }
      one = pools().all[i];
    }
    if (const auto due = one->age(Clock::now()); due && (!next || *due < *next)) {
      next = due;
    }
  }
}

void run() noexcept {
  Pools& own = pools();
  std::unique_lock guard(own.lock);
  for (;;) {
    std::optional<Clock::time_point> next;
    own.woken = false;
    own.looking = !own.exiting;
    if (own.looking) {
      guard.unlock();
      next = look();
      guard.lock();
      own.looking = false;
      own.changed.notify_all();
    }
    const auto woken = [&] { return own.woken; };
    next ? static_cast<void>(own.changed.wait_until(guard, *next, woken)) : own.changed.wait(guard, woken);
  }
}

/// Waits until the thread frees nothing, since that may be the memory of objects that end now.
void at_exit() noexcept {
  std::unique_lock guard(pools().lock);
  pools().exiting = true;
  pools().changed.wait(guard, [] { return !pools().looking; });
}

bool start_thread() noexcept {
  [[maybe_unused]] static const int registered = std::atexit(at_exit);
  // The program's signals are for the program's threads.
  sigset_t every;
  sigset_t before;
  sigfillset(&every);
  ::pthread_sigmask(SIG_SETMASK, &every, &before);
  bool started = true;
  try {
    std::thread thread(run);
    ::pthread_setname_np(thread.native_handle(), "sa-pool-ageing");
    thread.detach();
  } catch (const std::exception& error) { // the next time a pool has something that ages tries again
    started = false;
    log_warning([&] { return std::string("no thread to give old buffers back: ") + error.what(); });
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

// fork(2): every pool is locked meanwhile, so that the child finds its lists whole.

void before_fork() {
  pools().lock.lock();
  for (const auto& one : pools().all) {
    one->lock();
  }
  fork_epoch.fetch_add(1, std::memory_order_relaxed);
}

void after_fork(bool child) {
  Pools& own = pools();
  fork_epoch.fetch_add(1, std::memory_order_relaxed);
  if (child) {
    first_epoch.store(fork_epoch.load(std::memory_order_relaxed), std::memory_order_relaxed);
    new (&own.changed) std::condition_variable; // the thread is the parent's, and so are those that wait
    own.started = own.woken = own.looking = false;
  }
  for (const auto& one : own.all) {
    if (child) {
      one->disinherit();
    }
    one->unlock();
  }
  own.lock.unlock();
}

} // namespace

void enlist(const std::shared_ptr<FreeLists>& pool) {
  static const int registered = ::pthread_atfork(
      before_fork, [] { after_fork(false); }, [] { after_fork(true); });
  if (registered != 0) {
    throw std::bad_alloc();
  }
  const std::lock_guard guard(pools().lock);
  std::erase_if(pools().all, [](const auto& one) { return one.use_count() == 1; }); // of no pool and no buffer any more
  pools().all.push_back(pool);
}

void wake_ageing() noexcept {
  Pools& own = pools();
  bool start = false;
  {
    const std::lock_guard guard(own.lock);
    own.woken = true;
    start = !std::exchange(own.started, true) && !own.exiting;
    own.changed.notify_all();
  }
  if (start && !start_thread()) {
    const std::lock_guard guard(own.lock);
    own.started = false;
  }
}

}}} // namespace sa::v0::detail
