// SPDX-License-Identifier: MIT
/// Limits: what is charged, when, and that nothing is lost on any way out.
#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "support/counters.hpp"
#include "unit/test_heap.hpp"

using unit::TestHeap;

namespace {

std::shared_ptr<sa::Heap> memfd() {
  return sa::Registry::system().find("memfd:4k");
}

const std::error_code over_quota(EDQUOT, std::system_category());
const std::error_code no_memory(ENOMEM, std::system_category());

std::string refusal(sa::Heap& heap, std::error_code code, const sa::AllocRequest& request) {
  try {
    (void)heap.allocate(request);
  } catch (const sa::Error& error) {
    CHECK(error.code() == code);
    return error.what();
  }
  FAIL_CHECK("not refused");
  return {};
}

bool has(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

/// Counts what of it is really alive, and the most there ever was.
class Meter final : public sa::Adaptor {
public:
  explicit Meter(std::shared_ptr<sa::Heap> upstream) : Adaptor(std::move(upstream), {}) {}
  std::atomic<std::size_t> bytes{0};
  std::atomic<std::size_t> most{0};

protected:
  sa::DmaBuf do_allocate(const sa::AllocRequest& request, std::error_code& ec) override {
    sa::DmaBuf buffer = upstream().allocate(request, ec);
    if (buffer) {
      const std::size_t now = bytes += buffer.size();
      std::size_t before = most;
      while (before < now && !most.compare_exchange_weak(before, now)) {
      }
      attach(buffer, std::make_unique<End>(*this, buffer.size()));
    }
    return buffer;
  }

private:
  struct End final : sa::Attachment {
    End(Meter& meter, std::size_t size) : meter(meter), size(size) {}
    ~End() override { meter.bytes -= size; }
    Meter& meter;
    std::size_t size;
  };
};

} // namespace

TEST_CASE("a limit refuses what is over it, says by how much, and gives again when a holder has ended") {
  const auto upstream = std::make_shared<TestHeap>("test:limited");
  sa::Limit limit(upstream, {.max_bytes = 5 * 4096, .max_buffers = 3});
  CHECK(limit.info().max_size == 5 * 4096);
  sa::DmaBuf a = limit.allocate({.size = 5000});
  CHECK(limit.use() == sa::LimitUse{8192, 1});
  sa::DmaBuf b = limit.allocate({.size = 4096});
  const std::string bytes = refusal(limit, over_quota, {.size = 8193});
  CHECK(has(bytes, "12 KiB of at most 20 KiB are in use, and 12 KiB more are 4 KiB over"));
  CHECK(has(bytes, "raise LimitOptions::max_bytes"));
  CHECK(upstream->asked == 2);
  sa::DmaBuf c = limit.allocate({.size = 1});
  const std::string buffers = refusal(limit, over_quota, {.size = 1});
  CHECK(has(buffers, "3 of at most 3 buffers are in use, 16 KiB"));
  CHECK(has(buffers, "raise LimitOptions::max_buffers"));
  CHECK(limit.use() == sa::LimitUse{4 * 4096, 3});
  sa::Mapping mapping = a.map_unsynchronized();
  a.reset();
  CHECK(limit.use() == sa::LimitUse{4 * 4096, 3});
  mapping = {};
  CHECK(limit.use() == sa::LimitUse{2 * 4096, 2});
  const sa::UniqueFd alone = b.release(); // the memory lives on
  CHECK(limit.use() == sa::LimitUse{4096, 1});
  CHECK(limit.allocate({.size = 4 * 4096}));
}

TEST_CASE("a request larger than the limit is ENOMEM, before the upstream is asked") {
  const auto upstream = std::make_shared<TestHeap>("test:limited");
  sa::Limit limit(upstream, {.max_bytes = 5 * 4096 + 1});
  const sa::DmaBuf held = limit.allocate({.size = 4096});
  for (const std::size_t size : {std::size_t{5 * 4096 + 2}, std::size_t{5 * 4096 + 1}, SIZE_MAX / 4 * 3, SIZE_MAX}) {
    CHECK(has(refusal(limit, no_memory, {.size = size}), "LimitOptions::max_bytes"));
  }
  CHECK(has(refusal(limit, no_memory, {.size = 1, .constraints = {.alignment = 32768}}), "LimitOptions::max_bytes"));
  CHECK(upstream->asked == 1);
  sa::Limit none(upstream);
  CHECK(none.info() == upstream->info());
  const sa::DmaBuf other = none.allocate({.size = 4096});
  for (const std::size_t size : {(std::size_t{1} << 30) + 1, SIZE_MAX - 4096, SIZE_MAX}) {
    refusal(none, no_memory, {.size = size});
  }
  CHECK(none.use() == sa::LimitUse{4096, 1});
}

TEST_CASE("every way to fail gives back what was charged") {
  const auto upstream = std::make_shared<TestHeap>("test:limited");
  sa::Limit limit(upstream, {.max_bytes = 4 * 4096, .max_buffers = 4});
  const sa::DmaBuf held = limit.allocate({.size = 4096});
  const sa::LimitUse before = limit.use();
  const auto descriptors = support::open_descriptors();
  std::error_code ec;
  upstream->error = ENOMEM;
  CHECK_FALSE(limit.allocate({.size = 4096}, ec));
  CHECK(ec == std::errc::not_enough_memory);
  CHECK(limit.use() == before);
  upstream->error = 0;
  upstream->throws = true;
  CHECK_FALSE(limit.allocate({.size = 4096}, ec));
  CHECK(ec.value() == EPROTO);
  CHECK(limit.use() == before);
  upstream->throws = false;
  CHECK_FALSE(limit.allocate({.size = 4 * 4096}, ec)); // bytes, after the buffer was taken
  CHECK(ec == over_quota);
  CHECK(limit.use() == before);
  CHECK_FALSE(limit.allocate({.size = 4096, .require = sa::Trait::Contiguous}, ec)); // upstream's to refuse
  CHECK(ec == std::errc::operation_not_supported);
  CHECK(limit.use() == before);
  // Larger than was asked for: what fits is charged as it is, what does not goes back.
  upstream->extra = 4096;
  CHECK(limit.allocate({.size = 4096}));
  {
    const sa::DmaBuf large = limit.allocate({.size = 4096});
    CHECK(limit.use() == sa::LimitUse{3 * 4096, 2});
    const std::string text = refusal(limit, over_quota, {.size = 4096});
    CHECK(has(text, "12 KiB of at most 16 KiB are in use, and 8 KiB more are 4 KiB over"));
    CHECK(limit.use() == sa::LimitUse{3 * 4096, 2});
  }
  CHECK(limit.use() == before);
  CHECK(support::open_descriptors() == descriptors);
}

TEST_CASE("over an alias, which rounds nothing, a limit charges what came") {
  sa::Registry registry;
  registry.add(std::make_shared<TestHeap>("test:a"));
  registry.alias("frames", {"test:a"});
  sa::Limit limit(registry.find("frames"), {.max_bytes = 8192});
  const sa::DmaBuf a = limit.allocate({.size = 1});
  CHECK(limit.use() == sa::LimitUse{4096, 1});
  const sa::DmaBuf b = limit.allocate({.size = 4096});
  refusal(limit, over_quota, {.size = 1});
  sa::Limit small(registry.find("frames"), {.max_bytes = 100});
  refusal(small, over_quota, {.size = 1});
  CHECK(small.use() == sa::LimitUse{});
}

TEST_CASE("threads at a limit never have more than it allows, in memory or in its numbers, and use all of it") {
  const auto meter = std::make_shared<Meter>(memfd());
  {
    const std::size_t max_bytes = 6 * unit::page;
    sa::Limit limit(meter, {.max_bytes = max_bytes, .max_buffers = 4});
    std::atomic<bool> stop{false};
    std::atomic<int> wrong{0};
    std::atomic<int> refused{0};
    std::vector<std::thread> threads;
    for (std::size_t id = 1; id <= 4; ++id) {
      threads.emplace_back([&, id] {
        std::vector<sa::DmaBuf> held;
        for (int round = 0; round < 2000; ++round) {
          std::error_code ec;
          sa::DmaBuf buffer = limit.allocate({.size = (id % 3 + 1) * unit::page}, ec);
          if (buffer) {
            held.push_back(std::move(buffer));
          }
          refused += ec == over_quota ? 1 : 0;
          wrong += ec && ec != over_quota ? 1 : 0;
          if (ec || held.size() > 2) { // the third of three pages is over for one alone
            held.clear();
          }
        }
      });
    }
    std::thread reader([&] {
      while (!stop) {
        const sa::LimitUse now = limit.use();
        wrong += now.bytes <= max_bytes && now.buffers <= 4 ? 0 : 1;
      }
    });
    for (auto& thread : threads) {
      thread.join();
    }
    stop = true;
    reader.join();
    CHECK(wrong == 0);
    CHECK(refused > 0);
    CHECK(meter->most <= max_bytes);
    CHECK(limit.use() == sa::LimitUse{});
    std::vector<sa::DmaBuf> all; // nothing was lost
    for (int i = 0; i < 3; ++i) {
      all.push_back(limit.allocate({.size = 2 * unit::page}));
    }
    CHECK(limit.use() == sa::LimitUse{max_bytes, 3});
  }
  CHECK(meter->bytes == 0);
}

TEST_CASE("of charges that come and go at once in several threads none is lost, and none is left") {
  const auto upstream = std::make_shared<TestHeap>("test:limited");
  upstream->error = ENOMEM; // at once: all the time goes into charging
  sa::Limit limit(upstream, {.max_bytes = 3 * 4096, .max_buffers = 3});
  std::atomic<int> ready{0};
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int id = 0; id < 4; ++id) {
    threads.emplace_back([&] {
      ++ready;
      while (ready < 4) {
      }
      for (int round = 0; round < 50000; ++round) {
        std::error_code ec;
        (void)limit.allocate({.size = 4096}, ec);
        const sa::LimitUse now = limit.use();
        wrong += now.bytes <= std::size_t{3 * 4096} && now.buffers <= 3 ? 0 : 1;
      }
    });
  }
  for (auto& thread : threads) {
    thread.join();
  }
  CHECK(wrong == 0);
  CHECK(limit.use() == sa::LimitUse{});
}

TEST_CASE("a pool over a limit: its free buffers are charged, and given back when the limit would refuse") {
  const auto upstream = std::make_shared<TestHeap>("test:limited");
  const auto limit = std::make_shared<sa::Limit>(upstream, sa::LimitOptions{.max_bytes = 4 * 4096});
  sa::Pool pool(limit);
  {
    std::vector<sa::DmaBuf> held;
    for (int i = 0; i < 4; ++i) {
      held.push_back(pool.allocate({.size = 4096}));
    }
    std::error_code ec;
    (void)pool.allocate({.size = 4096}, ec);
    CHECK(ec == over_quota);
  }
  CHECK(limit->use() == sa::LimitUse{4 * 4096, 4});
  pool.allocate({.size = 4096}).reset(); // a use more costs nothing
  CHECK(upstream->asked == 4);
  CHECK(limit->use() == sa::LimitUse{4 * 4096, 4});
  CHECK(pool.allocate({.size = 8192})); // another class: the free ones go
  CHECK(limit->use() == sa::LimitUse{8192, 1});
  std::error_code ec;
  pool.reserve(5, {.size = 4096}, ec);
  CHECK(ec == over_quota);
  pool.trim();
  CHECK(limit->use() == sa::LimitUse{});
}

TEST_CASE("a limit over a pool: each use is charged, free buffers are not, and other threads find no charge that has ended") {
  const auto pool = std::make_shared<sa::Pool>(memfd());
  sa::Limit limit(pool, {.max_buffers = 2});
  sa::DmaBuf a = limit.allocate({.size = 4096});
  const sa::DmaBuf b = limit.allocate({.size = 4096});
  std::error_code ec;
  (void)limit.allocate({.size = 4096}, ec);
  CHECK(ec == over_quota);
  a.reset();
  CHECK(pool->statistics().free_buffers == 1);
  CHECK(limit.use() == sa::LimitUse{unit::page, 1});
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads; // one place for two: each waits for the other's charge, which must end with its use
  for (int id = 0; id < 2; ++id) {
    threads.emplace_back([&] {
      for (int round = 0; round < 2000;) {
        std::error_code failed;
        const sa::DmaBuf buffer = limit.allocate({.size = 4096}, failed);
        round += buffer ? 1 : 0;
        wrong += failed && failed != over_quota ? 1 : 0;
        if (!buffer) {
          std::this_thread::yield();
        }
      }
    });
  }
  for (auto& thread : threads) {
    thread.join();
  }
  CHECK(wrong == 0);
  CHECK(limit.use() == sa::LimitUse{unit::page, 1});
}
