// SPDX-License-Identifier: MIT
/// `cma:<node>`: every region that the kernel's simple_allocator class offers (sa/uapi/simple-allocator.h). Nodes
/// called /dev/cma* that are not of this class are somebody else's.
#include <algorithm>

#include <fcntl.h>
#include <sys/ioctl.h>

#include <fmt/format.h>

#include <sa/uapi/simple-allocator.h>

#include "core/backend.hpp"
#include "core/device_node.hpp"
#include "core/failure.hpp"
#include "core/heap_name.hpp"
#include "core/system_call.hpp"
#include "core/system_facts.hpp"

namespace sa::inline v0::detail {
namespace {

constexpr const char* device_class = "/sys/class/simple_allocator";
constexpr const char* absent = "load the kernel modules simple_allocator and simple_allocator_cma";

class CmaHeap final : public Heap {
public:
  explicit CmaHeap(const std::string& node) {
    info_.name = "cma:" + node;
    info_.backend = "cma";
    info_.node = std::filesystem::path("/dev") / node;
    info_.traits = Trait::DmaBuf | Trait::Contiguous | Trait::Cached | Trait::Zeroed;
    info_.granularity = page_size();
    info_.max_size = read_number(std::filesystem::path(device_class) / node / "size").value_or(total_memory());
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
      return refuse(ec, error, [&] {
        return error == ENOTTY ? fmt::format("{} is no simple allocator region: {}", info_.node.string(), absent)
                               : kernel_said("SA_IOC_ALLOC", error);
      });
    }
    Memory memory;
    memory.fd = UniqueFd{argument.fd};
    memory.size = argument.length;
    memory.traits = info_.traits;
    return adopt(std::move(memory), request.name);
  }

private:
  HeapInfo info_;
};

} // namespace

std::vector<std::shared_ptr<Heap>> discover_cma() {
  std::vector<std::shared_ptr<Heap>> heaps;
  for (const auto& node : list(device_class)) {
    if (is_word(node) && node.starts_with("cma")) {
      heaps.push_back(std::make_shared<CmaHeap>(node));
    }
  }
  if (heaps.empty()) { // listed all the same, with the reason
    heaps.push_back(std::make_shared<CmaHeap>("cma0"));
  }
  return heaps;
}

} // namespace sa::inline v0::detail
