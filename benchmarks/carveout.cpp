// SPDX-License-Identifier: MIT
/// What it costs to know who has which range of a carveout: giving one buffer back and allocating another beside N live
/// ones ("/sa"), over one F_OFD_SETLK lock and one unlock of an otherwise empty file ("/raw"). The bookkeeping alone, at
/// the layer of ranges: no memory is mapped or zeroed, which for real buffers costs far more. The sizes are random, their
/// logarithm uniform from 4 KiB to 16 MiB; the buffer that goes is a random one; the region is as large as the live buffers
/// make 60 % of it on average.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <unistd.h>

#include "heaps/carveout/ranges.hpp"

namespace {

using sa::detail::CarveoutRanges;
using sa::detail::HeldRange;

constexpr std::uint64_t page = 4096;
constexpr std::uint64_t base = std::uint64_t{1} << 32;
constexpr double mean_pages = 4095 / 8.3178; // of sizes whose logarithm is uniform from 1 to 4096 pages
constexpr double filled = 0.6;

/// A folder of its own, on the same kind of file system as /run.
class Folder {
public:
  Folder() {
    char path[] = "/dev/shm/sa-bench-XXXXXX";
    path_ = ::mkdtemp(path);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }
  [[nodiscard]] std::filesystem::path operator/(const char* name) const { return path_ / name; }

private:
  std::filesystem::path path_;
};

/// Sizes in bytes, drawn before they are needed.
std::vector<std::uint64_t> sizes(std::mt19937_64& random, std::uint64_t largest) {
  std::uniform_real_distribution<double> exponent(0, std::log2(static_cast<double>(largest / page)));
  std::vector<std::uint64_t> drawn(std::size_t{1} << 16);
  for (auto& size : drawn) {
    size = static_cast<std::uint64_t>(std::ceil(std::exp2(exponent(random)))) * page;
  }
  return drawn;
}

/// Gives back a random range and allocates another; allocations that the region has no room for are not counted as rounds.
void churn(benchmark::State& state, std::size_t live_count, std::uint64_t largest) {
  const Folder folder;
  const double mean = largest == page ? 1 : mean_pages;
  const auto region = static_cast<std::uint64_t>(static_cast<double>(live_count) * mean / filled) * page;
  CarveoutRanges ranges(folder / "lock", base, std::max<std::uint64_t>(region, 4 * largest));
  std::mt19937_64 random(live_count);
  const auto drawn = sizes(random, largest);
  std::vector<std::uint32_t> victims(drawn.size());
  for (auto& victim : victims) {
    victim = static_cast<std::uint32_t>(random() % live_count);
  }
  std::vector<HeldRange> live(live_count);
  std::size_t next = 0;
  std::size_t refused = 0;
  const auto round = [&] {
    HeldRange& one = live[victims[next]];
    one.reset();
    std::error_code ec;
    one = ranges.allocate(drawn[next], page, ec);
    refused += ec ? 1 : 0;
    next = (next + 1) % drawn.size();
  };
  for (auto& one : live) {
    std::error_code ec;
    one = ranges.allocate(drawn[next++ % drawn.size()], page, ec);
  }
  for (std::size_t i = 0; i < 20 * live_count; ++i) {
    round(); // until the holes are those of a long life
  }
  refused = 0;
  for (auto _ : state) {
    round();
  }
  state.counters["refused"] = benchmark::Counter(static_cast<double>(refused), benchmark::Counter::kAvgIterations);
}

void lock_and_unlock(benchmark::State& state) {
  const Folder folder;
  const sa::UniqueFd fd{::open((folder / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
  struct flock lock {};
  lock.l_whence = SEEK_SET;
  lock.l_start = base / page;
  lock.l_len = 16;
  for (auto _ : state) {
    lock.l_type = F_WRLCK;
    const int locked = ::fcntl(fd.get(), F_OFD_SETLK, &lock);
    lock.l_type = F_UNLCK;
    if (locked != 0 || ::fcntl(fd.get(), F_OFD_SETLK, &lock) != 0) {
      std::perror("F_OFD_SETLK");
      std::exit(1);
    }
  }
}

} // namespace

int main(int argc, char** argv) {
  for (const std::size_t live : {10, 100, 1000}) {
    const std::string name = "carveout ranges free+allocate, " + std::to_string(live) + " live";
    benchmark::RegisterBenchmark((name + "/sa").c_str(), churn, live, std::uint64_t{16} << 20);
    benchmark::RegisterBenchmark((name + "/raw").c_str(), lock_and_unlock);
    benchmark::RegisterBenchmark((name + ", 4 KiB each/sa").c_str(), churn, live, page);
    benchmark::RegisterBenchmark((name + ", 4 KiB each/raw").c_str(), lock_and_unlock);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 1;
  }
  benchmark::RunSpecifiedBenchmarks();
}
