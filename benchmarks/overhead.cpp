// SPDX-License-Identifier: MIT
/// What the library costs over the raw system calls for the same memory. Each case comes as a pair, "NAME/sa" and
/// "NAME/raw"; scripts/bench prints their ratio.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <linux/dma-heap.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <sa/sa.hpp>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21U << 26)
#endif

namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t frame = 3110400; // 1080p NV12
constexpr std::size_t huge_page = std::size_t{2} << 20;

std::size_t rounded(std::size_t size, std::size_t multiple) {
  return (size + multiple - 1) / multiple * multiple;
}

sa::UniqueFd raw_memfd(std::size_t size, unsigned flags) {
  static const unsigned no_exec = [] {
    const sa::UniqueFd probe{::memfd_create("probe", MFD_NOEXEC_SEAL)};
    return probe ? MFD_NOEXEC_SEAL : 0U;
  }();
  sa::UniqueFd fd{::memfd_create("sa", MFD_CLOEXEC | MFD_ALLOW_SEALING | no_exec | flags)};
  if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(size)) != 0 ||
      ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    std::perror("memfd");
    std::exit(1);
  }
  return fd;
}

void write_all(int fd, std::size_t size) {
  void* address = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (address == MAP_FAILED) {
    std::perror("mmap");
    std::exit(1);
  }
  std::memset(address, 1, size);
  ::munmap(address, size);
}

void allocate_sa(benchmark::State& state, const char* name, std::size_t size) {
  const auto heap = sa::Registry::system().find(name);
  for (auto _ : state) {
    const sa::DmaBuf buffer = heap->allocate({.size = size});
    benchmark::DoNotOptimize(buffer.fd());
  }
}

void first_write_sa(benchmark::State& state, const char* name, std::size_t size) {
  const auto heap = sa::Registry::system().find(name);
  for (auto _ : state) {
    const sa::DmaBuf buffer = heap->allocate({.size = size});
    std::memset(buffer.map_unsynchronized().bytes().data(), 1, buffer.size());
  }
}

void allocate_memfd_raw(benchmark::State& state, std::size_t size) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(raw_memfd(rounded(size, page), 0).get());
  }
}

void first_write_memfd_raw(benchmark::State& state, std::size_t size) {
  for (auto _ : state) {
    const sa::UniqueFd fd = raw_memfd(rounded(size, page), 0);
    write_all(fd.get(), rounded(size, page));
  }
}

void first_write_hugetlb_raw(benchmark::State& state, std::size_t size) {
  for (auto _ : state) {
    const sa::UniqueFd fd = raw_memfd(rounded(size, huge_page), MFD_HUGETLB | MFD_HUGE_2MB);
    write_all(fd.get(), rounded(size, huge_page));
  }
}

class RawDmaHeap {
public:
  RawDmaHeap() : device_(::open("/dev/dma_heap/system", O_RDONLY | O_CLOEXEC)) {}
  [[nodiscard]] sa::UniqueFd allocate(std::size_t size) const {
    dma_heap_allocation_data data{};
    data.len = size;
    data.fd_flags = O_RDWR | O_CLOEXEC;
    if (::ioctl(device_.get(), DMA_HEAP_IOCTL_ALLOC, &data) != 0) {
      std::perror("DMA_HEAP_IOCTL_ALLOC");
      std::exit(1);
    }
    return sa::UniqueFd{static_cast<int>(data.fd)};
  }

private:
  sa::UniqueFd device_;
};

void allocate_dma_heap_raw(benchmark::State& state, std::size_t size) {
  const RawDmaHeap heap;
  for (auto _ : state) {
    benchmark::DoNotOptimize(heap.allocate(rounded(size, page)).get());
  }
}

void first_write_dma_heap_raw(benchmark::State& state, std::size_t size) {
  const RawDmaHeap heap;
  for (auto _ : state) {
    const sa::UniqueFd fd = heap.allocate(rounded(size, page));
    write_all(fd.get(), rounded(size, page));
  }
}

/// The pool of huge pages for as long as this program runs; root only.
class HugePages {
public:
  HugePages() {
    std::ifstream(path) >> before_;
    std::ofstream(path) << 16;
  }
  HugePages(const HugePages&) = delete;
  HugePages& operator=(const HugePages&) = delete;
  ~HugePages() { std::ofstream(path) << before_; }
  [[nodiscard]] static int available() {
    int pages = 0;
    std::ifstream(path) >> pages;
    return pages;
  }

private:
  static constexpr const char* path = "/proc/sys/vm/nr_hugepages";
  int before_ = 0;
};

bool usable(const char* name) {
  const auto heap = sa::Registry::system().find(name);
  return heap != nullptr && heap->info().usable;
}

} // namespace

int main(int argc, char** argv) {
  const HugePages pages;
  using benchmark::RegisterBenchmark;
  RegisterBenchmark("memfd:4k allocate+free 4 KiB/sa", allocate_sa, "memfd:4k", page);
  RegisterBenchmark("memfd:4k allocate+free 4 KiB/raw", allocate_memfd_raw, page);
  RegisterBenchmark("memfd:4k 1080p first write/sa", first_write_sa, "memfd:4k", frame);
  RegisterBenchmark("memfd:4k 1080p first write/raw", first_write_memfd_raw, frame);
  if (HugePages::available() >= 4) {
    RegisterBenchmark("memfd:huge 1080p first write/sa", first_write_sa, "memfd:huge", frame);
    if (!usable("dma-heap:system") && !usable("udmabuf:4k")) { // else `system` is one of them
      RegisterBenchmark("system 1080p first write/sa", first_write_sa, "system", frame);
      RegisterBenchmark("system 1080p first write/raw", first_write_hugetlb_raw, frame);
    }
    RegisterBenchmark("memfd:huge 1080p first write/raw", first_write_hugetlb_raw, frame);
  }
  if (usable("dma-heap:system")) {
    RegisterBenchmark("dma-heap:system allocate+free 4 KiB/sa", allocate_sa, "dma-heap:system", page);
    RegisterBenchmark("dma-heap:system allocate+free 4 KiB/raw", allocate_dma_heap_raw, page);
    RegisterBenchmark("dma-heap:system 1080p first write/sa", first_write_sa, "dma-heap:system", frame);
    RegisterBenchmark("dma-heap:system 1080p first write/raw", first_write_dma_heap_raw, frame);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 1;
  }
  benchmark::RunSpecifiedBenchmarks();
}
