// SPDX-License-Identifier: MIT
/// sa::Pool beside GStreamer's GstBufferPool, and beside the least that a pool can be, a spin lock and a vector, in one run:
/// acquire and release on one thread and on two, a buffer that one thread acquires and another releases, and whole cycles with a
/// frame written. Times are of one buffer.
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include <benchmark/benchmark.h>
#include <gst/gst.h>
#include <pthread.h>

#include <sa/sa.hpp>

namespace {

constexpr std::size_t frame = 3110400; // 1080p NV12

sa::Pool& pool() {
  static sa::Pool one(sa::Registry::system().find("memfd:4k"), {.max_age = std::chrono::milliseconds::max()});
  return one;
}

/// The reference: pointers in a vector behind a spin lock.
class LockAndVector {
public:
  struct Frame {
    std::array<std::byte, 64> state{};
  };

  Frame* acquire() {
    Frame* frame = nullptr;
    lock();
    if (!free_.empty()) {
      frame = free_.back();
      free_.pop_back();
    }
    unlock();
    return frame == nullptr ? new Frame : frame;
  }
  void release(Frame* frame) {
    lock();
    free_.push_back(frame);
    unlock();
  }

private:
  void lock() {
    for (int spins = 0; locked_.load(std::memory_order_relaxed) || locked_.exchange(true, std::memory_order_acquire); ++spins) {
      if (spins == 1000) {
        std::this_thread::yield();
        spins = 0;
      } else {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
      }
    }
  }
  void unlock() {
    locked_.store(false, std::memory_order_release);
  }

  std::atomic<bool> locked_{false};
  std::vector<Frame*> free_;
};

LockAndVector& reference() {
  static auto* const one = new LockAndVector;
  return *one;
}

/// A GstBufferPool of plain memory, with no upper limit.
GstBufferPool* gst_pool() {
  static GstBufferPool* const one = [] {
    GstBufferPool* made = gst_buffer_pool_new();
    GstStructure* config = gst_buffer_pool_get_config(made);
    gst_buffer_pool_config_set_params(config, nullptr, 4096, 2, 0);
    if (gst_buffer_pool_set_config(made, config) == FALSE || gst_buffer_pool_set_active(made, TRUE) == FALSE) {
      std::fprintf(stderr, "no GstBufferPool\n");
      std::exit(1);
    }
    return made;
  }();
  return one;
}

GstBuffer* gst_acquire() {
  GstBuffer* buffer = nullptr;
  gst_buffer_pool_acquire_buffer(gst_pool(), &buffer, nullptr);
  return buffer;
}

void one_thread_sa(benchmark::State& state) {
  for (auto _ : state) {
    const sa::DmaBuf buffer = pool().allocate({.size = 4096});
    benchmark::DoNotOptimize(buffer.size());
  }
}

void one_thread_code_sa(benchmark::State& state) {
  std::error_code ec;
  for (auto _ : state) {
    const sa::DmaBuf buffer = pool().allocate({.size = 4096}, ec);
    benchmark::DoNotOptimize(buffer.size());
  }
}

void one_thread_gst(benchmark::State& state) {
  for (auto _ : state) {
    gst_buffer_unref(gst_acquire());
  }
}

/// The same behind a handle that gives the frame back with its last copy, as a pipeline would hold it.
std::shared_ptr<LockAndVector::Frame> acquire_shared() {
  return {reference().acquire(), [](LockAndVector::Frame* frame) { reference().release(frame); }};
}

void one_thread_shared_reference(benchmark::State& state) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(acquire_shared()->state.data());
  }
}

void one_thread_reference(benchmark::State& state) {
  for (auto _ : state) {
    LockAndVector::Frame* const frame = reference().acquire();
    benchmark::DoNotOptimize(frame->state.data());
    reference().release(frame);
  }
}

/// A ring of 64 slots with one writer and one reader.
template <typename Slot>
class Ring {
public:
  bool put(Slot& slot) {
    const std::uint64_t at = written_.load(std::memory_order_relaxed);
    if (at - seen_read_ == slots) {
      seen_read_ = read_.load(std::memory_order_acquire);
      if (at - seen_read_ == slots) {
        return false;
      }
    }
    slots_[at % slots] = std::move(slot);
    written_.store(at + 1, std::memory_order_release);
    return true;
  }
  bool take(Slot& slot) {
    const std::uint64_t at = read_.load(std::memory_order_relaxed);
    if (at == seen_written_) {
      seen_written_ = written_.load(std::memory_order_acquire);
      if (at == seen_written_) {
        return false;
      }
    }
    slot = std::move(slots_[at % slots]);
    read_.store(at + 1, std::memory_order_release);
    return true;
  }

private:
  static constexpr std::uint64_t slots = 64;
  alignas(128) std::atomic<std::uint64_t> written_{0};
  std::uint64_t seen_read_ = 0; // the writer's
  alignas(128) std::atomic<std::uint64_t> read_{0};
  std::uint64_t seen_written_ = 0; // the reader's
  alignas(128) std::array<Slot, slots> slots_{};
};

/// Two threads that spin for each other must not share a processor.
void stay_on(unsigned processor) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(processor % std::thread::hardware_concurrency(), &one);
  ::pthread_setaffinity_np(::pthread_self(), sizeof one, &one); // refused where it is not allowed: then as it comes
}

/// One thread acquires, another releases.
template <typename Slot, typename Acquire, typename Release>
void across(benchmark::State& state, Acquire acquire, Release release) {
  auto ring = std::make_unique<Ring<Slot>>();
  std::atomic<bool> done{false};
  cpu_set_t before;
  ::pthread_getaffinity_np(::pthread_self(), sizeof before, &before);
  stay_on(0);
  std::thread reader([&] {
    stay_on(1);
    Slot slot{};
    while (!done.load(std::memory_order_relaxed)) {
      if (ring->take(slot)) {
        release(slot);
      }
    }
    while (ring->take(slot)) {
      release(slot);
    }
  });
  for (auto _ : state) {
    Slot slot = acquire();
    while (!ring->put(slot)) {
    }
  }
  done = true;
  reader.join();
  ::pthread_setaffinity_np(::pthread_self(), sizeof before, &before);
}

void across_threads_sa(benchmark::State& state) {
  across<sa::DmaBuf>(
      state, [] { return pool().allocate({.size = 4096}); }, [](sa::DmaBuf& buffer) { buffer.reset(); });
}

void across_threads_gst(benchmark::State& state) {
  across<GstBuffer*>(state, gst_acquire, [](GstBuffer*& buffer) { gst_buffer_unref(buffer); });
}

void across_threads_reference(benchmark::State& state) {
  across<LockAndVector::Frame*>(
      state, [] { return reference().acquire(); }, [](LockAndVector::Frame*& frame) { reference().release(frame); });
}

void across_threads_shared_reference(benchmark::State& state) {
  across<std::shared_ptr<LockAndVector::Frame>>(state, acquire_shared,
                                                [](std::shared_ptr<LockAndVector::Frame>& frame) { frame.reset(); });
}

void across_threads_integers(benchmark::State& state) {
  across<std::uint64_t>(
      state, [n = std::uint64_t{0}]() mutable { return ++n; }, [](std::uint64_t& n) { benchmark::DoNotOptimize(n); });
}

void cycle_sa(benchmark::State& state) {
  for (auto _ : state) {
    const sa::DmaBuf buffer = pool().allocate({.size = frame});
    {
      const auto cpu = buffer.access(sa::Access::Write);
      std::memset(cpu.bytes().data(), 1, frame);
    }
  }
}

/// The same bytes through the same mapping, and nothing else.
void cycle_memset(benchmark::State& state) {
  const sa::DmaBuf buffer = pool().allocate({.size = frame});
  const sa::Mapping mapping = buffer.map_unsynchronized();
  for (auto _ : state) {
    std::memset(mapping.bytes().data(), 1, frame);
    benchmark::ClobberMemory();
  }
}

} // namespace

int main(int argc, char** argv) {
  gst_init(nullptr, nullptr);
  using benchmark::RegisterBenchmark;
  RegisterBenchmark("pool: acquire+release/sa", one_thread_sa);
  RegisterBenchmark("pool: acquire+release/GstBufferPool", one_thread_gst);
  RegisterBenchmark("pool: acquire+release/lock and vector", one_thread_reference);
  RegisterBenchmark("pool: acquire+release/lock, vector and shared_ptr", one_thread_shared_reference);
  RegisterBenchmark("pool: acquire+release by error code/sa", one_thread_code_sa);
  RegisterBenchmark("pool: acquire+release on each thread/sa", one_thread_sa)->Threads(2)->UseRealTime();
  RegisterBenchmark("pool: acquire+release on each thread/GstBufferPool", one_thread_gst)->Threads(2)->UseRealTime();
  RegisterBenchmark("pool: acquire+release on each thread/lock and vector", one_thread_reference)->Threads(2)->UseRealTime();
  RegisterBenchmark("pool: acquire+release on each thread/lock, vector and shared_ptr", one_thread_shared_reference)
      ->Threads(2)
      ->UseRealTime();
  RegisterBenchmark("pool: across threads, 64 slots/sa", across_threads_sa)->UseRealTime();
  RegisterBenchmark("pool: across threads, 64 slots/GstBufferPool", across_threads_gst)->UseRealTime();
  RegisterBenchmark("pool: across threads, 64 slots/lock and vector", across_threads_reference)->UseRealTime();
  RegisterBenchmark("pool: across threads, 64 slots/lock, vector and shared_ptr", across_threads_shared_reference)->UseRealTime();
  RegisterBenchmark("pool: across threads, 64 slots/bare ring", across_threads_integers)->UseRealTime();
  RegisterBenchmark("pool: 1080p get+access+write/sa", cycle_sa);
  RegisterBenchmark("pool: 1080p get+access+write/bare memset", cycle_memset);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 1;
  }
  benchmark::RunSpecifiedBenchmarks();
}
