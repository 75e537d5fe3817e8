// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <thread>

#include <unistd.h>

#include "support/process.hpp"
#include "unit/test_heap.hpp"

using unit::TestHeap;

namespace {

bool says(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

template <typename Call>
std::string sentence(Call&& call) {
  try {
    call();
  } catch (const sa::Error& error) {
    return error.what();
  }
  return "not refused";
}

} // namespace

TEST_CASE("a fresh registry has the standard aliases and no heap") {
  const sa::Registry registry;
  CHECK(registry.heaps().empty());
  for (const char* alias : {"system", "dma-buf", "cma", "contiguous"}) {
    REQUIRE(registry.find(alias) != nullptr);
    CHECK(registry.find(alias)->info().backend == "alias");
    CHECK_FALSE(registry.find(alias)->info().usable);
    CHECK_FALSE(registry.find(alias)->info().reason.empty());
  }
  CHECK(registry.find("memfd:4k") == nullptr);
}

TEST_CASE("the system's registry is one, and has the heaps that every Linux has") {
  sa::Registry& registry = sa::Registry::system();
  CHECK(&registry == &sa::Registry::system());
  REQUIRE(registry.find("memfd:4k") != nullptr);
  CHECK(registry.find("memfd:4k")->info().usable);
  REQUIRE(registry.find("memfd:huge") != nullptr);
  for (const auto& info : registry.heaps()) {
    CAPTURE(info.name);
    CHECK(info.usable == info.reason.empty());
    CHECK(info.granularity > 0);
    CHECK(info.name.starts_with(info.backend + ":"));
    CHECK(registry.find(info.name) != nullptr);
  }
}

TEST_CASE("refresh keeps the heaps that stay the same, and what was added") {
  sa::Registry registry;
  registry.refresh();
  const auto before = registry.find("memfd:4k");
  const auto own = std::make_shared<TestHeap>("test:own");
  registry.add(own);
  registry.refresh();
  CHECK(registry.find("memfd:4k") == before);
  CHECK(registry.find("test:own") == own);
}

TEST_CASE("heaps are added under well-formed names, once") {
  sa::Registry registry;
  registry.add(std::make_shared<TestHeap>("test:one"));
  std::error_code ec;
  registry.add(std::make_shared<TestHeap>("test:one"), ec);
  CHECK(ec == std::errc::file_exists);
  CHECK_THROWS_AS(registry.add(std::make_shared<TestHeap>("test:one")), sa::Error);
  for (const char* name :
       {"", "noinstance", "test:", ":x", "test:a/b", "test:..", "test:a..b", "te st:x", "test:a:b", "test:*"}) {
    CAPTURE(name);
    registry.add(std::make_shared<TestHeap>(name), ec);
    CHECK(ec == std::errc::invalid_argument);
  }
  registry.add(nullptr, ec);
  CHECK(ec == std::errc::invalid_argument);
  registry.add(std::make_shared<TestHeap>("test:two"), ec);
  CHECK_FALSE(ec);
  CHECK(registry.heaps().size() == 2);
}

TEST_CASE("an unknown heap is ENOENT with the list of those there are; a malformed name is refused before it reaches a path") {
  sa::Registry registry;
  registry.add(std::make_shared<TestHeap>("test:one"));
  std::error_code ec;
  CHECK_FALSE(registry.allocate("test:none", {.size = 1}, ec));
  CHECK(ec == std::errc::no_such_file_or_directory);
  const std::string said = sentence([&] { (void)registry.allocate("test:none", {.size = 1}); });
  CHECK(says(said, "test:one"));
  CHECK(says(said, "system"));
  CHECK(says(said, "there is no heap \"test:none\"; did you mean test:one? (there are: test:one"));
  CHECK(says(sentence([&] { (void)registry.at("sytem"); }), "there is no heap \"sytem\"; did you mean system? (there are: "));
  CHECK(says(sentence([&] { (void)registry.at("sys/tem"); }), "did you mean system? (")); // malformed, and near
  CHECK_FALSE(says(sentence([&] { (void)registry.at("nowhere"); }), "did you mean"));
  CHECK(says(sentence([&] { (void)registry.at("test:none|other:*|../system"); }), "did you mean system? ("));
  for (const char* name : {"", "../x", "dma-heap:../../mem", "dma-heap:a/b", "dma-heap:..", "a:b:c"}) {
    CAPTURE(name);
    CHECK_FALSE(registry.allocate(name, {.size = 1}, ec));
    CHECK(ec == std::errc::invalid_argument);
    CHECK(registry.find(name) == nullptr);
  }
}

TEST_CASE("an alias moves on when a candidate is absent, not permitted or out of memory, and on nothing else") {
  for (const int error : {EOPNOTSUPP, ENOENT, ENODEV, EACCES, EPERM, ENOMEM, EDQUOT}) {
    CAPTURE(error);
    sa::Registry registry;
    const auto first = std::make_shared<TestHeap>("test:first");
    const auto second = std::make_shared<TestHeap>("test:second");
    first->error = error;
    registry.add(first);
    registry.add(second);
    registry.alias("both", {"test:absent", "test:first", "test:second"});
    CHECK(registry.allocate("both", {.size = 1}).heap() == "test:second");
    CHECK(first->asked == 1);
  }
  for (const int error : {EINVAL, EMFILE, ENFILE, EIO, EINTR, EBUSY}) {
    CAPTURE(error);
    sa::Registry registry;
    const auto first = std::make_shared<TestHeap>("test:first");
    const auto second = std::make_shared<TestHeap>("test:second");
    first->error = error;
    registry.add(first);
    registry.add(second);
    registry.alias("both", {"test:first", "test:second"});
    std::error_code ec;
    CHECK_FALSE(registry.allocate("both", {.size = 1}, ec));
    CHECK(ec.value() == error);
    CHECK(second->asked == 0);
  }
}

TEST_CASE("an alias skips a candidate that lacks a required trait or alignment, without asking it") {
  sa::Registry registry;
  const auto plain = std::make_shared<TestHeap>("test:plain");
  const auto contiguous = std::make_shared<TestHeap>("test:contiguous", sa::Trait::Contiguous);
  contiguous->change().max_alignment = 1 << 20;
  registry.add(plain);
  registry.add(contiguous);
  registry.alias("any", {"test:plain", "test:contiguous"});
  CHECK(registry.allocate("any", {.size = 1}).heap() == "test:plain");
  CHECK(registry.allocate("any", {.size = 1, .require = sa::Trait::Contiguous}).heap() == "test:contiguous");
  CHECK(registry.allocate("any", {.size = 1, .constraints = {.alignment = 1 << 20}}).heap() == "test:contiguous");
  CHECK(plain->asked == 1);
  std::error_code ec;
  CHECK_FALSE(registry.allocate("any", {.size = 1, .require = sa::Trait::DmaBuf}, ec));
  CHECK(ec == std::errc::operation_not_supported);
  CHECK_FALSE(registry.allocate("any", {.size = 1, .constraints = {.alignment = 2 << 20}}, ec));
  CHECK(ec == std::errc::operation_not_supported);
  CHECK(plain->asked + contiguous->asked == 3);
}

namespace {

/// Asks in every way there is, of one heap.
template <typename Look>
void ask_everywhere(const std::shared_ptr<sa::Heap>& heap, const sa::AllocRequest& request, Look&& look) {
  sa::Registry registry;
  registry.add(heap);
  registry.alias("any", {heap->info().name});
  sa::Pool pool(heap);
  sa::Limit limit(heap, {.max_bytes = SIZE_MAX / 2});
  sa::Fallback fallback({heap});
  const std::vector<sa::Device> devices{sa::Device::described("device", {})};
  look("heap", [&] { return heap->allocate(request); });
  look("name", [&] { return registry.allocate(heap->info().name, request); });
  look("alias", [&] { return registry.allocate("any", request); });
  look("pool", [&] { return pool.allocate(request); });
  look("warm pool", [&] { return pool.allocate(request); });
  look("limit", [&] { return limit.allocate(request); });
  look("fallback", [&] { return fallback.allocate(request); });
  look("constraints", [&] { return registry.allocate(request); });
  look("devices", [&] { return registry.allocate(devices, request); });
}

} // namespace

TEST_CASE("whatever is asked, the size is a multiple of the granularity, the alignment and the size_alignment") {
  const auto heap = std::make_shared<TestHeap>("test:plain");
  const auto expect = [&](const sa::Constraints& constraints, std::size_t size) {
    ask_everywhere(heap, {.size = 5000, .constraints = constraints}, [&](const char* way, auto&& ask) {
      CAPTURE(way);
      CHECK(ask().size() == size);
    });
  };
  expect({}, 8192);
  expect({.size_alignment = 16384}, 16384);
  expect({.size_alignment = 3000}, 4096 * 375);
  heap->change().max_alignment = 65536;
  expect({.alignment = 16384, .size_alignment = 3}, 3 * 16384);
}

TEST_CASE("whatever is asked, a constraint that the heap cannot meet is refused with a sentence") {
  const auto heap = sa::Registry::system().find("memfd:4k");
  const auto expect = [&](const sa::Constraints& constraints, int error, const std::string& sentence) {
    ask_everywhere(heap, {.size = 2 * unit::page, .constraints = constraints}, [&](const std::string& way, auto&& ask) {
      CAPTURE(way);
      CAPTURE(sentence);
      const bool selects = (way == "constraints" || way == "devices") && error == ENOMEM; // refused before it is asked
      try {
        (void)ask();
        FAIL_CHECK("it was given");
      } catch (const sa::Error& refused) {
        CHECK(refused.code().value() == (selects ? EOPNOTSUPP : error));
        CHECK(std::string(refused.what()).find(sentence) != std::string::npos);
      }
    });
  };
  expect({.max_segments = 1}, EOPNOTSUPP, "its memory is scattered");
  expect({.max_address = 0x1000000}, EOPNOTSUPP, "addresses below 0x1000000 are needed"); // every machine has more
  expect({.alignment = 1 << 20}, EOPNOTSUPP, "an alignment of " + unit::kib_of_pages(1) + ", not of 1 MiB");
  expect({.uncached = true}, EOPNOTSUPP, "the CPU caches it");
  expect({.dma_buf = true}, EOPNOTSUPP, "it is no dma-buf");
  expect({.protected_memory = true}, EOPNOTSUPP, "the CPU can map it");
  expect({.alignment = 3}, EINVAL, "align=3 is not a power of two");
  expect({.size_alignment = 0}, EINVAL, "size-align=0 is not above 0");
  expect({.cached = true, .uncached = true}, EINVAL, "exclude each other");
  expect({.size_alignment = std::uint64_t{1} << 62}, ENOMEM, "is more than the");
  expect({.size_alignment = UINT64_MAX}, ENOMEM, "is more than the");
}

TEST_CASE("a request to the alias system for a dma-buf never gets a memfd") {
  std::error_code ec;
  const sa::DmaBuf buffer = sa::Registry::system().allocate("system", {.size = 4096, .require = sa::Trait::DmaBuf}, ec);
  CHECK(static_cast<bool>(buffer) == !ec);
  CHECK(buffer.traits().contains(sa::Trait::DmaBuf) == static_cast<bool>(buffer));
  CHECK(sa::Registry::system().allocate("system", {.size = unit::page}).size() == unit::page);
}

TEST_CASE("an alias skips protected memory, unless it is demanded, and it cannot be mapped") {
  sa::Registry registry;
  registry.add(std::make_shared<TestHeap>("test:protected", sa::Trait::DmaBuf | sa::Trait::Protected));
  registry.add(std::make_shared<TestHeap>("test:plain"));
  registry.alias("any", {"test:*"});
  CHECK(registry.allocate("any", {.size = 4096}).heap() == "test:plain");
  CHECK(registry.allocate("test:protected|test:plain", {.size = 4096}).heap() == "test:plain");
  CHECK(registry.allocate("any", {.size = 4096, .constraints = {.protected_memory = true}}).heap() == "test:protected");
  CHECK(registry.allocate("any", {.size = 4096, .require = sa::Trait::Protected}).heap() == "test:protected");
  const sa::DmaBuf buffer = registry.allocate("test:protected", {.size = 4096});
  std::error_code ec;
  CHECK_FALSE(buffer.access(sa::Access::Read, ec));
  CHECK(ec == std::errc::operation_not_supported);
}

TEST_CASE("an alias that gives no dma-buf for lack of permission says so once") {
  std::FILE* const log = std::tmpfile();
  CHECK(support::in_child([&] {
          ::dup2(::fileno(log), STDERR_FILENO);
          const auto denied = std::make_shared<TestHeap>("test:denied", sa::Trait::DmaBuf);
          const auto full = std::make_shared<TestHeap>("test:full", sa::Trait::DmaBuf);
          denied->error = EACCES;
          full->error = ENOMEM;
          sa::Registry registry;
          registry.add(full);
          registry.add(denied);
          registry.add(std::make_shared<TestHeap>("test:plain"));
          registry.alias("full", {"test:full", "test:plain"}); // not for lack of permission
          registry.alias("any", {"test:denied", "test:plain"});
          for (int i = 0; i < 3; ++i) {
            (void)registry.allocate("full", {.size = 1});
            (void)registry.allocate("any", {.size = 1});
            registry.alias("other" + std::to_string(i), {"any"}); // publishes anew
          }
          return support::passed;
        }) == support::passed);
  std::string text(10000, '\0');
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(::pread(::fileno(log), text.data(), text.size(), 0), 0)));
  CAPTURE(text);
  CHECK(std::count(text.begin(), text.end(), '\n') == 1);
  CHECK(says(text, "no device can import this memory, it is of test:plain: test:denied was passed over (Permission denied"));
  std::fclose(log);
}

TEST_CASE("the alias dma-buf gives what devices can import or nothing, and scarce memory last") {
  sa::Registry registry;
  registry.add(std::make_shared<TestHeap>("memfd:4k"));
  std::error_code ec;
  CHECK_FALSE(registry.allocate("dma-buf", {.size = 1}, ec));
  CHECK(ec == std::errc::no_such_file_or_directory);
  for (const char* name : {"drm:card0", "cma:cma0", "udmabuf:4k", "dma-heap:system"}) { // the later the better
    registry.add(std::make_shared<TestHeap>(name, sa::Trait::DmaBuf));
    CHECK(registry.allocate("dma-buf", {.size = 1}).heap() == name);
  }
}

TEST_CASE("an alias that fails lists every attempt and reports the one that came nearest") {
  sa::Registry registry;
  const auto denied = std::make_shared<TestHeap>("test:denied");
  const auto empty = std::make_shared<TestHeap>("test:empty");
  denied->error = EACCES;
  empty->error = ENOMEM;
  registry.add(empty);
  registry.add(denied);
  registry.add(std::make_shared<TestHeap>("test:small"));
  static_cast<TestHeap&>(*registry.find("test:small")).change().traits = {};
  registry.alias("all", {"test:absent", "test:empty", "test:denied", "test:small"});
  try {
    (void)registry.allocate("all", {.size = 8192, .require = sa::Trait::Cached});
    FAIL("not refused");
  } catch (const sa::Error& error) {
    CHECK(error.code() == std::errc::not_enough_memory);
    CHECK(error.heap() == "all");
    for (const char* part : {"8 KiB", "test:absent", "test:empty", "test:denied", "test:small", "Permission denied"}) {
      CAPTURE(part);
      CHECK(says(error.what(), part));
    }
  }
}

TEST_CASE("a candidate whose granules are larger than the request is tried last") {
  sa::Registry registry;
  const auto huge = std::make_shared<TestHeap>("test:huge");
  huge->change().granularity = 2 << 20;
  const auto small = std::make_shared<TestHeap>("test:small");
  registry.add(huge);
  registry.add(small);
  registry.alias("mixed", {"test:huge", "test:small"});
  CHECK(registry.allocate("mixed", {.size = 2 << 20}).heap() == "test:huge");
  CHECK(registry.allocate("mixed", {.size = 4096}).heap() == "test:small");
  small->error = ENOMEM;
  CHECK(registry.allocate("mixed", {.size = 4096}).heap() == "test:huge");
}

TEST_CASE("aliases of aliases and wildcards resolve in order, and a loop is refused") {
  sa::Registry registry;
  registry.add(std::make_shared<TestHeap>("test:b"));
  registry.add(std::make_shared<TestHeap>("test:a"));
  registry.alias("every", {"test:*"});
  registry.alias("outer", {"test:absent", "every"});
  CHECK(registry.allocate("outer", {.size = 1}).heap() == "test:b");
  std::error_code ec;
  registry.alias("every", {"outer"}, ec);
  CHECK(ec == std::errc::too_many_symbolic_link_levels);
  registry.alias("self", {"self"}, ec);
  CHECK(ec == std::errc::too_many_symbolic_link_levels);
  CHECK(registry.allocate("every", {.size = 1}).heap() == "test:b");
  registry.alias("every", {"test:a"});
  CHECK(registry.allocate("outer", {.size = 1}).heap() == "test:a");
  registry.alias("", {"test:a"}, ec);
  CHECK(ec == std::errc::invalid_argument);
  registry.alias("with:colon", {"test:a"}, ec);
  CHECK(ec == std::errc::invalid_argument);
  registry.alias("none", {}, ec);
  CHECK(ec == std::errc::invalid_argument);
  registry.alias("bad", {"../x"}, ec);
  CHECK(ec == std::errc::invalid_argument);
}

TEST_CASE("aliases that share others, and long chains of them, take no longer than they are many") {
  sa::Registry registry;
  registry.add(std::make_shared<TestHeap>("test:a"));
  constexpr int count = 100; // by every path it would be 2^100 visits
  registry.alias("n0", {"test:a"});
  for (int i = 1; i < count; ++i) {
    const std::string before = "n" + std::to_string(i - 1);
    registry.alias("n" + std::to_string(i), {before, before});
  }
  CHECK(registry.allocate("n99", {.size = 1}).heap() == "test:a");
  std::error_code ec;
  registry.alias("n0", {"n99"}, ec);
  CHECK(ec == std::errc::too_many_symbolic_link_levels);
}

TEST_CASE("a heap that throws does not take a noexcept twin down") {
  class Throwing final : public sa::Heap {
  public:
    Throwing() {
      info_.name = "test:throwing";
      info_.granularity = 1;
      info_.max_size = 100;
    }
    [[nodiscard]] const sa::HeapInfo& info() const noexcept override { return info_; }
    int what = 0;

  protected:
    sa::DmaBuf do_allocate(const sa::AllocRequest&, std::error_code&) override {
      if (what == 0) {
        throw std::bad_alloc();
      }
      if (what == 1) {
        throw std::system_error(EBUSY, std::system_category());
      }
      throw 42; // NOLINT
    }

  private:
    sa::HeapInfo info_;
  };
  const auto heap = std::make_shared<Throwing>();
  std::error_code ec;
  CHECK_FALSE(heap->allocate({.size = 1}, ec));
  CHECK(ec == std::errc::not_enough_memory);
  heap->what = 1;
  CHECK_FALSE(heap->allocate({.size = 1}, ec));
  CHECK(ec == std::errc::device_or_resource_busy);
  heap->what = 2;
  CHECK_FALSE(heap->allocate({.size = 1}, ec));
  CHECK(ec == std::errc::io_error);
  CHECK_THROWS_AS(heap->allocate({.size = 1}), sa::Error);
}

TEST_CASE("threads find and allocate while another adds, aliases and refreshes") {
  sa::Registry registry;
  registry.refresh();
  std::atomic<bool> stop{false};
  std::atomic<int> failures{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (!stop) {
        std::error_code ec;
        failures += registry.find("memfd:4k") == nullptr ? 1 : 0;
        failures += registry.allocate("memfd:4k", {.size = 4096}, ec) ? 0 : 1;
        failures += registry.find("system") == nullptr ? 1 : 0;
        (void)registry.heaps();
      }
    });
  }
  for (int i = 0; i < 50; ++i) {
    registry.add(std::make_shared<TestHeap>("test:n" + std::to_string(i)));
    registry.alias("a" + std::to_string(i), {"test:*"});
    registry.refresh();
  }
  stop = true;
  for (auto& reader : readers) {
    reader.join();
  }
  CHECK(failures == 0);
  CHECK(registry.find("a49") != nullptr);
}

TEST_CASE("a child that forks while others allocate can use the registry" * doctest::skip(support::weak_pointers_lock)) {
  std::atomic<bool> stop{false};
  std::thread other([&] {
    while (!stop) {
      (void)unit::real_buffer();
    }
  });
  for (int i = 0; i < 20; ++i) {
    CHECK(support::in_child([] { return unit::real_buffer(2 * unit::page).size() == 2 * unit::page ? support::passed : 2; }) ==
          support::passed);
  }
  stop = true;
  other.join();
}

TEST_CASE("several names with a bar between them are tried in order, like an alias") {
  sa::Registry registry;
  const auto full = std::make_shared<TestHeap>("test:full");
  const auto good = std::make_shared<TestHeap>("test:good");
  full->error = ENOMEM;
  registry.add(full);
  registry.add(good);
  registry.alias("spare", {"test:good"});
  CHECK(registry.allocate("test:none|test:full|test:good", {.size = 100}).heap() == "test:good");
  CHECK(full->asked == 1);
  CHECK(registry.find(" spare | test:full ")->allocate({.size = 100}).heap() == "test:good");
  CHECK(registry.find("other:*|test:*")->info().usable);
  CHECK(registry.at("test:none|spare")->info().name == "test:none|spare");
  CHECK(registry.find("test:none|other:*") == nullptr);
  CHECK(registry.find("test:good|../etc") == nullptr);
  const std::string none = sentence([&] { (void)registry.at("test:none|other:*"); });
  CHECK(none == "find \"test:none|other:*\": there is no heap of \"test:none|other:*\"; there are: test:full, test:good, spare; "
                "not usable, sactl heaps says why: cma, contiguous, dma-buf, system");
  CHECK(says(sentence([&] { (void)registry.allocate("test:good|../etc", {.size = 1}); }),
             "\"../etc\" in \"test:good|../etc\" is not a heap name"));
  std::error_code ec;
  CHECK(registry.at("test:nowhere", ec) == nullptr);
  CHECK(ec == std::errc::no_such_file_or_directory);
  CHECK(registry.at("a/b", ec) == nullptr);
  CHECK(ec == std::errc::invalid_argument);
}

TEST_CASE("a list has the remedy for a heap without permission, and the error of each other") {
  sa::Registry registry;
  const auto shut = std::make_shared<TestHeap>("test:shut");
  shut->change().usable = false;
  shut->change().reason = "the node is not there; load the module";
  registry.add(shut);
  for (const int error : {ENOENT, ENODEV, EACCES, EPERM}) {
    CAPTURE(error);
    shut->error = error;
    CHECK(says(sentence([&] { (void)registry.allocate("test:shut|test:none", {.size = 1}); }),
               "tried [test:shut: the node is not there; load the module] [test:none: no such heap]"));
  }
  for (const int error : {ENOMEM, EDQUOT, EIO}) { // that is not what the reason is about
    CAPTURE(error);
    shut->error = error;
    const std::string said = sentence([&] { (void)registry.allocate("test:shut|test:none", {.size = 1}); });
    CHECK(says(said, "[test:shut: "));
    CHECK_FALSE(says(said, "load the module"));
  }
}
