// SPDX-License-Identifier: MIT
/// `udmabuf:4k`: a memfd that /dev/udmabuf wraps into a dma-buf (drivers/dma-buf/udmabuf.c).
///
/// The CPU's mapping is the memfd's, not the dma-buf's: it allows O_DIRECT and prefaulting, which a dma-buf's refuses.
#include <fcntl.h>
#include <linux/udmabuf.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <fmt/format.h>

#include "core/base/device_node.hpp"
#include "core/base/failure.hpp"
#include "core/base/system_call.hpp"
#include "core/base/system_facts.hpp"
#include "core/buffer/memfd.hpp"
#include "core/buffer/prefault.hpp"
#include "core/heap/backend.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

/// The memfd behind a buffer is named so: lists of memory can tell that it is not memory of its own.
constexpr std::string_view memfd_prefix = "sa-udmabuf:";

constexpr const char* size_limit_mb = "/sys/module/udmabuf/parameters/size_limit_mb";

/// Bytes a buffer may have where the module has a limit and does not tell (drivers/dma-buf/udmabuf.c up to 5.12).
constexpr std::uint64_t fixed_limit = std::uint64_t{64} << 20;

/// Bytes a buffer may have; no limit where the module does not tell.
std::uint64_t size_limit() {
  const auto mebibytes = read_number(size_limit_mb);
  return mebibytes ? *mebibytes << 20 : UINT64_MAX;
}

class UdmabufHeap final : public Heap {
public:
  UdmabufHeap() : node_("/dev/udmabuf", O_RDWR) {
    info_.name = "udmabuf:4k";
    info_.backend = "udmabuf";
    info_.node = node_.path();
    info_.traits = Trait::DmaBuf | Trait::Cached | Trait::Zeroed;
    info_.granularity = page_size();
    info_.max_size = std::min<std::uint64_t>(total_memory(), size_limit());
    info_.reason =
        why_unusable(node_.path(), R_OK | W_OK, "load the module (modprobe udmabuf), or build the kernel with CONFIG_UDMABUF");
    info_.usable = info_.reason.empty();
  }

  [[nodiscard]] const HeapInfo& info() const noexcept override { return info_; }

protected:
  DmaBuf do_allocate(const AllocRequest& request, std::error_code& ec) override {
    const int device = node_.open(ec);
    if (ec) {
      return {};
    }
    Memory memory;
    memory.size = rounded_size(request);
    // The limit of now: the module may have come, or its limit changed, since info_ was written. The kernel would answer
    // EINVAL, which is not what this is.
    const std::uint64_t limit = size_limit();
    if (memory.size > limit) {
      return refuse(ec, ENOMEM, [&] {
        return fmt::format("{} is more than the {} that udmabuf allows; raise {}", bytes_text(memory.size), bytes_text(limit),
                           size_limit_mb);
      });
    }
    memory.traits = info_.traits;
    memory.count_tells = true;
    char name[memfd_prefix.size() + max_name_length + 1] = {};
    memfd_prefix.copy(name, memfd_prefix.size());
    request.name.copy(name + memfd_prefix.size(), max_name_length);
    memory.map_fd = make_memfd(name, memory.size, 0, ec);
    if (ec) {
      return {};
    }
    // Small pages, all present, before the dma-buf is made: up to 6.12 the kernel's own mapping of it (vmap) reads only
    // the head pages of huge folios.
    void* address = ::mmap(nullptr, memory.size, PROT_READ | PROT_WRITE, MAP_SHARED, memory.map_fd.get(), 0);
    if (address == MAP_FAILED) {
      const int error = errno;
      return refuse(ec, error, "mmap");
    }
    memory.mapping = MappedRange(address, memory.size);
    ::madvise(address, memory.size, MADV_NOHUGEPAGE); // EINVAL on kernels without huge pages, where nothing is to be done
    populate(address, memory.size, ec);
    if (!ec) {
      memory.fd = wrap(device, memory, ec);
    }
    return ec ? DmaBuf{} : adopt(std::move(memory), request.name);
  }

private:
  static UniqueFd wrap(int device, const Memory& memory, std::error_code& ec) {
    udmabuf_create argument{};
    argument.memfd = static_cast<__u32>(memory.map_fd.get());
    argument.flags = UDMABUF_FLAGS_CLOEXEC;
    argument.size = memory.size;
    UniqueFd fd{uninterrupted([&] { return ::ioctl(device, UDMABUF_CREATE, &argument); })};
    if (!fd) {
      const bool too_large = errno == EINVAL && memory.size > fixed_limit;
      const int error = too_large ? ENOMEM : errno;
      fail(ec, error, [&] {
        return too_large ? fmt::format("{} is more than the {} that udmabuf allows; ask for smaller buffers, or use another heap",
                                       bytes_text(memory.size), bytes_text(fixed_limit))
                         : kernel_said("UDMABUF_CREATE", error);
      });
    }
    return fd;
  }

  DeviceNode node_;
  HeapInfo info_;
};

} // namespace

std::vector<std::shared_ptr<Heap>> discover_udmabuf(const Configured&) {
  return {std::make_shared<UdmabufHeap>()};
}

}}} // namespace sa::v0::detail
