// SPDX-License-Identifier: MIT
/// Who allocated what, and what is reported of buffers that nobody let go of.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support/counters.hpp"
#include "support/process.hpp"
#include "unit/test_heap.hpp"

using namespace std::chrono_literals;
using unit::TestHeap;
using Records = std::vector<sa::TraceRecord>;

namespace {

std::shared_ptr<sa::Heap> memfd() {
  return sa::Registry::system().find("memfd:4k");
}

/// Whose report is not the test's concern.
sa::TraceOptions silent() {
  return {.on_leak = [](const Records&) {}};
}

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

/// What a child that runs @p body and then exits, as a program does, writes to standard error.
std::string printed_by(const std::function<void()>& body) {
  const sa::UniqueFd file{::memfd_create("stderr", MFD_CLOEXEC)};
  CHECK(support::in_child([&] {
          ::dup2(file.get(), STDERR_FILENO);
          body();
          std::exit(support::passed);
          return support::failed;
        }) == support::passed);
  std::string text(static_cast<std::size_t>(::lseek(file.get(), 0, SEEK_END)), '\0');
  CHECK(::pread(file.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
  while (text.starts_with("==")) { // a sanitizer's word about threads that a fork left behind
    text.erase(0, std::min(text.find('\n'), text.size() - 1) + 1);
  }
  return text;
}

} // namespace

TEST_CASE("a trace knows of each live buffer its name, size, heap, thread and time") {
  sa::Trace trace(memfd(), {.name = "test:traced"});
  CHECK(trace.live().empty());
  const auto before = std::chrono::system_clock::now();
  const auto start = std::chrono::steady_clock::now();
  std::this_thread::sleep_for(2ms);
  const sa::DmaBuf frame = trace.allocate({.size = unit::page + 904, .name = "frame"});
  sa::DmaBuf other;
  pid_t thread = 0;
  std::thread([&] {
    ::pthread_setname_np(::pthread_self(), "decoder");
    thread = ::gettid();
    other = trace.allocate({.size = 4096});
  }).join();
  const Records live = trace.live();
  REQUIRE(live.size() == 2);
  CHECK(live[0].number == 1);
  CHECK(live[0].name == "frame");
  CHECK(live[0].size == 2 * unit::page);
  CHECK(live[0].heap == "memfd:4k");
  CHECK(live[0].thread == ::gettid());
  CHECK(live[0].since_start >= 2ms);
  CHECK(live[0].since_start <= std::chrono::steady_clock::now() - start + 1s);
  CHECK(live[0].time >= before);
  CHECK(live[0].time <= std::chrono::system_clock::now());
  CHECK(live[0].stack.empty());
  CHECK(live[1].number == 2);
  CHECK(live[1].name.empty());
  CHECK(live[1].thread == thread);
  CHECK(live[1].thread_name == "decoder");
  CHECK(live[1].since_start >= live[0].since_start);
  sa::TraceRecord record = live[1];
  record.since_start = 1234ms;
  record.time = std::chrono::system_clock::time_point(std::chrono::seconds(1769860800));
  record.thread = 77;
  CHECK(sa::to_string(record) == unit::kib_of_pages(1) +
                                     " from memfd:4k, request 2, by thread 77 (decoder), 1.234 s after the start, at "
                                     "2026-01-31 12:00:00 UTC");
  CHECK(has(sa::to_string(live[0]), unit::kib_of_pages(2) + " \"frame\" from memfd:4k, request 1"));
}

TEST_CASE("an ended buffer is not listed as live, from any place in the list, and a call stack has the requested depth") {
  sa::Trace trace(memfd(), {.stack_depth = 5});
  std::vector<sa::DmaBuf> held;
  for (int i = 0; i < 4; ++i) {
    held.push_back(trace.allocate({.size = 4096}));
  }
  const auto numbers = [&] {
    std::vector<std::uint64_t> found;
    for (const auto& record : trace.live()) {
      found.push_back(record.number);
    }
    return found;
  };
  CHECK(numbers() == std::vector<std::uint64_t>{1, 2, 3, 4});
  held[1].reset();
  CHECK(numbers() == std::vector<std::uint64_t>{1, 3, 4});
  held[3].reset();
  CHECK(numbers() == std::vector<std::uint64_t>{1, 3});
  held[0].reset();
  held[1] = trace.allocate({.size = 4096});
  CHECK(numbers() == std::vector<std::uint64_t>{3, 5});
  const sa::TraceRecord record = trace.live().front();
  CHECK(record.stack.size() == 5);
  CHECK(has(sa::to_string(record), "UTC\n    "));
  held.clear();
  CHECK(trace.live().empty());
  CHECK_THROWS_AS(sa::Trace(memfd(), {.stack_depth = 65}), sa::Error);
}

TEST_CASE("each event is reported by any thread, a failure with its sentence, and a callback's exception is ignored") {
  struct Seen {
    sa::TraceEvent::Kind kind;
    std::uint64_t number;
    std::string heap;
    std::size_t size;
    int error;
    std::string sentence;
  };
  std::vector<Seen> seen;
  const auto upstream = std::make_shared<TestHeap>("test:upstream");
  {
    sa::Trace trace(upstream, {.on_event =
                                   [&](const sa::TraceEvent& event) {
                                     seen.push_back({event.kind, event.record.number, event.record.heap, event.record.size,
                                                     event.error.value(), std::string(event.sentence)});
                                     throw std::runtime_error("lost");
                                   },
                               .name = "test:traced"});
    sa::DmaBuf buffer = trace.allocate({.size = 5000});
    upstream->error = ENOMEM;
    std::error_code ec;
    (void)trace.allocate({.size = 100}, ec);
    CHECK(ec == std::errc::not_enough_memory);
    try {
      (void)trace.allocate({.size = 100});
      FAIL_CHECK("not refused");
    } catch (const sa::Error& error) {
      const std::string text = error.what();
      CHECK(has(text, "the test's system call"));
      CHECK(text.find("the test's system call") == text.rfind("the test's system call"));
    }
    buffer.reset();
  }
  REQUIRE(seen.size() == 4);
  CHECK(seen[0].kind == sa::TraceEvent::Kind::Allocated);
  CHECK(seen[0].size == 8192);
  CHECK(seen[0].heap == "test:upstream");
  for (std::size_t i : {1U, 2U}) {
    CHECK(seen[i].kind == sa::TraceEvent::Kind::Failed);
    CHECK(seen[i].number == i + 1);
    CHECK(seen[i].heap == "test:traced");
    CHECK(seen[i].size == 100);
    CHECK(seen[i].error == ENOMEM);
    CHECK(has(seen[i].sentence, "the test's system call"));
  }
  CHECK(seen[3].kind == sa::TraceEvent::Kind::Freed);
  CHECK(seen[3].number == 1);
}

TEST_CASE("a trace that ends reports each buffer still alive, once, and tells nothing afterwards") {
  std::vector<Records> reports;
  int events = 0;
  sa::DmaBuf left;
  {
    sa::Trace trace(memfd(), {.on_event = [&](const sa::TraceEvent&) { ++events; },
                              .on_leak = [&](const Records& records) { reports.push_back(records); }});
    left = trace.allocate({.size = 4096, .name = "left"});
    trace.allocate({.size = 4096, .name = "freed"}).reset();
    CHECK(events == 3);
    CHECK(reports.empty());
  }
  REQUIRE(reports.size() == 1);
  REQUIRE(reports[0].size() == 1);
  CHECK(reports[0][0].name == "left");
  left.map_unsynchronized().bytes()[0] = std::byte{1};
  left.reset();
  CHECK(events == 3);
  {
    sa::Trace trace(memfd(), {.on_leak = [&](const Records& records) { reports.push_back(records); }});
    trace.allocate({.size = 4096}).reset();
  }
  CHECK(reports.size() == 1);
}

TEST_CASE("without a callback the log names each buffer: when the trace ends, or when the process does") {
  CHECK(printed_by([] {
          sa::Trace trace(memfd());
          (void)trace.allocate({.size = 4096});
        }) == "");
  const std::string ended = printed_by([] {
    static sa::DmaBuf left;
    sa::Trace trace(memfd(), {.stack_depth = 3, .name = "test:traced"});
    left = trace.allocate({.size = 4096, .name = "left behind"});
  });
  CHECK(has(ended, "warning"));
  CHECK(has(ended, "test:traced: buffers still alive: 1, " + unit::kib_of_pages(1)));
  CHECK(has(ended, "test:traced: still alive: " + unit::kib_of_pages(1) + " \"left behind\" from memfd:4k, request 1"));
  CHECK(has(ended, "UTC\n    "));
  CHECK(ended.find("left behind") == ended.rfind("left behind"));
  const std::string exited = printed_by([] { // neither the trace nor the buffer ends
    auto* registry = new sa::Registry;
    registry->add(std::make_shared<sa::Trace>(memfd(), sa::TraceOptions{.name = "test:traced"}));
    static auto* const kept = new sa::DmaBuf(registry->allocate("test:traced", {.size = 4096, .name = "at exit"}));
    static auto* const also = registry;
    CHECK(*kept);
    CHECK(also != nullptr);
  });
  CHECK(has(exited, "still alive: " + unit::kib_of_pages(1) + " \"at exit\""));
  CHECK(exited.find("at exit") == exited.rfind("at exit"));
}

TEST_CASE("a child reports what it left itself, not what its parent has") {
  static sa::Trace* const trace = new sa::Trace(memfd(), {.name = "test:family"});
  sa::DmaBuf parents = trace->allocate({.size = 4096, .name = "the parent's"});
  CHECK(printed_by([] {}) == "");
  const std::string text = printed_by([] {
    static sa::DmaBuf* const left = new sa::DmaBuf(trace->allocate({.size = 4096, .name = "the child's"}));
    CHECK(*left);
    CHECK(trace->live().size() == 2);
  });
  CHECK(has(text, "the child's"));
  CHECK_FALSE(has(text, "the parent's"));
  CHECK(trace->live().size() == 1);
}

TEST_CASE("above a pool a trace lists uses, below it memory") {
  const auto below = std::make_shared<sa::Trace>(memfd(), silent());
  const auto pool = std::make_shared<sa::Pool>(below);
  sa::Trace above(pool, silent());
  for (int round = 1; round <= 3; ++round) {
    const sa::DmaBuf buffer = above.allocate({.size = 4096, .name = "use"});
    REQUIRE(above.live().size() == 1);
    CHECK(above.live()[0].number == static_cast<std::uint64_t>(round));
    CHECK(below->live().size() == 1);
  }
  CHECK(above.live().empty());
  CHECK(below->live().size() == 1);
  pool->trim();
  CHECK(below->live().empty());
}

TEST_CASE("threads may allocate, free, list, fork and end at once") {
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::atomic<int> rounds{0};
  std::vector<std::thread> threads;
  {
    std::atomic<int> alive{0};
    sa::Trace trace(memfd(), {.on_event = [&](const sa::TraceEvent& event) {
                      if (event.kind != sa::TraceEvent::Kind::Failed) {
                        alive += event.kind == sa::TraceEvent::Kind::Allocated ? 1 : -1;
                      }
                    }});
    for (int id = 0; id < 4; ++id) {
      threads.emplace_back([&] {
        while (!stop) {
          const sa::DmaBuf a = trace.allocate({.size = 4096, .name = "a"});
          const sa::DmaBuf b = trace.allocate({.size = 2 * unit::page, .name = "b"});
          ++rounds;
        }
      });
    }
    for (int round = 0; round < 40 || rounds < 400; ++round) {
      for (const auto& record : trace.live()) {
        wrong += record.name == "a" || record.name == "b" ? 0 : 1;
      }
      if (round < 40) {
        CHECK(support::in_child([&] {
                const std::size_t inherited = trace.live().size();
                const sa::DmaBuf own = trace.allocate({.size = 4096});
                return trace.live().size() == inherited + 1 ? support::passed : 2;
              }) == support::passed);
      }
    }
    stop = true;
    for (auto& thread : threads) {
      thread.join();
    }
    CHECK(alive == 0);
    CHECK(trace.live().empty());
  }
  CHECK(wrong == 0);
}

TEST_CASE("a child finds the lock free, however busy it is in its parent") {
  sa::Trace trace(memfd());
  std::vector<sa::DmaBuf> held; // listing them takes longer than anything else
  for (int i = 0; i < 200; ++i) {
    held.push_back(trace.allocate({.size = 4096, .name = "held"}));
  }
  std::atomic<bool> stop{false};
  std::thread lister([&] {
    while (!stop) {
      (void)trace.live();
    }
  });
  for (int round = 0; round < 30; ++round) {
    CHECK(support::in_child([&] {
            ::alarm(20); // instead of waiting for ever
            return trace.live().size() == held.size() ? support::passed : 2;
          }) == support::passed);
  }
  stop = true;
  lister.join();
}
