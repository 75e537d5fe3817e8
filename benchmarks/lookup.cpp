// SPDX-License-Identifier: MIT
/// Finding a heap by its name among eight, beside what one would write at once, a map behind a shared_mutex, and beside what
/// owning costs at least: a copy of one shared_ptr that another thread may exchange.
#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>

#include <benchmark/benchmark.h>

#include <sa/sa.hpp>

namespace {

/// A heap that does nothing.
class NullHeap final : public sa::Heap {
public:
  explicit NullHeap(std::string name) {
    info_.name = std::move(name);
    info_.granularity = 4096;
    info_.max_size = std::size_t{1} << 40;
  }
  [[nodiscard]] const sa::HeapInfo& info() const noexcept override { return info_; }

protected:
  sa::DmaBuf do_allocate(const sa::AllocRequest&, std::error_code&) override { return {}; }

private:
  sa::HeapInfo info_;
};

constexpr std::array names{"memfd:4k", "memfd:huge", "udmabuf:4k",    "dma-heap:system",
                           "cma:cma0", "cma:cma1",   "carveout:test", "drm:card0"};

/// Never destroyed.
sa::Registry& registry() {
  static sa::Registry* const made = [] {
    auto* empty = new sa::Registry;
    for (const char* name : names) {
      empty->add(std::make_shared<NullHeap>(name));
    }
    return empty;
  }();
  return *made;
}

class Locked {
public:
  Locked() {
    for (const char* name : names) {
      heaps_.emplace(name, std::make_shared<NullHeap>(name));
    }
  }
  std::shared_ptr<sa::Heap> find(std::string_view name) {
    const std::shared_lock lock(mutex_);
    const auto found = heaps_.find(name);
    return found == heaps_.end() ? nullptr : found->second;
  }

private:
  std::shared_mutex mutex_;
  std::map<std::string, std::shared_ptr<sa::Heap>, std::less<>> heaps_;
};

/// Another name each time, so that no branch is learnt by heart; each thread begins elsewhere.
template <typename Body>
void by_turns(benchmark::State& state, Body&& body) {
  std::array<std::string, names.size()> asked;
  for (std::size_t i = 0; i < names.size(); ++i) {
    asked[i] = names[i];
  }
  auto turn = static_cast<std::size_t>(state.thread_index());
  for (auto _ : state) {
    body(asked[turn++ % asked.size()]);
  }
}

void find_sa(benchmark::State& state) {
  by_turns(state, [](const std::string& name) { benchmark::DoNotOptimize(registry().find(name).get()); });
}

void find_shared_mutex(benchmark::State& state) {
  static Locked locked;
  by_turns(state, [](const std::string& name) { benchmark::DoNotOptimize(locked.find(name).get()); });
}

void copy_atomic(benchmark::State& state) {
  static const std::atomic<std::shared_ptr<sa::Heap>> shared{std::make_shared<NullHeap>(names[0])};
  for (auto _ : state) {
    benchmark::DoNotOptimize(shared.load().get());
  }
}

void allocate_sa(benchmark::State& state) {
  by_turns(state, [](const std::string& name) {
    std::error_code ec;
    benchmark::DoNotOptimize(registry().allocate(name, {.size = 4096}, ec).size());
  });
}

BENCHMARK(find_sa)->Name("lookup by name among 8/sa")->ThreadRange(1, 2)->UseRealTime();
BENCHMARK(find_shared_mutex)->Name("lookup by name among 8/shared_mutex")->ThreadRange(1, 2)->UseRealTime();
BENCHMARK(copy_atomic)->Name("lookup by name among 8/atomic copy")->ThreadRange(1, 2)->UseRealTime();
BENCHMARK(allocate_sa)->Name("allocate by name from a heap that does nothing")->ThreadRange(1, 2)->UseRealTime();

} // namespace

BENCHMARK_MAIN();
