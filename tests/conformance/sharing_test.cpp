// SPDX-License-Identifier: MIT
/// One buffer in several processes and threads.
#include <doctest/doctest.h>

#include <atomic>
#include <csignal>
#include <thread>
#include <utility>
#include <vector>

#include <sys/socket.h>
#include <unistd.h>

#include "subject.hpp"
#include "support/counters.hpp"
#include "support/process.hpp"

void sa::conformance::sharing_tests() {}

using namespace sa::conformance;

TEST_CASE("a mapping, a forked child and a receiving process read each other's writes") {
  for (const int type : {SOCK_SEQPACKET, SOCK_STREAM}) {
    CAPTURE(type);
    const auto before = subject().count();
    {
      const support::SocketPair sockets(type);
      const support::SocketPair turns(SOCK_STREAM);
      const pid_t receiver = support::start([&] { // knows the buffer by the socket alone
        const sa::DmaBuf received = sa::receive(sockets.b, *subject().registry);
        if (received.name() != "shared" || received.claimed_heap() != subject().name || !filled(received, 1)) {
          return 2;
        }
        if (received.traits().contains(sa::Trait::Zeroed) ||
            received.traits().contains(sa::Trait::DmaBuf) != subject().has(sa::Trait::DmaBuf)) {
          return 3;
        }
        fill(received, 2);
        support::signal_peer(turns.b);
        return support::wait_for_peer(turns.b) && filled(received, 3) ? support::passed : 4;
      });
      const sa::DmaBuf buffer = subject().allocate(frame_size, "shared");
      fill(buffer, 1);
      sa::send(sockets.a, buffer);
      REQUIRE(support::wait_for_peer(turns.a));
      CHECK(filled(buffer, 2));
      CHECK(support::in_child([&] { // a forked child holds it through its parent's object
              if (!filled(buffer, 2)) {
                return 2;
              }
              fill(buffer, 3);
              return support::passed;
            }) == support::passed);
      CHECK(filled(buffer, 3));
      support::signal_peer(turns.a);
      CHECK(support::finish(receiver) == support::passed);
      CHECK(buffer.id().has_value() == (buffer.fd() >= 0));
      if (buffer.id()) { // a receiver can tell that it is the same again
        sa::send(sockets.a, buffer);
        CHECK(sa::receive(sockets.b, *subject().registry).id() == buffer.id());
      }
    }
    CHECK(subject().leaked_since(before) == "");
  }
}

TEST_CASE("a sent buffer lives on in flight when its maker is killed") {
  const auto before = subject().count();
  {
    const support::SocketPair sockets(SOCK_SEQPACKET);
    support::SocketPair turns(SOCK_STREAM);
    const pid_t maker = support::start([&] {
      const sa::DmaBuf buffer = subject().allocate(frame_size, "orphan");
      fill(buffer, 9);
      sa::send(sockets.a, buffer);
      support::signal_peer(turns.a);
      ::pause();
      return 1;
    });
    ::close(std::exchange(turns.a, -1)); // so that the end of a maker that fails is seen
    REQUIRE(support::wait_for_peer(turns.b));
    ::kill(maker, SIGKILL);
    CHECK(support::finish(maker) == 128 + SIGKILL);
    { // what is in flight must not be handed out again
      std::vector<sa::DmaBuf> others;
      for (int i = 0; i < 4; ++i) {
        others.push_back(subject().allocate(frame_size));
        fill(others.back(), 100U + static_cast<unsigned>(i));
      }
      const sa::DmaBuf received = sa::receive(sockets.b, *subject().registry);
      CHECK(filled(received, 9));
    }
  }
  CHECK(subject().leaked_since(before) == "");
}

TEST_CASE("after fork both sides allocate and never share by accident") {
  const sa::DmaBuf inherited = subject().allocate(64 << 10);
  fill(inherited, 50);
  const support::SocketPair turns(SOCK_STREAM);
  const auto side = [&](int turn, unsigned seed) {
    std::vector<sa::DmaBuf> own;
    for (unsigned i = 0; i < 10; ++i) {
      own.push_back(subject().allocate(64 << 10));
      if (subject().has(sa::Trait::Zeroed) && !all_zero(own.back())) {
        return 2;
      }
      fill(own.back(), seed + i);
    }
    support::signal_peer(turn);
    support::wait_for_peer(turn);
    for (unsigned i = 0; i < 10; ++i) {
      if (!filled(own[i], seed + i)) {
        return 3;
      }
    }
    const bool kept = filled(inherited, 50);
    support::signal_peer(turn);
    support::wait_for_peer(turn);
    return kept ? support::passed : 4;
  };
  const pid_t child = support::start([&] { return side(turns.b, 200); });
  CHECK(side(turns.a, 300) == support::passed);
  CHECK(support::finish(child) == support::passed);
}

TEST_CASE("eight threads allocate, write, check and free at once") {
  auto before = subject().count();
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (unsigned id = 0; id < 8; ++id) {
    threads.emplace_back([&wrong, id] {
      try {
        for (unsigned round = 0; round < 25; ++round) {
          const sa::DmaBuf buffer = subject().registry->allocate(subject().name, {.size = 40000, .name = "thread"});
          const bool fresh = !subject().has(sa::Trait::Zeroed) || all_zero(buffer);
          fill(buffer, id * 1000 + round);
          std::this_thread::yield();
          wrong += fresh && filled(buffer, id * 1000 + round) ? 0 : 1;
        }
      } catch (const sa::Error& error) {
        std::fprintf(stderr, "%s\n", error.what());
        ++wrong;
      }
    });
  }
  for (auto& thread : threads) {
    thread.join();
  }
  CHECK(wrong == 0);
  // Threads leave stacks and arenas behind in the C library; descriptors and the kernel's memory must be back.
  auto now = subject().count();
  now.mappings = before.mappings;
  CHECK(now.descriptors == before.descriptors);
  CHECK(now.kernel["HugePages_Rsvd"] == before.kernel["HugePages_Rsvd"]);
}

TEST_CASE("threads that share one buffer map it once, and the last holder frees it") {
  for (int round = 0; round < 50; ++round) {
    auto buffer = subject().allocate(8192);
    std::atomic<bool> go{false};
    std::atomic<int> different{0};
    std::vector<std::thread> threads;
    const sa::Mapping first = buffer.map_unsynchronized();
    for (int id = 0; id < 4; ++id) {
      threads.emplace_back([&, mapping = first] {
        while (!go) {
        }
        mapping.bytes()[1] = std::byte{1};
        different += mapping.bytes().data() == first.bytes().data() ? 0 : 1;
      });
    }
    buffer.reset();
    go = true;
    for (auto& thread : threads) {
      thread.join();
    }
    CHECK(different == 0);
  }
}

TEST_CASE("killing a process that holds a hundred buffers frees them all") {
  (void)subject().allocate(4096);
  // A region of its own, if others leave all of it to us: all of it can be had again.
  const auto whole = [] {
    std::error_code ec;
    return subject().has(sa::Trait::PhysAddr) && subject().heap->allocate({.size = subject().info().max_size}, ec);
  };
  const bool had_whole = whole();
  const support::SocketPair turns(SOCK_STREAM);
  const auto before = subject().count();
  const pid_t holder = support::start([&] {
    std::vector<sa::DmaBuf> buffers;
    for (int i = 0; i < 100; ++i) {
      buffers.push_back(subject().allocate(16 << 10, "held"));
      {
        const auto cpu = buffers.back().access(sa::Access::Write);
        cpu.bytes()[0] = std::byte{1};
      }
    }
    support::signal_peer(turns.a);
    ::pause();
    return 1;
  });
  REQUIRE(support::wait_for_peer(turns.b));
  ::kill(holder, SIGKILL);
  CHECK(support::finish(holder) == 128 + SIGKILL);
  CHECK(subject().leaked_since(before) == "");
  CHECK(whole() == had_whole);
}
