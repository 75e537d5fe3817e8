// SPDX-License-Identifier: MIT
/// Who owns a heap that find() returned: nobody counts, until the registry ends.
#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "support/allocations.hpp"
#include "support/process.hpp"
#include "unit/test_heap.hpp"

using unit::TestHeap;

namespace {

/// A heap that tells when it ends, by a count.
std::shared_ptr<sa::Heap> telling(std::atomic<int>& ended, const char* name = "test:a") {
  return {new TestHeap(name), [&ended](const TestHeap* heap) {
            delete heap;
            ++ended;
          }};
}

struct Registered {
  explicit Registered(std::atomic<int>& ended) { registry->add(telling(ended)); }
  [[nodiscard]] std::shared_ptr<sa::Heap> find() const { return registry->find("test:a"); }
  std::optional<sa::Registry> registry{std::in_place};
};

} // namespace

TEST_CASE("a heap that was found outlives its registry until its last owner goes, and no longer") {
  std::atomic<int> ended{0};
  Registered one(ended);
  std::shared_ptr<sa::Heap> own = one.find();
  std::shared_ptr<sa::Heap> other = one.find();
  CHECK(own == other);
  std::shared_ptr<sa::Heap> copy = own;
  one.registry.reset();
  CHECK(own->info().name == "test:a");
  other.reset();
  own.reset();
  CHECK(ended == 0);
  std::thread([&] { copy.reset(); }).join();
  CHECK(ended == 1);
}

TEST_CASE("a registry takes the heaps with it that nobody has") {
  std::atomic<int> ended{0};
  Registered one(ended);
  CHECK(one.find() != nullptr);
  CHECK(ended == 0);
  one.registry.reset();
  CHECK(ended == 1);
}

TEST_CASE("a weak_ptr does not keep a heap, and observes the result it was made from") {
  std::atomic<int> ended{0};
  Registered one(ended);
  std::shared_ptr<sa::Heap> own = one.find();
  const std::weak_ptr<sa::Heap> observer = own;
  CHECK(observer.lock() == own);
  one.registry.reset();
  own.reset();
  CHECK(ended == 1);
  const sa::Registry others; // their control blocks come to lie elsewhere
  std::vector<std::shared_ptr<sa::Heap>> found;
  for (int i = 0; i < 20; ++i) {
    found.push_back(others.find("system"));
  }
  CHECK(observer.expired());
  CHECK(observer.lock() == nullptr);
}

TEST_CASE("one of two registries that share a heap may end while it is on loan from either") {
  std::atomic<int> ended{0};
  const std::shared_ptr<sa::Heap> heap = telling(ended);
  {
    std::optional<sa::Registry> first{std::in_place};
    sa::Registry second;
    first->add(heap);
    second.add(heap);
    const auto of_first = first->find("test:a");
    const auto of_second = second.find("test:a");
    first.reset();
    CHECK(of_first == of_second);
  }
  CHECK(ended == 0);
  CHECK(heap.use_count() == 1);
}

TEST_CASE("a heap may be found more often than there are places, on threads with and without a slot") {
  std::atomic<int> ended{0};
  {
    Registered one(ended);
    std::vector<std::vector<std::shared_ptr<sa::Heap>>> found(40);
    std::vector<std::thread> threads;
    std::atomic<std::size_t> ready{0};
    for (auto& own : found) {
      threads.emplace_back([&] {
        for (int i = 0; i < 20; ++i) {
          own.push_back(one.find());
        }
        ++ready;
        while (ready != found.size()) { // all live at once: some get no slot
          std::this_thread::yield();
        }
      });
    }
    for (auto& thread : threads) {
      thread.join();
    }
    one.registry.reset();
    for (auto& own : found) {
      CHECK(ended == 0);
      for (const auto& heap : own) {
        CHECK(heap->info().name == "test:a");
      }
      own.clear();
    }
    CHECK(ended == 1);
  }
}

TEST_CASE("finding a heap allocates nothing, and threads that do so share no counter") {
  std::atomic<int> ended{0};
  const Registered one(ended);
  const auto own = one.find();
  const long before = support::allocations().count;
  for (int i = 0; i < 100; ++i) {
    CHECK(one.find() == own);
  }
  const auto other = one.find();
  CHECK(support::allocations().count == before);
  CHECK(own.use_count() == 1);
  CHECK(other.use_count() == 1);
  std::thread([&] { CHECK((one.find().owner_before(own) || own.owner_before(one.find()))); }).join();
}

TEST_CASE("a registry that ends while another thread lets go of its heap leaves none behind") {
  constexpr int rounds = 30000;
  std::atomic<int> ended{0};
  std::atomic<int> turn{0};
  std::shared_ptr<sa::Heap> theirs;
  struct alignas(64) Line {
    std::atomic<int> value{0};
  };
  std::vector<Line> lines(64);
  const auto write_lines = [&](int round) { // both do, some more each round: what is stored after that is seen late
    for (std::size_t i = static_cast<std::size_t>(round) % lines.size(); i > 0; --i) {
      lines[i].value.store(round, std::memory_order_relaxed);
    }
  };
  std::thread other([&] {
    for (int i = 1; i <= rounds; ++i) {
      while (turn.load(std::memory_order_acquire) != i) {
      }
      write_lines(i);
      theirs.reset();
      turn.store(-i, std::memory_order_release);
    }
  });
  int left = 0;
  for (int i = 1; i <= rounds; ++i) {
    Registered one(ended);
    theirs = one.find();
    write_lines(i);
    turn.store(i, std::memory_order_release);
    for (int pause = i % 331; pause > 0; --pause) { // so that each step of one meets each of the other
      std::atomic_signal_fence(std::memory_order_seq_cst);
    }
    one.registry.reset();
    while (turn.load(std::memory_order_acquire) != -i) {
    }
    left += ended == i ? 0 : 1;
    ended = i;
  }
  other.join();
  CHECK(left == 0);
}

TEST_CASE("a heap on loan over a fork is the child's too") {
  std::atomic<int> ended{0};
  Registered one(ended);
  auto own = one.find();
  CHECK(support::in_child([&] {
          one.registry.reset();
          const bool kept = ended == 0 && own->info().name == "test:a";
          own.reset();
          return kept && ended == 1 ? support::passed : support::failed;
        }) == support::passed);
  CHECK(ended == 0);
}
