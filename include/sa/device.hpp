// SPDX-License-Identifier: MIT
/// @file device.hpp
/// Consumers of buffers: what the kernel tells of one, and whether it takes a buffer.
///
/// No kernel interface tells whether a driver takes memory that is scattered over many physical runs. It is known from a
/// profile in the configuration, from an IOMMU that translates for the device, or from a probe (SelectOptions::probe);
/// without one of them Registry::select() says that it is not known.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include <sa/constraints.hpp>
#include <sa/dma_buf.hpp>
#include <sa/export.hpp>

namespace sa { inline namespace v0 {

namespace detail {
class Consumer;
}

/// What drives a device.
enum class DeviceKind {
  Described, ///< known by what its maker says it needs, Device::described()
  Drm,       ///< /dev/dri/cardN, /dev/dri/renderDN
  V4l2,      ///< /dev/videoN
};

/// What a device needs of memory, as a configuration says it.
struct DeviceProfile {
  std::string match; ///< the path of a device node, "/dev/video0", or a driver's name, "driver:vivid"
  Constraints constraints;

  friend bool operator==(const DeviceProfile&, const DeviceProfile&) = default;
};

/// A pixel format that a device handles.
struct PixelFormat {
  std::uint32_t fourcc = 0;               ///< drm_fourcc.h, or linux/videodev2.h for a V4L2 device
  std::vector<std::uint64_t> modifiers{}; ///< drm_fourcc.h; empty: only what the format itself says
  std::uint32_t pitch = 0;                ///< bytes of a row at DeviceInfo::width, as the driver rounds it; 0: not told
  std::uint32_t size = 0;                 ///< bytes of an image of DeviceInfo::width by height; 0: not told
  friend bool operator==(const PixelFormat&, const PixelFormat&) = default;
};

/// What the kernel tells of a device. A snapshot, taken when it was opened: set a camera's format (VIDIOC_S_FMT) before.
struct DeviceInfo {
  std::string name; ///< the node's path; or what described() was given
  DeviceKind kind = DeviceKind::Described;
  std::string driver;       ///< "vivid", "vkms"
  std::string iommu;        ///< the kernel's word for its IOMMU domain, "DMA-FQ", "identity"; empty: none
  Constraints constraints;  ///< what is known to be needed of memory
  bool imports = false;     ///< says that it takes dma-bufs; every DRM driver does since Linux 6.6
  std::string reason;       ///< why not, or why that is not known; empty when it does
  bool busy = false;        ///< somebody else used it, and whether it imports could not be asked
  bool cache_hints = false; ///< V4L2_BUF_CAP_SUPPORTS_MMAP_CACHE_HINTS
  std::vector<PixelFormat> formats{};
  std::uint32_t width = 0;      ///< pixels: the V4L2 format that is set; 0 elsewhere
  std::uint32_t height = 0;     ///< pixels, likewise
  std::uint32_t fourcc = 0;     ///< likewise
  std::uint32_t pitch = 0;      ///< bytes of a row, likewise
  std::size_t image_size = 0;   ///< bytes of an image, the largest plane's, likewise
  std::uint32_t max_width = 0;  ///< pixels, of a DRM framebuffer; 0: not told
  std::uint32_t max_height = 0; ///< pixels, of a DRM framebuffer; 0: not told
};

/// What became of an import.
enum class ImportVerdict {
  Accepted, ///< taken, and let go of again
  Refused,  ///< the device does not take this memory
  Busy,     ///< somebody else uses the device; it was left alone
  Unknown,  ///< something else failed: permission, lack of memory
};

struct ImportResult {
  ImportVerdict verdict = ImportVerdict::Unknown;
  std::string said; ///< what the kernel said; empty when accepted
};

/// A consumer of buffers. Copies stand for the same device. Holds no descriptor: its node is opened when it is asked and
/// closed again, and DRM master is never kept.
///
/// Threads: any number may use one.
class SA_API Device {
public:
  /// No device: info().name is empty, try_import() answers Unknown.
  Device() noexcept = default;

  /// What is behind a DRM or V4L2 node. Changes nothing there.
  /// @throws Error ENOENT, EACCES, ...: as open(2) says. ENODEV: no DRM or V4L2 device, or one without buffers.
  [[nodiscard]] static Device open(const std::filesystem::path& node);
  [[nodiscard]] static Device open(const std::filesystem::path& node, std::error_code& ec) noexcept;

  /// A device without a node to ask, by what it needs: an accelerator with an interface of its own.
  /// @param constraints the whole truth: what it does not demand is not needed
  /// @throws Error EINVAL: constraints that nothing satisfies
  [[nodiscard]] static Device described(std::string name, const Constraints& constraints);
  [[nodiscard]] static Device described(std::string name, const Constraints& constraints, std::error_code& ec) noexcept;

  [[nodiscard]] const DeviceInfo& info() const noexcept;

  /// Lets the device import @p buffer as it would for use, and let go of it: DRM_IOCTL_PRIME_FD_TO_HANDLE and, where there
  /// is a display, AddFB2; or VIDIOC_REQBUFS and VIDIOC_QBUF, which needs a buffer of info().image_size bytes at least.
  /// While that goes on, some milliseconds, another program's VIDIOC_REQBUFS on the node is answered EBUSY. A lucky
  /// acceptance is possible: fresh pages often lie in one run.
  [[nodiscard]] ImportResult try_import(const DmaBuf& buffer) const;

  /// The library's way in.
  [[nodiscard]] const detail::Consumer* consumer() const noexcept { return consumer_.get(); }

private:
  explicit Device(std::shared_ptr<const detail::Consumer> consumer) noexcept : consumer_(std::move(consumer)) {}
  std::shared_ptr<const detail::Consumer> consumer_;
};

}} // namespace sa::v0
