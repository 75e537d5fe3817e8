// SPDX-License-Identifier: MIT
/// sactl bench
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <sa/sa.hpp>

#include "commands/command.hpp"
#include "system/memory.hpp"
#include "terminal/progress.hpp"
#include "terminal/signals.hpp"

namespace sactl {
namespace {

using Word = std::uint64_t;
using Bytes = std::span<std::byte>;
using Nanoseconds = std::chrono::nanoseconds;

constexpr std::uint64_t usual_size = 8U << 20U; // bytes: more than most processors' second cache
constexpr double slow = 0.25;                   // of ordinary memory: below it a person is told what to do
constexpr std::size_t most_repetitions = 1000;
constexpr std::size_t quartiles = 4; // of fewer rounds nothing tells how far they lie apart

/// Times of one operation, nanoseconds.
class Samples {
public:
  void add(Nanoseconds time) { times_.push_back(std::max(static_cast<double>(time.count()), 1.0)); }
  [[nodiscard]] std::size_t count() const { return times_.size(); }
  /// Of the sorted times, the one at that share.
  [[nodiscard]] double at(double share) const {
    std::vector<double> sorted = times_;
    std::sort(sorted.begin(), sorted.end());
    return sorted.empty() ? 0 : sorted[static_cast<std::size_t>(std::lround(share * static_cast<double>(sorted.size() - 1)))];
  }
  [[nodiscard]] double median() const { return at(0.5); }
  /// Half of the distance between the quartiles, as a part of the median.
  [[nodiscard]] double spread() const { return (at(0.75) - at(0.25)) / 2 / median(); }

  [[nodiscard]] Json times() const {
    return {{"median_ns", at(0.5)}, {"low_ns", at(0.25)}, {"high_ns", at(0.75)}, {"repetitions", count()}};
  }
  [[nodiscard]] double bandwidth(std::size_t bytes) const { return static_cast<double>(bytes) * 1e9 / median(); }
  [[nodiscard]] Json bandwidths(std::size_t bytes) const {
    const auto of = [&](double share) { return static_cast<double>(bytes) * 1e9 / at(share); };
    return {{"median", of(0.5)}, {"low", of(0.75)}, {"high", of(0.25)}, {"repetitions", count()}};
  }

private:
  std::vector<double> times_;
};

Nanoseconds timed(const std::function<void()>& body) {
  const auto start = Clock::now();
  body();
  return Clock::now() - start;
}

/// Reads all, in words: eight sums, so that no addition waits for the one before.
void read_all(Bytes memory) {
  const auto* const words = reinterpret_cast<const Word*>(memory.data());
  std::array<Word, 8> sums{};
  for (std::size_t i = 0; i + sums.size() <= memory.size() / sizeof(Word); i += sums.size()) {
    for (std::size_t j = 0; j < sums.size(); ++j) {
      sums[j] += words[i + j];
    }
  }
  asm volatile("" : : "m"(sums)); // else the compiler leaves the sums out
}

void write_all(Bytes memory, int value) {
  std::memset(memory.data(), value, memory.size());
  asm volatile("" : : "r"(memory.data()) : "memory");
}

void copy_all(Bytes memory, Bytes to) {
  std::memcpy(to.data(), memory.data(), memory.size());
  asm volatile("" : : "r"(to.data()) : "memory");
}

// For Device memory, where only aligned words work; volatile, or the compiler makes the functions above of them.
void read_words(Bytes memory) {
  const auto* const words = reinterpret_cast<const volatile Word*>(memory.data());
  for (std::size_t i = 0; i < memory.size() / sizeof(Word); ++i) {
    (void)words[i];
  }
}

void write_words(Bytes memory, int value) {
  auto* const words = reinterpret_cast<volatile Word*>(memory.data());
  for (std::size_t i = 0; i < memory.size() / sizeof(Word); ++i) {
    words[i] = static_cast<Word>(value);
  }
}

void copy_words(Bytes memory, Bytes to) {
  const auto* const words = reinterpret_cast<const volatile Word*>(memory.data());
  auto* const there = reinterpret_cast<Word*>(to.data());
  for (std::size_t i = 0; i < memory.size() / sizeof(Word); ++i) {
    there[i] = words[i];
  }
  asm volatile("" : : "r"(to.data()) : "memory");
}

struct Times {
  Samples allocate, map, first_write, cold, warm, sync;
};

/// The same on the heap's memory and on ordinary memory.
struct Beside {
  Samples heap, ordinary;
  [[nodiscard]] double ratio() const { return ordinary.median() / heap.median(); }
};

struct Bandwidths {
  Beside read, write, copy;
};

class Bench final : public Command {
public:
  void add_options(CLI::App& app) override {
    app.add_option("heap", heap_, "a heap or an alias, as sactl heaps lists them")->required();
    add_bytes(app, "--size", size_, "of each buffer, bytes, with K, M or G; unless given 8M, or the most that the heap has");
    constexpr double longest = 3600;
    app.add_option("--seconds", seconds_, "how long to measure, about")
        ->type_name("SECONDS")
        ->check(CLI::Range(0.0, longest))
        ->capture_default_str();
  }

  Status run(Output& output) override {
    explain_bus_errors();
    auto& registry = sa::Registry::system();
    const auto heap = registry.find(heap_);
    std::uint64_t wanted = size_;
    if (wanted == 0) {
      wanted =
          heap != nullptr && heap->info().max_size != 0 ? std::min<std::uint64_t>(usual_size, heap->info().max_size) : usual_size;
    }
    const sa::AllocRequest request{.size = static_cast<std::size_t>(wanted), .name = "sactl bench"};
    // The registry knows the sentence for a heap that is not there.
    const sa::DmaBuf buffer = registry.allocate(heap_, request);
    const bool touchable = !buffer.traits().contains(sa::Trait::Protected);
    const bool words = buffer.traits().contains(sa::Trait::DeviceMemory);
    const auto write = words ? &write_words : &write_all;

    // An alias could give another heap's memory next time.
    const auto measured = registry.find(buffer.heap()) != nullptr ? registry.find(buffer.heap()) : heap;
    const auto start = Clock::now();
    const auto share = [&](double of) {
      return start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds_ * of));
    };
    Progress progress;
    const auto say = [&] {
      const double passed = std::chrono::duration<double>(Clock::now() - start).count();
      progress.say(
          fmt::format("measuring {}: {:.0f} of {:.3g} s", buffer.heap(), std::floor(std::min(passed, seconds_)), seconds_));
    };
    Times times;
    {
      say();
      sa::Pool pool(measured, {.max_free_bytes = buffer.size()});
      pool.reserve(1, request);
      if (touchable) { // maps them, and has their pages there
        write(pool.allocate(request).map_unsynchronized().bytes(), 1);
        write(buffer.map_unsynchronized().bytes(), 1);
      }
      do {
        measure_times(times, *measured, pool, buffer, request, touchable, write);
        say();
      } while (Clock::now() < share(touchable ? 0.4 : 1) && times.cold.count() < most_repetitions);
    }
    Bandwidths bandwidths;
    if (touchable) {
      const auto ordinary = ordinary_memory(buffer.size());
      const auto copied = ordinary_memory(buffer.size());
      const sa::CpuAccess cpu = buffer.access(sa::Access::ReadWrite);
      const Bytes of_heap = cpu.bytes();
      const Bytes of_malloc(ordinary.get(), buffer.size());
      const Bytes to(copied.get(), buffer.size());
      // In turns: whatever else this machine does meets both.
      for (int value = 1; value == 1 || (Clock::now() < share(1) && bandwidths.read.heap.count() < most_repetitions); ++value) {
        for (auto [memory, kind] : {std::pair{of_heap, &Beside::heap}, {of_malloc, &Beside::ordinary}}) {
          (bandwidths.write.*kind).add(timed([&, at = memory] { write(at, value); }));
          (bandwidths.read.*kind).add(timed([&, at = memory] { words ? read_words(at) : read_all(at); }));
          (bandwidths.copy.*kind).add(timed([&, at = memory] { words ? copy_words(at, to) : copy_all(at, to); }));
        }
        say();
      }
    }
    progress.end();
    if (output.json()) {
      print_json(output, buffer, times, touchable ? std::optional(bandwidths) : std::nullopt);
    } else {
      print(output, buffer, times, touchable ? std::optional(bandwidths) : std::nullopt);
    }
    return Done;
  }

private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); } // NOLINT(cppcoreguidelines-no-malloc)
  };
  using Ordinary = std::unique_ptr<std::byte, Free>;

  /// From malloc, with its pages there.
  static Ordinary ordinary_memory(std::size_t bytes) {
    Ordinary memory(static_cast<std::byte*>(std::malloc(bytes)));
    if (memory == nullptr) {
      throw std::bad_alloc();
    }
    write_all({memory.get(), bytes}, 1);
    return memory;
  }

  static void measure_times(Times& times, sa::Heap& heap, sa::Pool& pool, const sa::DmaBuf& buffer,
                            const sa::AllocRequest& request, bool touchable, void (*write)(Bytes, int)) {
    Nanoseconds whole{};
    {
      sa::DmaBuf fresh;
      const auto step = [&](Samples& samples, const std::function<void()>& body) {
        const Nanoseconds time = timed(body);
        samples.add(time);
        whole += time;
      };
      step(times.allocate, [&] { fresh = heap.allocate(request); });
      if (touchable) {
        sa::Mapping mapping;
        step(times.map, [&] { mapping = fresh.map_unsynchronized(sa::Access::ReadWrite); });
        step(times.first_write, [&] {
          const sa::CpuAccess cpu = fresh.access(sa::Access::Write);
          write(cpu.bytes(), 1);
        });
      }
    }
    times.cold.add(whole);
    times.warm.add(timed([&] {
      const sa::DmaBuf again = pool.allocate(request);
      if (touchable) {
        const sa::CpuAccess cpu = again.access(sa::Access::Write);
        write(cpu.bytes(), 2);
      }
    }));
    if (touchable) {
      times.sync.add(timed([&] { const sa::CpuAccess cpu = buffer.access(sa::Access::ReadWrite); }));
    }
  }

  static void print_json(const Output& output, const sa::DmaBuf& buffer, const Times& times,
                         const std::optional<Bandwidths>& bandwidths) {
    const auto some = [](const Samples& samples) { return samples.count() == 0 ? Json() : samples.times(); };
    const auto beside = [&](const Beside& one) {
      return Json{{"heap", one.heap.bandwidths(buffer.size())},
                  {"ordinary", one.ordinary.bandwidths(buffer.size())},
                  {"ratio", one.ratio()}};
    };
    output.print({{"heap", buffer.heap()},
                  {"size", buffer.size()},
                  {"traits", as_json(buffer.traits())},
                  {"times",
                   {{"allocate", some(times.allocate)},
                    {"map", some(times.map)},
                    {"first_write", some(times.first_write)},
                    {"cold", some(times.cold)},
                    {"warm", some(times.warm)},
                    {"sync", some(times.sync)}}},
                  {"bytes_per_second", bandwidths ? Json{{"read", beside(bandwidths->read)},
                                                         {"write", beside(bandwidths->write)},
                                                         {"copy_out", beside(bandwidths->copy)}}
                                                  : Json()}});
  }

  /// A row that has a bar.
  struct Row {
    std::string label;
    std::string value;
    const Samples* samples;
    double length; ///< of the longest, whatever it counts
  };

  static void print_rows(const Output& output, const std::string& head, const std::vector<Row>& rows) {
    constexpr std::size_t label_columns = 13;
    constexpr std::size_t value_columns = 9;
    constexpr std::size_t spread_columns = 7;
    constexpr std::size_t widest_bar = 40;
    constexpr std::size_t least_bar = 4;
    const std::size_t before = label_columns + value_columns + spread_columns + 1;
    const std::size_t room = output.columns() > before ? std::min(output.columns() - before, widest_bar) : 0;
    double longest = 0;
    for (const auto& row : rows) {
      longest = std::max(longest, row.length);
    }
    output.line(output.styled(head, Style::Faint));
    for (const auto& [label, value, samples, length] : rows) {
      const std::string spread = samples->count() < quartiles ? ""
                                                              : fmt::format("{}{:.0f} %", output.utf8() ? "±" : "+-",
                                                                            std::min(samples->spread() * 100, 999.0));
      std::string bar;
      const auto filled = static_cast<std::size_t>(std::lround(length / longest * static_cast<double>(room)));
      for (std::size_t i = 0; i < std::max<std::size_t>(filled, 1) && room >= least_bar; ++i) {
        bar += output.utf8() ? "█" : "#";
      }
      // fmt counts what a character is wide, not its bytes.
      const std::string text =
          fmt::format("{:<{}}{:>{}} {:<{}}", label, label_columns, value, value_columns, spread, spread_columns);
      output.line(bar.empty() ? text.substr(0, text.find_last_not_of(' ') + 1) : text + output.styled(bar, Style::Good));
    }
  }

  static std::string rounds(const Times& times, const std::optional<Bandwidths>& bandwidths) {
    const std::size_t of_times = times.cold.count();
    const std::size_t of_bandwidths = bandwidths ? bandwidths->read.heap.count() : of_times;
    const auto plural = [](std::size_t count) {
      return count == 1 ? std::string("one round") : fmt::format("medians of {} rounds", count);
    };
    return of_times == of_bandwidths ? plural(of_times)
                                     : fmt::format("times: {}; bandwidths: {}", plural(of_times), plural(of_bandwidths));
  }

  static void print(const Output& output, const sa::DmaBuf& buffer, const Times& times,
                    const std::optional<Bandwidths>& bandwidths) {
    output.sentence(fmt::format("{}, {}: {}", buffer.heap(), human_bytes(buffer.size()), rounds(times, bandwidths)));
    if (times.cold.count() < quartiles) {
      output.sentence("Few rounds tell little: measure longer (--seconds), or smaller buffers (--size).");
    }
    std::vector<Row> rows;
    const auto time = [&](const char* label, const Samples& samples) {
      if (samples.count() != 0) {
        rows.push_back(
            {label, human_time(Nanoseconds(static_cast<Nanoseconds::rep>(samples.median()))), &samples, samples.median()});
      }
    };
    time("allocate", times.allocate);
    time("map", times.map);
    time("first write", times.first_write);
    time("all, cold", times.cold);
    time("all, pooled", times.warm);
    time("sync", times.sync);
    print_rows(output, "TIME", rows);
    if (!bandwidths) {
      output.sentence("The CPU cannot map this memory: it is protected.");
      return;
    }
    rows.clear();
    const auto speed = [&](const char* label, const Samples& samples) {
      const double one = samples.bandwidth(buffer.size());
      rows.push_back({label, fmt::format("{:.3g} GB/s", one / 1e9), &samples, one});
    };
    for (const auto& [label, one] :
         {std::pair{"read", &bandwidths->read}, {"write", &bandwidths->write}, {"copy out", &bandwidths->copy}}) {
      speed(label, one->heap);
      speed("  of malloc", one->ordinary);
    }
    print_rows(output, "BANDWIDTH", rows);
    output.sentence(fmt::format("Of ordinary memory in the same run: read {:.0f} %, write {:.0f} %, copy out {:.0f} %.",
                                bandwidths->read.ratio() * 100, bandwidths->write.ratio() * 100, bandwidths->copy.ratio() * 100));
    if (bandwidths->read.ratio() < slow) {
      output.sentence(
          "The CPU reads this memory slowly, as it does where it is not cached: copy it out once and work on the copy, or choose "
          "a heap whose memory is cached.");
    }
  }

  std::string heap_;
  std::uint64_t size_ = 0; // bytes
  double seconds_ = 2;
};

} // namespace

std::unique_ptr<Command> make_bench() {
  return std::make_unique<Bench>();
}

} // namespace sactl
