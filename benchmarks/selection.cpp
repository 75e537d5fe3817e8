// SPDX-License-Identifier: MIT
/// Choosing among sixteen heaps for four devices, nothing probed: what Registry::select() costs, reasons included, and
/// Registry::select_image() for ten formats whose rules are known.
#include <array>
#include <memory>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include <sa/sa.hpp>

namespace {

using sa::Trait;

/// A heap that only has properties.
class NullHeap final : public sa::Heap {
public:
  NullHeap(std::string backend, int instance, sa::Traits traits) {
    info_.name = backend + ":" + std::to_string(instance);
    info_.backend = std::move(backend);
    info_.traits = traits;
    info_.granularity = 4096;
    info_.max_size = std::size_t{1} << 40;
    info_.usable = true;
  }
  [[nodiscard]] const sa::HeapInfo& info() const noexcept override { return info_; }

protected:
  sa::DmaBuf do_allocate(const sa::AllocRequest&, std::error_code&) override { return {}; }

private:
  sa::HeapInfo info_;
};

/// Never destroyed.
const sa::Registry& registry() {
  static const sa::Registry* const made = [] {
    auto* all = new sa::Registry;
    constexpr sa::Traits plain = Trait::Cached | Trait::Zeroed;
    for (int i = 0; i < 4; ++i) {
      all->add(std::make_shared<NullHeap>("memfd", i, plain));
      all->add(std::make_shared<NullHeap>("dma-heap", i, plain | Trait::DmaBuf));
      all->add(std::make_shared<NullHeap>("cma", i, plain | Trait::DmaBuf | Trait::Contiguous));
      all->add(std::make_shared<NullHeap>("carveout", i, plain | Trait::DmaBuf | Trait::Contiguous | Trait::PhysAddr));
    }
    return all;
  }();
  return *made;
}

/// @param demands of the four devices
void select_sa(benchmark::State& state, const std::array<const char*, 4>& demands) {
  std::vector<sa::Device> devices;
  for (const char* text : demands) {
    devices.push_back(sa::Device::described("/dev/video" + std::to_string(devices.size()), sa::parse_constraints(text)));
  }
  for (auto _ : state) {
    benchmark::DoNotOptimize(registry().select({}, devices).choices.size());
  }
}

void select_image_sa(benchmark::State& state) {
  const std::array<const char*, 4> demands{"stride-align=64,tied", "stride-align=256,offset-align=256", "rows-align=4", ""};
  const auto formats = sa::Format::all().first(10);
  std::vector<sa::Device> devices;
  for (const char* text : demands) {
    std::vector<sa::LayoutRule> rules;
    for (const sa::Format format : formats) {
      rules.push_back(sa::parse_layout_rule(text));
      rules.back().format = format;
    }
    devices.push_back(sa::Device::described("/dev/video" + std::to_string(devices.size()), {.dma_buf = true}, rules));
  }
  const sa::ImageRequest request{.width = 1920, .height = 1080, .formats = {formats.begin(), formats.end()}};
  for (auto _ : state) {
    benchmark::DoNotOptimize(registry().select_image(devices, request).choices.size());
  }
}
BENCHMARK(select_image_sa)->Name("select among 16 heaps and 10 formats for 4 devices");

const std::array<const char*, 4> easy{"dma-buf", "", "cached", "size-align=4K"};
const std::array<const char*, 4> hard{"dma-buf", "contiguous,dma-buf", "cached,max-address=1E", "align=4K,size-align=64"};

BENCHMARK_CAPTURE(select_sa, twelve, easy)->Name("select among 16 heaps for 4 devices, 4 refused");
BENCHMARK_CAPTURE(select_sa, eight, hard)->Name("select among 16 heaps for 4 devices, 8 refused");

} // namespace

BENCHMARK_MAIN();
