// SPDX-License-Identifier: MIT
/// sactl top beside the kernel's own list: every buffer once, by any kind of holder.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <thread>

#include <fcntl.h>
#include <grp.h>
#include <nlohmann/json.hpp>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xf86drm.h>

#include <sa/sa.hpp>

#include "paths.hpp"
#include "support/counters.hpp"
#include "support/process.hpp"
#include "vm/guest.hpp"

namespace {

using nlohmann::json;

constexpr std::size_t page = 4096;
constexpr int children = 5;
constexpr int buffers_each = 40;
constexpr int memfds_each = 5;
constexpr int shared_buffers = 3;

/// What sactl answers to `top OPTIONS`.
std::string top(const std::string& options) {
  std::string answer;
  FILE* const pipe = ::popen((SACTL " top " + options).c_str(), "r");
  for (char piece[4096]; pipe != nullptr && std::fgets(piece, sizeof piece, pipe) != nullptr;) {
    answer += piece;
  }
  return pipe != nullptr && ::pclose(pipe) == 0 ? answer : "sactl failed: " + answer;
}

/// What a child made, told to the parent through shared memory.
struct Made {
  std::uint64_t dma_bufs;
  std::uint64_t dma_buf_bytes;
  std::uint64_t memfds;
  std::uint64_t memfd_bytes;
};

sa::DmaBuf make(sa::Registry& registry, Made& made, const std::string& heap, std::size_t size, const std::string& name) {
  sa::DmaBuf buffer = registry.allocate(heap, {.size = size, .name = name});
  const bool dma_buf = buffer.traits().contains(sa::Trait::DmaBuf);
  (dma_buf ? made.dma_bufs : made.memfds) += 1;
  (dma_buf ? made.dma_buf_bytes : made.memfd_bytes) += buffer.size();
  return buffer;
}

/// A buffer that is held by a mapping alone.
void map_alone(sa::DmaBuf buffer) {
  const std::size_t size = buffer.size();
  const sa::UniqueFd fd = buffer.release();
  REQUIRE(::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd.get(), 0) != MAP_FAILED);
}

struct Turns {
  support::SocketPair ready{SOCK_SEQPACKET}; // b: a child's "I hold them all"
  support::SocketPair handover{SOCK_SEQPACKET};
  std::array<int, 2> end{}; // a pipe: its reader sees the end when the parent closes it
};

int hold(int self, const std::vector<std::string>& heaps, Made& made, Turns& turns) {
  ::close(turns.end[1]);
  sa::Registry registry;
  registry.refresh();
  std::vector<sa::DmaBuf> kept;
  std::vector<sa::UniqueFd> copies;
  const support::SocketPair flight(SOCK_SEQPACKET);
  sa::UniqueFd card;
  for (int i = 0; i < buffers_each; ++i) {
    const std::size_t size = page * static_cast<std::size_t>(1 + self + i % 7);
    sa::DmaBuf buffer = make(registry, made, heaps[static_cast<std::size_t>(i) % heaps.size()], size,
                             i == 0 ? "special" : "c" + std::to_string(i % 4));
    if (i == 0 && self == 0) {
      buffer.set_name("in flight");
      sa::send(flight.a, buffer);
    } else if (i == 0 && self == 1) {
      buffer.set_name("mapped alone");
      map_alone(std::move(buffer));
    } else if (i == 0 && self == 2) {
      buffer.set_name("in a device");
      card.reset(::open("/dev/dri/card0", O_RDWR | O_CLOEXEC));
      std::uint32_t handle = 0;
      REQUIRE(::drmPrimeFDToHandle(card.get(), buffer.fd(), &handle) == 0);
    } else {
      if (self == 3 && i < 10) {
        copies.push_back(buffer.dup());
      }
      kept.push_back(std::move(buffer));
    }
  }
  for (int i = 0; i < memfds_each; ++i) {
    kept.push_back(make(registry, made, "memfd:4k", page * static_cast<std::size_t>(2 + i), "memory"));
  }
  const auto hand_over = [&] {
    for (int i = 0; i < shared_buffers; ++i) {
      if (self == 3) {
        sa::send(turns.handover.a, kept[static_cast<std::size_t>(i)]);
      } else if (self == 4) {
        kept.push_back(sa::receive(turns.handover.b));
      }
    }
  };
  hand_over();
  const support::SocketPair own(SOCK_SEQPACKET);
  std::thread thread;
  if (self == 2) { // one more, in a table that the process's folder of descriptors does not show
    thread = std::thread([&] {
      if (::unshare(CLONE_FILES) == 0) {
        const sa::DmaBuf buffer = make(registry, made, heaps[0], page, "of a thread");
        support::signal_peer(own.a);
        char byte = 0;
        (void)!::read(turns.end[0], &byte, 1);
      }
    });
    support::wait_for_peer(own.b);
  }
  support::signal_peer(turns.ready.a);
  char byte = 0;
  (void)!::read(turns.end[0], &byte, 1);
  if (thread.joinable()) {
    thread.join();
  }
  return support::passed;
}

std::uint64_t sum(const json& buffers, const char* kind) {
  std::uint64_t bytes = 0;
  for (const auto& buffer : buffers) {
    bytes += buffer["kind"] == kind ? buffer["size"].get<std::uint64_t>() : 0;
  }
  return bytes;
}

json with_name(const json& buffers, const std::string& name) {
  json found = json::array();
  std::copy_if(buffers.begin(), buffers.end(), std::back_inserter(found), [&](const json& one) { return one["name"] == name; });
  return found;
}

} // namespace

TEST_CASE("sactl top counts every byte once, as the kernel does, and names its holders") {
  guest::load("vgem");
  std::vector<std::string> heaps{"dma-heap:system", "udmabuf:4k", "drm:card0"};
  if (guest::is("full")) {
    heaps.emplace_back("dma-heap:reserved");
  }
  auto* const made =
      static_cast<Made*>(::mmap(nullptr, sizeof(Made) * children, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  REQUIRE(made != MAP_FAILED);
  Turns turns;
  REQUIRE(::pipe2(turns.end.data(), O_CLOEXEC) == 0);
  std::vector<pid_t> pids;
  for (int i = 0; i < children; ++i) {
    pids.push_back(support::start([&] { return hold(i, heaps, made[i], turns); }));
  }
  for (int i = 0; i < children; ++i) {
    REQUIRE(support::wait_for_peer(turns.ready.b));
  }
  Made all{};
  for (int i = 0; i < children; ++i) {
    all.dma_bufs += made[i].dma_bufs;
    all.dma_buf_bytes += made[i].dma_buf_bytes;
    all.memfds += made[i].memfds;
    all.memfd_bytes += made[i].memfd_bytes;
  }
  REQUIRE(all.dma_bufs == children * buffers_each + 1);

  const std::string answer = top("--once --json");
  CAPTURE(answer);
  const json said = json::parse(answer, nullptr, false);
  REQUIRE(said.is_object());
  const auto kernel = support::kernel_counters();
  const json& buffers = said["buffers"];

  { // the bytes are the kernel's, and those that were made
    CHECK(said["totals"]["dma_bufs"]["buffers"] == all.dma_bufs);
    CHECK(said["totals"]["dma_bufs"]["bytes"] == all.dma_buf_bytes);
    CHECK(said["totals"]["dma_bufs"]["buffers"] == kernel.at("bufinfo objects"));
    CHECK(said["totals"]["dma_bufs"]["bytes"] == kernel.at("bufinfo bytes"));
    CHECK(said["kernel"]["bytes"] == kernel.at("bufinfo bytes"));
    CHECK(said["kernel"]["buffers"] == kernel.at("bufinfo objects"));
    CHECK(sum(buffers, "dma-buf") == all.dma_buf_bytes);
    CHECK(said["unreadable_processes"] == 0);
    CHECK(said["gaps"].empty());
  }
  { // the memfd of a udmabuf is not counted beside it
    CHECK(said["totals"]["memfds"]["buffers"] == children * memfds_each);
    CHECK(said["totals"]["memfds"]["bytes"] == all.memfd_bytes);
    CHECK(sum(buffers, "memfd") == all.memfd_bytes);
    CHECK(said["totals"]["all"]["bytes"] == all.dma_buf_bytes + all.memfd_bytes);
  }
  {                                                                         // each process has what it holds, each buffer once
    constexpr std::array<int, children> apart{-1, 0, 0, 0, shared_buffers}; // child 2: one in a device, one of a thread
    for (int i = 0; i < children; ++i) {
      const auto process = std::find_if(said["processes"].begin(), said["processes"].end(),
                                        [&](const json& one) { return one["pid"] == pids[static_cast<std::size_t>(i)]; });
      REQUIRE(process != said["processes"].end());
      CAPTURE(i);
      CHECK((*process)["buffers"].size() ==
            static_cast<std::size_t>(buffers_each + memfds_each + apart[static_cast<std::size_t>(i)]));
      CHECK((*process)["name"] == "vm_tests");
      const auto twice = std::count_if((*process)["buffers"].begin(), (*process)["buffers"].end(),
                                       [](const json& one) { return one["descriptors"] == 2; });
      if (i == 3) {
        CHECK(twice == 10); // the duplicates
      }
    }
    CHECK(said["processes"].size() == children);
    CHECK(std::count_if(buffers.begin(), buffers.end(), [](const json& one) { return one["holders"].size() == 2; }) ==
          shared_buffers);
  }
  { // one in flight is held by no process, one in a device by that, one by a mapping alone
    const json flight = with_name(buffers, "in flight");
    REQUIRE(flight.size() == 1);
    CHECK(flight[0]["holders"].empty());
    CHECK(flight[0]["devices"].empty());
    CHECK(flight[0]["size"] == page);
    const json device = with_name(buffers, "in a device");
    REQUIRE(device.size() == 1);
    CHECK(device[0]["holders"].empty());
    CHECK(device[0]["devices"] == json::array({"vgem"}));
    CHECK(said["totals"]["no_process"]["buffers"] == 2);
    const json mapped = with_name(buffers, "mapped alone");
    REQUIRE(mapped.size() == 1);
    CHECK(mapped[0]["holders"] == json::array({pids[1]}));
    CHECK(mapped[0]["exporter"] == "system");
    CHECK(mapped[0]["size"] == 2 * page);
    const json thread = with_name(buffers, "of a thread");
    REQUIRE(thread.size() == 1);
    CHECK(thread[0]["holders"] == json::array({pids[2]}));
    const std::string text = top("");
    CAPTURE(text);
    CHECK(text.find("no process") != std::string::npos);
    CHECK(text.find("in vgem") != std::string::npos);
  }
  { // a filter leaves the rest out
    const json some = json::parse(top("--json --filter 'in FLIGHT'"));
    CHECK(some["buffers"].size() == 1);
    CHECK(some["totals"]["all"]["bytes"] == page);
    CHECK(some["kernel"]["bytes"] == kernel.at("bufinfo bytes"));
  }

  ::close(turns.end[0]);
  ::close(turns.end[1]);
  for (const pid_t pid : pids) {
    CHECK(support::finish(pid) == support::passed);
  }
  ::munmap(made, sizeof(Made) * children);
}

TEST_CASE("sactl top without privileges shows what is one's own, and says what it cannot") {
  const auto outcome = support::in_child([] {
    sa::Registry registry;
    registry.refresh();
    const sa::DmaBuf frame = registry.allocate("dma-heap:system", {.size = 3 * page, .name = "own frame"});
    const sa::DmaBuf memory = registry.allocate("memfd:4k", {.size = 2 * page, .name = "own memory"});
    constexpr uid_t nobody = 65534;
    REQUIRE(::setgroups(0, nullptr) == 0);
    REQUIRE(::setresgid(nobody, nobody, nobody) == 0);
    REQUIRE(::setresuid(nobody, nobody, nobody) == 0);
    REQUIRE(::prctl(PR_SET_DUMPABLE, 1) == 0); // as a program is that the user started
    const std::string answer = top("--once --json");
    const json said = json::parse(answer, nullptr, false);
    const std::string text = top("");
    const bool right = said.is_object() && said["totals"]["dma_bufs"]["bytes"] == 3 * page &&
                       said["totals"]["memfds"]["bytes"] == 2 * page && with_name(said["buffers"], "own frame").size() == 1 &&
                       said["kernel"].is_null() && said["unreadable_processes"].get<int>() >= 1 && said["gaps"].size() == 2 &&
                       text.find(" could not be read; run as root\n") != std::string::npos;
    if (!right) {
      std::printf("%s%s\n", answer.c_str(), text.c_str());
    }
    return right ? support::passed : support::failed;
  });
  CHECK(outcome == support::passed);
}

TEST_CASE("sactl top reads on while processes come and go") {
  guest::load("vgem");
  const pid_t churn = support::start([]() -> int {
    sa::Registry registry;
    registry.refresh();
    const sa::DmaBuf buffer = registry.allocate("dma-heap:system", {.size = page});
    for (;;) {
      support::in_child([&] { return buffer.dup() ? support::passed : support::failed; });
    }
  });
  for (int i = 0; i < 8; ++i) {
    const std::string answer = top("--json");
    const json said = json::parse(answer, nullptr, false);
    CAPTURE(answer);
    REQUIRE(said.is_object());
    CHECK(said["unreadable_processes"] == 0);
    CHECK(said["totals"]["no_process"]["buffers"] == 0);
  }
  ::kill(churn, SIGKILL);
  support::finish(churn);
}
