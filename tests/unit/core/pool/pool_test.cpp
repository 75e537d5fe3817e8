// SPDX-License-Identifier: MIT
/// What a pool keeps, for whom, how much and how long.
#include <doctest/doctest.h>

#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "support/allocations.hpp"
#include "support/counters.hpp"
#include "support/log_capture.hpp"
#include "support/process.hpp"
#include "unit/test_heap.hpp"

using namespace std::chrono_literals;
using unit::TestHeap;

namespace {

std::shared_ptr<sa::Heap> memfd() {
  return sa::Registry::system().find("memfd:4k");
}

/// Which memory it is, without giving it away.
const void* address(const sa::DmaBuf& buffer) {
  return buffer.map_unsynchronized().bytes().data();
}

/// A heap whose buffers somebody else made.
class ImportHeap final : public sa::Heap {
public:
  ImportHeap() {
    info_.name = "import:test";
    info_.backend = "import";
    info_.granularity = 4096;
    info_.max_size = 1 << 20;
    info_.usable = true;
  }
  [[nodiscard]] const sa::HeapInfo& info() const noexcept override { return info_; }

protected:
  sa::DmaBuf do_allocate(const sa::AllocRequest& request, std::error_code& ec) override {
    return sa::DmaBuf::import(unit::real_buffer(rounded_size(request)).dup(), ec);
  }

private:
  sa::HeapInfo info_;
};

template <typename Condition>
bool within(std::chrono::milliseconds time, Condition&& condition) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) {
      return false;
    }
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

} // namespace

TEST_CASE("a pool hands a freed buffer out again, with its mapping and descriptor, under the new name") {
  sa::Pool pool(memfd());
  sa::DmaBuf buffer = pool.allocate({.size = unit::page + 904, .name = "first"});
  CHECK(buffer.size() == 2 * unit::page);
  CHECK(buffer.heap() == "memfd:4k");
  const void* where = address(buffer);
  std::memset(buffer.map_unsynchronized().bytes().data(), 7, buffer.size());
  buffer.reset();
  const int maps = support::mappings();
  const int descriptors = support::open_descriptors();
  sa::DmaBuf again = pool.allocate({.size = 2 * unit::page, .name = "second name"});
  CHECK(address(again) == where);
  CHECK(again.map_unsynchronized().bytes()[2 * unit::page - 1] == std::byte{7});
  CHECK(again.name() == "second name");
  again.reset();
  CHECK(pool.allocate({.size = unit::page + 1904}).name().empty());
  CHECK(support::mappings() == maps);
  CHECK(support::open_descriptors() == descriptors);
  CHECK(pool.statistics() == sa::PoolStatistics{.hits = 2, .misses = 1, .free_buffers = 1, .free_bytes = 2 * unit::page});
}

TEST_CASE("a buffer comes back with the last of its DmaBuf, mappings and accesses") {
  sa::Pool pool(memfd());
  sa::DmaBuf buffer = pool.allocate({.size = 4096});
  sa::CpuAccess access = buffer.access(sa::Access::Write);
  sa::Mapping mapping = buffer.map_unsynchronized();
  buffer.reset();
  CHECK(pool.statistics().live == 1);
  access.end();
  CHECK(pool.statistics().live == 1);
  const sa::Mapping copy = mapping;
  mapping = {};
  CHECK(pool.statistics().free_buffers == 0);
  CHECK(pool.allocate({.size = 4096}).map_unsynchronized().bytes().data() != copy.bytes().data());
}

TEST_CASE("requests of another size, constraint, flag or trait get a buffer of their own class") {
  auto upstream = std::make_shared<TestHeap>("test:pool", sa::Trait::Cached | sa::Trait::Contiguous);
  upstream->change().max_alignment = 65536;
  sa::Pool pool(upstream);
  const sa::AllocRequest requests[]{{.size = 4096},
                                    {.size = 8192},
                                    {.size = 4096, .constraints = {.alignment = 4096}},
                                    {.size = 4096, .constraints = {.alignment = 8192}},
                                    {.size = 4096, .constraints = {.size_alignment = 8192}},
                                    {.size = 4096, .constraints = {.size_alignment = 3 * 4096}},
                                    {.size = 4096, .constraints = {.max_segments = 1}},
                                    {.size = 4096, .constraints = {.cached = true}},
                                    {.size = 4096, .require = sa::Trait::Cached},
                                    {.size = 4096, .require = sa::Trait::Contiguous},
                                    {.size = 4096, .flags = sa::AllocFlag::Prefault}};
  int fresh = 0;
  for (const auto& request : requests) {
    pool.allocate(request).reset();
    CHECK(upstream->asked == ++fresh);
  }
  std::vector<sa::DmaBuf> held;
  for (const auto& request : requests) {
    held.push_back(pool.allocate(request));
    CHECK(held.back().size() ==
          std::max<std::uint64_t>({request.size, request.constraints.alignment, request.constraints.size_alignment}));
    CHECK(upstream->asked == fresh);
  }
  CHECK(pool.statistics().free_buffers == 0);
}

TEST_CASE("forty classes do not get in each other's way") {
  sa::Pool pool(memfd());
  std::vector<std::vector<const void*>> places(41);
  {
    std::vector<sa::DmaBuf> held;
    for (std::size_t pages = 1; pages <= 40; ++pages) {
      for (int i = 0; i < 3; ++i) {
        held.push_back(pool.allocate({.size = pages * unit::page}));
        places[pages].push_back(address(held.back()));
      }
    }
  }
  CHECK(pool.statistics().free_buffers == 120);
  std::vector<sa::DmaBuf> held;
  for (std::size_t pages = 40; pages >= 1; --pages) {
    for (int i = 0; i < 3; ++i) {
      held.push_back(pool.allocate({.size = pages * unit::page}));
      CHECK(held.back().size() == pages * unit::page);
      CHECK(std::count(places[pages].begin(), places[pages].end(), address(held.back())) == 1);
    }
  }
  CHECK(pool.statistics() == sa::PoolStatistics{.hits = 120, .misses = 120, .live = 120});
}

TEST_CASE("impossible requests are upstream's to refuse, with the pool's name, and overflow reaches no class") {
  sa::Pool pool(memfd(), {.name = "frames"});
  CHECK(pool.info().name == "frames");
  pool.allocate({.size = 4096}).reset();
  for (const std::size_t size : {SIZE_MAX, SIZE_MAX - (unit::page - 1), SIZE_MAX / 4 * 3}) {
    std::error_code ec;
    CHECK_FALSE(pool.allocate({.size = size}, ec));
    CHECK(ec == std::errc::not_enough_memory);
  }
  try {
    (void)pool.allocate({.size = SIZE_MAX / 4 * 3});
    FAIL_CHECK("not refused");
  } catch (const sa::Error& error) {
    CHECK(error.heap() == "frames");
    CHECK(std::string(error.what()).find("can ever give") != std::string::npos);
  }
  CHECK(pool.statistics().free_buffers == 1);
}

TEST_CASE("options that mean nothing are refused with a sentence") {
  const auto refused = [](std::shared_ptr<sa::Heap> upstream, sa::PoolOptions options, const char* says) {
    try {
      const sa::Pool pool(std::move(upstream), std::move(options));
      FAIL_CHECK("not refused");
    } catch (const sa::Error& error) {
      CHECK(error.code() == std::errc::invalid_argument);
      CHECK(std::string(error.what()).find(says) != std::string::npos);
    }
  };
  refused(nullptr, {}, "no upstream heap");
  refused(memfd(), {.max_age = -1ms}, "max_age -1");
  refused(memfd(), {.recycle = static_cast<sa::Recycle>(7)}, "7 is no Recycle");
  refused(memfd(), {.name = "../x"}, "name");
}

TEST_CASE("at most max_free_bytes are kept free, and all of them") {
  const int before = support::open_descriptors();
  {
    sa::Pool pool(memfd(), {.max_free_bytes = 11 * unit::page});
    std::vector<sa::DmaBuf> held;
    for (int i = 0; i < 12; ++i) {
      held.push_back(pool.allocate({.size = 2 * unit::page}));
    }
    held.clear();
    CHECK(pool.statistics() ==
          sa::PoolStatistics{.misses = 12, .free_buffers = 5, .free_bytes = 10 * unit::page, .freed_full = 7});
    CHECK(support::open_descriptors() == before + 5);
    pool.allocate({.size = unit::page}).reset();
    CHECK(pool.statistics().free_bytes == 11 * unit::page);
    for (int i = 0; i < 6; ++i) {
      std::vector<sa::DmaBuf> own;
      for (int j = 0; j < 5; ++j) {
        own.push_back(pool.allocate({.size = 2 * unit::page}));
      }
      CHECK(pool.statistics().free_bytes == unit::page);
      std::thread([&] { own.clear(); }).join();
      CHECK(pool.statistics().free_bytes == 11 * unit::page);
    }
  }
  CHECK(support::open_descriptors() == before);
}

TEST_CASE("0 bytes or no age keep nothing") {
  for (const auto& options : {sa::PoolOptions{.max_free_bytes = 0}, sa::PoolOptions{.max_age = 0ms}}) {
    sa::Pool pool(memfd(), options);
    pool.allocate({.size = 4096}).reset();
    CHECK(pool.statistics() == sa::PoolStatistics{.misses = 1, .freed_full = 1});
  }
}

TEST_CASE("a free buffer older than max_age is given back, not before, and one that is used stays") {
  const auto before = support::count();
  sa::Pool pool(memfd(), {.max_age = 400ms});
  const auto start = std::chrono::steady_clock::now();
  {
    const sa::DmaBuf a = pool.allocate({.size = 4096});
    const sa::DmaBuf b = pool.allocate({.size = 4096});
  }
  const auto one_left = [&] { return pool.statistics().free_buffers == 1; };
  while (std::chrono::steady_clock::now() < start + 350ms) { // takes the one that came back last, over and over
    pool.allocate({.size = 4096}).reset();
    REQUIRE(pool.statistics().free_buffers == 2);
    std::this_thread::sleep_for(5ms);
  }
  CHECK(within(2s, [&] {
    pool.allocate({.size = 4096}).reset();
    return one_left();
  }));
  CHECK(std::chrono::steady_clock::now() - start > 400ms);
  CHECK(within(3s, [&] { return pool.statistics().free_buffers == 0; }));
  CHECK(pool.statistics().freed_old == 2);
  CHECK(pool.statistics().free_bytes == 0);
  CHECK(support::open_descriptors() == before.descriptors);
  // Once more, from sleep.
  pool.allocate({.size = 4096}).reset();
  CHECK(within(3s, [&] { return pool.statistics().freed_old == 3; }));
}

TEST_CASE("of two pools each keeps its own age") {
  sa::Pool slow(memfd(), {.max_age = std::chrono::hours(1)});
  slow.allocate({.size = 4096}).reset();
  std::this_thread::sleep_for(20ms);
  sa::Pool quick(memfd(), {.max_age = 20ms});
  quick.allocate({.size = 4096}).reset();
  CHECK(within(3s, [&] { return quick.statistics().freed_old == 1; }));
  CHECK(slow.statistics().free_buffers == 1);
}

TEST_CASE("a reserved buffer needs no upstream, does not age and comes back to stay") {
  const auto before = support::count();
  {
    auto upstream = std::make_shared<TestHeap>("test:pool");
    sa::Pool pool(upstream, {.max_free_bytes = 8 * 8192, .max_age = 20ms});
    pool.reserve(4, {.size = 8000, .name = "reserved"});
    pool.reserve(0, {.size = 8000});
    CHECK(upstream->asked == 4);
    CHECK(pool.statistics() == sa::PoolStatistics{.free_buffers = 4, .free_bytes = 4 * 8192});
    pool.allocate({.size = 4096}).reset(); // ages
    CHECK(within(3s, [&] { return pool.statistics().freed_old == 1; }));
    CHECK(pool.statistics().free_buffers == 4);
    {
      std::vector<sa::DmaBuf> held;
      for (int i = 0; i < 4; ++i) {
        held.push_back(pool.allocate({.size = 8192}));
      }
      CHECK(upstream->asked == 5);
      // Others fill the rest of the room meanwhile.
      std::vector<sa::DmaBuf> others;
      for (int i = 0; i < 8; ++i) {
        others.push_back(pool.allocate({.size = 4096}));
        others.push_back(pool.allocate({.size = 4096}));
      }
      others.clear();
    }
    CHECK(pool.statistics().freed_full == 8); // what is reserved owns its room while it is in use
    for (int i = 0; i < 4; ++i) {
      pool.allocate({.size = 8192}).reset();
    }
    CHECK(upstream->asked == 21);
    CHECK(pool.statistics().free_bytes <= 8 * 8192);
    pool.trim();
    CHECK(pool.statistics().free_buffers == 0);
  }
  CHECK(support::leaked_since(before) == "");
}

TEST_CASE("reserve is all or nothing, says what to raise, and makes room") {
  auto upstream = std::make_shared<TestHeap>("test:pool");
  sa::Pool pool(upstream, {.max_free_bytes = 4 * 4096});
  std::error_code ec;
  for (const std::size_t count : {std::size_t{5}, SIZE_MAX}) {
    pool.reserve(count, {.size = 4096}, ec);
    CHECK(ec == std::errc::not_enough_memory);
  }
  CHECK(upstream->asked == 0);
  try {
    pool.reserve(5, {.size = 4096});
    FAIL_CHECK("not refused");
  } catch (const sa::Error& error) {
    CHECK(std::string(error.what()).find("raise PoolOptions::max_free_bytes") != std::string::npos);
  }
  pool.reserve(1, {.size = 0}, ec);
  CHECK(ec == std::errc::invalid_argument);
  pool.reserve(1, {.size = 4096, .require = sa::Trait::Zeroed}, ec);
  CHECK(ec == std::errc::operation_not_supported);
  upstream->refuse_from = 3;
  pool.reserve(4, {.size = 4096}, ec);
  CHECK(ec == std::errc::io_error);
  CHECK(pool.statistics().free_buffers == 0);
  upstream->refuse_from = 0;
  { // full of what ages
    std::vector<sa::DmaBuf> held;
    for (int i = 0; i < 4; ++i) {
      held.push_back(pool.allocate({.size = 4096, .constraints = {.alignment = 4096}}));
    }
  }
  CHECK(pool.statistics().free_buffers == 4);
  pool.reserve(3, {.size = 4096});
  CHECK(pool.statistics() == sa::PoolStatistics{.misses = 4, .free_buffers = 4, .free_bytes = 4 * 4096});
  sa::Pool imports(std::make_shared<ImportHeap>());
  imports.reserve(1, {.size = 4096}, ec);
  CHECK(ec == std::errc::operation_not_supported);
}

TEST_CASE("when upstream runs out, the pool gives its free buffers back and asks again") {
  auto upstream = std::make_shared<TestHeap>("test:pool");
  sa::Pool pool(upstream);
  pool.reserve(1, {.size = 4096});
  pool.allocate({.size = 8192}).reset();
  CHECK(pool.statistics().free_buffers == 2);
  upstream->error = ENOMEM;
  upstream->errors_left = 1;
  const sa::DmaBuf buffer = pool.allocate({.size = 16384});
  CHECK(buffer.size() == 16384);
  CHECK(pool.statistics().free_buffers == 1); // the reserved one
  upstream->errors_left = -1;
  try {
    (void)pool.allocate({.size = 32768});
    FAIL_CHECK("not refused");
  } catch (const sa::Error& error) {
    const std::string text = error.what();
    CHECK(text.find("the test's system call") != std::string::npos);
    CHECK(text.find("the test's system call") == text.rfind("the test's system call"));
  }
}

TEST_CASE("a memfd that was given away is never used again: its holders are not known") {
  for (const char* how : {"fd", "dup", "dup, closed again", "send"}) {
    CAPTURE(how);
    sa::Pool pool(memfd());
    sa::UniqueFd copy;
    const support::SocketPair sockets(SOCK_SEQPACKET);
    {
      const sa::DmaBuf buffer = pool.allocate({.size = 4096});
      if (how == std::string("fd")) {
        CHECK(buffer.fd() >= 0);
      } else if (how == std::string("send")) {
        sa::send(sockets.a, buffer);
      } else {
        copy = buffer.dup();
        if (how != std::string("dup")) {
          copy.reset();
        }
      }
    }
    CHECK(pool.statistics() == sa::PoolStatistics{.misses = 1, .freed_shared = 1});
  }
  sa::Pool pool(memfd());
  sa::DmaBuf buffer = pool.allocate({.size = 4096});
  const sa::UniqueFd alone = buffer.release();
  CHECK(alone);
  CHECK(pool.statistics() == sa::PoolStatistics{.misses = 1, .freed_shared = 1});
}

TEST_CASE("a buffer that was sent to another process is unchanged by later allocations of the pool") {
  sa::Pool pool(memfd());
  const support::SocketPair sockets(SOCK_SEQPACKET);
  const support::SocketPair turns(SOCK_STREAM);
  const pid_t peer = support::start([&] {
    const sa::DmaBuf received = sa::receive(sockets.b);
    const sa::Mapping mapping = received.map_unsynchronized();
    support::signal_peer(turns.b);
    support::wait_for_peer(turns.b);
    return mapping.bytes()[0] == std::byte{1} && mapping.bytes()[4095] == std::byte{1} ? support::passed : support::failed;
  });
  {
    const sa::DmaBuf buffer = pool.allocate({.size = 4096});
    std::memset(buffer.map_unsynchronized().bytes().data(), 1, 4096);
    sa::send(sockets.a, buffer);
    REQUIRE(support::wait_for_peer(turns.a));
  }
  for (int i = 0; i < 4; ++i) {
    std::memset(pool.allocate({.size = 4096}).map_unsynchronized().bytes().data(), 2, 4096);
  }
  support::signal_peer(turns.a);
  CHECK(support::finish(peer) == support::passed);
}

TEST_CASE("Recycle::Always uses a given-away buffer again, but not one that was released") {
  sa::Pool pool(memfd(), {.recycle = sa::Recycle::Always});
  const void* where = nullptr;
  {
    const sa::DmaBuf buffer = pool.allocate({.size = 4096});
    where = address(buffer);
    CHECK(buffer.fd() >= 0);
  }
  sa::DmaBuf again = pool.allocate({.size = 4096});
  CHECK(address(again) == where);
  CHECK(again.release());
  CHECK(pool.statistics() == sa::PoolStatistics{.hits = 1, .misses = 1, .freed_shared = 1});
}

TEST_CASE("without zero a pool shows its own earlier contents and does not call itself zeroed; with it, it does") {
  for (const bool zero : {false, true}) {
    CAPTURE(zero);
    sa::Pool pool(memfd(), {.zero = zero});
    CHECK(pool.info().traits.contains(sa::Trait::Zeroed) == zero);
    for (int round = 0; round < 3; ++round) {
      const sa::DmaBuf buffer = pool.allocate({.size = 8192});
      CHECK(buffer.traits() == pool.info().traits);
      const auto bytes = buffer.map_unsynchronized().bytes();
      CHECK(bytes[0] == (zero || round == 0 ? std::byte{0} : std::byte{9}));
      CHECK(bytes[8191] == bytes[0]);
      std::memset(bytes.data(), 9, bytes.size());
    }
    CHECK(pool.statistics().hits == 2);
    std::error_code ec;
    CHECK(static_cast<bool>(pool.allocate({.size = 4096, .require = sa::Trait::Zeroed}, ec)) == zero);
    CHECK((ec == std::errc::operation_not_supported) == !zero);
  }
}

TEST_CASE("a buffer that cannot be zeroed is not used again") {
  sa::Pool pool(std::make_shared<TestHeap>("test:pool", sa::Trait::Protected), {.zero = true});
  pool.allocate({.size = 4096}).reset();
  CHECK(pool.allocate({.size = 4096}));
  CHECK(pool.statistics() == sa::PoolStatistics{.misses = 2, .free_buffers = 1, .free_bytes = 4096});
}

TEST_CASE("buffers that upstream imported, or that belong to another pool, pass through as they are") {
  sa::Pool imports(std::make_shared<ImportHeap>());
  imports.allocate({.size = 4096}).reset();
  CHECK(imports.statistics() == sa::PoolStatistics{});
  const auto inner = std::make_shared<sa::Pool>(memfd());
  sa::Pool outer(inner);
  outer.allocate({.size = 4096}).reset();
  CHECK(outer.statistics() == sa::PoolStatistics{});
  CHECK(inner->statistics().free_buffers == 1);
}

TEST_CASE("a pool over an alias keeps what its candidates gave") {
  sa::Registry registry;
  const auto upstream = std::make_shared<TestHeap>("test:a");
  registry.add(upstream);
  registry.alias("frames", {"test:none", "test:a"});
  sa::Pool pool(registry.find("frames"));
  CHECK(pool.allocate({.size = 100}).heap() == "test:a");
  CHECK(pool.allocate({.size = 4000}).size() == unit::page);
  CHECK(upstream->asked == 1);
}

TEST_CASE("a pool's buffers outlive it and are freed then") {
  const auto before = support::count();
  {
    sa::DmaBuf live;
    {
      sa::Pool pool(memfd());
      live = pool.allocate({.size = 4096});
      pool.allocate({.size = 2 * unit::page}).reset();
      pool.reserve(2, {.size = 4096});
    }
    CHECK(support::open_descriptors() == before.descriptors + 1);
    std::memset(live.map_unsynchronized().bytes().data(), 1, live.size());
  }
  CHECK(support::leaked_since(before) == "");
}

TEST_CASE("a pool that served a thousand sizes keeps nothing of them after trim()") {
  sa::Pool pool(memfd(), {.max_free_bytes = SIZE_MAX, .max_age = std::chrono::milliseconds::max()});
  const auto all = [&] {
    for (std::size_t pages = 1; pages <= 1000; ++pages) {
      pool.allocate({.size = pages * unit::page}).reset();
    }
    pool.trim();
  };
  pool.allocate({.size = 4096}).reset(); // what the first one finds out stays
  pool.trim();
  const auto before = support::allocations().bytes;
  all();
  CHECK(support::allocations().bytes - before < 16384); // some KiB for each size once; another thread may be at work, too
}

TEST_CASE("a pool whose buffers never come back as its own says so once, and what to do") {
  const support::LogCapture log;
  sa::Pool pool(memfd(), {.name = "frames"});
  for (int i = 0; i < 100; ++i) {
    CHECK(pool.allocate({.size = 4096}).fd() >= 0);
  }
  CHECK(log.count("the pool frames is of little use") == 1);
  CHECK(log.count("Recycle::Always") == 1);
  sa::Pool full(memfd(), {.max_free_bytes = 0});
  std::vector<sa::DmaBuf> held; // many at once are no reason
  for (int i = 0; i < 100; ++i) {
    held.push_back(full.allocate({.size = 4096}));
  }
  CHECK(log.count("of little use") == 1);
  held.clear();
  (void)full.allocate({.size = 4096});
  CHECK(log.count("raise its max_free_bytes") == 1);
}

TEST_CASE("a reservation owns its room: what is reserved already counts, and is not displaced") {
  sa::Pool pool(memfd(), {.max_free_bytes = 4 * unit::page});
  pool.reserve(3, {.size = unit::page});
  std::error_code ec;
  pool.reserve(1, {.size = 2 * unit::page}, ec);
  CHECK(ec == std::errc::not_enough_memory);
  pool.reserve(1, {.size = unit::page});
  pool.allocate({.size = 2 * unit::page}).reset();
  CHECK(pool.statistics() == sa::PoolStatistics{.misses = 1, .free_buffers = 4, .free_bytes = 4 * unit::page, .freed_full = 1});
}
