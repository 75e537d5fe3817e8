// SPDX-License-Identifier: MIT
/// `drm:<card>`: dumb buffers, exported through PRIME (drm-memory(7), linux/drm_mode.h).
#include <algorithm>

#include <fcntl.h>
#include <unistd.h>
#include <xf86drm.h>

#include <fmt/format.h>

#include "core/base/device_node.hpp"
#include "core/base/failure.hpp"
#include "core/base/heap_name.hpp"
#include "core/base/system_call.hpp"
#include "core/base/system_facts.hpp"
#include "core/heap/backend.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

constexpr const char* folder = "/dev/dri";
constexpr std::uint32_t bits_per_pixel = 32;
constexpr std::uint32_t row_pixels = 1024; // with 32 bits a row is one page of 4096 bytes

/// Drivers whose dumb buffers are shmem pages, which the kernel zeroes.
bool zeroes(const std::string& driver) {
  return driver == "vgem" || driver == "vkms";
}

/// The kernel driver behind a card; empty when sysfs does not tell. The card itself is not opened: its first opener
/// becomes DRM master and locks a compositor out.
std::string driver_of(const std::string& card) {
  std::error_code ec;
  const auto device = std::filesystem::path("/sys/class/drm") / card / "device";
  std::string driver = std::filesystem::read_symlink(device / "driver", ec).filename().string();
  if (driver.empty()) { // virtual devices have no driver link; their device carries its name
    driver = std::filesystem::read_symlink(device, ec).filename().string();
  }
  return driver;
}

class DrmHeap final : public Heap {
public:
  explicit DrmHeap(const std::string& card) : node_(std::filesystem::path(folder) / card, O_RDWR) {
    info_.name = "drm:" + card;
    info_.backend = "drm";
    info_.node = node_.path();
    info_.traits = zeroes(driver_of(card)) ? Trait::DmaBuf | Trait::Zeroed : Traits{Trait::DmaBuf};
    info_.granularity = std::max<std::size_t>(page_size(), row_pixels * bits_per_pixel / 8);
    info_.max_size = total_memory();
    info_.reason = why_unusable(node_.path(), R_OK | W_OK, "no such card");
    info_.usable = info_.reason.empty();
  }

  [[nodiscard]] const HeapInfo& info() const noexcept override { return info_; }

protected:
  DmaBuf do_allocate(const AllocRequest& request, std::error_code& ec) override {
    const int card = open(ec);
    if (ec) {
      return {};
    }
    drm_mode_create_dumb create{};
    create.bpp = bits_per_pixel;
    create.width = row_pixels;
    const std::size_t rows = rounded_size(request) / (row_pixels * bits_per_pixel / 8);
    if (rows > UINT32_MAX) {
      return refuse(ec, ENOMEM, [] { return std::string("more than a dumb buffer can have"); });
    }
    create.height = static_cast<std::uint32_t>(rows);
    if (::drmIoctl(card, DRM_IOCTL_MODE_CREATE_DUMB, &create) < 0) {
      const int error = errno == ENOSYS ? EOPNOTSUPP : errno;
      return refuse(ec, error, [&] {
        return error == EOPNOTSUPP ? fmt::format("{} has no dumb buffers; use another heap", node_.path().string())
                                   : kernel_said("DRM_IOCTL_MODE_CREATE_DUMB", error);
      });
    }
    Memory memory;
    memory.fd = export_prime(card, create.handle, ec);
    // The dma-buf holds the memory from here on; a handle left open would hold it as long as the card is open.
    drm_mode_destroy_dumb destroy{};
    destroy.handle = create.handle;
    ::drmIoctl(card, DRM_IOCTL_MODE_DESTROY_DUMB, &destroy);
    if (ec) {
      return {};
    }
    // A driver may have made it larger (pitch); the dma-buf tells.
    const off_t size = ::lseek(memory.fd.get(), 0, SEEK_END);
    if (size < static_cast<off_t>(request.size)) {
      return refuse(ec, EIO, [&] { return fmt::format("the driver gave {} bytes of {}", size, request.size); });
    }
    memory.size = static_cast<std::size_t>(size);
    memory.traits = info_.traits;
    return adopt(std::move(memory), request.name);
  }

private:
  int open(std::error_code& ec) {
    const int card = node_.open(ec);
    if (card >= 0 && !master_dropped_.exchange(true, std::memory_order_acq_rel)) {
      ::drmDropMaster(card); // EINVAL when somebody else is master, as it should be
    }
    return card;
  }

  UniqueFd export_prime(int card, std::uint32_t handle, std::error_code& ec) const {
    int fd = -1;
    if (::drmPrimeHandleToFD(card, handle, DRM_CLOEXEC | DRM_RDWR, &fd) < 0) {
      const int error = errno == ENOSYS ? EOPNOTSUPP : errno; // a driver that only imports: vkms before 5.12
      fail(ec, error, [&] {
        return error == EOPNOTSUPP ? fmt::format("{} exports no buffers; use another heap", node_.path().string())
                                   : kernel_said(fmt::format("DRM_IOCTL_PRIME_HANDLE_TO_FD on {}", node_.path().string()), error);
      });
    }
    return UniqueFd{fd};
  }

  DeviceNode node_;
  std::atomic<bool> master_dropped_{false};
  HeapInfo info_;
};

} // namespace

std::vector<std::shared_ptr<Heap>> discover_drm(const Configured&) {
  std::vector<std::shared_ptr<Heap>> heaps;
  for (const auto& card : list(folder)) {
    if (is_word(card) && card.starts_with("card")) {
      heaps.push_back(std::make_shared<DrmHeap>(card));
    }
  }
  return heaps;
}

}}} // namespace sa::v0::detail
