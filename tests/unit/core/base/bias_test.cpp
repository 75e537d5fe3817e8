// SPDX-License-Identifier: MIT
/// What lets a thread into its shelf without a locked instruction.
#include <doctest/doctest.h>

#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include <sys/mman.h>
#include <sys/syscall.h>

#include "core/base/bias.hpp"
#include "core/base/process_barrier.hpp"
#include "core/base/spin_lock.hpp"
#include "core/base/thread_slot.hpp"
#include "support/process.hpp"

using sa::detail::Bias;
using sa::detail::own_slot;
using sa::detail::SpinLock;

namespace {

/// What the owner and others change, none of it atomic.
struct Shared {
  SpinLock lock;
  Bias bias;
  unsigned long long owners = 0;
  unsigned long long both = 0;
  unsigned long long without_lock = 0;

  void as_owner() {
    if (bias.try_enter()) {
      ++owners;
      ++both;
      ++without_lock;
      bias.leave();
    } else {
      lock.lock();
      bias.note_owner();
      ++owners;
      ++both;
      lock.unlock();
    }
  }
};

/// An owner and a revoker, for so many of the revoker's turns; whether no step was lost, and some were without the lock.
bool nothing_is_lost(int turns) {
  Shared shared;
  std::atomic<bool> done{false};
  std::thread owner([&] {
    while (!done.load(std::memory_order_relaxed)) {
      shared.as_owner();
    }
  });
  for (int i = 0; i < turns; ++i) {
    while (!shared.bias.on()) {
      std::this_thread::yield();
    }
    shared.lock.lock();
    shared.bias.revoke();
    ++shared.both;
    shared.lock.unlock();
  }
  done = true;
  owner.join();
  return shared.both == shared.owners + static_cast<unsigned>(turns) && shared.without_lock != 0;
}

} // namespace

TEST_CASE("the owner comes in without the lock, but never while another is in") {
  REQUIRE(sa::detail::has_process_barrier());
  CHECK(nothing_is_lost(20000));
}

TEST_CASE("before it came often, and where the kernel has no such barrier, the owner takes the lock") {
  SpinLock lock;
  Bias bias;
  int rounds = 0;
  for (; !bias.try_enter(); ++rounds) {
    lock.lock();
    bias.note_owner();
    lock.unlock();
  }
  bias.leave();
  CHECK(rounds >= 100);
  lock.lock();
  bias.revoke();
  lock.unlock();
  CHECK_FALSE(bias.on());
  CHECK_FALSE(bias.try_enter());
}

#if !defined(__SANITIZE_THREAD__) // it knows no threads of a child of several
TEST_CASE("a barrier that is forbidden later is waited for") {
  const support::Injection forbidden{"membarrier", SYS_membarrier, EPERM};
  CHECK(support::in_child([&] {
          return sa::detail::has_process_barrier() && support::inject(forbidden) && nothing_is_lost(20) ? support::passed
                                                                                                        : support::failed;
        }) == support::passed);
}
#endif

TEST_CASE("a slot belongs to one living thread, and to another after it") {
  sa::detail::claim_slot();
  REQUIRE(own_slot != sa::detail::no_slot);
  for (int round = 0; round < 3; ++round) {
    std::atomic<std::size_t> claimed{0};
    const std::size_t count = sa::detail::slot_count() + 3;
    std::vector<unsigned> slots(count);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < count; ++i) {
      threads.emplace_back([&, i] {
        sa::detail::claim_slot();
        slots[i] = own_slot;
        ++claimed;
        while (claimed != count) {
          std::this_thread::yield();
        }
      });
    }
    for (auto& thread : threads) {
      thread.join();
    }
    std::multiset<unsigned> all(slots.begin(), slots.end());
    CHECK(all.count(own_slot) == 0);
    CHECK(all.count(sa::detail::no_slot) == 4); // this thread has one
    all.erase(sa::detail::no_slot);
    CHECK(std::set<unsigned>(all.begin(), all.end()).size() == sa::detail::slot_count() - 1);
  }
}
