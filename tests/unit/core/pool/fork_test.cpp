// SPDX-License-Identifier: MIT
/// Pools and fork(2): parent and child never share a buffer by accident.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include <sys/socket.h>
#include <unistd.h>

#include "core/pool/free_lists.hpp"
#include "support/counters.hpp"
#include "support/process.hpp"
#include "unit/test_heap.hpp"

using namespace std::chrono_literals;

namespace {

#if defined(__SANITIZE_THREAD__) // it knows no threads of a child of several
constexpr bool child_may_have_threads = false;
#else
constexpr bool child_may_have_threads = true;
#endif
constexpr auto age = child_may_have_threads ? 20ms : std::chrono::milliseconds::max();

std::shared_ptr<sa::Heap> memfd() {
  return sa::Registry::system().find("memfd:4k");
}

void fill(const sa::DmaBuf& buffer, int value) {
  std::memset(buffer.map_unsynchronized().bytes().data(), value, buffer.size());
}

bool filled(const sa::DmaBuf& buffer, int value) {
  const auto bytes = buffer.map_unsynchronized().bytes();
  return bytes.front() == static_cast<std::byte>(value) && bytes.back() == static_cast<std::byte>(value);
}

} // namespace

TEST_CASE("a forked child's pool begins empty, gives the parent's copies back, and works") {
  if (child_may_have_threads) { // the parent's thread runs, which the child does not have
    sa::Pool aged(memfd(), {.max_age = 1ms});
    aged.allocate({.size = 4096}).reset();
    while (aged.statistics().freed_old == 0) {
      std::this_thread::sleep_for(1ms);
    }
  }
  sa::Pool pool(memfd(), {.max_age = age});
  constexpr int kept = 25;
  pool.reserve(kept, {.size = 4096});
  {
    std::vector<sa::DmaBuf> held;
    for (int i = 0; i < kept; ++i) {
      held.push_back(pool.allocate({.size = 4096}));
      fill(held.back(), 1);
    }
  }
  const int descriptors = support::open_descriptors();
  const pid_t child = support::start([&] {
    if (pool.statistics().free_buffers != 0 || pool.statistics().free_bytes != 0) {
      return 2;
    }
    sa::DmaBuf own = pool.allocate({.size = 4096});
    if (pool.statistics().misses != 1 || support::open_descriptors() != descriptors - kept + 1) {
      return 3;
    }
    fill(own, 2);
    const void* where = own.map_unsynchronized().bytes().data();
    own.reset();
    own = pool.allocate({.size = 4096});
    if (own.map_unsynchronized().bytes().data() != where || !filled(own, 2)) {
      return 4;
    }
    own.reset();
    for (int i = 0; i < 300 && child_may_have_threads && pool.statistics().freed_old == 0;
         ++i) { // the child has a thread of its own
      std::this_thread::sleep_for(10ms);
    }
    if (child_may_have_threads && pool.statistics().freed_old != 1) {
      return 5;
    }
    return support::passed;
  });
  CHECK(support::finish(child) == support::passed);
  CHECK(pool.statistics().free_buffers == kept);
  std::vector<sa::DmaBuf> held;
  for (int i = 0; i < kept; ++i) {
    held.push_back(pool.allocate({.size = 4096}));
    CHECK(filled(held.back(), 1));
  }
  CHECK(pool.statistics().misses == 0);
}

TEST_CASE("a buffer that was in use over a fork is not used again, by neither side, while the other may see it") {
  for (const sa::Recycle recycle : {sa::Recycle::WhenUnshared, sa::Recycle::Always}) {
    CAPTURE(static_cast<int>(recycle));
    sa::Pool pool(memfd(), {.max_age = std::chrono::milliseconds::max(), .recycle = recycle});
    const support::SocketPair turns(SOCK_STREAM);
    sa::DmaBuf buffer = pool.allocate({.size = 4096});
    fill(buffer, 1);
    const pid_t child = support::start([&] {
      support::signal_peer(turns.b);
      support::wait_for_peer(turns.b);
      if (recycle == sa::Recycle::WhenUnshared && !filled(buffer, 1)) { // what the parent did since is not seen here
        return 2;
      }
      buffer.reset();
      return pool.statistics().free_buffers == 0 && pool.statistics().freed_shared == 1 ? support::passed : 3;
    });
    REQUIRE(support::wait_for_peer(turns.a));
    buffer.reset();
    fill(pool.allocate({.size = 4096}), 2);
    support::signal_peer(turns.a);
    CHECK(support::finish(child) == support::passed);
    CHECK(pool.statistics().freed_shared == (recycle == sa::Recycle::WhenUnshared ? 1 : 0));
    // One that was made since then is used again as ever.
    CHECK(pool.statistics().free_buffers == 1);
    pool.allocate({.size = 4096}).reset();
    CHECK(pool.statistics().freed_shared == (recycle == sa::Recycle::WhenUnshared ? 1 : 0));
  }
}

TEST_CASE("children that never allocate, and their children, end cleanly, also with the pool") {
  const int before = support::open_descriptors();
  {
    auto pool = std::make_unique<sa::Pool>(memfd(), sa::PoolOptions{.max_age = std::chrono::milliseconds::max()});
    { const sa::DmaBuf a = pool->allocate({.size = 4096}), b = pool->allocate({.size = 2 * unit::page}); }
    CHECK(support::in_child([&] {
            { const sa::DmaBuf own = pool->allocate({.size = 2 * unit::page}), other = pool->allocate({.size = 3 * unit::page}); }
            const int status = support::in_child([&] {
              return support::in_child([&] {
                const int descriptors = support::open_descriptors();
                pool.reset(); // frees what both ancestors kept
                return support::open_descriptors() == descriptors - 2 ? support::passed : 2;
              });
            });
            return pool->statistics().free_buffers == 2 ? status : 3;
          }) == support::passed);
    CHECK(pool->statistics().free_buffers == 2);
  }
  CHECK(support::open_descriptors() == before);
}

TEST_CASE("forks while six threads allocate and free leave no lock held and no buffer shared") {
  sa::Pool pool(memfd(), {.max_age = age});
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int id = 1; id <= 4; ++id) {
    threads.emplace_back([&, id] {
      while (!stop) {
        const sa::DmaBuf buffer = pool.allocate({.size = unit::page * static_cast<unsigned>(1 + id % 2)});
        fill(buffer, id);
        std::this_thread::yield();
        wrong += filled(buffer, id) ? 0 : 1;
      }
    });
  }
  for (int id = 0; id < 2; ++id) { // and two that are nearly always in the lists
    threads.emplace_back([&] {
      while (!stop) {
        pool.allocate({.size = 4096}).reset();
      }
    });
  }
  std::vector<pid_t> children;
  for (int round = 0; round < 60; ++round) {
    children.push_back(support::start([&] {
      if (pool.statistics().free_buffers != 0) {
        return 2;
      }
      for (int i = 0; i < 50; ++i) {
        const sa::DmaBuf a = pool.allocate({.size = 4096});
        const sa::DmaBuf b = pool.allocate({.size = 2 * unit::page});
        fill(a, 100);
        fill(b, 101);
        if (!filled(a, 100) || !filled(b, 101)) {
          return 3;
        }
      }
      return support::passed;
    }));
    std::this_thread::sleep_for(2ms);
  }
  for (const pid_t child : children) {
    CHECK(support::finish(child) == support::passed);
  }
  stop = true;
  for (auto& thread : threads) {
    thread.join();
  }
  CHECK(wrong == 0);
}

TEST_CASE("a fork waits for a pool that has ended while its buffers are in use, so that the child can let go of them") {
  sa::DmaBuf buffer;
  {
    sa::Pool pool(memfd(), {.max_age = std::chrono::milliseconds::max()});
    buffer = pool.allocate({.size = 4096});
  }
  // As a thread does that lets go of another buffer of the pool, for a longer time.
  auto& lists = static_cast<sa::detail::FreeLists&>(*sa::Handover::buffer(buffer)->slip().recycler);
  lists.lock();
  std::thread other([&] {
    std::this_thread::sleep_for(100ms);
    lists.unlock();
  });
  const pid_t child = support::start([&] {
    ::alarm(10);
    buffer.reset();
    return support::passed;
  });
  other.join();
  CHECK(support::finish(child) == support::passed);
}
