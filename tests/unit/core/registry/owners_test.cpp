// SPDX-License-Identifier: MIT
/// Who owns a heap that find() returned, and what a registry keeps of what it had.
#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <thread>

#include <unistd.h>

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

} // namespace

TEST_CASE("a heap that was found outlives its registry until its last owner goes, and no longer") {
  std::atomic<int> ended{0};
  std::optional<sa::Registry> registry{std::in_place};
  registry->add(telling(ended));
  std::shared_ptr<sa::Heap> own = registry->find("test:a");
  std::shared_ptr<sa::Heap> copy = own;
  registry.reset();
  CHECK(own->info().name == "test:a");
  own.reset();
  CHECK(ended == 0);
  std::thread([&] { copy.reset(); }).join();
  CHECK(ended == 1);
}

TEST_CASE("a weak_ptr to a found heap observes it as long as it has an owner") {
  std::atomic<int> ended{0};
  std::optional<sa::Registry> registry{std::in_place};
  registry->add(telling(ended));
  const std::weak_ptr<sa::Heap> observer = registry->find("test:a");
  CHECK(observer.lock() == registry->find("test:a"));
  registry.reset();
  CHECK(ended == 1);
  CHECK(observer.expired());
}

TEST_CASE("finding a heap allocates nothing") {
  sa::Registry registry;
  registry.add(std::make_shared<TestHeap>("test:a"));
  const long before = support::allocations().count;
  for (int i = 0; i < 100; ++i) {
    CHECK(registry.find("test:a") != nullptr);
  }
  CHECK(support::allocations().count == before);
}

TEST_CASE("a registry keeps nothing of an alias' former definition") {
  sa::Registry registry;
  registry.add(std::make_shared<TestHeap>("test:a"));
  registry.add(std::make_shared<TestHeap>("test:b"));
  const auto change = [&] {
    registry.alias("camera", {"test:a"});
    registry.alias("camera", {"test:b"});
  };
  change();
  const std::ptrdiff_t before = support::allocations().bytes;
  for (int i = 0; i < 100; ++i) {
    change();
  }
  CHECK(support::allocations().bytes - before < 16384); // each kept some KiB; another thread may be at work, too
}

TEST_CASE("a removed heap is not found, ends with its last owner, and its name is free") {
  std::atomic<int> ended{0};
  sa::Registry registry;
  registry.add(telling(ended));
  registry.alias("camera", {"test:a"});
  sa::DmaBuf buffer = registry.allocate("camera", {.size = 4096});
  registry.remove("test:a");
  CHECK(registry.find("test:a") == nullptr);
  CHECK(registry.heaps().empty());
  std::error_code ec;
  CHECK_FALSE(registry.allocate("camera", {.size = 4096}, ec));
  CHECK(ec == std::errc::no_such_file_or_directory);
  CHECK(ended == 0);
  buffer = {};
  CHECK(ended == 1);
  registry.add(telling(ended));
  CHECK(registry.allocate("camera", {.size = 4096}).size() == 4096);
}

TEST_CASE("a removed alias has the library's definition again, or none") {
  sa::Registry registry;
  registry.add(std::make_shared<TestHeap>("test:a"));
  registry.alias("own", {"test:a"});
  registry.alias("system", {"test:a"});
  registry.remove("own");
  CHECK(registry.find("own") == nullptr);
  CHECK(registry.find("system")->info().usable);
  registry.remove("system");
  REQUIRE(registry.find("system") != nullptr);
  CHECK_FALSE(registry.find("system")->info().usable);
}

TEST_CASE("only the program's own heaps and aliases can be removed") {
  sa::Registry registry;
  registry.refresh();
  std::error_code ec;
  for (const char* name : {"memfd:4k", "system"}) {
    CAPTURE(name);
    registry.remove(name, ec);
    CHECK(ec == std::errc::invalid_argument);
    CHECK(registry.find(name) != nullptr);
  }
  for (const char* name : {"", "test:a", "own", "memfd:*"}) {
    CAPTURE(name);
    registry.remove(name, ec);
    CHECK(ec == std::errc::no_such_file_or_directory);
  }
  CHECK_THROWS_AS(registry.remove("own"), sa::Error);
  registry.alias("contiguous", {"carveout:*"});
  registry.alias("cma", {"contiguous"}); // the library's alias contiguous begins with cma
  registry.remove("contiguous", ec);
  CHECK(ec == std::errc::too_many_symbolic_link_levels);
  CHECK(registry.aliases().size() == sa::Registry().aliases().size());
}

TEST_CASE("a child that forks while others find, alias and remove can do so too") {
  sa::Registry registry;
  registry.add(std::make_shared<TestHeap>("test:a"));
  std::atomic<bool> stop{false};
  std::thread finding([&] {
    while (!stop) {
      (void)registry.find("test:a");
    }
  });
  std::thread changing([&] {
    while (!stop) {
      registry.alias("camera", {"test:a"});
      registry.remove("camera");
    }
  });
  int hung = 0;
  for (int i = 0; i < 300 && hung == 0; ++i) {
    hung += support::in_child([&] {
              ::alarm(10);
#if defined(__SANITIZE_ADDRESS__) // its malloc() holds its locks over a fork
              return registry.find("test:a") != nullptr ? support::passed : support::failed;
#else
              for (int again = 0; again < 3; ++again) {
                registry.alias("own", {"test:a"});
              }
              return registry.find("own") != nullptr && registry.allocate("own", {.size = 1}) ? support::passed : support::failed;
#endif
            }) == support::passed
                ? 0
                : 1;
  }
  stop = true;
  finding.join();
  changing.join();
  CHECK(hung == 0);
}
