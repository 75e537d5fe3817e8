// SPDX-License-Identifier: MIT
/// What a warm pool does not do, and what a buffer costs beside its pages. Not how fast: that is the benchmarks'.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include <unistd.h>

#include "support/allocations.hpp"
#include "support/process.hpp"
#include "unit/test_heap.hpp"

namespace {

std::shared_ptr<sa::Heap> memfd() {
  return sa::Registry::system().find("memfd:4k");
}

} // namespace

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) // they make their own
TEST_CASE("a round of a warm pool makes no system call") {
  sa::Pool pool(memfd());
  pool.reserve(4, {.size = 2 * unit::page});
  (void)pool.allocate({.size = 4096}).map_unsynchronized();
  CHECK(support::in_child([&] {
          (void)pool.allocate({.size = 4096}).map_unsynchronized(); // the child's own
          pool.allocate({.size = 4096}).reset();
          if (!support::forbid_system_calls()) {
            return 2;
          }
          for (int round = 0; round < 1000; ++round) {
            const sa::DmaBuf buffer = pool.allocate({.size = 4096, .name = "frame"});
            {
              const auto cpu = buffer.access(sa::Access::Write);
              cpu.bytes()[0] = std::byte{1};
            }
          }
          return support::passed;
        }) == support::passed);
  CHECK(support::in_child([&] { // and the count can fail
          if (!support::forbid_system_calls()) {
            return 2;
          }
          const sa::DmaBuf buffer = pool.allocate({.size = 4096});
          return support::passed;
        }) != support::passed);
}

TEST_CASE("one thread acquires, another releases: that makes no system call either") {
  CHECK(support::in_child([&] {
          sa::Pool pool(memfd(), {.max_age = std::chrono::milliseconds::max()});
          std::atomic<sa::DmaBuf*> handed{nullptr};
          std::atomic<int> forbidden{0};
          std::atomic<bool> cold{true};
          std::thread reader([&] {
            while (true) {
              if (sa::DmaBuf* const buffer = handed.load(std::memory_order_acquire); buffer != nullptr) {
                buffer->reset();
                handed.store(nullptr, std::memory_order_release);
              }
              if (!cold && forbidden == 0) {
                forbidden = support::forbid_system_calls() ? 1 : -1;
              }
            }
          });
          sa::DmaBuf buffer;
          const auto round = [&] {
            buffer = pool.allocate({.size = 4096});
            handed.store(&buffer, std::memory_order_release);
            while (handed.load(std::memory_order_acquire) != nullptr) {
            }
          };
          for (int i = 0; i < 10000; ++i) {
            round();
          }
          cold = false;
          while (forbidden == 0) {
          }
          if (forbidden < 0 || !support::forbid_system_calls()) {
            return 2;
          }
          for (int i = 0; i < 10000; ++i) {
            round();
          }
          ::_exit(pool.statistics().misses == 1 ? support::passed : 3); // at once: the reader has no end of its own
          return support::failed;
        }) == support::passed);
}
#endif

TEST_CASE("a round of a warm pool takes nothing from the heap of the program") {
  sa::Pool pool(memfd());
  (void)pool.allocate({.size = 4096}).map_unsynchronized();
  const auto before = support::allocations();
  for (int round = 0; round < 1000; ++round) {
    const sa::DmaBuf buffer = pool.allocate({.size = 4096, .name = "frame"});
    {
      const auto cpu = buffer.access(sa::Access::Write);
      cpu.bytes()[0] = std::byte{1};
    }
  }
  CHECK(support::allocations().count == before.count);
  const sa::DmaBuf fresh = pool.allocate({.size = 2 * unit::page});
  CHECK(support::allocations().count > before.count);
}

TEST_CASE("a buffer costs at most 256 bytes beside its pages, of a pool or not, in use or free") {
  constexpr int count = 100;
  constexpr std::ptrdiff_t most = 256; // bytes
  std::vector<sa::DmaBuf> held;
  held.reserve(count);
  memfd()->allocate({.size = 4096}).reset(); // what the first one finds out stays
  const auto start = support::allocations().bytes;
  for (int i = 0; i < count; ++i) {
    held.push_back(memfd()->allocate({.size = 4096, .name = "plain"}));
  }
  CHECK(support::allocations().bytes - start <= count * most);
  CHECK(support::allocations().bytes > start);
  held.clear();
  CHECK(support::allocations().bytes == start);
  sa::Pool pool(memfd());
  pool.allocate({.size = 4096}).reset();
  pool.trim();
  const auto pooled = support::allocations().bytes;
  for (int i = 0; i < count; ++i) {
    held.push_back(pool.allocate({.size = 4096, .name = "pooled"}));
  }
  CHECK(support::allocations().bytes - pooled <= count * most);
  MESSAGE("bytes for a buffer: ", (support::allocations().bytes - pooled) / count);
  held.clear();
  CHECK(support::allocations().bytes - pooled <= count * most);
}
