// SPDX-License-Identifier: MIT
/// Several regions, as a board's device tree has them (regions.dtsi): each buffer comes from the region that was asked.
/// Skipped but in `scripts/vm --kernel arm64 --modules`.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <sys/stat.h>

#include "support/counters.hpp"
#include "vm/guest.hpp"

#include <sa/sa.hpp>

namespace {

struct Region {
  std::string node;
  std::string heap;
  std::string label;
  std::uint64_t base;
  std::size_t size; ///< bytes
};

const std::vector<Region> regions{
    {"cma0", "cma:cma0", "cma0", 0x58000000, 96 << 20},
    {"cma1", "cma:cma1", "cma1", 0x50000000, 32 << 20},
    {"cma3", "cma:cma3", "cma3", 0x52000000, 32 << 20},
    {"carveout0", "carveout:camera", "camera", 0x54000000, 16 << 20},
};

constexpr std::size_t page = 4096;

std::shared_ptr<sa::Heap> heap_of(const Region& region) {
  auto heap = sa::Registry::system().find(region.heap);
  REQUIRE(heap != nullptr);
  REQUIRE(heap->info().usable);
  return heap;
}

std::string attribute(const Region& region, const char* name) {
  std::string text = support::read_file("/sys/class/simple_allocator/" + region.node + "/" + name);
  return text.substr(0, text.find('\n'));
}

/// First and last address of each live buffer of a region, in order, as the kernel lists them.
std::vector<std::pair<std::uint64_t, std::uint64_t>> live(const Region& region) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
  std::istringstream lines(support::read_file("/sys/kernel/debug/simple_allocator/" + region.node + "/buffers"));
  for (std::string line; std::getline(lines, line);) {
    unsigned long long phys = 0;
    std::size_t size = 0;
    if (std::sscanf(line.c_str(), "%*u %llx %zu", &phys, &size) == 2) {
      ranges.emplace_back(phys, phys + size - 1);
    }
  }
  std::sort(ranges.begin(), ranges.end());
  return ranges;
}

/// Whether all live buffers lie in the region and none overlaps another.
bool apart_and_inside(const Region& region) {
  const auto ranges = live(region);
  std::uint64_t free_from = region.base;
  for (const auto& [first, last] : ranges) {
    if (first < free_from || last >= region.base + region.size) {
      return false;
    }
    free_from = last + 1;
  }
  return true;
}

/// Takes pieces of @p size bytes until the kernel refuses; the reason must be that memory ran out.
void take_all(const Region& region, std::size_t size, std::vector<sa::DmaBuf>& held) {
  std::error_code ec;
  const auto heap = heap_of(region);
  while (held.size() < 1 << 16) {
    sa::DmaBuf buffer = heap->allocate({.size = size}, ec);
    if (ec) {
      break;
    }
    held.push_back(std::move(buffer));
  }
  CHECK(ec == std::errc::not_enough_memory);
}

} // namespace

#define REGIONS_TEST(sentence) TEST_CASE(sentence* doctest::skip(!guest::is("arm64") || !guest::has_own_modules()))

REGIONS_TEST("every region of the device tree has a node, with its size and its name") {
  for (const auto& region : regions) {
    CAPTURE(region.node);
    CHECK(attribute(region, "label") == region.label);
    CHECK(attribute(region, "size") == std::to_string(region.size));
    CHECK(heap_of(region)->info().max_size == region.size);
  }
}

REGIONS_TEST("buffers of every size come from the region that was asked") {
  for (const auto& region : regions) {
    CAPTURE(region.node);
    const auto heap = heap_of(region);
    std::vector<sa::DmaBuf> held;
    for (const std::size_t size : {page, 2 * page, std::size_t{3110400}, std::size_t{8} << 20, page}) {
      CAPTURE(size);
      held.push_back(heap->allocate({.size = size}));
      CHECK(apart_and_inside(region));
    }
    CHECK(live(region).size() == held.size());
  }
}

REGIONS_TEST("a region that is exhausted answers ENOMEM, gives no memory from elsewhere and leaves the others alone") {
  for (const auto& region : regions) {
    CAPTURE(region.node);
    std::vector<sa::DmaBuf> held;
    take_all(region, 1 << 20, held);
    const std::size_t large = held.size();
    // The kernel has pages of its own in a CMA region, which it cannot always move.
    CHECK(large >= region.size / (1 << 20) / 2);
    take_all(region, 64 << 10, held);
    take_all(region, page, held);
    MESSAGE(region.node, ": ", large, " MiB in pieces of 1 MiB, then ", held.size() - large, " smaller ones");
    CHECK(apart_and_inside(region));
    CHECK(live(region).size() == held.size());
    for (const auto& other : regions) {
      if (other.base != region.base) {
        const sa::DmaBuf buffer = heap_of(other)->allocate({.size = 1 << 20});
        CHECK(live(other).size() == 1);
        CHECK(apart_and_inside(other));
      }
    }
    held.clear();
    CHECK(attribute(region, "allocated") == "0");
    CHECK(heap_of(region)->allocate({.size = 4 << 20}));
  }
}

REGIONS_TEST("memory of a CMA region is cached, a carveout is not, and both keep what is written") {
  for (const auto& region : regions) {
    CAPTURE(region.node);
    const auto heap = heap_of(region);
    CHECK(heap->info().traits.contains(sa::Trait::DmaBuf | sa::Trait::Contiguous | sa::Trait::Zeroed));
    CHECK(heap->info().traits.contains(sa::Trait::Cached) == (region.node != "carveout0"));
    for (int round = 0; round < 2; ++round) { // the second finds what the first left
      const sa::DmaBuf buffer = heap->allocate({.size = 1 << 20});
      {
        const sa::CpuAccess cpu = buffer.access(sa::Access::ReadWrite);
        CHECK(std::ranges::all_of(cpu.bytes(), [](std::byte byte) { return byte == std::byte{0}; }));
        std::ranges::fill(cpu.bytes(), std::byte{0x5a});
      }
      const sa::CpuAccess cpu = buffer.access(sa::Access::Read);
      CHECK(std::ranges::all_of(cpu.bytes(), [](std::byte byte) { return byte == std::byte{0x5a}; }));
    }
  }
}
