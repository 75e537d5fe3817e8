// SPDX-License-Identifier: MIT
/// A pool on real exporters: what was given away is used again only when nobody else has it.
#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <xf86drm.h>

#include <sa/sa.hpp>

#include "support/counters.hpp"
#include "support/process.hpp"
#include "vm/guest.hpp"
#include "vm/importers.hpp"
#include "vm/timeline.hpp"

namespace {

constexpr std::size_t size = 65536;

/// The heaps of this machine whose exporters tell who has a buffer.
std::vector<std::string> telling_heaps() {
  std::vector<std::string> names;
  for (const auto& info : sa::Registry::system().heaps()) {
    const bool known = info.name == "dma-heap:system" || info.name == "dma-heap:reserved" || info.backend == "udmabuf" ||
                       info.backend == "cma" || (info.backend == "carveout" && info.traits.contains(sa::Trait::DmaBuf));
    if (info.usable && known) {
      names.push_back(info.name);
    }
  }
  REQUIRE(names.size() >= (guest::is("full") ? 3 : 2));
  return names;
}

/// Whether the pool has a buffer free with which @p use did something, or sets it aside; mapped and not.
bool comes_back(const std::string& heap, const std::function<void(const sa::DmaBuf&)>& use, bool mapped) {
  sa::Pool pool(sa::Registry::system().find(heap));
  {
    const sa::DmaBuf buffer = pool.allocate({.size = size});
    if (mapped) {
      buffer.map_unsynchronized().bytes()[0] = std::byte{1};
    }
    use(buffer);
  }
  const sa::PoolStatistics now = pool.statistics();
  CHECK(now.free_buffers + now.set_aside == 1);
  return now.free_buffers == 1;
}

/// Checks for every heap that tells.
void check(bool expected, const std::function<void(const sa::DmaBuf&)>& use) {
  for (const auto& heap : telling_heaps()) {
    for (const bool mapped : {false, true}) {
      CAPTURE(heap);
      CAPTURE(mapped);
      CHECK(comes_back(heap, use, mapped) == expected);
    }
  }
}

/// Another process that receives one buffer and holds it until end().
class Peer {
public:
  enum class Holds { Descriptor, Mapping };

  explicit Peer(Holds holds) {
    child_ = support::start([&] {
      sa::DmaBuf received = sa::receive(buffers_.b);
      if (holds == Holds::Mapping) { // by hand: a Mapping would hold the descriptor too
        const void* address = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, received.fd(), 0);
        received.reset();
        if (address == MAP_FAILED) {
          return 2;
        }
      }
      support::signal_peer(turns_.b);
      support::wait_for_peer(turns_.b);
      return support::passed;
    });
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  ~Peer() { end(); }

  /// Returns when the peer has it.
  void send(const sa::DmaBuf& buffer) const {
    sa::send(buffers_.a, buffer);
    CHECK(support::wait_for_peer(turns_.a));
  }
  void end() {
    if (child_ > 0) {
      support::signal_peer(turns_.a);
      CHECK(support::finish(child_) == support::passed);
      child_ = 0;
    }
  }

private:
  support::SocketPair buffers_{SOCK_SEQPACKET};
  support::SocketPair turns_{SOCK_STREAM};
  pid_t child_ = 0;
};

} // namespace

TEST_CASE("a buffer whose fd has no other holder is used again, with the same memory and descriptor") {
  for (const auto& heap : telling_heaps()) {
    CAPTURE(heap);
    sa::Pool pool(sa::Registry::system().find(heap));
    int fd = -1;
    {
      const sa::DmaBuf buffer = pool.allocate({.size = size});
      fd = buffer.fd();
      const sa::UniqueFd copy = buffer.dup();
      {
        const auto cpu = buffer.access(sa::Access::Write);
        cpu.bytes()[size - 1] = std::byte{42};
      }
    }
    const sa::DmaBuf again = pool.allocate({.size = size});
    CHECK(again.fd() == fd);
    {
      const auto cpu = again.access(sa::Access::Read);
      CHECK(cpu.bytes()[size - 1] == std::byte{42});
    }
    CHECK(pool.statistics().hits == 1);
  }
}

TEST_CASE("a buffer of which a duplicate is open is not used again") {
  sa::UniqueFd copy;
  check(false, [&](const sa::DmaBuf& buffer) { copy = buffer.dup(); });
}

TEST_CASE("a buffer that this process mapped by hand is not used again, until it is unmapped") {
  void* address = nullptr;
  const auto map = [&](const sa::DmaBuf& buffer) {
    address = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, buffer.fd(), 0);
    REQUIRE(address != MAP_FAILED);
  };
  std::vector<void*> kept;
  check(false, [&](const sa::DmaBuf& buffer) {
    map(buffer);
    kept.push_back(address);
  });
  for (void* one : kept) { // or the programs that later tests start would have them too
    ::munmap(one, size);
  }
  check(true, [&](const sa::DmaBuf& buffer) {
    map(buffer);
    ::munmap(address, size);
  });
}

TEST_CASE("a buffer whose memory file was taken is not used again: the dma-buf does not count the file's holders") {
  sa::Pool pool(sa::Registry::system().find("udmabuf:4k"));
  sa::UniqueFd copy;
  {
    const sa::DmaBuf buffer = pool.allocate({.size = size});
    REQUIRE(buffer.memfd() >= 0);
    REQUIRE(buffer.memfd() != buffer.fd());
    copy = sa::UniqueFd{::fcntl(buffer.memfd(), F_DUPFD_CLOEXEC, 0)};
    buffer.map_unsynchronized().bytes()[1] = std::byte{42};
    char byte = 0;
    CHECK(::pread(copy.get(), &byte, 1, 1) == 1); // the same memory
    CHECK(byte == 42);
  }
  CHECK(pool.statistics() == sa::PoolStatistics{.misses = 1, .freed_shared = 1});
  CHECK(pool.allocate({.size = size}).memfd() >= 0);
}

TEST_CASE("a buffer in flight in a socket is not used again") {
  std::vector<std::unique_ptr<support::SocketPair>> pairs;
  check(false, [&](const sa::DmaBuf& buffer) {
    pairs.push_back(std::make_unique<support::SocketPair>(SOCK_SEQPACKET));
    sa::send(pairs.back()->a, buffer);
  });
}

TEST_CASE("a buffer that another process holds, by its fd or only by a mapping, is not used again, until it lets go") {
  for (const auto& heap : telling_heaps()) {
    for (const auto holds : {Peer::Holds::Descriptor, Peer::Holds::Mapping}) {
      for (const bool lets_go : {false, true}) {
        CAPTURE(heap);
        CAPTURE(static_cast<int>(holds));
        CAPTURE(lets_go);
        Peer peer(holds); // before the buffer exists: a fork would be another reason
        const auto use = [&](const sa::DmaBuf& buffer) {
          peer.send(buffer);
          if (lets_go) {
            peer.end();
          }
        };
        CHECK(comes_back(heap, use, true) == lets_go);
      }
    }
  }
}

TEST_CASE("a buffer that a forked child has is not used again, until the child is gone") {
  const support::SocketPair turns(SOCK_STREAM);
  std::vector<pid_t> children;
  check(false, [&](const sa::DmaBuf&) {
    children.push_back(support::start([&] {
      support::wait_for_peer(turns.b);
      return support::passed;
    }));
  });
  for (std::size_t i = 0; i < children.size(); ++i) {
    support::signal_peer(turns.a);
  }
  for (const pid_t child : children) {
    CHECK(support::finish(child) == support::passed);
  }
  check(true, [](const sa::DmaBuf&) { CHECK(support::in_child([] { return support::passed; }) == support::passed); });
}

TEST_CASE("a buffer that a device has imported is not used again, until it lets go") {
  guest::load("vgem");
  const sa::UniqueFd card{::open("/dev/dri/card0", O_RDWR | O_CLOEXEC)};
  REQUIRE(card);
  std::uint32_t handle = 0;
  check(false, [&](const sa::DmaBuf& buffer) {
    REQUIRE(::drmPrimeFDToHandle(card.get(), buffer.fd(), &handle) == 0); // held until the card is closed
  });
  check(true, [&](const sa::DmaBuf& buffer) {
    REQUIRE(::drmPrimeFDToHandle(card.get(), buffer.fd(), &handle) == 0);
    ::drmCloseBufferHandle(card.get(), handle);
  });
}

TEST_CASE("a buffer on which a device works is not used again, one whose fences are signalled is" *
          doctest::skip(!guest::is("full"))) {
  const guest::Timeline timeline;
  check(false, [&](const sa::DmaBuf& buffer) { buffer.import_sync_file(sa::Access::Read, timeline.fence(1).get()); });
  check(false, [&](const sa::DmaBuf& buffer) { buffer.import_sync_file(sa::Access::Write, timeline.fence(1).get()); });
  timeline.signal();
  check(true, [&](const sa::DmaBuf& buffer) { buffer.import_sync_file(sa::Access::Write, timeline.fence(1).get()); });
}

TEST_CASE("a pool that zeroes does not wait for a device: a buffer in a device is skipped" * doctest::skip(!guest::is("full"))) {
  const guest::Timeline timeline;
  sa::Pool pool(sa::Registry::system().find("dma-heap:system"), {.recycle = sa::Recycle::Always, .zero = true});
  pool.allocate({.size = size}).import_sync_file(sa::Access::Write, timeline.fence(1).get());
  CHECK(pool.statistics().free_buffers == 1);
  CHECK(pool.allocate({.size = size}));
  CHECK(pool.statistics().misses == 2);
}

TEST_CASE("a buffer with another holder when it came back is used again once that ended, and freed when it does not") {
  for (const auto& heap : telling_heaps()) {
    CAPTURE(heap);
    sa::Pool pool(sa::Registry::system().find(heap), {.max_free_bytes = 2 * size, .max_age = std::chrono::milliseconds(400)});
    sa::UniqueFd copy;
    sa::UniqueFd other;
    {
      const sa::DmaBuf first = pool.allocate({.size = size}), second = pool.allocate({.size = size});
      copy = first.dup();
      other = second.dup();
    }
    CHECK(pool.statistics() == sa::PoolStatistics{.misses = 2, .set_aside = 2, .free_bytes = 2 * size});
    CHECK(pool.allocate({.size = size})); // a third: theirs are not touched; it needs the room of one of them
    CHECK(pool.statistics().freed_shared == 1);
    copy.reset();
    other.reset();
    const sa::DmaBuf a = pool.allocate({.size = size}), b = pool.allocate({.size = size});
    CHECK(pool.statistics() == sa::PoolStatistics{.hits = 2, .misses = 3, .live = 2, .freed_shared = 1});
  }
  sa::Pool pool(sa::Registry::system().find("dma-heap:system"), {.max_age = std::chrono::milliseconds(100)});
  const sa::UniqueFd kept = pool.allocate({.size = size}).dup();
  for (int i = 0; i < 300 && pool.statistics().freed_old == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  CHECK(pool.statistics() == sa::PoolStatistics{.misses = 1, .freed_old = 1});
}

TEST_CASE("a camera with a queue of four finds each of its buffers again" * doctest::skip(!guest::is("full"))) {
  constexpr unsigned slots = 4;
  const auto heap =
      sa::Registry::system().find(guest::has_argument("vivid.allocators=1") ? "dma-heap:reserved" : "dma-heap:system");
  heap->allocate({.size = size}).reset(); // its node stays open
  for (const std::size_t reserved : {slots + 1, slots}) {
    CAPTURE(reserved);
    const unsigned frames = reserved > slots ? 300 : 60; // vivid makes 10 to 15 a second of this size
    const importers::Camera camera;
    const auto before = support::count();
    {
      sa::Pool pool(heap, {.max_age = std::chrono::milliseconds::max()}); // no thread, which would be counted
      pool.reserve(reserved, {.size = camera.frame_size()});
      std::vector<sa::DmaBuf> queued(slots);
      importers::Stream stream(camera, slots);
      for (unsigned slot = 0; slot < slots; ++slot) {
        queued[slot] = pool.allocate({.size = camera.frame_size()});
        stream.queue(slot, queued[slot]);
      }
      for (unsigned frame = 0; frame < frames; ++frame) {
        const unsigned slot = stream.dequeue();
        if (frame % 2 == 0) { // the user is done with it before or after the slot has another
          queued[slot].reset();
        }
        sa::DmaBuf next = pool.allocate({.size = camera.frame_size()});
        stream.queue(slot, next);
        queued[slot] = std::move(next);
      }
      const sa::PoolStatistics now = pool.statistics();
      CHECK(now.misses == slots + 1 - reserved); // the one extra is made once and kept
      CHECK(now.hits == slots + frames - now.misses);
      CHECK(now.freed_shared + now.freed_full + now.freed_old == 0);
    }
    CHECK(support::leaked_since(before) == "");
  }
}

TEST_CASE("reusing a buffer whose fd was taken makes two system calls, three when it had another holder as it came back") {
  for (const auto& heap : telling_heaps()) {
    for (const bool had : {false, true}) {
      CAPTURE(heap);
      CAPTURE(had);
      const long calls = support::count_system_calls([&] {
        sa::Pool pool(sa::Registry::system().find(heap), {.max_age = std::chrono::milliseconds::max()});
        sa::UniqueFd copy;
        const auto round = [&](bool marked) {
          sa::DmaBuf buffer = pool.allocate({.size = size});
          (void)buffer.map_unsynchronized();
          copy = had ? buffer.dup() : sa::UniqueFd(buffer.fd() < 0 ? buffer.fd() : -1);
          if (marked) {
            support::mark();
          }
          buffer.reset();
          if (had && marked) {
            copy.reset(); // one of those that are counted
          }
          copy.reset();
          if (marked) {
            buffer = pool.allocate({.size = size});
            support::mark();
          }
        };
        round(false);
        round(true);
        return pool.statistics().misses == 1 ? support::passed : support::failed;
      });
      CHECK(calls == (had ? 3 + 1 : 2)); // and the other's close()
    }
  }
}

TEST_CASE("the open fdinfo files of a pool's buffers make way when descriptors run out") {
  CHECK(support::in_child([] {
          sa::Pool pool(sa::Registry::system().find("dma-heap:system"));
          constexpr int count = 8;
          {
            std::vector<sa::DmaBuf> held;
            for (int i = 0; i < count; ++i) {
              held.push_back(pool.allocate({.size = size}));
              (void)held.back().fd();
            }
          }
          const int open = support::open_descriptors();
          rlimit limit{};
          ::getrlimit(RLIMIT_NOFILE, &limit);
          int highest = ::dup(0);
          ::close(highest);
          limit.rlim_cur = static_cast<rlim_t>(highest); // not one more
          ::setrlimit(RLIMIT_NOFILE, &limit);
          const sa::DmaBuf another = pool.allocate({.size = 2 * size});
          limit.rlim_cur = limit.rlim_max;
          ::setrlimit(RLIMIT_NOFILE, &limit);
          return another && pool.statistics().free_buffers == count && support::open_descriptors() == open - count + 1
                     ? support::passed
                     : support::failed;
        }) == support::passed);
}

TEST_CASE("where the kernel does not tell a buffer's holders, it is not used again") {
  CHECK(support::in_child([] {
          if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/proc", "tmpfs", 0, nullptr) != 0) {
            return 3;
          }
          sa::Pool pool(sa::Registry::system().find("dma-heap:system"));
          (void)pool.allocate({.size = size}).fd();
          return pool.statistics().freed_shared == 1 && pool.statistics().free_buffers == 0 ? support::passed : 4;
        }) == support::passed);
}

TEST_CASE("drm buffers, memfds and carveouts through /dev/mem are not used again once they were given away") {
  guest::load("vgem");
  sa::Registry registry;
  registry.refresh();
  int seen = 0;
  for (const auto& info : registry.heaps()) {
    const bool tells_not = info.backend == "drm" || info.backend == "memfd" ||
                           (info.backend == "carveout" && !info.traits.contains(sa::Trait::DmaBuf));
    if (!info.usable || !tells_not) {
      continue;
    }
    CAPTURE(info.name);
    sa::Pool pool(registry.find(info.name));
    (void)pool.allocate({.size = size}).map_unsynchronized(); // never given away
    CHECK(pool.statistics().free_buffers == 1);
    {
      const sa::DmaBuf buffer = pool.allocate({.size = size});
      const support::SocketPair sockets(SOCK_SEQPACKET);
      sa::send(sockets.a, buffer);
    } // nobody has it any more, but who could tell
    CHECK(pool.statistics().freed_shared == 1);
    CHECK(pool.statistics().free_buffers == 0);
    ++seen;
  }
  CHECK(seen >= 2);
}

TEST_CASE("a pool reserves CMA at the start and has it when the region is full" * doctest::skip(!guest::is("full"))) {
  const auto upstream = sa::Registry::system().find("dma-heap:reserved");
  const auto before = support::count();
  {
    sa::Pool pool(upstream);
    pool.reserve(4, {.size = 8 << 20});
    std::vector<sa::DmaBuf> others;
    std::error_code ec;
    while (!ec && others.size() < 1000) {
      others.push_back(upstream->allocate({.size = 1 << 20}, ec));
    }
    CHECK(ec == std::errc::not_enough_memory);
    for (int round = 0; round < 3; ++round) {
      std::vector<sa::DmaBuf> frames;
      for (int i = 0; i < 4; ++i) {
        frames.push_back(pool.allocate({.size = 8 << 20}));
        {
          const auto cpu = frames.back().access(sa::Access::Write);
          cpu.bytes()[0] = std::byte{1};
        }
      }
    }
    CHECK(pool.statistics().misses == 0);
  }
  CHECK(support::leaked_since(before) == "");
}
