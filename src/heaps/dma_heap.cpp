// SPDX-License-Identifier: MIT
/// `dma-heap:<node>`: every heap in /dev/dma_heap (Documentation/userspace-api/dma-buf-alloc-exchange.rst,
/// linux/dma-heap.h).
#include <algorithm>
#include <array>
#include <optional>

#include <fcntl.h>
#include <linux/dma-heap.h>
#include <sys/ioctl.h>

#include <fmt/format.h>

#include "core/base/device_node.hpp"
#include "core/base/failure.hpp"
#include "core/base/heap_name.hpp"
#include "core/base/system_call.hpp"
#include "core/base/system_facts.hpp"
#include "core/buffer/prefault.hpp"
#include "core/heap/backend.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

constexpr const char* folder = "/dev/dma_heap";
constexpr const char* absent = "the kernel has no dma-heaps (CONFIG_DMABUF_HEAPS, CONFIG_DMABUF_HEAPS_SYSTEM)";

/// The names that kernels have given the heap of the default CMA region: by its device-tree node, by `cma=` on the
/// command line, and by the fixed names of newer kernels (drivers/dma-buf/heaps/cma_heap.c).
constexpr std::array<std::string_view, 4> default_cma_names{"linux,cma", "reserved", "default_cma_region", "default-pool"};

bool is_cma(std::string_view node) {
  return std::find(default_cma_names.begin(), default_cma_names.end(), node) != default_cma_names.end();
}

/// What the kernel tells of a CMA region, bytes.
struct CmaState {
  std::optional<std::uint64_t> total;
  std::optional<std::uint64_t> free;
  std::optional<std::uint64_t> largest; ///< the largest free piece; told to root alone
};

/// Exact for root (mm/cma_debug.c), else /proc/meminfo: of all regions together, and behind by what the processors keep
/// to themselves.
CmaState cma_state(const std::string& region) {
  const std::filesystem::path debug = std::filesystem::path("/sys/kernel/debug/cma") / region;
  const auto count = read_number(debug / "count");
  const auto used = read_number(debug / "used");
  const auto largest = read_number(debug / "maxchunk");
  if (count && used && largest) {
    return {*count * page_size(), (*count - *used) * page_size(), *largest * page_size()};
  }
  return {meminfo("CmaTotal"), meminfo("CmaFree"), std::nullopt};
}

/// What the mainline heaps of that name promise. A vendor's heap promises no more than that it makes dma-bufs: its
/// suffixes are hints.
Traits traits_of(std::string_view node) {
  if (node == "system") {
    return Trait::DmaBuf | Trait::Cached | Trait::Zeroed;
  }
  if (is_cma(node)) {
    return Trait::DmaBuf | Trait::Cached | Trait::Zeroed | Trait::Contiguous;
  }
  return Trait::DmaBuf;
}

class DmaHeap final : public Heap {
public:
  explicit DmaHeap(const std::string& node)
      : node_(std::filesystem::path(folder) / node, O_RDONLY), cma_(is_cma(node)), mainline_(cma_ || node == "system") {
    info_.name = "dma-heap:" + node;
    info_.backend = "dma-heap";
    info_.node = node_.path();
    info_.traits = traits_of(node);
    info_.granularity = page_size();
    info_.max_size = cma_ ? cma_state(node).total.value_or(total_memory()) : total_memory();
    info_.reason = why_unusable(node_.path(), R_OK, absent);
    info_.usable = info_.reason.empty();
  }

  [[nodiscard]] const HeapInfo& info() const noexcept override { return info_; }

protected:
  DmaBuf do_allocate(const AllocRequest& request, std::error_code& ec) override {
    const int device = node_.open(ec);
    if (ec) {
      return {};
    }
    dma_heap_allocation_data argument{};
    argument.len = rounded_size(request);
    argument.fd_flags = O_RDWR | O_CLOEXEC;
    if (uninterrupted([&] { return ::ioctl(device, DMA_HEAP_IOCTL_ALLOC, &argument); }) < 0) {
      const int error = errno;
      return refuse(ec, error, [&] { return refused(argument.len, error); });
    }
    Memory memory;
    memory.fd = UniqueFd{static_cast<int>(argument.fd)};
    memory.size = argument.len;
    memory.traits = info_.traits;
    memory.count_tells = mainline_;
    return prefaulted(adopt(std::move(memory), request.name), request, ec);
  }

private:
  [[nodiscard]] std::string refused(std::uint64_t size, int error) const {
    const CmaState cma = cma_ && error == ENOMEM ? cma_state(node_.path().filename().string()) : CmaState{};
    if (cma.free) {
      const std::string state = fmt::format("{} refused, CmaFree {}{}", bytes_text(size), bytes_text(*cma.free),
                                            cma.largest ? ", largest piece " + bytes_text(*cma.largest) : std::string());
      const char* fix = "or enlarge cma= on the kernel command line, see docs/heaps.md";
      return *cma.free >= size ? fmt::format("{}: fragmented, not empty; allocate at start and keep, {}", state, fix)
                               : fmt::format("{}: used up; free buffers, {}", state, fix);
    }
    return kernel_said("DMA_HEAP_IOCTL_ALLOC", error);
  }

  DeviceNode node_;
  bool cma_;
  bool mainline_; ///< a heap of the kernel's own, whose exporter is known
  HeapInfo info_;
};

} // namespace

std::vector<std::shared_ptr<Heap>> discover_dma_heap(const Configured&) {
  std::vector<std::shared_ptr<Heap>> heaps;
  for (const auto& node : list(folder)) {
    if (is_word(node)) {
      heaps.push_back(std::make_shared<DmaHeap>(node));
    }
  }
  if (heaps.empty()) { // listed all the same, with the reason
    heaps.push_back(std::make_shared<DmaHeap>("system"));
  }
  return heaps;
}

}}} // namespace sa::v0::detail
