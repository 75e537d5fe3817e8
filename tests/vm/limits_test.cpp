// SPDX-License-Identifier: MIT
/// Fences, permissions and memory that runs out.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "support/counters.hpp"
#include "support/process.hpp"
#include "vm/guest.hpp"
#include "vm/timeline.hpp"

#include <sa/sa.hpp>

using namespace std::chrono_literals;

namespace {

std::string sentence_of(const std::function<void()>& call, std::errc code) {
  try {
    call();
  } catch (const sa::Error& error) {
    CHECK(error.code() == code);
    return error.what();
  }
  return "not refused";
}

bool says(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

/// The result of @p body run as nobody, without any group.
int as_nobody(const std::function<int()>& body) {
  return support::in_child([&] { return ::setgid(65534) == 0 && ::setuid(65534) == 0 ? body() : 100; });
}

} // namespace

TEST_CASE("access to a buffer with an unsignalled fence times out, and goes ahead when it is signalled" *
          doctest::skip(!guest::is("full"))) {
  for (const char* heap : {"dma-heap:system", "udmabuf:4k", "dma-heap:reserved", "drm:card0"}) {
    CAPTURE(heap);
    const guest::Timeline timeline;
    const sa::DmaBuf buffer = sa::Registry::system().allocate(heap, {.size = 4096});
    const sa::UniqueFd fence = timeline.fence(1);
    buffer.import_sync_file(sa::Access::Write, fence.get()); // a device writes
    std::error_code ec;
    const auto start = std::chrono::steady_clock::now();
    CHECK_FALSE(buffer.access(sa::Access::Read, 200ms, ec));
    CHECK(ec == std::errc::timed_out);
    CHECK(std::chrono::steady_clock::now() - start >= 200ms);
    buffer.wait(sa::Access::Read, 0ms, ec);
    CHECK(ec == std::errc::timed_out);
    CHECK_THROWS_AS(buffer.wait(sa::Access::ReadWrite, 1ms), sa::Error);
    std::thread device([&] {
      std::this_thread::sleep_for(100ms);
      timeline.signal();
    });
    buffer.access(sa::Access::Read, 10s).end();
    device.join();
    buffer.wait(sa::Access::ReadWrite, 0ms);
    buffer.access(sa::Access::ReadWrite).end();
  }
}

TEST_CASE("a reader's fence keeps writers out and lets readers in" * doctest::skip(!guest::is("full"))) {
  const guest::Timeline timeline;
  const sa::DmaBuf buffer = sa::Registry::system().allocate("dma-heap:system", {.size = 4096});
  const sa::UniqueFd fence = timeline.fence(1);
  buffer.import_sync_file(sa::Access::Read, fence.get());
  buffer.wait(sa::Access::Read, 0ms);
  std::error_code ec;
  buffer.wait(sa::Access::Write, 10ms, ec);
  CHECK(ec == std::errc::timed_out);
  const sa::UniqueFd exported = buffer.export_sync_file(sa::Access::Write); // carries the fence
  const sa::DmaBuf other = sa::Registry::system().allocate("dma-heap:system", {.size = 4096});
  other.import_sync_file(sa::Access::Write, exported.get());
  other.wait(sa::Access::Read, 10ms, ec);
  CHECK(ec == std::errc::timed_out);
  timeline.signal();
  other.wait(sa::Access::Read, 1s);
  buffer.wait(sa::Access::ReadWrite, 1s);
}

TEST_CASE("without permission the heaps say who may, and the alias system falls back to memfd") {
  CHECK(as_nobody([] {
          sa::Registry registry;
          registry.refresh();
          const auto heap = registry.find("dma-heap:system");
          if (heap == nullptr || heap->info().usable || !says(heap->info().reason, "docs/permissions.md")) {
            return 2;
          }
          const std::string said = sentence_of([&] { (void)heap->allocate({.size = 4096}); }, std::errc::permission_denied);
          if (!says(said, "/dev/dma_heap/system: permission denied") || !says(said, "group")) {
            return 3;
          }
          if (registry.allocate("system", {.size = 4096}).heap() != "memfd:4k") {
            return 4;
          }
          std::error_code ec;
          if (registry.allocate("system", {.size = 4096, .require = sa::Trait::DmaBuf}, ec) ||
              ec != std::errc::permission_denied) {
            return 5;
          }
          const auto carveout = sa::make_carveout({"test", 0x30000000, 64 << 20});
          return carveout->info().usable ? 6 : support::passed;
        }) == support::passed);
}

TEST_CASE("a CMA region that is used up or fragmented says which" * doctest::skip(!guest::is("full") && !guest::is("ion"))) {
  const auto before = support::count();
  for (const char* name : {"dma-heap:reserved", "ion:reserved"}) {
    const auto heap = sa::Registry::system().find(name);
    if (heap == nullptr && !guest::is("ion")) {
      continue;
    }
    CAPTURE(name);
    REQUIRE(heap != nullptr);
    std::vector<sa::DmaBuf> held;
    std::error_code ec;
    for (;;) {
      sa::DmaBuf buffer = heap->allocate({.size = 1 << 20}, ec);
      if (ec) {
        break;
      }
      held.push_back(std::move(buffer));
    }
    CHECK(ec == std::errc::not_enough_memory);
    CHECK(held.size() > 64);
    CHECK(says(sentence_of([&] { (void)heap->allocate({.size = 16 << 20}); }, std::errc::not_enough_memory), "used up"));
    for (std::size_t i = 0; i < held.size(); i += 2) {
      held[i].reset();
    }
    const std::string said = sentence_of([&] { (void)heap->allocate({.size = 16 << 20}); }, std::errc::not_enough_memory);
    CAPTURE(said);
    CHECK(says(said, "fragmented, not empty"));
    CHECK(says(said, "16 MiB refused, CmaFree"));
    CHECK(says(said, "largest piece"));
    CHECK(sa::Registry::system().allocate("cma", {.size = 1 << 20}).heap() == "dma-heap:reserved");
  }
  CHECK(support::kernel_counters().at("CMA used") == before.kernel.at("CMA used"));
}

TEST_CASE("huge pages that run out are an answer of their own, never a SIGBUS") {
  const guest::Setting shmem("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "never");
  const guest::Setting pool("/proc/sys/vm/nr_hugepages", "4");
  sa::Registry registry;
  registry.refresh();
  const auto heap = registry.find("memfd:huge");
  REQUIRE(heap->info().usable);
  const sa::DmaBuf most = heap->allocate({.size = 6 << 20});
  std::error_code ec;
  CHECK_FALSE(heap->allocate({.size = 4 << 20}, ec));
  CHECK(ec == std::errc::not_enough_memory);
  CHECK(says(sentence_of([&] { (void)heap->allocate({.size = 4 << 20}); }, std::errc::not_enough_memory), "vm.nr_hugepages"));
  const sa::DmaBuf last = heap->allocate({.size = 2 << 20});
  std::ranges::fill(most.map_unsynchronized().bytes(), std::byte{1});
  std::ranges::fill(last.map_unsynchronized().bytes(), std::byte{1});
  { // with shmem allowed to use them, the next one comes from there
    const guest::Setting advise("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "advise");
    const sa::DmaBuf shmem_backed = heap->allocate({.size = 4 << 20});
    std::ranges::fill(shmem_backed.map_unsynchronized().bytes(), std::byte{1});
    CHECK(reinterpret_cast<std::uintptr_t>(shmem_backed.map_unsynchronized().bytes().data()) % (2 << 20) == 0);
  }
}

TEST_CASE("the limit of udmabuf is known, and refused before any system call") {
  if (guest::is("ion")) { // before 5.13 it is fixed, and not told
    std::error_code ec;
    CHECK(sa::Registry::system().allocate("udmabuf:4k", {.size = 64 << 20}).size() == 64 << 20);
    CHECK_FALSE(sa::Registry::system().allocate("udmabuf:4k", {.size = (64 << 20) + 1}, ec));
    CHECK(ec == std::errc::not_enough_memory);
    return;
  }
  const guest::Setting limit("/sys/module/udmabuf/parameters/size_limit_mb", "1");
  sa::Registry registry;
  registry.refresh();
  const auto heap = registry.find("udmabuf:4k");
  CHECK(heap->info().max_size == 1 << 20);
  CHECK(heap->allocate({.size = 1 << 20}).size() == 1 << 20);
  std::error_code ec;
  CHECK_FALSE(heap->allocate({.size = (1 << 20) + 1}, ec));
  CHECK(ec == std::errc::not_enough_memory);
}
