// SPDX-License-Identifier: MIT
/// Carveouts without the memory: who holds which range, and which regions may be used at all.
#include <doctest/doctest.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "heaps/carveout/ranges.hpp"
#include "heaps/carveout/regions.hpp"
#include "support/counters.hpp"
#include "support/process.hpp"
#include "unit/folder.hpp"
#include "unit/page.hpp"

#include <sa/carveout.hpp>

using sa::detail::CarveoutRanges;
using sa::detail::HeldRange;
using unit::Folder;

namespace {

constexpr std::uint64_t page = 4096;
constexpr std::uint64_t base = 0x30000000;

} // namespace

TEST_CASE("ranges are handed out once, aligned, and again after they were let go of") {
  const Folder folder;
  CarveoutRanges ranges(folder / "run/lock", base, 16 * page);
  std::error_code ec;
  HeldRange a = ranges.allocate(4 * page, page, ec);
  CHECK(a.start() == base);
  HeldRange b = ranges.allocate(page, page, ec);
  CHECK(b.start() == base + 4 * page);
  const HeldRange c = ranges.allocate(2 * page, 8 * page, ec);
  CHECK(c.start() == base + 8 * page);
  CHECK(ranges.allocate(8 * page, page, ec).start() == 0);
  CHECK(ec == std::errc::not_enough_memory);
  ec.clear();
  a.reset();
  CHECK(ranges.allocate(4 * page, page, ec).start() == base);
  CHECK_FALSE(ec);
  CHECK(::mmap(nullptr, page, PROT_READ, MAP_SHARED, b.handle(ec), 0) == MAP_FAILED);
  CHECK_FALSE(ec);
}

TEST_CASE("another process's ranges are respected, found free when it ends, and two names for one range do not overlap") {
  const Folder folder;
  CarveoutRanges ranges(folder / "lock", base, 16 * page);
  const support::SocketPair turns(SOCK_STREAM);
  const pid_t other = support::start([&] {
    CarveoutRanges same_memory(folder / "lock", base + 4 * page, 12 * page); // another region over the same frames
    std::error_code ec;
    const HeldRange held = same_memory.allocate(4 * page, page, ec);
    support::signal_peer(turns.b);
    ::pause();
    return held.start() == 0 ? 2 : 0;
  });
  REQUIRE(support::wait_for_peer(turns.a));
  std::error_code ec;
  const HeldRange low = ranges.allocate(4 * page, page, ec);
  CHECK(low.start() == base);
  const HeldRange high = ranges.allocate(4 * page, page, ec);
  CHECK(high.start() == base + 8 * page);
  CHECK(ranges.allocate(8 * page, page, ec).start() == 0);
  CHECK(ec == std::errc::not_enough_memory);
  ::kill(other, SIGKILL);
  support::finish(other);
  ec.clear();
  CHECK(ranges.allocate(4 * page, page, ec).start() == base + 4 * page);
  CHECK_FALSE(ec);
}

TEST_CASE("a forked child has an empty index, asks the kernel, and keeps its parent's ranges alive") {
  const Folder folder;
  CarveoutRanges ranges(folder / "lock", base, 8 * page);
  std::error_code ec;
  HeldRange mine = ranges.allocate(2 * page, page, ec);
  const support::SocketPair turns(SOCK_STREAM);
  const pid_t child = support::start([&] {
    std::error_code child_ec;
    const HeldRange own = ranges.allocate(2 * page, page, child_ec);
    if (child_ec || own.start() != base + 2 * page) {
      return 2;
    }
    support::signal_peer(turns.b);
    support::wait_for_peer(turns.b);
    mine.reset(); // the last hold: only the kernel knows that the range is free now
    const HeldRange low = ranges.allocate(2 * page, page, child_ec);
    const HeldRange high = ranges.allocate(2 * page, page, child_ec);
    return low.start() == base && high.start() == base + 6 * page ? support::passed : 3;
  });
  REQUIRE(support::wait_for_peer(turns.a));
  mine.reset();
  const HeldRange next = ranges.allocate(2 * page, page, ec); // the child still holds both
  CHECK(next.start() == base + 4 * page);
  support::signal_peer(turns.a);
  CHECK(support::finish(child) == support::passed);
  CHECK(ranges.allocate(4 * page, page, ec).start() == base);
}

TEST_CASE("a child forked while other threads allocate is not held up by what they held") {
  const Folder folder;
  CarveoutRanges ranges(folder / "lock", base, 1024 * page);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int id = 0; id < 2; ++id) {
    threads.emplace_back([&] {
      while (!stop) {
        std::error_code ec;
        HeldRange held = ranges.allocate(page, page, ec);
      }
    });
  }
  for (int i = 0; i < 100; ++i) {
    CHECK(support::in_child([&] {
            ::alarm(20);
            std::error_code ec;
            return ranges.allocate(page, page, ec) ? support::passed : 2;
          }) == support::passed);
  }
  stop = true;
  for (auto& thread : threads) {
    thread.join();
  }
}

TEST_CASE("a handle is believed only for the range that the kernel says it holds") {
  const Folder folder;
  CarveoutRanges ranges(folder / "lock", base, 16 * page);
  std::error_code ec;
  HeldRange held = ranges.allocate(4 * page, page, ec);
  const int handle = held.handle(ec);
  CHECK(ranges.holds(handle, base, 4 * page));
  CHECK(ranges.holds(handle, base + page, page));
  CHECK_FALSE(ranges.holds(handle, base, 5 * page));
  CHECK_FALSE(ranges.holds(handle, base + 4 * page, page));
  CHECK_FALSE(ranges.holds(handle, base - page, page));
  CHECK_FALSE(ranges.holds(handle, base, 0));
  CHECK_FALSE(ranges.holds(handle, base + 1, page));
  CHECK_FALSE(ranges.holds(handle, base, UINT64_MAX - page + 1));
  CHECK_FALSE(ranges.holds(-1, base, page));
  CarveoutRanges elsewhere(folder / "other", base, 16 * page);
  HeldRange foreign = elsewhere.allocate(4 * page, page, ec);
  CHECK_FALSE(ranges.holds(foreign.handle(ec), base, page)); // a lock, but on another file
  const sa::UniqueFd unlocked{::open((folder / "lock").c_str(), O_WRONLY | O_CLOEXEC)};
  CHECK_FALSE(ranges.holds(unlocked.get(), base, page));
}

TEST_CASE("threads never get the same range") {
  const Folder folder;
  CarveoutRanges ranges(folder / "lock", base, 64 * page);
  std::atomic<int> overlaps{0};
  std::vector<std::atomic<int>> users(64);
  std::vector<std::thread> threads;
  for (unsigned id = 0; id < 4; ++id) {
    threads.emplace_back([&, id] {
      for (unsigned round = 0; round < 200; ++round) {
        std::error_code ec;
        const std::uint64_t pages = 1 + (round * 7 + id) % 5;
        HeldRange held = ranges.allocate(pages * page, page, ec);
        if (ec) {
          continue;
        }
        const std::uint64_t first = (held.start() - base) / page;
        for (std::uint64_t i = first; i < first + pages; ++i) {
          overlaps += users[i]++ == 0 ? 0 : 1;
        }
        for (std::uint64_t i = first; i < first + pages; ++i) {
          --users[i];
        }
      }
    });
  }
  for (auto& thread : threads) {
    thread.join();
  }
  CHECK(overlaps == 0);
  std::error_code ec;
  CHECK(ranges.allocate(64 * page, page, ec).start() == base);
}

TEST_CASE("a symbolic link is not followed to somebody else's lock file") {
  const Folder folder;
  std::filesystem::create_symlink(folder / "target", folder / "lock");
  CarveoutRanges ranges(folder / "lock", base, 16 * page);
  std::error_code ec;
  CHECK_FALSE(ranges.allocate(page, page, ec));
  CHECK(ec == std::errc::too_many_symbolic_link_levels);
}

TEST_CASE("regions are read from SA_CARVEOUT") {
  const auto listed =
      sa::detail::list_regions("camera=64M@0x30000000;isp=0x100000@1G,device-memory;;small=4K@2147483648", {}, {});
  REQUIRE(listed.size() == 3);
  CHECK(listed[0].region.name == "camera");
  CHECK(listed[0].region.base == 0x30000000);
  CHECK(listed[0].region.size == 64 << 20);
  CHECK_FALSE(listed[0].region.device_memory);
  CHECK(listed[0].reason.empty());
  CHECK(listed[1].region.base == 1 << 30);
  CHECK(listed[1].region.size == 1 << 20);
  CHECK(listed[1].region.device_memory);
  CHECK(listed[2].region.base == 2147483648);
  for (const char* wrong :
       {"a=64M", "a=@0x1000", "a=64M@", "a=64X@0x1000", "a=64M@0x1000junk", "a=0xffffffffffffffffK@0", "a="}) {
    CAPTURE(wrong);
    const auto one = sa::detail::list_regions(wrong, {}, {});
    REQUIRE(one.size() == 1);
    CHECK_FALSE(one[0].reason.empty());
  }
  const auto overlapping = sa::detail::list_regions("a=2M@0x1000000;b=1M@0x1100000;c=1M@0x1200000", {}, {});
  CHECK_FALSE(overlapping[0].reason.empty());
  CHECK_FALSE(overlapping[1].reason.empty());
  CHECK(overlapping[2].reason.empty());
}

TEST_CASE("a device-tree region is listed, and used only when it is named") {
  const Folder folder;
  const auto node = [&](const char* name, const std::string& reg, bool no_map, const std::string& status) {
    std::filesystem::create_directories(folder / "tree" / name);
    std::ofstream(folder / "tree" / name / "reg", std::ios::binary) << reg;
    if (no_map) {
      std::ofstream(folder / "tree" / name / "no-map");
    }
    if (!status.empty()) {
      std::ofstream(folder / "tree" / name / "status", std::ios::binary) << status << '\0';
    }
  };
  using namespace std::string_literals;
  node("camera@50000000", "\0\0\0\0\x50\0\0\0\0\0\0\0\x04\0\0\0"s, true, "");
  node("linux,cma@60000000", "\0\0\0\0\x60\0\0\0\0\0\0\0\x04\0\0\0"s, false, "");
  node("off@70000000", "\0\0\0\0\x70\0\0\0\0\0\0\0\x04\0\0\0"s, true, "disabled");
  node("short@80000000", "\0\0"s, true, "okay");
  std::ofstream(folder / "tree/#address-cells", std::ios::binary) << "\0\0\0\2"s;
  std::ofstream(folder / "tree/#size-cells", std::ios::binary) << "\0\0\0\2"s;
  const auto tree = sa::detail::device_tree_regions(folder / "tree");
  REQUIRE(tree.size() == 1);
  CHECK(tree[0].name == "camera");
  CHECK(tree[0].base == 0x50000000);
  CHECK(tree[0].size == 0x4000000);
  const auto unnamed = sa::detail::list_regions("", {}, tree);
  REQUIRE(unnamed.size() == 1);
  CHECK(unnamed[0].reason.find("SA_CARVEOUT=camera") != std::string::npos);
  const auto named = sa::detail::list_regions("camera,device-memory", {}, tree);
  REQUIRE(named.size() == 1);
  CHECK(named[0].reason.empty());
  CHECK(named[0].region.base == 0x50000000);
  CHECK(named[0].region.device_memory);
  CHECK_FALSE(sa::detail::list_regions("other", {}, tree)[0].reason.empty());
  const auto configured = sa::detail::list_regions("", {{"camera", 0, 0, true}, {"other", 0, 0, false}}, tree);
  REQUIRE(configured.size() == 2);
  CHECK(configured[0].reason.empty());
  CHECK(configured[0].region.base == 0x50000000);
  CHECK(configured[0].region.size == 0x4000000);
  CHECK(configured[0].region.device_memory);
  CHECK(configured[1].reason.find("the configuration names other") != std::string::npos);
}

TEST_CASE("a region in SA_CARVEOUT hides one of the same name in the configuration") {
  const std::vector<sa::CarveoutRegion> configured{{"a", 0x1000000, 1 << 20, false}, {"b", 0x2000000, 1 << 20, false}};
  const auto listed = sa::detail::list_regions("b=2M@0x3000000", configured, {});
  REQUIRE(listed.size() == 2);
  CHECK(listed[0].region == sa::CarveoutRegion{"b", 0x3000000, 2 << 20, false});
  CHECK(listed[1].region == configured[0]);
  CHECK(listed[1].reason.empty());
  CHECK(sa::detail::list_regions("c=1M@0x1000000", configured, {})[1].reason.find("overlaps") != std::string::npos);
}

TEST_CASE("System RAM, claimed ranges and unchecked ranges are refused") {
  const std::string iomem = "00000000-00000fff : Reserved\n"
                            "00100000-2fffffff : System RAM\n"
                            "  01000000-01ffffff : Kernel code\n"
                            "30000000-33ffffff : Reserved\n"
                            "  33000000-330fffff : simple_allocator_carveout\n"
                            "40000000-afffffff : PCI Bus 0000:00\n";
  const auto why = [&](std::uint64_t start, std::uint64_t size) {
    return sa::detail::conflict({"x", start, size, false}, iomem);
  };
  CHECK(why(0x30000000, 0x1000000).empty());
  CHECK(why(0x34000000, 0x1000000).empty());
  CHECK(why(0x2ffff000, 0x2000).find("System RAM") != std::string::npos);
  CHECK(why(0x32000000, 0x2000000).find("simple_allocator_carveout") != std::string::npos);
  CHECK(why(0x50000000, 0x1000).find("PCI Bus") != std::string::npos);
  CHECK_FALSE(sa::detail::conflict({"x", 0x30000000, 4096, false}, "00000000-00000000 : Reserved\n").empty());
  CHECK_FALSE(sa::detail::conflict({"x", 0x30000000, 4096, false}, "").empty());
}

TEST_CASE("a carveout that cannot be is a heap that says why") {
  for (const sa::CarveoutRegion& region : {sa::CarveoutRegion{"ram", 0x1000, 0}, sa::CarveoutRegion{"odd", 0x1001, unit::page},
                                           sa::CarveoutRegion{"a/b", 0x30000000, unit::page},
                                           sa::CarveoutRegion{"wraps", UINT64_MAX - (unit::page - 1), 2 * unit::page}}) {
    CAPTURE(region.name);
    const auto heap = sa::make_carveout(region);
    REQUIRE(heap != nullptr);
    CHECK_FALSE(heap->info().usable);
    CHECK_FALSE(heap->info().reason.empty());
    std::error_code ec;
    CHECK_FALSE(heap->allocate({.size = 4096}, ec));
    CHECK(ec == std::errc::no_such_device);
  }
}
