// SPDX-License-Identifier: MIT
/// `carveout:<name>`: a reserved physical range through /dev/mem (mem(4)).
#include <sa/carveout.hpp>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>

#include <fmt/format.h>

#include "core/base/device_node.hpp"
#include "core/base/failure.hpp"
#include "core/base/heap_name.hpp"
#include "core/base/system_facts.hpp"
#include "core/buffer/zero.hpp"
#include "core/heap/backend.hpp"
#include "heaps/carveout/ranges.hpp"
#include "heaps/carveout/regions.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

/// One per machine and never unlinked: a second file would be a second truth.
constexpr const char* lock_file = "/run/simple-allocator/carveout.lock";

// x86 maps such a range cached (without O_SYNC). arm64 and arm map what is not System RAM as Device memory, where memset
// (DC ZVA) and unaligned accesses fault (phys_mem_access_prot()).
#if defined(__x86_64__) || defined(__i386__)
constexpr bool maps_cached = true;
#else
constexpr bool maps_cached = false;
#endif

/// Why @p region is no region at all; empty when it is one.
std::string malformed(const CarveoutRegion& region) {
  if (!is_word(region.name)) {
    return "a carveout's name is of letters, digits and ,._+-@#";
  }
  if (region.size == 0 || region.base % page_size() != 0 || region.size % page_size() != 0 ||
      region.base + region.size < region.base) {
    return fmt::format("base {:#x} and size {:#x} must be multiples of the page size, {}, and size not 0", region.base,
                       region.size, page_size());
  }
  return {};
}

class CarveoutHeap final : public Heap {
public:
  /// @param reason why the region must not be touched; empty when it may
  CarveoutHeap(const CarveoutRegion& region, const std::string& reason)
      : node_("/dev/mem", O_RDWR), region_(region), refusal_(reason), ranges_(lock_file, region.base, region.size) {
    if (refusal_.empty()) {
      refusal_ = malformed(region);
    }
    info_.name = "carveout:" + (is_word(region.name) ? region.name : std::string("malformed"));
    info_.backend = "carveout";
    info_.node = node_.path();
    info_.traits = Trait::Contiguous | Trait::PhysAddr | Trait::Zeroed;
    info_.traits = info_.traits | (maps_cached ? Trait::Cached : Trait::DeviceMemory);
    info_.granularity = page_size();
    info_.max_size = refusal_.empty() ? region.size : total_memory(); // a refused one says why when it is asked
    info_.max_alignment = std::bit_floor(region.size);
    info_.max_address = region.base + region.size;
    if (refusal_.empty() && !maps_cached && !region.device_memory) {
      refusal_ =
          "this processor maps it as device memory, where memset and unaligned accesses fault; load the kernel module "
          "simple_allocator_carveout, or accept it: ,device-memory in SA_CARVEOUT, device-memory = true in the configuration";
    }
    info_.reason = refusal_;
    if (info_.reason.empty()) {
      info_.reason = why_unusable(node_.path(), R_OK | W_OK, "the kernel has no /dev/mem (CONFIG_DEVMEM)");
    }
    if (info_.reason.empty()) {
      info_.reason = conflict(region_, read_text("/proc/iomem"));
    }
    info_.usable = info_.reason.empty();
  }

  [[nodiscard]] const HeapInfo& info() const noexcept override { return info_; }

protected:
  DmaBuf do_allocate(const AllocRequest& request, std::error_code& ec) override {
    const int device = open(ec);
    if (ec) {
      return {};
    }
    const std::size_t size = rounded_size(request);
    HeldRange held = ranges_.allocate(size, std::max<std::uint64_t>(request.constraints.alignment, page_size()), ec);
    // Only now: as long as this process holds a range, a driver that asks (sactl load-carveout) cannot claim the region. And
    // it takes all of the region first, so that nothing is free.
    std::error_code claimed;
    check_unclaimed(claimed);
    if (claimed) {
      ec = claimed;
      return {};
    }
    if (ec == std::errc::not_enough_memory) {
      return refuse(ec, ENOMEM, [&] {
        return fmt::format("no free {} in one piece of the region's {}; free buffers, here or in other processes",
                           bytes_text(size), bytes_text(region_.size));
      });
    }
    if (ec) {
      return {};
    }
    const std::uint64_t start = held.start();
    Memory memory;
    memory.keep = std::make_shared<Keep>(Keep{shared_from_this(), std::move(held)});
    memory.handle = [](void* kept, std::error_code& error) { return static_cast<Keep*>(kept)->range.handle(error); };
    if (!map(device, start, size, memory, ec)) {
      return {};
    }
    memory.traits = info_.traits;
    zero(memory.mapping.bytes(), size, memory.traits); // a range holds what its last owner wrote
    return adopt(std::move(memory), request.name);
  }

  DmaBuf do_accept(UniqueFd handle, std::uint64_t offset, std::size_t size, std::string_view name, std::error_code& ec) override {
    if (size % page_size() != 0 || offset % page_size() != 0 || !ranges_.holds(handle.get(), offset, size)) {
      return refuse(ec, EBADMSG, [&] {
        return fmt::format("the peer's handle does not hold {} at {:#x} of {}", bytes_text(size), offset, info_.name);
      });
    }
    const int device = open(ec);
    if (!ec) {
      check_unclaimed(ec);
    }
    if (ec) {
      return {};
    }
    Memory memory;
    memory.fd = std::move(handle);
    if (!map(device, offset, size, memory, ec)) {
      return {};
    }
    memory.traits = info_.traits.without(Trait::Zeroed);
    return adopt(std::move(memory), name);
  }

private:
  /// The state that a buffer keeps: its range, and its heap.
  struct Keep {
    std::shared_ptr<Heap> heap;
    HeldRange range; // given back first
  };

  /// /dev/mem, for a region that may be touched as it was given.
  int open(std::error_code& ec) {
    if (!refusal_.empty()) {
      fail(ec, ENODEV, [&] { return refusal_; });
      return -1;
    }
    return node_.open(ec);
  }

  /// Whether Linux or a driver has the region now.
  void check_unclaimed(std::error_code& ec) const {
    const std::string iomem = read_text("/proc/iomem", ec);
    if (std::string reason = ec ? std::string() : conflict(region_, iomem); !reason.empty()) {
      fail(ec, ENODEV, [&] { return reason; });
    }
  }

  bool map(int device, std::uint64_t start, std::size_t size, Memory& memory, std::error_code& ec) const {
    void* address = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, device, static_cast<off_t>(start));
    if (address == MAP_FAILED) {
      const int error = errno;
      fail(ec, error, [&] {
        return error == EPERM
                   ? fmt::format("the kernel does not let /dev/mem map {:#x} (CONFIG_STRICT_DEVMEM, or a driver has it)", start)
                   : kernel_said("mmap of /dev/mem", error);
      });
      return false;
    }
    memory.mapping = MappedRange(address, size);
    memory.descriptor = Descriptor::Handle;
    memory.size = size;
    memory.phys_addr = start;
    return true;
  }

  DeviceNode node_;
  CarveoutRegion region_;
  std::string refusal_; ///< of the region as it was given; the machine's state is asked when it is used
  CarveoutRanges ranges_;
  HeapInfo info_;
};

} // namespace

std::vector<std::shared_ptr<Heap>> discover_carveout(const Configured& configured) {
  const char* variable = ::secure_getenv("SA_CARVEOUT");
  std::vector<std::shared_ptr<Heap>> heaps;
  for (const auto& [region, reason] : list_regions(variable == nullptr ? "" : variable, configured.carveouts,
                                                   device_tree_regions("/sys/firmware/devicetree/base/reserved-memory"))) {
    heaps.push_back(std::make_shared<CarveoutHeap>(region, reason));
  }
  return heaps;
}

}}} // namespace sa::v0::detail

namespace sa { inline namespace v0 {

std::shared_ptr<Heap> make_carveout(const CarveoutRegion& region) {
  return std::make_shared<detail::CarveoutHeap>(region, "");
}

}} // namespace sa::v0
