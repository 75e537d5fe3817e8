// SPDX-License-Identifier: MIT
/// A reserved region that several processes use at once and die in. SA_CARVEOUT names it "test".
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/counters.hpp"
#include "support/process.hpp"

#include <sa/sa.hpp>

namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t region_base = 0x30000000;
constexpr std::size_t region_size = 64 << 20;

std::shared_ptr<sa::Heap> region() {
  auto heap = sa::Registry::system().find("carveout:test");
  REQUIRE(heap != nullptr);
  REQUIRE(heap->info().usable);
  return heap;
}

/// Fills every word of a buffer with its owner's tag, and tells whether they are all still there.
void tag(const sa::DmaBuf& buffer, std::uint64_t value) {
  const auto bytes = buffer.map_unsynchronized().bytes();
  std::fill_n(reinterpret_cast<std::uint64_t*>(bytes.data()), bytes.size() / 8, value);
}
bool tagged(const sa::DmaBuf& buffer, std::uint64_t value) {
  const auto bytes = buffer.map_unsynchronized().bytes();
  const auto* words = reinterpret_cast<const std::uint64_t*>(bytes.data());
  return std::all_of(words, words + bytes.size() / 8, [&](std::uint64_t word) { return word == value; });
}

bool zero(const sa::DmaBuf& buffer) {
  const auto bytes = buffer.map_unsynchronized().bytes();
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte byte) { return byte == std::byte{0}; });
}

/// Allocates, checks and frees at random until it is killed or @p until; 0 when nothing was ever wrong.
int churn(unsigned seed, std::chrono::steady_clock::time_point until) {
  struct Live {
    sa::DmaBuf buffer;
    std::uint64_t tag;
  };
  std::mt19937 random(seed);
  const auto heap = region();
  std::vector<Live> live;
  std::uint64_t next = (std::uint64_t{seed} << 32) | static_cast<std::uint32_t>(::getpid());
  while (std::chrono::steady_clock::now() < until) {
    if (live.size() < 12 && random() % 3 != 0) {
      std::error_code ec;
      sa::DmaBuf buffer = heap->allocate({.size = std::size_t{4096} << (random() % 9)}, ec);
      if (ec == std::errc::not_enough_memory) {
        live.clear();
        continue;
      }
      if (ec || !zero(buffer)) {
        std::fprintf(stderr, "allocation: %s\n", ec ? ec.message().c_str() : "not zero");
        return 2;
      }
      tag(buffer, ++next);
      live.push_back({std::move(buffer), next});
    } else if (!live.empty()) {
      const std::size_t which = random() % live.size();
      if (!tagged(live[which].buffer, live[which].tag)) {
        std::fprintf(stderr, "overlap at %#llx\n", static_cast<unsigned long long>(*live[which].buffer.phys_addr()));
        return 3;
      }
      std::swap(live[which], live.back());
      live.pop_back();
    }
  }
  return std::all_of(live.begin(), live.end(), [](const Live& one) { return tagged(one.buffer, one.tag); }) ? 0 : 3;
}

} // namespace

TEST_CASE("four processes churn in one region while one is killed every 100 ms: no overlap, and all of it is free again") {
  const auto until = std::chrono::steady_clock::now() + 10s;
  std::vector<pid_t> processes;
  unsigned seed = 1;
  const auto spawn = [&] { return support::start([seed = seed++, until] { return churn(seed, until); }); };
  for (int i = 0; i < 4; ++i) {
    processes.push_back(spawn());
  }
  int killed = 0;
  for (unsigned round = 0; std::chrono::steady_clock::now() + 200ms < until; ++round) {
    std::this_thread::sleep_for(100ms);
    auto& victim = processes[round % 4];
    ::kill(victim, SIGKILL);
    const int status = support::finish(victim);
    CHECK(status == 128 + SIGKILL); // otherwise it had found something wrong
    killed += status == 128 + SIGKILL ? 1 : 0;
    victim = spawn();
  }
  for (const pid_t process : processes) {
    CHECK(support::finish(process) == 0);
  }
  CHECK(killed >= 40);
  MESSAGE("killed ", killed, " processes");
  const sa::DmaBuf whole = region()->allocate({.size = region_size});
  CHECK(whole.size() == region_size);
  CHECK(zero(whole));
}

TEST_CASE("a received buffer stays valid when its maker is killed, and its range is not handed out again") {
  const support::SocketPair sockets(SOCK_SEQPACKET);
  const support::SocketPair turns(SOCK_STREAM);
  const pid_t maker = support::start([&] {
    const sa::DmaBuf buffer = region()->allocate({.size = 1 << 20, .name = "gift"});
    tag(buffer, 77);
    sa::send(sockets.a, buffer);
    support::signal_peer(turns.a);
    ::pause();
    return 1;
  });
  REQUIRE(support::wait_for_peer(turns.b));
  const sa::DmaBuf received = sa::receive(sockets.b);
  CHECK(received.traits().contains(sa::Trait::Contiguous | sa::Trait::PhysAddr));
  CHECK(received.fd() == -1);
  ::kill(maker, SIGKILL);
  support::finish(maker);
  CHECK(tagged(received, 77));
  const sa::DmaBuf rest = region()->allocate({.size = region_size - (1 << 20)});
  CHECK(*rest.phys_addr() != *received.phys_addr());
  CHECK(tagged(received, 77));
  std::error_code ec;
  CHECK_FALSE(region()->allocate({.size = 4096}, ec));
  CHECK(ec == std::errc::not_enough_memory);
}

TEST_CASE("a handle that does not hold the range it names is refused from any sender") {
  const auto heap = region();
  const sa::DmaBuf mine = heap->allocate({.size = 8192});
  const int before = support::open_descriptors();
  const auto refused = [&](sa::UniqueFd handle, std::uint64_t offset, std::size_t size) {
    std::error_code ec;
    CHECK_FALSE(heap->accept(std::move(handle), offset, size, "x", ec));
    CHECK(ec == std::errc::bad_message);
  };
  const char* lock_file = "/run/simple-allocator/carveout.lock";
  refused(sa::UniqueFd{::open(lock_file, O_WRONLY | O_CLOEXEC)}, *mine.phys_addr(), 8192); // no lock of its own
  refused(sa::UniqueFd{::open("/dev/null", O_RDWR | O_CLOEXEC)}, *mine.phys_addr(), 8192);
  refused(sa::UniqueFd{::open(lock_file, O_WRONLY | O_CLOEXEC)}, 0x100000, 4096); // the kernel's own memory
  CHECK(support::open_descriptors() == before);
  struct stat status {};
  REQUIRE(::stat(lock_file, &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
}

TEST_CASE("a range is not handed out when /proc/iomem cannot be looked at after it was taken, and is free again") {
  CHECK(support::in_child([] {
          const auto heap = region();
          const sa::DmaBuf mine = heap->allocate({.size = 8 << 20}); // opens /dev/mem and the lock file
          if (!support::inject({"openat", SYS_openat, EIO})) {
            return 2;
          }
          std::error_code ec;
          if (heap->allocate({.size = 64 << 10}, ec) || ec.value() != EIO) {
            return 3;
          }
          return support::passed;
        }) == support::passed);
  CHECK(region()->allocate({.size = region_size}).size() == region_size);
}

TEST_CASE("memory that is not reserved is refused with the reason") {
  const auto refused = [](std::uint64_t base, std::uint64_t size, const char* why) {
    const auto heap = sa::make_carveout({"x", base, size});
    CHECK_FALSE(heap->info().usable);
    CAPTURE(heap->info().reason);
    CHECK(heap->info().reason.find(why) != std::string::npos);
    std::error_code ec;
    CHECK_FALSE(heap->allocate({.size = 4096}, ec));
    CHECK(ec == std::errc::no_such_device);
  };
  refused(0x1000000, 1 << 20, "System RAM");
  refused(region_base - 4096, 8192, "System RAM");
  refused(0xb0000000, 1 << 20, "PCI");
  CHECK(sa::make_carveout({"part", region_base, 1 << 20})->info().usable);
}

TEST_CASE("two names for one range share it without overlap") {
  const auto other = sa::make_carveout({"other", region_base, region_size});
  const sa::DmaBuf a = region()->allocate({.size = 32 << 20});
  const sa::DmaBuf b = other->allocate({.size = 16 << 20});
  tag(a, 1);
  tag(b, 2);
  CHECK(tagged(a, 1));
  std::error_code ec;
  CHECK_FALSE(other->allocate({.size = 32 << 20}, ec));
  CHECK(ec == std::errc::not_enough_memory);
}

TEST_CASE("the alias contiguous reaches the carveout where there is no CMA, and DmaBuf is never claimed for it") {
  sa::Registry registry;
  registry.refresh();
  registry.alias("reserved-only", {"carveout:*"});
  const sa::DmaBuf buffer = registry.allocate("reserved-only", {.size = 4096, .require = sa::Trait::Contiguous});
  CHECK(buffer.heap() == "carveout:test");
  std::error_code ec;
  CHECK_FALSE(registry.allocate("reserved-only", {.size = 4096, .require = sa::Trait::DmaBuf}, ec));
  CHECK(ec == std::errc::operation_not_supported);
  const sa::DmaBuf contiguous = registry.allocate("contiguous", {.size = 4096});
  CHECK(contiguous.traits().contains(sa::Trait::Contiguous));
}
