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
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <sa/constraints.hpp>
#include <sa/dma_buf.hpp>
#include <sa/export.hpp>
#include <sa/format.hpp>
#include <sa/image.hpp>
#include <sa/layout.hpp>

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

/// What a device does with pictures.
enum class DeviceRole {
  Described, ///< not known: there is no node to ask
  Capture,   ///< writes them into memory: a camera, a grabber
  Output,    ///< takes them from memory
  MemToMem,  ///< takes some and writes others: a codec, a scaler
  Display,   ///< shows them (KMS)
  Render,    ///< a DRM device without a display: a GPU, vgem
};

/// "capture", "output", "mem2mem", "display", "render", "described".
[[nodiscard]] SA_API std::string_view to_string(DeviceRole role) noexcept;

/// What a device needs of memory and of pictures, as a configuration says it.
struct DeviceProfile {
  std::string match;                      ///< the path of a device node, "/dev/video0", or a driver's name, "driver:vivid"
  std::optional<Constraints> constraints; ///< nothing: what it needs of memory is not said
  LayoutRule layout;                      ///< of every format of the device

  friend bool operator==(const DeviceProfile&, const DeviceProfile&) = default;
};

/// A pixel format that a device handles.
struct DeviceFormat {
  Format format;                          ///< none: one that the table does not have, such as a compressed one
  DrmFourcc drm;                          ///< as a DRM device says it
  V4l2Fourcc v4l2;                        ///< as a V4L2 device says it
  std::vector<std::uint64_t> modifiers{}; ///< drm_fourcc.h; empty: not told
  friend bool operator==(const DeviceFormat&, const DeviceFormat&) = default;
};

/// What the kernel tells of a device. A snapshot, taken when it was opened: set a camera's format (VIDIOC_S_FMT) before.
struct DeviceInfo {
  std::string name; ///< the node's path; or what described() was given
  DeviceKind kind = DeviceKind::Described;
  DeviceRole role = DeviceRole::Described;
  std::string driver;       ///< "vivid", "vkms"
  std::string iommu;        ///< the kernel's word for its IOMMU domain, "DMA-FQ", "identity"; empty: none
  Constraints constraints;  ///< what is known to be needed of memory
  bool imports = false;     ///< says that it takes dma-bufs; every DRM driver does since Linux 6.6
  std::string reason;       ///< why not, or why that is not known; empty when it does
  bool busy = false;        ///< somebody else used it, and whether it imports could not be asked
  bool cache_hints = false; ///< V4L2_BUF_CAP_SUPPORTS_MMAP_CACHE_HINTS
  std::vector<DeviceFormat> formats{};
  V4l2Fourcc fourcc;            ///< the V4L2 format that is set; none elsewhere
  std::uint32_t width = 0;      ///< pixels, likewise
  std::uint32_t height = 0;     ///< pixels, likewise
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
  /// @param name what errors and selections call it
  /// @param constraints the whole truth: what it does not demand is not needed
  /// @param rules what it demands of pictures: of each format that it takes a rule, or several to choose from; a rule without
  ///        a format is of all of them. Empty: it takes every format, and demands nothing.
  /// @throws Error EINVAL: constraints or a rule that nothing satisfies
  [[nodiscard]] static Device described(std::string name, const Constraints& constraints, std::vector<LayoutRule> rules = {});
  [[nodiscard]] static Device described(std::string name, const Constraints& constraints, std::vector<LayoutRule> rules,
                                        std::error_code& ec) noexcept;
  [[nodiscard]] static Device described(std::string name, const Constraints& constraints, std::error_code& ec) noexcept {
    return described(std::move(name), constraints, {}, ec);
  }

  [[nodiscard]] const DeviceInfo& info() const noexcept;

  /// Lets the device import @p buffer as it would for use, and let go of it: DRM_IOCTL_PRIME_FD_TO_HANDLE and, where there
  /// is a display, AddFB2; or VIDIOC_REQBUFS and VIDIOC_QBUF, which needs a buffer of info().image_size bytes at least.
  /// While that goes on, some milliseconds, another program's VIDIOC_REQBUFS on the node is answered EBUSY. A lucky
  /// acceptance is possible: fresh pages often lie in one run.
  [[nodiscard]] ImportResult try_import(const DmaBuf& buffer) const;

  /// Lets the device import @p image in its very layout, and let go of it: AddFB2 of its planes where there is a display; or
  /// VIDIOC_TRY_FMT, which must answer with the same layout, and VIDIOC_QBUF of its buffers. The format that is set on a
  /// V4L2 node is never changed; where it is another one, the buffers are queued as it is.
  [[nodiscard]] ImportResult try_import(const Image& image) const;

  /// What the device demands of a picture of @p format and that size: one rule, or several to choose from (planes in one
  /// buffer, a buffer for each). What was answered is remembered as long as a copy of this object lives.
  ///
  /// A V4L2 node is asked by VIDIOC_TRY_FMT, at most 6 times for each queue and code: that changes nothing there, and works while
  /// it streams. A KMS card is asked what it says of its planes. A table of known drivers adds what neither tells.
  /// @throws Error EOPNOTSUPP: it does not take that format or size; the sentence says what it takes. What open(2) reports.
  [[nodiscard]] std::vector<LayoutRule> rules(Format format, std::uint32_t width, std::uint32_t height) const;
  [[nodiscard]] std::vector<LayoutRule> rules(Format format, std::uint32_t width, std::uint32_t height,
                                              std::error_code& ec) const noexcept;

  /// The library's way in.
  [[nodiscard]] const detail::Consumer* consumer() const noexcept { return consumer_.get(); }

private:
  explicit Device(std::shared_ptr<const detail::Consumer> consumer) noexcept : consumer_(std::move(consumer)) {}
  std::shared_ptr<const detail::Consumer> consumer_;
};

}} // namespace sa::v0
