// SPDX-License-Identifier: MIT
/// One pool and many threads.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "support/counters.hpp"
#include "unit/test_heap.hpp"

namespace {

/// Each word of the memory is its owner's while he has the buffer.
bool exclusive(const sa::DmaBuf& buffer, std::uint64_t owner) {
  auto* words = reinterpret_cast<std::uint64_t*>(buffer.map_unsynchronized().bytes().data());
  words[0] = owner;
  words[511] = ~owner;
  std::this_thread::yield();
  return words[0] == owner && words[511] == ~owner;
}

} // namespace

TEST_CASE("no two threads ever have one buffer, and the numbers add up") {
  sa::Pool pool(sa::Registry::system().find("memfd:4k"), {.max_free_bytes = 24 * unit::page});
  constexpr int thread_count = 6;
  constexpr std::uint64_t rounds = 3000;
  std::atomic<int> wrong{0};
  std::atomic<std::uint64_t> most_kept{0};
  std::vector<std::thread> threads;
  for (std::uint64_t id = 1; id <= thread_count; ++id) {
    threads.emplace_back([&, id] {
      std::vector<sa::DmaBuf> held;
      for (std::uint64_t round = 0; round < rounds; ++round) {
        held.push_back(pool.allocate({.size = unit::page}));
        wrong += exclusive(held.back(), id << 32 | round) ? 0 : 1;
        if (held.size() > id) {
          held.clear();
        }
        if (round % 500 == 499 && id == 1) {
          pool.trim();
        }
        most_kept = std::max(most_kept.load(), pool.statistics().free_bytes);
      }
    });
  }
  for (auto& thread : threads) {
    thread.join();
  }
  CHECK(wrong == 0);
  const sa::PoolStatistics now = pool.statistics();
  CHECK(now.hits + now.misses == thread_count * rounds);
  CHECK(now.live == 0);
  CHECK(now.free_bytes == now.free_buffers * unit::page);
  CHECK(now.free_bytes <= 24 * unit::page);
  CHECK(now.freed_shared == 0);
  const int descriptors = support::open_descriptors();
  pool.trim();
  CHECK(support::open_descriptors() == descriptors - static_cast<int>(now.free_buffers));
}

TEST_CASE("reserved buffers come back whatever six other threads do in a pool that has room for these alone") {
  constexpr std::size_t size = 65536;
  constexpr int count = 4;
  const auto upstream = std::make_shared<unit::TestHeap>("test:pool");
  sa::Pool pool(upstream, {.max_free_bytes = count * size});
  pool.reserve(count, {.size = size});
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> others{0};
  std::vector<std::thread> threads;
  for (int id = 0; id < 6; ++id) {
    threads.emplace_back([&] {
      while (!stop) {
        std::vector<sa::DmaBuf> held;
        for (int i = 0; i < 6; ++i) {
          held.push_back(pool.allocate({.size = size / 2}));
          ++others;
        }
      }
    });
  }
  const char* const seconds = std::getenv("SA_TEST_SECONDS"); // the soak gives it a minute
  const auto end =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(1000) * (seconds == nullptr ? 1 : std::atoi(seconds));
  std::uint64_t rounds = 0;
  for (; std::chrono::steady_clock::now() < end; ++rounds) {
    std::vector<sa::DmaBuf> held;
    for (int i = 0; i < count; ++i) {
      held.push_back(pool.allocate({.size = size}));
    }
  }
  stop = true;
  for (auto& thread : threads) {
    thread.join();
  }
  const sa::PoolStatistics now = pool.statistics();
  CHECK(now.misses == others); // none of the reserved ones
  CHECK(now.hits == rounds * count);
  CHECK(now.free_bytes == count * size);
}

TEST_CASE(
    "buffers that one thread acquires and another releases come back: the upstream is asked once for each buffer in flight") {
  const auto upstream = std::make_shared<unit::TestHeap>("test:pool");
  sa::Pool pool(upstream);
  std::mutex lock;
  std::condition_variable changed;
  std::deque<sa::DmaBuf> queue;
  constexpr std::size_t in_flight = 16;
  constexpr int rounds = 5000;
  std::atomic<int> wrong{0};
  std::thread reader([&] {
    for (int round = 0; round < rounds; ++round) {
      sa::DmaBuf buffer;
      {
        std::unique_lock guard(lock);
        changed.wait(guard, [&] { return !queue.empty(); });
        buffer = std::move(queue.front());
        queue.pop_front();
      }
      changed.notify_all();
      wrong += *reinterpret_cast<int*>(buffer.map_unsynchronized().bytes().data()) == round ? 0 : 1;
    }
  });
  for (int round = 0; round < rounds; ++round) {
    sa::DmaBuf buffer = pool.allocate({.size = 4096});
    *reinterpret_cast<int*>(buffer.map_unsynchronized().bytes().data()) = round;
    std::unique_lock guard(lock);
    changed.wait(guard, [&] { return queue.size() < in_flight; });
    queue.push_back(std::move(buffer));
    guard.unlock();
    changed.notify_all();
  }
  reader.join();
  CHECK(wrong == 0);
  CHECK(upstream->asked <= static_cast<int>(in_flight) + 3); // the queue, and one in each thread's hands
  CHECK(pool.statistics().free_buffers == static_cast<std::uint64_t>(upstream->asked));
}

TEST_CASE("a pool may end while other threads still let go of its buffers") {
  const auto before = support::count();
  for (int round = 0; round < 100; ++round) {
    auto pool = std::make_unique<sa::Pool>(sa::Registry::system().find("memfd:4k"));
    std::vector<std::thread> threads;
    std::atomic<int> ready{0};
    for (int id = 0; id < 3; ++id) {
      std::vector<sa::DmaBuf> held;
      for (int i = 0; i < 5; ++i) {
        held.push_back(pool->allocate({.size = 4096}));
      }
      threads.emplace_back([&ready, held = std::move(held)]() mutable {
        ++ready;
        while (ready < 4) {
        }
        held.clear();
      });
    }
    while (ready < 3) {
    }
    ++ready;
    pool.reset();
    for (auto& thread : threads) {
      thread.join();
    }
  }
  CHECK(support::open_descriptors() == before.descriptors);
}

TEST_CASE("a buffer that one thread freed is found by another before the upstream is asked") {
  const auto upstream = std::make_shared<unit::TestHeap>("test:pool");
  sa::Pool pool(upstream);
  constexpr int count = 10;
  const auto take_all = [&] {
    std::vector<sa::DmaBuf> held;
    for (int i = 0; i < count; ++i) {
      held.push_back(pool.allocate({.size = 4096}));
    }
  };
  std::thread(take_all).join();
  take_all();
  CHECK(upstream->asked == count);
}

TEST_CASE("sixteen threads share a pool") {
  sa::Pool pool(sa::Registry::system().find("memfd:4k"));
  constexpr int rounds = 200;
  constexpr int thread_count = 16;
  std::atomic<int> wrong{0};
  std::atomic<int> running{thread_count};
  std::vector<std::thread> threads;
  for (int id = 1; id <= thread_count; ++id) {
    threads.emplace_back([&, id] {
      for (int round = 0; round < rounds; ++round) {
        const sa::DmaBuf one = pool.allocate({.size = 4096});
        wrong += exclusive(one, static_cast<std::uint64_t>(id) << 32 | static_cast<unsigned>(round)) ? 0 : 1;
      }
      --running;
      while (running != 0) { // all at once
        std::this_thread::yield();
      }
    });
  }
  for (auto& thread : threads) {
    thread.join();
  }
  CHECK(wrong == 0);
  CHECK(pool.statistics().misses <= static_cast<std::uint64_t>(2 * thread_count)); // one each; now and then two pass each other
  CHECK(pool.statistics().free_buffers == pool.statistics().misses);
}

TEST_CASE("a pool is trimmed while a thread acquires and releases as fast as it can") {
  sa::Pool pool(sa::Registry::system().find("memfd:4k"), {.max_age = std::chrono::milliseconds::max()});
  const auto before = support::count();
  constexpr int trims = 3000;
  std::atomic<bool> done{false};
  int wrong = 0;
  std::uint64_t rounds = 0;
  std::thread owner([&] {
    for (; !done.load(std::memory_order_relaxed); ++rounds) {
      const sa::DmaBuf one = pool.allocate({.size = 4096});
      const sa::DmaBuf other = pool.allocate({.size = 4096});
      wrong += one.map_unsynchronized().bytes().data() != other.map_unsynchronized().bytes().data() ? 0 : 1;
    }
  });
  for (int i = 0; i < trims; ++i) {
    for (const std::uint64_t hits = pool.statistics().hits; pool.statistics().hits < hits + 600;) {
      std::this_thread::yield();
    }
    pool.trim();
  }
  done = true;
  owner.join();
  pool.trim();
  CHECK(wrong == 0);
  const sa::PoolStatistics now = pool.statistics();
  CHECK(now.hits + now.misses == 2 * rounds);
  CHECK(now.live == 0);
  CHECK(now.free_buffers == 0);
  CHECK(now.free_bytes == 0);
  CHECK(support::open_descriptors() == before.descriptors);
}
