// SPDX-License-Identifier: MIT
/// The kernel modules: the ioctl, limits, what is seen of a region, loading and unloading. Skipped where they are not
/// loaded (scripts/vm --modules).
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <random>
#include <span>
#include <sstream>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <linux/dma-heap.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/counters.hpp"
#include "support/process.hpp"
#include "vm/guest.hpp"
#include "vm/importers.hpp"

#include <sa/sa.hpp>
#include <sa/uapi/simple-allocator.h>

using namespace std::chrono_literals;

namespace {

constexpr std::size_t page = 4096;
const std::vector<std::string> nodes{"cma0", "carveout0"};

std::string attribute(const std::string& node, const char* name) {
  return "/sys/class/simple_allocator/" + node + "/" + name;
}

std::uint64_t value(const std::string& node, const char* name) {
  return std::strtoull(support::read_file(attribute(node, name)).c_str(), nullptr, 10);
}

sa::UniqueFd open_node(const std::string& node) {
  sa::UniqueFd fd{::open(("/dev/" + node).c_str(), O_RDWR | O_CLOEXEC)};
  REQUIRE(fd);
  return fd;
}

simple_allocate_data request(std::uint64_t length, std::uint32_t flags = O_RDWR | O_CLOEXEC) {
  simple_allocate_data data{};
  data.length = length;
  data.flags = flags;
  data.fd = -1;
  return data;
}

/// 0, or the errno.
int ask(int device, simple_allocate_data& data) {
  return ::ioctl(device, SA_IOC_ALLOC, &data) == 0 ? 0 : errno;
}

sa::UniqueFd allocate(int device, std::uint64_t length) {
  auto data = request(length);
  REQUIRE(ask(device, data) == 0);
  return sa::UniqueFd{data.fd};
}

/// What the kernel lists of one live buffer.
struct Listed {
  std::uint64_t phys = 0;
  std::size_t size = 0;
  unsigned uid = 0;
  int pid = 0;
};

Listed listed(const std::string& node, int fd) {
  struct stat status {};
  REQUIRE(::fstat(fd, &status) == 0);
  std::istringstream lines(support::read_file("/sys/kernel/debug/simple_allocator/" + node + "/buffers"));
  for (std::string line; std::getline(lines, line);) {
    unsigned long inode = 0;
    unsigned long long phys = 0;
    Listed one;
    if (std::sscanf(line.c_str(), "%lu %llx %zu %u %d", &inode, &phys, &one.size, &one.uid, &one.pid) == 5 &&
        inode == status.st_ino) {
      one.phys = phys;
      return one;
    }
  }
  return {};
}

std::string module(const char* name) {
  return std::string(std::getenv("SA_VM_OWN_MODULES")) + "/" + name + ".ko";
}

// By the system calls themselves: a program for each would take most of the time of a hundred cycles.
bool remove_module(const char* name) {
  return ::syscall(SYS_delete_module, name, O_NONBLOCK) == 0;
}

bool load_module(const char* name, const std::string& parameters = "") {
  const sa::UniqueFd file{::open(module(name).c_str(), O_RDONLY | O_CLOEXEC)};
  return ::syscall(SYS_finit_module, file.get(), parameters.c_str(), 0) == 0;
}

bool load_carveout(const std::string& parameters) {
  return load_module("simple_allocator_carveout", parameters);
}

/// How long scripts/test --soak wants the soak to be; 0 for the usual length.
std::chrono::seconds soak() {
  const char* seconds = std::getenv("SA_SOAK");
  return std::chrono::seconds(seconds == nullptr ? 0 : std::atoi(seconds));
}

/// Times @p allocate, with what it gives closed at once: the median and the slowest, as text.
std::string percentiles(const std::function<sa::UniqueFd()>& allocate) {
  std::vector<std::chrono::nanoseconds> times(2000);
  for (auto& time : times) {
    const auto start = std::chrono::steady_clock::now();
    allocate();
    time = std::chrono::steady_clock::now() - start;
  }
  std::ranges::sort(times);
  const auto at = [&](std::size_t thousandth) {
    return std::to_string(times[times.size() * thousandth / 1000].count() / 1000) + " us";
  };
  return "p50 " + at(500) + ", p99 " + at(990) + ", p99.9 " + at(999);
}

constexpr const char* test_region = "base=0x30000000 size=0x4000000 name=test";

/// Whether the regions are dma-heaps too, for whose sake the core's module stays.
bool has_heaps() {
  return support::read_file("/sys/module/simple_allocator/parameters/dma_heap") == "Y\n";
}

} // namespace

#define MODULES_TEST(sentence) TEST_CASE(sentence* doctest::skip(!guest::has_own_modules()))

MODULES_TEST("the ioctl refuses what is wrong with the right errno, and nothing is left of it") {
  for (const auto& node : nodes) {
    CAPTURE(node);
    const sa::UniqueFd device = open_node(node);
    const int descriptors = support::open_descriptors();
    auto data = request(page);
    for (const unsigned long command :
         std::initializer_list<unsigned long>{0UL, _IO('S', 0), _IO('S', 1), _IOWR('S', 1, simple_allocate_data), 0xffffffffUL}) {
      CHECK(::ioctl(device.get(), command, &data) == -1);
      CHECK(errno == ENOTTY);
    }
    const auto refused = [&](auto&& change, int error) {
      auto wrong = request(page);
      change(wrong);
      CHECK(ask(device.get(), wrong) == error);
      CHECK(wrong.fd == -1);
    };
    refused([](auto& d) { d.version = 1; }, EINVAL);
    refused([](auto& d) { d.reserved1 = 1; }, EINVAL);
    refused([](auto& d) { d.reserved2 = 1; }, EINVAL);
    refused([](auto& d) { d.flags = O_RDWR | O_NONBLOCK; }, EINVAL);
    refused([](auto& d) { d.flags = O_WRONLY; }, EINVAL);
    refused([](auto& d) { d.length = 0; }, EINVAL);
    refused([](auto& d) { d.length = UINT64_MAX; }, ENOMEM);
    refused([](auto& d) { d.length = std::uint64_t{1} << 60; }, ENOMEM);
    refused([](auto& d) { d.length = (std::uint64_t{64} << 30) + 1; }, ENOMEM);
    CHECK(::ioctl(device.get(), SA_IOC_ALLOC, nullptr) == -1);
    CHECK(errno == EFAULT);
    CHECK(::ioctl(device.get(), SA_IOC_ALLOC, reinterpret_cast<void*>(-4096L)) == -1);
    CHECK(errno == EFAULT);
    // Readable, so that the request is carried out, but not writable, so that its answer cannot be given.
    void* read_only = ::mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *static_cast<simple_allocate_data*>(read_only) = request(page);
    REQUIRE(::mprotect(read_only, page, PROT_READ) == 0);
    CHECK(::ioctl(device.get(), SA_IOC_ALLOC, read_only) == -1);
    CHECK(errno == EFAULT);
    ::munmap(read_only, page);
    CHECK(support::open_descriptors() == descriptors);
    CHECK(value(node, "buffers") == 0);
    CHECK(value(node, "allocated") == 0);
    CHECK(value(node, "failures") >= 3);
  }
}

MODULES_TEST("an allocation answers with its real size, and with the flags it was asked for") {
  for (const auto& node : nodes) {
    const sa::UniqueFd device = open_node(node);
    auto data = request(5000);
    data.fd = 12345; // out only
    REQUIRE(ask(device.get(), data) == 0);
    const sa::UniqueFd fd{data.fd};
    CHECK(data.length == 2 * page);
    CHECK(::lseek(fd.get(), 0, SEEK_END) == 2 * page);
    CHECK((::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((::fcntl(fd.get(), F_GETFL) & O_ACCMODE) == O_RDWR);
    auto plain = request(1, O_RDWR);
    REQUIRE(ask(device.get(), plain) == 0);
    CHECK((::fcntl(plain.fd, F_GETFD) & FD_CLOEXEC) == 0);
    ::close(plain.fd);
  }
}

MODULES_TEST("sysfs counts what lives, and debugfs lists it for root alone") {
  for (const auto& node : nodes) {
    CAPTURE(node);
    const sa::UniqueFd device = open_node(node);
    {
      const sa::UniqueFd a = allocate(device.get(), 3 * page);
      const sa::UniqueFd b = allocate(device.get(), page);
      CHECK(value(node, "allocated") == 4 * page);
      CHECK(value(node, "buffers") == 2);
      const Listed one = listed(node, a.get());
      CHECK(one.size == 3 * page);
      CHECK(one.phys != 0);
      CHECK(one.uid == 0);
      CHECK(one.pid == ::getpid());
      if (node == "carveout0") {
        CHECK(one.phys >= 0x30000000);
        CHECK(one.phys + one.size <= 0x34000000);
        CHECK(value(node, "largest_free") == (64 << 20) - 4 * page);
      }
    }
    CHECK(value(node, "allocated") == 0);
    CHECK(value(node, "buffers") == 0);
    struct stat status {};
    REQUIRE(::stat(("/sys/kernel/debug/simple_allocator/" + node + "/buffers").c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0400);
    REQUIRE(::stat(("/dev/" + node).c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
  }
}

MODULES_TEST("a task's name cannot forge a row in root's list") {
  const sa::UniqueFd device = open_node("carveout0");
  char before[16] = {};
  REQUIRE(::prctl(PR_GET_NAME, before) == 0);
  REQUIRE(::prctl(PR_SET_NAME, "a\n7 0x0 4096 0 1") == 0);
  const sa::UniqueFd buffer = allocate(device.get(), page);
  REQUIRE(::prctl(PR_SET_NAME, before) == 0);
  std::istringstream rows(support::read_file("/sys/kernel/debug/simple_allocator/carveout0/buffers"));
  int count = 0;
  for (std::string row; std::getline(rows, row); ++count) {
    CAPTURE(row);
    CHECK(std::count(row.begin(), row.end(), ' ') == 5);
  }
  CHECK(count == 2); // the heading, and the buffer
}

MODULES_TEST("a mapping is shared, and writes only where the descriptor may") {
  for (const auto& node : nodes) {
    CAPTURE(node);
    const sa::UniqueFd device = open_node(node);
    const sa::UniqueFd both = allocate(device.get(), page);
    CHECK(::mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_PRIVATE, both.get(), 0) == MAP_FAILED);
    CHECK(errno == EINVAL);
    auto data = request(page, O_RDONLY | O_CLOEXEC);
    REQUIRE(ask(device.get(), data) == 0);
    const sa::UniqueFd reads{data.fd};
    CHECK((::fcntl(reads.get(), F_GETFL) & O_ACCMODE) == O_RDONLY);
    CHECK(::mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_SHARED, reads.get(), 0) == MAP_FAILED);
    CHECK(errno == EACCES);
    void* const mapping = ::mmap(nullptr, page, PROT_READ, MAP_SHARED, reads.get(), 0);
    REQUIRE(mapping != MAP_FAILED);
    CHECK(*static_cast<const std::uint64_t*>(mapping) == 0);
    ::munmap(mapping, page);
  }
}

// Where there is no CMA the default region's memory is the page allocator's.
TEST_CASE("memory of the page allocator counts for the control group that asked for it" *
          doctest::skip(!guest::has_own_modules() || !guest::is("stock"))) {
  const std::string groups = "/tmp/groups";
  const std::string group = groups + "/small";
  REQUIRE(::mkdir(groups.c_str(), 0755) == 0);
  REQUIRE(::mount("none", groups.c_str(), "cgroup2", 0, nullptr) == 0);
  { std::ofstream(groups + "/cgroup.subtree_control") << "+memory"; }
  REQUIRE(::mkdir(group.c_str(), 0755) == 0);
  { std::ofstream(group + "/memory.max") << (16 << 20); }
  CHECK(support::in_child([&] {
          { std::ofstream(group + "/cgroup.procs") << ::getpid(); }
          const sa::UniqueFd device{::open("/dev/cma0", O_RDWR | O_CLOEXEC)};
          std::vector<sa::UniqueFd> held;
          for (auto data = request(1 << 20); ask(device.get(), data) == 0; data = request(1 << 20)) {
            held.emplace_back(data.fd);
            if (held.size() > 32) {
              return 2; // MiB, of 16
            }
          }
          return held.size() >= 8 ? support::passed : 3;
        }) == support::passed);
  CHECK(::rmdir(group.c_str()) == 0);
  CHECK(::umount(groups.c_str()) == 0);
  ::rmdir(groups.c_str());
}

TEST_CASE("data written into a buffer is at the address that the kernel lists, in one run" *
          doctest::skip(!guest::has_own_modules() || !guest::is("full"))) {
  for (const char* heap : {"cma:cma0", "carveout:test"}) {
    CAPTURE(heap);
    const sa::DmaBuf buffer = sa::Registry::system().allocate(heap, {.size = 1 << 20});
    const Listed one = listed(buffer.heap() == "cma:cma0" ? "cma0" : "carveout0", buffer.fd());
    REQUIRE(one.phys != 0);
    std::mt19937 random(7);
    std::vector<std::uint32_t> words(buffer.size() / 4);
    std::generate(words.begin(), words.end(), std::ref(random));
    {
      const auto cpu = buffer.access(sa::Access::Write);
      std::ranges::copy(std::as_bytes(std::span(words)), cpu.bytes().begin());
    }
    const sa::UniqueFd memory{::open("/dev/mem", O_RDONLY | O_CLOEXEC)};
    // Read, not mapped: with PAT the kernel lets nobody map System RAM, where CMA lies.
    std::vector<std::uint32_t> there(words.size());
    CHECK(::pread(memory.get(), there.data(), buffer.size(), static_cast<off_t>(one.phys)) ==
          static_cast<ssize_t>(buffer.size()));
    CHECK(there == words);
  }
}

MODULES_TEST("a user over the limit gets EDQUOT, another user does not, and closing gives it back") {
  for (const auto& node : nodes) {
    CAPTURE(node);
    const guest::Setting limit(attribute(node, "max_bytes_per_user"), std::to_string(8 * page));
    const sa::UniqueFd device = open_node(node);
    sa::UniqueFd most = allocate(device.get(), 6 * page);
    auto over = request(3 * page);
    CHECK(ask(device.get(), over) == EDQUOT);
    const sa::UniqueFd rest = allocate(device.get(), 2 * page);
    auto one = request(1);
    CHECK(ask(device.get(), one) == EDQUOT);
    CHECK(support::in_child([&] {
            auto mine = request(8 * page);
            return ::setuid(65534) == 0 && ask(device.get(), mine) == 0 ? support::passed : 2;
          }) == support::passed);
    most.reset();
    CHECK(ask(device.get(), over) == 0);
    ::close(over.fd);
    const auto heap = sa::Registry::system().find(node == "cma0" ? "cma:cma0" : "carveout:test");
    std::error_code ec;
    CHECK_FALSE(heap->allocate({.size = 16 * page}, ec));
    CHECK(ec.value() == EDQUOT);
  }
  for (const char* wrong : {"x", "-1", ""}) {
    const sa::UniqueFd fd{::open(attribute("cma0", "max_bytes_per_user").c_str(), O_WRONLY | O_CLOEXEC)};
    CHECK(::write(fd.get(), wrong, std::strlen(wrong)) <= 0);
  }
}

TEST_CASE("a user's limit can hold from the start" * doctest::skip(!guest::has_own_modules() || has_heaps())) {
  for (const char* one : {"simple_allocator_carveout", "simple_allocator_cma", "simple_allocator"}) {
    REQUIRE(remove_module(one));
  }
  REQUIRE(load_module("simple_allocator", "max_bytes_per_user=65536"));
  REQUIRE(load_carveout(test_region));
  CHECK(value("carveout0", "max_bytes_per_user") == 65536);
  {
    auto over = request(65537);
    CHECK(ask(open_node("carveout0").get(), over) == EDQUOT);
  }
  CHECK_FALSE(load_module("simple_allocator_cma", "dma_bits=16"));
  CHECK_FALSE(load_module("simple_allocator_cma", "dma_bits=65"));
  REQUIRE(load_module("simple_allocator_cma", "dma_bits=40"));
  for (const char* one : {"simple_allocator_carveout", "simple_allocator_cma", "simple_allocator"}) {
    REQUIRE(remove_module(one));
  }
  REQUIRE(load_module("simple_allocator"));
  REQUIRE(load_module("simple_allocator_cma"));
  REQUIRE(load_carveout(test_region));
}

TEST_CASE("a camera is refused a carveout above the addresses that it reaches" *
          doctest::skip(!guest::has_own_modules() || !guest::has_argument("vivid.allocators=1"))) {
  guest::load("vivid");
  REQUIRE(remove_module("simple_allocator_carveout"));
  REQUIRE(load_carveout("base=0x200000000 size=0x1000000 name=high"));
  {
    importers::Camera camera;
    const sa::UniqueFd device = open_node("carveout0");
    const sa::DmaBuf buffer = sa::DmaBuf::import(allocate(device.get(), camera.frame_size()));
    CHECK(camera.capture(buffer) != 0); // and the kernel warns of nothing, which scripts/vm looks for
  }
  REQUIRE(remove_module("simple_allocator_carveout"));
  REQUIRE(load_carveout(test_region));
}

MODULES_TEST("the carveout gives its whole region, then ENOMEM, and all of it back") {
  const sa::UniqueFd device = open_node("carveout0");
  {
    const sa::UniqueFd whole = allocate(device.get(), 64 << 20);
    auto more = request(page);
    CHECK(ask(device.get(), more) == ENOMEM);
    CHECK(value("carveout0", "largest_free") == 0);
  }
  CHECK(value("carveout0", "largest_free") == 64 << 20);
}

MODULES_TEST("the library prefers the module, and refuses /dev/mem over what the module has") {
  const auto heap = sa::Registry::system().find("carveout:test");
  REQUIRE(heap != nullptr);
  CHECK(heap->info().traits.contains(sa::Trait::DmaBuf | sa::Trait::Contiguous));
  CHECK(heap->info().node == "/dev/carveout0");
  const auto same_range = sa::make_carveout({"behind", 0x30000000, 1 << 20});
  CHECK_FALSE(same_range->info().usable);
  CHECK(same_range->info().reason.find("in /proc/iomem") != std::string::npos);
  CHECK(sa::Registry::system().allocate("cma", {.size = page}).heap() == "cma:cma0");
  CHECK(sa::Registry::system().allocate("contiguous", {.size = page}).heap() == "cma:cma0");
}

MODULES_TEST("a module with live buffers cannot be unloaded; without them it can, and its node goes") {
  const int descriptors = support::open_descriptors();
  {
    const sa::UniqueFd device = open_node("carveout0");
    sa::UniqueFd buffer = allocate(device.get(), page);
    CHECK_FALSE(remove_module("simple_allocator_carveout"));
    CHECK_FALSE(remove_module("simple_allocator"));
    buffer.reset();
    // The node is still open: requests through it are refused from now on, and nothing breaks.
    CHECK(remove_module("simple_allocator_carveout"));
    auto late = request(page);
    CHECK(ask(device.get(), late) == ENODEV);
    CHECK_FALSE(remove_module("simple_allocator")); // the open node holds it
  }
  CHECK(::access("/dev/carveout0", F_OK) == -1);
  CHECK(support::open_descriptors() == descriptors);
  REQUIRE(load_carveout(test_region));
  CHECK(::access("/dev/carveout0", F_OK) == 0);
}

MODULES_TEST("the carveout module refuses System RAM, overlaps and nonsense") {
  REQUIRE(remove_module("simple_allocator_carveout"));
  for (const char* wrong : {"", "base=0x1000000 size=0x100000", "base=0x2ffff000 size=0x2000", "base=0x30000000 size=0",
                            "base=0x30000001 size=0x1000", "base=0x30000000 size=0x1001", "base=0x30000000",
                            "base=0x30000000,0x30100000 size=0x200000,0x100000", "base=0xfffffffffffff000 size=0x2000"}) {
    CAPTURE(wrong);
    CHECK_FALSE(load_carveout(wrong));
  }
  CHECK(load_carveout("base=0x30000000,0x30200000 size=0x200000,0x100000 name=a,b"));
  CHECK(value("carveout0", "size") == 2 << 20);
  CHECK(value("carveout1", "size") == 1 << 20);
  REQUIRE(remove_module("simple_allocator_carveout"));
  REQUIRE(load_carveout(test_region));
}

MODULES_TEST("the load helper refuses while a buffer lives in the range, and hands it over when none does") {
  REQUIRE(remove_module("simple_allocator_carveout"));
  const auto through_mem = sa::make_carveout({"test", 0x30000000, 64 << 20});
  REQUIRE(through_mem->info().usable);
  const std::string helper = std::string(std::getenv("SA_TEST_SACTL") == nullptr ? "sactl" : std::getenv("SA_TEST_SACTL")) +
                             " load-carveout test 0x30000000 64M --module " + module("simple_allocator_carveout") +
                             " 2>/tmp/said";
  sa::DmaBuf live = through_mem->allocate({.size = page});
  CHECK(std::system(helper.c_str()) != 0);
  CHECK(support::read_file("/tmp/said").find("buffers live in carveout:test") != std::string::npos);
  CHECK(::access("/dev/carveout0", F_OK) == -1);
  live.reset();
  CHECK(std::system(helper.c_str()) == 0);
  CHECK(value("carveout0", "size") == 64 << 20);
  std::error_code ec;
  CHECK_FALSE(through_mem->allocate({.size = page}, ec));
  CHECK(ec == std::errc::no_such_device);
}

MODULES_TEST("opening and allocating race with unloading") {
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int id = 0; id < 3; ++id) {
    threads.emplace_back([&] {
      while (!stop) {
        const sa::UniqueFd device{::open("/dev/carveout0", O_RDWR | O_CLOEXEC)};
        auto data = request(page);
        const int error = device ? ask(device.get(), data) : errno;
        if (error == 0) {
          ::close(data.fd);
          std::this_thread::sleep_for(200us); // a module with a live buffer stays: leave it a chance to go
        } else if (error != ENOENT && error != ENODEV && error != ENXIO) {
          std::fprintf(stderr, "racing: %s\n", std::strerror(error));
          ++wrong;
        }
      }
    });
  }
  constexpr int cycles = 10;
  const auto until = std::chrono::steady_clock::now() + 200s;
  int done = 0;
  while (done < cycles && std::chrono::steady_clock::now() < until) {
    if (remove_module("simple_allocator_carveout")) {
      ++done;
      REQUIRE(load_carveout(test_region));
    }
  }
  stop = true;
  for (auto& thread : threads) {
    thread.join();
  }
  CHECK(done == cycles);
  CHECK(wrong == 0);
}

MODULES_TEST("random ioctls break nothing") {
  const int rounds = guest::is("debug") || soak() > 0s ? 1000000 : 100000;
  const int descriptors = support::open_descriptors();
  const sa::UniqueFd cma = open_node("cma0");
  const sa::UniqueFd carveout = open_node("carveout0");
  std::atomic<int> succeeded{0};
  const auto ask_nonsense = [&](unsigned seed) {
    std::mt19937_64 random(seed);
    std::vector<std::byte> memory(2 * page);
    for (int round = 0; round < rounds / 2; ++round) {
      const auto dice = random();
      auto right = [&, bit = 0]() mutable { return ((dice >> bit++) & 1) != 0; };
      const unsigned long command = right() || right() ? SA_IOC_ALLOC : random();
      // Each word is right or nonsense: some requests get as far as any, most are stopped at each of the checks.
      std::uint64_t words[4] = {right() ? 0 : random(), right() && right() && right() ? random() & 0x7fff : random(),
                                right() ? O_RDWR | O_CLOEXEC : random(), right() ? random() & 0xffffffff : random()};
      auto* data = reinterpret_cast<simple_allocate_data*>(memory.data() + (dice >> 16) % page);
      std::memcpy(data, words, sizeof words);
      void* argument = (dice >> 32) % 16 == 0 ? reinterpret_cast<void*>(random()) : data;
      const int device = right() && right() ? cma.get() : carveout.get(); // CMA takes a millisecond for each that succeeds
      if (::ioctl(device, command, argument) == 0 && command == SA_IOC_ALLOC && argument == data) {
        simple_allocate_data answer{};
        std::memcpy(&answer, data, sizeof answer);
        ::close(answer.fd);
        ++succeeded;
      }
    }
  };
  std::thread beside(ask_nonsense, 20261122);
  ask_nonsense(20261123);
  beside.join();
  MESSAGE(rounds, " calls, of which ", succeeded.load(), " succeeded");
  CHECK(succeeded > rounds / 200);
  CHECK(support::open_descriptors() == descriptors + 2);
  for (const auto& node : nodes) {
    CHECK(value(node, "buffers") == 0);
  }
}

MODULES_TEST("thousands of buffers live at once and are all given back; an allocation then takes the time that is told") {
  const std::size_t count = soak() > 0s ? 5000 : 500; // of each region
  rlimit files{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &files) == 0);
  rlimit more = files;
  more.rlim_cur = more.rlim_max = std::max<rlim_t>(files.rlim_max, 4 * count + 1000);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &more) == 0);
  {
    std::vector<sa::UniqueFd> live;
    for (const auto& node : nodes) {
      const sa::UniqueFd device = open_node(node);
      for (std::size_t i = 0; i < count; ++i) {
        live.push_back(allocate(device.get(), page));
      }
      CHECK(value(node, "buffers") == count);
    }
    for (const auto& node : nodes) {
      const sa::UniqueFd device = open_node(node);
      MESSAGE(node, ": ", percentiles([&] { return allocate(device.get(), 64 << 10); }));
    }
    for (const char* heap : {"system", "reserved", "default_cma_region"}) {
      if (const sa::UniqueFd device{::open((std::string("/dev/dma_heap/") + heap).c_str(), O_RDWR | O_CLOEXEC)}) {
        MESSAGE("dma-heap ", std::string(heap), ": ", percentiles([&] {
                  dma_heap_allocation_data data{};
                  data.len = 64 << 10;
                  data.fd_flags = O_RDWR | O_CLOEXEC;
                  REQUIRE(::ioctl(device.get(), DMA_HEAP_IOCTL_ALLOC, &data) == 0);
                  return sa::UniqueFd{static_cast<int>(data.fd)};
                }));
      }
    }
  }
  for (const auto& node : nodes) {
    CHECK(value(node, "allocated") == 0);
  }
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &files) == 0);
}

MODULES_TEST("many processes allocate, map, import, meet a quota and are killed, and nothing can be unloaded meanwhile") {
  const auto length = soak() > 0s ? soak() : guest::is("debug") ? 60s : 5s;
  const std::size_t workers = soak() > 0s ? 32 : 8;
  const auto before = support::count();
  std::vector<sa::UniqueFd> held; // of each region one buffer, whose module stays
  for (const auto& node : nodes) {
    held.push_back(allocate(open_node(node).get(), page));
  }
  const auto until = std::chrono::steady_clock::now() + length;
  const auto work = [until](unsigned seed) {
    std::mt19937 random(seed);
    sa::Registry registry;
    registry.refresh();
    std::vector<sa::DmaBuf> live;
    while (std::chrono::steady_clock::now() < until) {
      std::error_code ec;
      const char* heap = random() % 2 == 0 ? "cma:cma0" : "carveout:test";
      sa::DmaBuf buffer = registry.allocate(heap, {.size = page << random() % 8}, ec);
      if (ec == std::errc::not_enough_memory || ec.value() == EDQUOT || live.size() > 16) {
        live.clear();
        continue;
      }
      if (ec) {
        std::fprintf(stderr, "%s: %s\n", heap, ec.message().c_str());
        return 2;
      }
      const auto cpu = buffer.access(sa::Access::ReadWrite);
      if (std::ranges::any_of(cpu.bytes(), [](std::byte b) { return b != std::byte{0}; })) {
        return 3;
      }
      std::ranges::fill(cpu.bytes(), static_cast<std::byte>(seed));
      if (random() % 4 == 0 && importers::import_into_card("card0", buffer.fd(), false) != 0) {
        return 4;
      }
      live.push_back(std::move(buffer));
    }
    return support::passed;
  };
  unsigned seed = 1;
  std::vector<pid_t> processes;
  while (processes.size() < workers) {
    processes.push_back(support::start([&work, seed] { return work(seed); }));
    ++seed;
  }
  int killed = 0;
  while (std::chrono::steady_clock::now() + 300ms < until) {
    std::this_thread::sleep_for(100ms);
    auto& victim = processes[seed % workers];
    ::kill(victim, SIGKILL);
    const int status = support::finish(victim);
    CHECK(status == 128 + SIGKILL);
    ++killed;
    victim = support::start([&work, seed] { return work(seed); });
    ++seed;
    std::ofstream(attribute(nodes[seed % 2], "max_bytes_per_user")) << (seed % 4 < 2 ? 1 << 20 : 0);
    CHECK_FALSE(remove_module(seed % 2 == 0 ? "simple_allocator_cma" : "simple_allocator_carveout"));
    CHECK_FALSE(remove_module("simple_allocator"));
  }
  for (const pid_t process : processes) {
    CHECK(support::finish(process) == support::passed);
  }
  MESSAGE("killed ", killed, " processes");
  held.clear();
  for (const auto& node : nodes) {
    std::ofstream(attribute(node, "max_bytes_per_user")) << 0;
  }
  for (const auto& node : nodes) {
    CHECK(value(node, "buffers") == 0);
    CHECK(value(node, "allocated") == 0);
  }
  CHECK(support::leaked_since(before) == "");
}

TEST_CASE("a hundred load and unload cycles, then kmemleak finds nothing" *
          doctest::skip(!guest::has_own_modules() || !guest::is("debug"))) {
  for (int cycle = 0; cycle < 100; ++cycle) {
    REQUIRE(remove_module("simple_allocator_carveout"));
    REQUIRE(remove_module("simple_allocator_cma"));
    REQUIRE(remove_module("simple_allocator"));
    REQUIRE(load_module("simple_allocator"));
    REQUIRE(load_module("simple_allocator_cma"));
    REQUIRE(load_carveout(test_region));
    if (cycle % 10 == 0) {
      allocate(open_node("cma0").get(), 4 * page);
      allocate(open_node("carveout0").get(), 4 * page);
    }
  }
  std::this_thread::sleep_for(6s); // what was just freed is not looked at
  for (int scan = 0; scan < 2; ++scan) {
    std::ofstream("/sys/kernel/debug/kmemleak") << "scan" << std::flush;
  }
  CHECK(support::read_file("/sys/kernel/debug/kmemleak") == "");
}

namespace {

/// A program that knows only /dev/dma_heap. 0 with the descriptor, or the errno.
int ask_heap(const char* name, std::uint64_t length, sa::UniqueFd& buffer, std::uint32_t flags = O_RDWR | O_CLOEXEC) {
  const sa::UniqueFd heap{::open((std::string("/dev/dma_heap/") + name).c_str(), O_RDWR | O_CLOEXEC)};
  dma_heap_allocation_data data{};
  data.len = length;
  data.fd_flags = flags;
  if (::ioctl(heap.get(), DMA_HEAP_IOCTL_ALLOC, &data) != 0) {
    return errno;
  }
  buffer.reset(static_cast<int>(data.fd));
  return 0;
}

} // namespace

#define HEAPS_TEST(sentence) TEST_CASE(sentence* doctest::skip(!guest::has_own_modules() || !has_heaps()))

HEAPS_TEST("a program that knows only /dev/dma_heap gets memory of each region, by the same rules") {
  for (const auto& pair : {std::pair{"default_cma_region", "cma0"}, std::pair{"test", "carveout0"}}) {
    const char* const heap = pair.first;
    const char* const node = pair.second;
    CAPTURE(heap);
    sa::UniqueFd buffer;
    REQUIRE(ask_heap(heap, 5 * page - 1, buffer) == 0);
    CHECK(::lseek(buffer.get(), 0, SEEK_END) == 5 * page);
    CHECK(listed(node, buffer.get()).size == 5 * page);
    CHECK(listed(node, buffer.get()).pid == ::getpid());
    CHECK(value(node, "allocated") == 5 * page);
    void* memory = ::mmap(nullptr, 5 * page, PROT_READ | PROT_WRITE, MAP_SHARED, buffer.get(), 0);
    REQUIRE(memory != MAP_FAILED);
    const std::span words(static_cast<std::uint64_t*>(memory), 5 * page / sizeof(std::uint64_t));
    CHECK(std::ranges::all_of(words, [](std::uint64_t word) { return word == 0; }));
    std::ranges::fill(words, ~std::uint64_t{0}); // the next owner finds zeros
    ::munmap(memory, 5 * page);

    const auto failures = value(node, "failures");
    sa::UniqueFd other;
    {
      const guest::Setting limit(attribute(node, "max_bytes_per_user"), std::to_string(8 * page));
      CHECK(ask_heap(heap, 4 * page, other) == EDQUOT);
      CHECK(value(node, "failures") == failures + 1);
      CHECK(ask_heap(heap, 3 * page, other) == 0);
      other.reset();
    }
    CHECK(ask_heap(heap, 1 << 30, other) == ENOMEM);
    REQUIRE(ask_heap(heap, page, other, O_RDONLY | O_CLOEXEC) == 0);
    CHECK(::mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_SHARED, other.get(), 0) == MAP_FAILED);
    buffer.reset();
    other.reset();
    CHECK(value(node, "buffers") == 0);
  }
}

HEAPS_TEST("a heap whose region has gone answers ENODEV until the region is there again") {
  sa::UniqueFd buffer;
  REQUIRE(ask_heap("test", page, buffer) == 0);
  CHECK_FALSE(remove_module("simple_allocator_carveout"));
  buffer.reset();
  REQUIRE(remove_module("simple_allocator_carveout"));
  CHECK_FALSE(remove_module("simple_allocator"));
  CHECK(::access("/dev/dma_heap/test", F_OK) == 0);
  CHECK(ask_heap("test", page, buffer) == ENODEV);
  REQUIRE(load_carveout(test_region));
  CHECK(ask_heap("test", page, buffer) == 0);
}

HEAPS_TEST("a region is no heap where another heap has its name") {
  REQUIRE(remove_module("simple_allocator_carveout"));
  REQUIRE(load_carveout("base=0x30000000,0x30100000,0x30200000 size=0x100000,0x100000,0x100000 name=system,test,test"));
  sa::UniqueFd buffer;
  CHECK(ask_heap("system", page, buffer) == 0);
  CHECK(value("carveout0", "buffers") == 0);
  CHECK(ask_heap("test", page, buffer) == 0);
  CHECK(value("carveout1", "buffers") == 1);
  CHECK(value("carveout2", "buffers") == 0);
  buffer.reset();
  REQUIRE(remove_module("simple_allocator_carveout"));
  REQUIRE(load_carveout(test_region));
}
