// SPDX-License-Identifier: MIT
/// Pictures: making a layout, merging rules, and writing the rows of an image beside plain arithmetic on the same memory.
#include <cstddef>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

#include <sa/sa.hpp>

namespace {

sa::LayoutRule nv12(const char* words) {
  sa::LayoutRule rule = sa::parse_layout_rule(words);
  rule.format = sa::Format::find("NV12");
  return rule;
}

void lay_out(benchmark::State& state, const char* words) {
  const sa::LayoutRule rule = nv12(words);
  for (auto _ : state) {
    benchmark::DoNotOptimize(sa::lay_out(rule, 1920, 1080));
  }
}

void merge(benchmark::State& state) {
  sa::LayoutRule camera = nv12("stride-align=64,rows-align=16,tied");
  camera.sources = {"/dev/video0: VIDIOC_TRY_FMT"};
  sa::LayoutRule display = nv12("stride-align=256,offset-align=256,buffers=one");
  display.sources = {"profile of driver:amdgpu"};
  for (auto _ : state) {
    benchmark::DoNotOptimize(sa::merge(camera, display));
  }
}

/// A picture whose rows have padding; both sides write the same memory. Never destroyed.
const sa::Image& frame() {
  static const sa::Image* const made = [] {
    const sa::ImageLayout layout = sa::lay_out(nv12("stride-align=256,offset-align=256"), 1920, 1080);
    std::vector<sa::DmaBuf> buffers;
    buffers.push_back(sa::Registry::system().find("memfd:4k")->allocate({.size = layout.sizes[0]}));
    return new sa::Image(sa::Image::import(layout, std::move(buffers)));
  }();
  return *made;
}

void rows_sa(benchmark::State& state) {
  const sa::Image& image = frame();
  for (auto _ : state) {
    sa::ImageAccess cpu = image.access(sa::Access::Write);
    for (unsigned plane = 0; plane < image.layout().plane_count(); ++plane) {
      for (const std::span<std::byte> row : cpu.plane(plane)) {
        std::memset(row.data(), 1, row.size());
      }
    }
    cpu.end();
    benchmark::ClobberMemory();
  }
}

void rows_raw(benchmark::State& state) {
  const sa::Mapping mapping = frame().buffer(0).map_unsynchronized();
  std::byte* const memory = mapping.bytes().data();
  std::size_t width = 1920, height = 1080, stride = 2048; // not known to the compiler: it has another memset for what is
  benchmark::DoNotOptimize(width);
  benchmark::DoNotOptimize(height);
  benchmark::DoNotOptimize(stride);
  for (auto _ : state) {
    for (std::size_t y = 0; y < height; ++y) {
      std::memset(memory + y * stride, 1, width);
    }
    for (std::size_t y = 0; y < height / 2; ++y) {
      std::memset(memory + (height + y) * stride, 1, width);
    }
    benchmark::ClobberMemory();
  }
}

BENCHMARK_CAPTURE(lay_out, aligned, "stride-align=256,offset-align=4K,rows-align=16")->Name("lay out NV12 1080p, aligned");
BENCHMARK_CAPTURE(lay_out, tied, "stride-align=64,stride-prefer=256,tied")->Name("lay out NV12 1080p, tied, preferred");
BENCHMARK(merge)->Name("merge 2 rules of NV12");
BENCHMARK(rows_sa)->Name("1080p NV12 written by rows/sa");
BENCHMARK(rows_raw)->Name("1080p NV12 written by rows/raw");

} // namespace

BENCHMARK_MAIN();
