// SPDX-License-Identifier: MIT
/// `dma-heap:<node>`: every heap in /dev/dma_heap (Documentation/userspace-api/dma-buf-alloc-exchange.rst,
/// linux/dma-heap.h).
#include <algorithm>

#include <fcntl.h>
#include <linux/dma-heap.h>
#include <sys/ioctl.h>

#include <fmt/format.h>

#include "core/base/device_node.hpp"
#include "core/base/failure.hpp"
#include "core/base/heap_name.hpp"
#include "core/base/system_call.hpp"
#include "core/base/system_facts.hpp"
#include "core/heap/backend.hpp"
#include "heaps/cma_region.hpp"
#include "heaps/dma_heap.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

constexpr const char* folder = "/dev/dma_heap";
constexpr const char* absent = "the kernel has no dma-heaps (CONFIG_DMABUF_HEAPS, CONFIG_DMABUF_HEAPS_SYSTEM)";

/// Whether one of the words that @p node consists of says that the CPU cannot map the memory: "protected,secure-video" of
/// drivers/tee/tee_heap.c. The kernel has no other way to tell: its rules for the names of heaps keep the word for that
/// (Documentation/userspace-api/dma-buf-heaps.rst). "restricted" is what such heaps were called before they were merged.
bool is_protected(std::string_view node) {
  constexpr const char* between = ",._+-@#"; // what a name has besides letters and digits
  while (!node.empty()) {
    const std::string_view word = node.substr(0, node.find_first_of(between));
    if (word == "protected" || word == "restricted") {
      return true;
    }
    node.remove_prefix(std::min(word.size() + 1, node.size()));
  }
  return false;
}

class DmaHeap final : public Heap {
public:
  explicit DmaHeap(const std::string& node)
      : node_(std::filesystem::path(folder) / node, O_RDONLY), kind_(dma_heap_kind(node, is_cma_region(node))) {
    info_.name = "dma-heap:" + node;
    info_.backend = "dma-heap";
    info_.node = node_.path();
    info_.traits = kind_.traits;
    info_.granularity = page_size();
    info_.max_size = kind_.cma ? cma_state(node).total.value_or(total_memory()) : total_memory();
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
    memory.count_tells = kind_.mainline;
    return adopt(std::move(memory), request.name);
  }

private:
  [[nodiscard]] std::string refused(std::uint64_t size, int error) const {
    const std::string said = kind_.cma && error == ENOMEM ? cma_refused(size, node_.path().filename().string()) : std::string();
    return said.empty() ? kernel_said("DMA_HEAP_IOCTL_ALLOC", error) : said;
  }

  DeviceNode node_;
  DmaHeapKind kind_;
  HeapInfo info_;
};

} // namespace

DmaHeapKind dma_heap_kind(std::string_view node, bool is_region) {
  if (is_protected(node)) {
    return {Trait::DmaBuf | Trait::Protected};
  }
  // system_cc_shared: where the guest's memory is encrypted, memory that is not, so that devices can read it. To the CPU both
  // are alike (drivers/dma-buf/heaps/system_heap.c).
  if (node == "system" || node == "system_cc_shared") {
    return {Trait::DmaBuf | Trait::Cached | Trait::Zeroed, false, true};
  }
  // Since 6.18 each region has a heap, of the region's name.
  if (is_default_cma(node) || is_region) {
    return {Trait::DmaBuf | Trait::Cached | Trait::Zeroed | Trait::Contiguous, true, true};
  }
  return {Trait::DmaBuf};
}

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
