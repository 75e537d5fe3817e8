// SPDX-License-Identifier: MIT
/// What a pool keeps its free buffers in: pointers, of which there is always room for one more, and racks for classes that
/// come and go.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include <sys/mman.h>

#include "core/buffer/buffer.hpp"
#include "core/pool/shelf.hpp"
#include "support/allocations.hpp"
#include "support/process.hpp"
#include "unit/test_heap.hpp"

using sa::detail::Block;
using sa::detail::Blocks;
using sa::detail::Buffer;
using sa::detail::Shelf;

namespace {

std::shared_ptr<sa::Heap> memfd() {
  return sa::Registry::system().find("memfd:4k");
}

/// Buffers of 1, 2, 3... bytes that no pool has.
class Numbered {
public:
  explicit Numbered(unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
      made_.push_back(unit::real_buffer(4096));
      buffer(i).join_pool({.recycler = nullptr, .rack = nullptr, .bytes = i + 1, .reserved = false}, 0, {});
    }
  }
  [[nodiscard]] Buffer& buffer(unsigned i) { return *sa::Handover::buffer(made_[i]); }

private:
  std::vector<sa::DmaBuf> made_;
};

} // namespace

TEST_CASE("a shelf gives back last what came first, whatever was taken out between, and counts the bytes") {
  constexpr unsigned count = 5 * Block::size + 3;
  constexpr std::size_t all_bytes = count * (count + 1) / 2;
  Numbered numbered(count);
  Blocks blocks;
  Shelf shelf;
  Shelf other;
  blocks.enter(count);
  const auto before = support::allocations();
  CHECK(shelf.pop(blocks) == nullptr);
  CHECK_FALSE(other.take_from(shelf));
  for (unsigned kept = count; kept > 0; --kept) { // at each height, over the edges of blocks too
    for (unsigned i = 0; i < kept; ++i) {
      shelf.push(numbered.buffer(i), blocks);
    }
    CHECK(shelf.bytes() == kept * (kept + 1) / 2);
    CHECK(shelf.some_for_others());
    shelf.allowance.add(shelf.bytes());
    REQUIRE(other.take_from(shelf));
    CHECK_FALSE(shelf.some_for_others());
    CHECK(shelf.bytes() == 0);
    CHECK(shelf.room() == 0);
    CHECK(shelf.pop(blocks) == nullptr);
    CHECK(other.bytes() == kept * (kept + 1) / 2);
    CHECK(other.room() == 0);
    for (unsigned i = kept; i-- > 0;) {
      REQUIRE(other.pop(blocks) == &numbered.buffer(i));
    }
    CHECK(other.give_room(all_bytes) == kept * (kept + 1) / 2);
    CHECK(other.pop(blocks) == nullptr);
  }
  for (const bool keeps : {false, true}) { // in the outbox, in the hand
    CAPTURE(keeps);
    Shelf one;
    if (keeps) {
      one.keep();
    }
    for (unsigned i = 0; i < count; ++i) {
      one.push(numbered.buffer(i), blocks);
    }
    std::array<Buffer*, 4> taken{};
    const auto third = [](const Buffer& buffer) { return buffer.slip().bytes % 3 == 0; };
    CHECK(one.any(third));
    std::size_t left = all_bytes;
    for (std::size_t found = taken.size(), next = 3; found == taken.size();) {
      found = one.take_if(third, taken, blocks);
      for (std::size_t i = 0; i < found; ++i, next += 3) {
        CHECK(taken[i]->slip().bytes == next); // the oldest first
        left -= next;
      }
    }
    CHECK_FALSE(one.any(third));
    CHECK(one.bytes() == left);
    for (unsigned i = count; i-- > 0;) {
      if ((i + 1) % 3 != 0) {
        REQUIRE(one.pop(blocks) == &numbered.buffer(i));
      }
    }
    CHECK(one.bytes() == 0);
  }
  CHECK(support::allocations().count == before.count);
  CHECK(support::allocations().bytes == before.bytes);
  blocks.leave(count);
}

TEST_CASE("what is in a hand is not for others before the hand is emptied; room is lent with what they take") {
  constexpr unsigned count = Block::size;
  constexpr std::size_t all_bytes = count * (count + 1) / 2;
  Numbered numbered(count + 1);
  Blocks blocks;
  Shelf shelf;
  Shelf other;
  blocks.enter(count + 1);
  shelf.keep();
  shelf.allowance.add(all_bytes);
  other.allowance.add(10);
  for (unsigned i = 0; i < count; ++i) {
    REQUIRE(shelf.sees_room(i + 1));
    REQUIRE(shelf.has_place());
    shelf.put(numbered.buffer(i));
  }
  CHECK_FALSE(shelf.sees_room(1));
  CHECK_FALSE(shelf.has_place());
  CHECK(shelf.some_in_hand());
  CHECK_FALSE(shelf.some_for_others());
  CHECK_FALSE(other.take_from(shelf));
  shelf.empty_hand();
  CHECK_FALSE(shelf.some_in_hand());
  CHECK(shelf.bytes() == all_bytes);
  REQUIRE(other.take_from(shelf));
  CHECK(shelf.bytes() == 0);
  CHECK(other.bytes() == all_bytes);
  CHECK(other.room() == 0);
  CHECK(shelf.room() == 10);
  CHECK_FALSE(shelf.sees_room(1)); // a guess to the safe side, until it is looked at
  shelf.push(numbered.buffer(0), blocks);
  CHECK(shelf.sees_room(9));
  CHECK_FALSE(shelf.sees_room(10));
  CHECK(shelf.some_for_others()); // it gives to others now
  CHECK(other.pop(blocks) == &numbered.buffer(count - 1));
  blocks.leave(count + 1);
}

TEST_CASE("there is a block for buffers wherever they lie, and none for those that left") {
  constexpr unsigned count = 4 * Block::size;
  Numbered numbered(count);
  const auto start = support::allocations().bytes;
  {
    Blocks blocks;
    for (unsigned i = 0; i < count; ++i) {
      blocks.enter(1);
    }
    const auto before = support::allocations().count;
    // Spread over two shelves, each cut at all places.
    for (unsigned here = 0; here <= count; ++here) {
      Shelf a;
      Shelf b;
      b.keep();
      for (unsigned i = 0; i < count; ++i) {
        (i < here ? a : b).push(numbered.buffer(i), blocks);
      }
      while (a.pop(blocks) != nullptr || b.pop(blocks) != nullptr) {
      }
    }
    CHECK(support::allocations().count == before);
    blocks.leave(count);
    CHECK(support::allocations().bytes <= start + static_cast<std::ptrdiff_t>(2 * sizeof(Block)));
  }
  CHECK(support::allocations().bytes == start);
}

TEST_CASE("what lies aside in a child is found whole, by it or by its own child") {
  for (unsigned count : {0U, 1U, Block::size, Block::size + 1, 3 * Block::size}) {
    for (const unsigned kept : {0U, 5U}) { // so many of them in the hand
      CAPTURE(count);
      CAPTURE(kept);
      Numbered numbered(count + kept);
      Blocks blocks;
      Shelf shelf;
      blocks.enter(count + kept);
      for (unsigned i = 0; i < count; ++i) {
        shelf.push(numbered.buffer(i), blocks);
      }
      shelf.keep();
      for (unsigned i = count; i < count + kept; ++i) {
        shelf.push(numbered.buffer(i), blocks);
      }
      shelf.disinherit();
      shelf.disinherit();
      CHECK(shelf.bytes() == 0);
      CHECK(shelf.pop(blocks) == nullptr);
      std::set<const Buffer*> found;
      const Shelf::Inheritance all = shelf.take_inherited();
      found.insert(all.buffers.begin(), all.buffers.begin() + all.count);
      for (Block* below = all.below; below != nullptr;) {
        const Block block = *below;
        blocks.put(*below);
        found.insert(block.buffers.begin(), block.buffers.end());
        below = block.below;
      }
      CHECK(shelf.take_inherited().count == 0);
      CHECK(found.size() == count + kept);
      CHECK_FALSE(found.contains(nullptr));
      blocks.leave(count + kept);
    }
  }
}

TEST_CASE("a pool that was asked for many sizes keeps nothing of those it has no buffer of") {
  sa::Pool pool(memfd());
  const auto round = [&](std::size_t first) {
    for (std::size_t pages = first; pages < first + 1000; ++pages) {
      CHECK(pool.allocate({.size = pages * 4096}).size() == pages * 4096);
      pool.trim();
    }
  };
  round(1);
  const auto before = support::allocations();
  round(1001);
  CHECK(support::allocations().bytes == before.bytes);
  CHECK(pool.statistics() == sa::PoolStatistics{.misses = 2000});
}

TEST_CASE("threads never get a buffer of another class, also while classes come and go") {
  sa::Pool pool(memfd(), {.max_free_bytes = 100 * 4096});
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (unsigned id = 0; id < 4; ++id) {
    threads.emplace_back([&, id] {
      std::vector<sa::DmaBuf> held;
      unsigned random = id;
      for (int i = 0; i < 6000; ++i) {
        random = random * 1664525 + 1013904223;
        const std::size_t pages = 1 + (random >> 16) % 200;
        held.push_back(pool.allocate({.size = pages * 4096}));
        wrong += held.back().size() == pages * 4096 ? 0 : 1;
        if (held.size() > random >> 29) {
          held.clear();
        }
      }
    });
  }
  std::thread trimmer([&] {
    while (!stop) {
      pool.trim();
      std::this_thread::yield();
    }
  });
  for (auto& thread : threads) {
    thread.join();
  }
  stop = true;
  trimmer.join();
  CHECK(wrong == 0);
  const sa::PoolStatistics now = pool.statistics();
  CHECK(now.hits + now.misses == 24000);
  CHECK(now.live == 0);
  CHECK(now.free_bytes <= 100 * 4096);
  pool.trim();
  CHECK(pool.statistics().free_buffers == 0);
  CHECK(pool.statistics().free_bytes == 0);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) // they write beside what they watch
TEST_CASE("a buffer that threads pass on and let go of is not written") {
  for (const bool same_name : {true, false}) { // another is written, so the test can fail
    CAPTURE(same_name);
    const int status = support::in_child([&] {
      sa::Pool pool(memfd(), {.max_age = std::chrono::milliseconds::max()});
      constexpr unsigned count = 40;
      std::vector<sa::DmaBuf> held;
      held.reserve(count);
      for (unsigned i = 0; i < count; ++i) {
        const support::PageForEach alone;
        held.push_back(pool.allocate({.size = 4096, .name = "frame"}));
      }
      const auto protect = [&](int protection) {
        return std::all_of(held.begin(), held.end(),
                           [&](const sa::DmaBuf& one) { return ::mprotect(sa::Handover::buffer(one), 4096, protection) == 0; });
      };
      if (!protect(PROT_READ)) {
        return 2;
      }
      for (int round = 0; round < 100; ++round) {
        std::thread([&] { held.clear(); }).join();
        for (unsigned i = 0; i < count; ++i) {
          held.push_back(pool.allocate({.size = 4096, .name = same_name ? "frame" : "other"}));
        }
      }
      const sa::PoolStatistics now = pool.statistics();
      return protect(PROT_READ | PROT_WRITE) && now.misses == count && now.hits == 100 * count ? support::passed : 3;
    });
    CHECK(status == (same_name ? support::passed : 128 + SIGSEGV));
  }
}
#endif
