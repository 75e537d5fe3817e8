// SPDX-License-Identifier: MIT
/// What is tied to a buffer, and the adaptors; limit_test.cpp and trace_test.cpp have those two.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "support/counters.hpp"
#include "support/process.hpp"
#include "unit/test_heap.hpp"

using unit::TestHeap;

namespace {

std::shared_ptr<sa::Heap> memfd() {
  return sa::Registry::system().find("memfd:4k");
}

/// An adaptor as somebody outside the library writes it: calls back when a buffer ends.
class Watch final : public sa::Adaptor {
public:
  Watch(std::shared_ptr<sa::Heap> upstream, std::function<void()> ended)
      : Adaptor(std::move(upstream), {}), ended_(std::move(ended)) {}

protected:
  sa::DmaBuf do_allocate(const sa::AllocRequest& request, std::error_code& ec) override {
    sa::DmaBuf buffer = upstream().allocate(request, ec);
    attach(buffer, std::make_unique<End>(ended_));
    return buffer;
  }

private:
  struct End final : sa::Attachment {
    explicit End(std::function<void()> does) : does(std::move(does)) {}
    ~End() override { does(); }
    std::function<void()> does;
  };
  std::function<void()> ended_;
};

/// A heap whose memory peers send by handles.
class HandleHeap final : public sa::Heap {
public:
  HandleHeap() {
    info_.name = "handle:test";
    info_.backend = "handle";
    info_.granularity = 4096;
    info_.max_size = 1 << 20;
    info_.usable = true;
  }
  [[nodiscard]] const sa::HeapInfo& info() const noexcept override { return info_; }
  int error = 0;

protected:
  sa::DmaBuf do_allocate(const sa::AllocRequest&, std::error_code& ec) override { return refuse(ec, EIO, "no"); }
  sa::DmaBuf do_accept(sa::UniqueFd handle, std::uint64_t, std::size_t, std::string_view, std::error_code& ec) override {
    return error != 0 ? refuse(ec, error, "not mine") : sa::DmaBuf::import(std::move(handle), ec);
  }

private:
  sa::HeapInfo info_;
};

using Make = std::function<std::shared_ptr<sa::Heap>(std::shared_ptr<sa::Heap>, std::string)>;

struct Kind {
  const char* kind;
  Make make;
};
/// Every adaptor, so that it lets everything through.
const std::vector<Kind> every_adaptor{
    {"limit", [](auto heap, auto name) { return std::make_shared<sa::Limit>(heap, sa::LimitOptions{.name = name}); }},
    {"statistics", [](auto heap, auto name) { return std::make_shared<sa::Statistics>(heap, sa::StatisticsOptions{name}); }},
    {"fallback",
     [](auto heap, auto name) {
       return std::make_shared<sa::Fallback>(std::vector<std::shared_ptr<sa::Heap>>{heap}, sa::FallbackOptions{name});
     }},
    {"trace",
     [](auto heap, auto name) {
       return std::make_shared<sa::Trace>(heap, sa::TraceOptions{.on_leak = [](const auto&) {}, .name = name});
     }},
    {"failing", [](auto heap, auto name) { return std::make_shared<sa::Failing>(heap, sa::FailingOptions{.name = name}); }},
};

template <typename Body>
std::string error_of(int code, Body&& body) {
  try {
    body();
  } catch (const sa::Error& error) {
    CHECK(error.code().value() == code);
    return error.what();
  }
  FAIL_CHECK("not refused");
  return {};
}

bool has(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

} // namespace

// What is tied to a buffer

TEST_CASE("an attachment ends once, with the last holder of the buffer and after its memory") {
  int ends = 0;
  int descriptors = 0;
  const auto heap = std::make_shared<Watch>(memfd(), [&] {
    ++ends;
    descriptors = support::open_descriptors();
  });
  const int before = support::open_descriptors();
  sa::DmaBuf buffer = heap->allocate({.size = 4096});
  sa::Mapping mapping = buffer.map_unsynchronized();
  sa::CpuAccess access = buffer.access(sa::Access::Read);
  buffer.reset();
  mapping = {};
  CHECK(ends == 0);
  access.end();
  CHECK(ends == 1);
  CHECK(descriptors == before);
  buffer = heap->allocate({.size = 4096});
  const sa::UniqueFd alone = buffer.release();
  CHECK(ends == 2);
}

TEST_CASE("of several attachments the innermost ends first, and on no buffer one ends at once") {
  std::string order;
  const auto inner = std::make_shared<Watch>(memfd(), [&] { order += "inner "; });
  const auto outer = std::make_shared<Watch>(inner, [&] { order += "outer "; });
  outer->allocate({.size = 4096}).reset();
  CHECK(order == "inner outer ");
  order.clear();
  std::error_code ec;
  CHECK_FALSE(outer->allocate({.size = 0}, ec));
  CHECK(order.empty());
  CHECK_FALSE(outer->allocate({.size = SIZE_MAX}, ec));
  CHECK(order == "inner outer ");
}

TEST_CASE("a pool keeps what was attached below it, and ends what was attached above before it has the buffer back") {
  int of_memory = 0;
  int of_use = 0;
  const auto inner = std::make_shared<Watch>(memfd(), [&] { ++of_memory; });
  const auto pool = std::make_shared<sa::Pool>(inner);
  std::uint64_t free_then = 1;
  const auto outer = std::make_shared<Watch>(pool, [&] {
    ++of_use;
    free_then = pool->statistics().free_buffers;
  });
  for (int round = 1; round <= 3; ++round) {
    outer->allocate({.size = 4096}).reset();
    CHECK(of_use == round);
    CHECK(free_then == 0);
    CHECK(pool->statistics().free_buffers == 1);
    CHECK(of_memory == 0);
  }
  CHECK(pool->statistics().hits == 2);
  pool->trim();
  CHECK(of_memory == 1);
  // What the pool does not take back ends both.
  sa::DmaBuf buffer = outer->allocate({.size = 4096});
  CHECK(buffer.fd() >= 0);
  buffer.reset();
  CHECK(of_use == 4);
  CHECK(of_memory == 2);
  // And a pool around a pool keeps nothing.
  const auto outermost = std::make_shared<sa::Pool>(outer);
  outermost->allocate({.size = 4096}).reset();
  CHECK(of_use == 5);
  CHECK(of_memory == 2);
  pool->reserve(2, {.size = 2 * unit::page});
  pool->trim();
  CHECK(of_memory == 5);
}

// All of them

TEST_CASE("every adaptor is a heap of its upstream's kind, under its name or its own, and passes memory of peers through") {
  for (const Kind& one : every_adaptor) {
    const char* const kind = one.kind;
    const Make& make = one.make;
    CAPTURE(kind);
    const auto plain = make(memfd(), "");
    sa::HeapInfo expected = memfd()->info();
    if (std::string(kind) == "fallback") {
      expected.max_alignment = expected.granularity; // said outright, which 0 means
    }
    CHECK(plain->info() == expected);
    const auto named = make(memfd(), std::string("test:") + kind);
    CHECK(named->info().name == std::string("test:") + kind);
    const sa::DmaBuf buffer = named->allocate({.size = unit::page + 904, .name = "frame"});
    CHECK(buffer.size() == 2 * unit::page);
    CHECK(buffer.name() == "frame");
    CHECK(buffer.heap() == "memfd:4k");
    CHECK(has(error_of(ENOMEM, [&] { (void)named->allocate({.size = SIZE_MAX / 4 * 3}); }), named->info().name.c_str()));
    CHECK(has(error_of(EOPNOTSUPP, [&] { (void)plain->allocate({.size = 4096, .require = sa::Trait::Contiguous}); }), "cached"));
    CHECK(has(error_of(EINVAL, [&] { make(nullptr, ""); }), "no upstream heap"));
    CHECK(has(error_of(EINVAL, [&] { make(memfd(), "../x"); }), "name"));
    const auto handles = std::make_shared<HandleHeap>();
    std::error_code ec;
    CHECK(make(handles, "")->accept(unit::real_buffer().dup(), 0, unit::page, "", ec).size() == unit::page);
    handles->error = EBADMSG;
    CHECK_FALSE(make(handles, "")->accept(unit::real_buffer().dup(), 0, unit::page, "", ec));
    CHECK(ec.value() == EBADMSG);
  }
}

TEST_CASE("a registry takes several adaptors of one heap") {
  sa::Registry registry;
  for (const Kind& one : every_adaptor) {
    registry.add(one.make(memfd(), std::string("test:") + one.kind));
  }
  registry.alias("any", {"test:*"});
  CHECK(registry.allocate("any", {.size = 4096}).heap() == "memfd:4k");
}

TEST_CASE("an adaptor may end before its buffers, and its upstream too") {
  const int before = support::open_descriptors();
  for (const Kind& one : every_adaptor) {
    const char* const kind = one.kind;
    const Make& make = one.make;
    CAPTURE(kind);
    std::weak_ptr<sa::Heap> upstream;
    {
      auto heap = std::make_shared<TestHeap>("test:short");
      upstream = heap;
      auto adaptor = make(std::move(heap), "");
      sa::DmaBuf buffer = adaptor->allocate({.size = 4096});
      adaptor.reset();
      buffer.map_unsynchronized().bytes()[0] = std::byte{1};
      CHECK_FALSE(upstream.expired()); // the buffer's heap
    }
    CHECK(upstream.expired());
  }
  CHECK(support::open_descriptors() == before);
}

TEST_CASE("a heap that breaks its promise harms no adaptor") {
  const auto upstream = std::make_shared<TestHeap>("test:broken");
  for (const Kind& one : every_adaptor) {
    const char* const kind = one.kind;
    const Make& make = one.make;
    CAPTURE(kind);
    const auto heap = make(upstream, "");
    upstream->throws = true;
    std::error_code ec;
    CHECK_FALSE(heap->allocate({.size = 4096}, ec));
    CHECK(ec.value() == EPROTO);
    upstream->throws = false;
    CHECK(heap->allocate({.size = 4096}));
  }
}

// Statistics

TEST_CASE("statistics count the live buffers, their peak, their total and the failures") {
  const auto upstream = std::make_shared<TestHeap>("test:counted");
  sa::Statistics statistics(upstream);
  CHECK(statistics.read() == sa::HeapStatistics{});
  {
    const sa::DmaBuf a = statistics.allocate({.size = 4096});
    {
      const sa::DmaBuf b = statistics.allocate({.size = 5000});
      CHECK(statistics.read() == sa::HeapStatistics{2, 2, 2, 0, 12288, 12288, 12288});
    }
    upstream->error = ENOMEM;
    std::error_code ec;
    (void)statistics.allocate({.size = 4096}, ec);
    CHECK(ec == std::errc::not_enough_memory);
    upstream->error = 0;
    (void)statistics.allocate({.size = 0}, ec); // never reached it
    const sa::DmaBuf c = statistics.allocate({.size = 4096});
    CHECK(statistics.read() == sa::HeapStatistics{2, 2, 3, 1, 8192, 12288, 16384});
  }
  CHECK(statistics.read() == sa::HeapStatistics{0, 2, 3, 1, 0, 12288, 16384});
}

TEST_CASE("in each reading live is at most peak and peak at most total, while other threads allocate") {
  sa::Statistics statistics(memfd());
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> rounds{0};
  std::vector<std::thread> threads;
  for (std::size_t id = 1; id <= 4; ++id) {
    threads.emplace_back([&, id] {
      while (!stop) {
        std::vector<sa::DmaBuf> held;
        for (std::size_t i = 0; i < id; ++i) {
          held.push_back(statistics.allocate({.size = id * unit::page}));
          ++rounds;
        }
      }
    });
  }
  int wrong = 0;
  for (int i = 0; i < 20000 || rounds < 1000; ++i) {
    const sa::HeapStatistics now = statistics.read();
    wrong += now.live_buffers <= now.peak_buffers && now.peak_buffers <= now.total_buffers && now.live_buffers <= 10 ? 0 : 1;
    wrong += now.live_bytes <= now.peak_bytes && now.peak_bytes <= now.total_bytes && now.live_bytes <= 30 * unit::page ? 0 : 1;
  }
  stop = true;
  for (auto& thread : threads) {
    thread.join();
  }
  CHECK(wrong == 0);
  const sa::HeapStatistics now = statistics.read();
  CHECK(now.live_buffers == 0);
  CHECK(now.live_bytes == 0);
  CHECK(now.total_buffers == rounds);
  CHECK(now.peak_buffers >= 1);
}

TEST_CASE("a peak that is growing is never read as less than what is live") {
  const auto pool = std::make_shared<sa::Pool>(memfd());
  constexpr std::size_t growth = 64;
  pool->reserve(growth, {.size = 4096});
  std::atomic<const sa::Statistics*> current{nullptr};
  std::atomic<int> reading{0};
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> readers; // more than processors: an allocating thread is interrupted between any two steps
  for (int id = 0; id < 4; ++id) {
    readers.emplace_back([&] {
      while (!stop) {
        if (current == nullptr) {
          std::this_thread::yield();
          continue;
        }
        ++reading;
        if (const sa::Statistics* statistics = current; statistics != nullptr) {
          const sa::HeapStatistics now = statistics->read();
          wrong += now.live_buffers <= now.peak_buffers && now.live_bytes <= now.peak_bytes ? 0 : 1;
        }
        --reading;
      }
    });
  }
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(500);
  while (std::chrono::steady_clock::now() < end) {
    sa::Statistics statistics(pool);
    current = &statistics;
    std::vector<sa::DmaBuf> held;
    while (held.size() < growth) {
      held.push_back(statistics.allocate({.size = 4096}));
    }
    current = nullptr;
    while (reading != 0) { // perhaps of this one
      std::this_thread::yield();
    }
  }
  stop = true;
  for (auto& reader : readers) {
    reader.join();
  }
  CHECK(wrong == 0);
}

TEST_CASE("a forked child goes on with numbers of its own") {
  sa::Statistics statistics(memfd());
  sa::Limit limit(memfd(), {.max_buffers = 2});
  sa::DmaBuf counted = statistics.allocate({.size = 4096});
  sa::DmaBuf charged = limit.allocate({.size = 4096});
  CHECK(support::in_child([&] {
          counted.reset();
          charged.reset();
          const sa::DmaBuf a = limit.allocate({.size = 4096});
          const sa::DmaBuf b = limit.allocate({.size = 4096});
          return statistics.read().live_buffers == 0 && limit.use().buffers == 2 ? support::passed : 2;
        }) == support::passed);
  CHECK(statistics.read().live_buffers == 1);
  CHECK(limit.use() == sa::LimitUse{unit::page, 1});
}

// Fallback

TEST_CASE("a fallback moves on as an alias does, and says every attempt") {
  for (const int error : {EOPNOTSUPP, ENOENT, ENODEV, EACCES, EPERM, ENOMEM, EDQUOT, EIO, EMFILE, EINVAL}) {
    CAPTURE(error);
    const bool moves_on = error != EIO && error != EMFILE && error != EINVAL;
    const auto first = std::make_shared<TestHeap>("test:first");
    const auto second = std::make_shared<TestHeap>("test:second");
    first->error = error;
    sa::Fallback fallback({first, second});
    std::error_code ec;
    const sa::DmaBuf buffer = fallback.allocate({.size = 4096}, ec);
    CHECK(buffer.heap() == (moves_on ? "test:second" : ""));
    CHECK(ec.value() == (moves_on ? 0 : error));
    first->error = 0;
    CHECK(fallback.allocate({.size = 4096}).heap() == "test:first");
  }
  const auto denied = std::make_shared<TestHeap>("test:denied");
  const auto full = std::make_shared<sa::Limit>(memfd(), sa::LimitOptions{.max_buffers = 0, .name = "test:full"});
  denied->error = EACCES;
  sa::Fallback fallback({denied, std::make_shared<TestHeap>("test:plain"), full}, {.name = "test:all"});
  const std::string text = error_of(EDQUOT, [&] {
    (void)fallback.allocate({.size = 4096, .constraints = {.alignment = 1 << 20}, .require = sa::Trait::Cached});
  });
  CHECK(has(text, "test:all"));
  CHECK(has(text, "[test:plain: this heap can promise an alignment of 4 KiB"));
  sa::Fallback refused({denied, full});
  const std::string attempts = error_of(EDQUOT, [&] { (void)refused.allocate({.size = 4096}); });
  CHECK(has(attempts, "[test:denied: the test's system call"));
  CHECK(has(attempts, "[test:full: 0 of at most 0 buffers"));
}

TEST_CASE("a fallback is what its upstreams are together") {
  const auto plain = std::make_shared<TestHeap>("test:plain", sa::Trait::Cached);
  const auto large = std::make_shared<TestHeap>("test:large", sa::Trait::Contiguous);
  large->change().granularity = 2 << 20;
  large->change().max_size = std::size_t{1} << 31;
  plain->change().usable = false;
  sa::Fallback fallback({plain, large});
  CHECK(fallback.info().name == "test:plain");
  CHECK(fallback.info().backend == "test");
  CHECK(fallback.info().traits == (sa::Trait::Cached | sa::Trait::Contiguous));
  CHECK(fallback.info().granularity == 4096);
  CHECK(fallback.info().max_size == std::size_t{1} << 31);
  CHECK(fallback.info().max_alignment == 2 << 20);
  CHECK(fallback.info().usable);
  CHECK(fallback.allocate({.size = 4096, .require = sa::Trait::Contiguous}).heap() == "test:large");
  CHECK(sa::Fallback({large, plain}).allocate({.size = 4096}).heap() == "test:plain"); // 2 MiB for 4 KiB come last
  large->change().usable = false;
  CHECK(has(sa::Fallback({plain, large}).info().reason, "test:large"));
  CHECK(has(error_of(EINVAL, [&] { sa::Fallback({}); }), "no upstream heap"));
  CHECK(has(error_of(EINVAL, [&] { sa::Fallback({plain, nullptr}); }), "no upstream heap"));
}

TEST_CASE("memory of a peer goes to the first upstream of a fallback that accepts it") {
  const auto before = support::open_descriptors();
  const auto none = std::make_shared<TestHeap>("test:none");
  const auto first = std::make_shared<HandleHeap>();
  const auto second = std::make_shared<HandleHeap>();
  sa::Fallback fallback({none, first, second});
  std::error_code ec;
  for (const int error : {0, EBADMSG}) {
    first->error = error;
    CHECK(fallback.accept(unit::real_buffer().dup(), 0, unit::page, "", ec).size() == unit::page);
  }
  second->error = EOPNOTSUPP;
  CHECK_FALSE(fallback.accept(unit::real_buffer().dup(), 0, unit::page, "", ec));
  CHECK(ec.value() == EBADMSG); // of the one that takes handles, and not this one
  CHECK(support::open_descriptors() == before);
}

// Failing

namespace {

/// Which of @p count requests fail.
std::set<int> failures(sa::Failing& heap, int count) {
  std::set<int> failed;
  for (int i = 1; i <= count; ++i) {
    std::error_code ec;
    (void)heap.allocate({.size = 4096}, ec);
    if (ec) {
      failed.insert(i);
    }
  }
  return failed;
}

} // namespace

TEST_CASE("failing fails the nth, every nth, both or none, with the errno and a sentence, and does not ask upstream") {
  const auto upstream = std::make_shared<TestHeap>("test:sound");
  const auto fail = [&](sa::FailingOptions options) {
    upstream->asked = 0;
    sa::Failing heap(upstream, options);
    const auto failed = failures(heap, 10);
    CHECK(upstream->asked == 10 - static_cast<int>(failed.size()));
    CHECK(heap.count() == 10);
    return failed;
  };
  CHECK(fail({}).empty());
  CHECK(fail({.nth = 3}) == std::set<int>{3});
  CHECK(fail({.every = 4}) == std::set<int>{4, 8});
  CHECK(fail({.nth = 1, .every = 5}) == std::set<int>{1, 5, 10});
  CHECK(fail({.probability = 1}).size() == 10);
  sa::Failing heap(upstream, {.every = 2, .error = EDQUOT});
  (void)heap.allocate({.size = 4096});
  std::error_code ec;
  (void)heap.allocate({.size = 0}, ec); // malformed: not counted
  const std::string text = error_of(EDQUOT, [&] { (void)heap.allocate({.size = 4096}); });
  CHECK(has(text, "made request 2 fail on purpose (every 2)"));
  sa::Failing plain(upstream, {.nth = 1});
  (void)plain.allocate({.size = 4096}, ec);
  CHECK(ec == std::errc::not_enough_memory);
}

TEST_CASE("random failures have the same numbers for the same seed, with any threads") {
  const auto upstream = std::make_shared<TestHeap>("test:sound");
  const auto run = [&](std::uint64_t seed) {
    sa::Failing heap(upstream, {.probability = 0.25, .seed = seed});
    return failures(heap, 1000);
  };
  const auto failed = run(7);
  CHECK(failed == run(7));
  CHECK(failed != run(8));
  CHECK(failed.size() > 180);
  CHECK(failed.size() < 320);
  for (int round = 0; round < 3; ++round) {
    sa::Failing heap(upstream, {.probability = 0.25, .seed = 7});
    std::atomic<std::size_t> count{0};
    std::vector<std::thread> threads;
    for (int id = 0; id < 4; ++id) {
      threads.emplace_back([&] {
        sa::Failing& shared = heap;
        for (int i = 0; i < 250; ++i) {
          std::error_code ec;
          (void)shared.allocate({.size = 4096}, ec);
          count += ec ? 1 : 0;
        }
      });
    }
    for (auto& thread : threads) {
      thread.join();
    }
    CHECK(count == failed.size());
  }
}

TEST_CASE("failing refuses a wrong probability or errno") {
  for (const double probability : {-0.1, 1.5, std::numeric_limits<double>::quiet_NaN()}) {
    CHECK(has(error_of(EINVAL, [&] { sa::Failing(memfd(), {.probability = probability}); }), "probability"));
  }
  for (const int error : {0, -1, 4096}) {
    CHECK(has(error_of(EINVAL, [&] { sa::Failing(memfd(), {.error = error}); }), "is not an errno"));
  }
}
