// SPDX-License-Identifier: MIT
/// `cma:<node>` and `carveout:<label>`: every region that the kernel's simple_allocator class offers
/// (sa/uapi/simple-allocator.h). Nodes called /dev/cma* that are not of this class are somebody else's.
#include <algorithm>
#include <optional>

#include <fcntl.h>
#include <sys/ioctl.h>

#include <fmt/format.h>

#include <sa/uapi/simple-allocator.h>

#include "core/base/device_node.hpp"
#include "core/base/failure.hpp"
#include "core/base/heap_name.hpp"
#include "core/base/system_call.hpp"
#include "core/base/system_facts.hpp"
#include "core/heap/backend.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

constexpr const char* device_class = "/sys/class/simple_allocator";
constexpr const char* absent = "load the kernel modules simple_allocator and simple_allocator_cma";

// Memory without pages is cached where all DMA is coherent, and elsewhere mapped uncached (kernel/buffer.c).
#if defined(__x86_64__) || defined(__i386__)
constexpr bool carveouts_cached = true;
#else
constexpr bool carveouts_cached = false;
#endif

/// The second name of a region, besides its node: the label that its owner gave it.
std::string label_of(const std::string& node) {
  std::string label = read_text(std::filesystem::path(device_class) / node / "label");
  label.resize(std::min(label.find('\n'), label.size()));
  return is_word(label) ? label : node;
}

class SimpleAllocatorHeap final : public Heap {
public:
  explicit SimpleAllocatorHeap(const std::string& node) {
    const bool carveout = node.starts_with("carveout");
    info_.backend = carveout ? "carveout" : "cma";
    info_.name = info_.backend + ":" + (carveout ? label_of(node) : node);
    info_.node = std::filesystem::path("/dev") / node;
    info_.traits = Trait::DmaBuf | Trait::Contiguous | Trait::Zeroed;
    if (!carveout || carveouts_cached) {
      info_.traits = info_.traits | Trait::Cached;
    }
    info_.granularity = page_size();
    // 0 where the kernel does not tell the region's size.
    const std::uint64_t size = read_number(std::filesystem::path(device_class) / node / "size").value_or(0);
    const std::uint64_t cma = meminfo("CmaTotal").value_or(0);
    info_.max_size = size != 0 ? size : cma != 0 ? cma : total_memory();
    info_.reason = why_unusable(info_.node, R_OK | W_OK, absent);
    info_.usable = info_.reason.empty();
  }

  [[nodiscard]] const HeapInfo& info() const noexcept override { return info_; }

protected:
  DmaBuf do_allocate(const AllocRequest& request, std::error_code& ec) override {
    // Opened for each allocation: a node that is kept open would hold the kernel module.
    const UniqueFd device{uninterrupted([&] { return ::open(info_.node.c_str(), O_RDWR | O_CLOEXEC); })};
    if (!device) {
      const int error = errno;
      return refuse(ec, error, [&] { return open_refused(info_.node, error); });
    }
    simple_allocate_data argument{};
    argument.length = rounded_size(request);
    argument.flags = O_RDWR | O_CLOEXEC;
    argument.fd = -1;
    if (uninterrupted([&] { return ::ioctl(device.get(), SA_IOC_ALLOC, &argument); }) < 0) {
      const int error = errno;
      return refuse(ec, error, [&] { return refused(argument.length, error); });
    }
    Memory memory;
    memory.fd = UniqueFd{argument.fd};
    memory.size = argument.length;
    memory.traits = info_.traits;
    memory.count_tells = true;
    return adopt(std::move(memory), request.name);
  }

private:
  [[nodiscard]] std::string refused(std::uint64_t size, int error) const {
    const std::string node = info_.node.filename().string();
    const auto attribute = [&](const char* name) { return read_number(std::filesystem::path(device_class) / node / name); };
    switch (error) {
    case ENOTTY:
      return fmt::format("{} is not a simple allocator region: {}", info_.node.string(), absent);
    case EDQUOT:
      return fmt::format("{} refused: a user may hold {} of {}; free buffers, or raise {}/{}/max_bytes_per_user",
                         bytes_text(size), bytes_text(attribute("max_bytes_per_user").value_or(0)), node, device_class, node);
    case ENOMEM:
      return out_of_memory(size, attribute("size").value_or(0), attribute("allocated").value_or(0), attribute("largest_free"));
    default:
      return kernel_said("SA_IOC_ALLOC", error);
    }
  }

  /// @param total bytes, 0 where the kernel does not tell: then CMA's own numbers must do
  [[nodiscard]] static std::string out_of_memory(std::uint64_t size, std::uint64_t total, std::uint64_t allocated,
                                                 const std::optional<std::uint64_t>& largest) {
    const std::uint64_t free = total > allocated ? total - allocated : meminfo("CmaFree").value_or(0);
    const std::string state = fmt::format("{} refused, {} free{}", bytes_text(size), bytes_text(free),
                                          largest ? ", largest piece " + bytes_text(*largest) : std::string());
    return free >= size ? state + ": fragmented, not empty; allocate at start and keep, see docs/heaps.md"
                        : state + ": used up; free buffers, or enlarge the region, see docs/heaps.md";
  }

  HeapInfo info_;
};

} // namespace

std::vector<std::shared_ptr<Heap>> discover_simple_allocator(const Configured&) {
  std::vector<std::shared_ptr<Heap>> heaps;
  for (const auto& node : list(device_class)) {
    if (is_word(node)) {
      heaps.push_back(std::make_shared<SimpleAllocatorHeap>(node));
    }
  }
  if (heaps.empty()) { // listed all the same, with the reason
    heaps.push_back(std::make_shared<SimpleAllocatorHeap>("cma0"));
  }
  return heaps;
}

}}} // namespace sa::v0::detail
