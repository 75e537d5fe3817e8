// SPDX-License-Identifier: MIT
/// @file device.hpp
/// Devices: consumers of buffers. A Device has the kernel's facts about one device, and can test whether it imports a
/// buffer.
///
/// No kernel interface tells whether a driver takes memory that is scattered over many physical runs. The library knows
/// it from a profile in the configuration, from an IOMMU that translates for the device, or from a probe
/// (SelectOptions::probe). Without one of these, the answer of Registry::select() has Certainty::Unknown.
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

/// The kind of interface that a device has.
enum class DeviceKind {
  Described, ///< no node: the program describes the needs of the device, Device::described()
  Drm,       ///< /dev/dri/cardN, /dev/dri/renderDN
  V4l2,      ///< /dev/videoN
};

/// The role of a device in a pipeline.
enum class DeviceRole {
  Described, ///< not known: there is no node to ask
  Capture,   ///< writes pictures into memory: a camera, a grabber
  Output,    ///< reads pictures from memory
  MemToMem,  ///< reads pictures and writes others: a codec, a scaler
  Display,   ///< shows pictures (KMS)
  Render,    ///< a DRM device without a display: a GPU, vgem
};

/// The role as text: "capture", "output", "mem2mem", "display", "render" or "described". Valid for ever.
[[nodiscard]] SA_API std::string_view to_string(DeviceRole role) noexcept;

/// The demands of a device on memory and pictures, as a configuration gives them.
struct DeviceProfile {
  std::string match;                      ///< the path of a device node, "/dev/video0", or a driver's name, "driver:vivid"
  std::optional<Constraints> constraints; ///< demands on memory; nothing: the profile does not say them
  LayoutRule layout;                      ///< demands on pictures, for every format of the device

  friend bool operator==(const DeviceProfile&, const DeviceProfile&) = default;
};

/// A pixel format that a device handles.
struct DeviceFormat {
  Format format;                          ///< none: a format that is not in the table, such as a compressed one
  DrmFourcc drm;                          ///< the code that a DRM device reports
  V4l2Fourcc v4l2;                        ///< the code that a V4L2 device reports
  std::vector<std::uint64_t> modifiers{}; ///< drm_fourcc.h; empty: not told
  friend bool operator==(const DeviceFormat&, const DeviceFormat&) = default;
};

/// The kernel's facts about a device. A snapshot, taken by Device::open(): set a camera's format (VIDIOC_S_FMT) before.
struct DeviceInfo {
  std::string name; ///< the node's path, or the name given to Device::described()
  DeviceKind kind = DeviceKind::Described;
  DeviceRole role = DeviceRole::Described;
  std::string driver;       ///< "vivid", "vkms"
  std::string iommu;        ///< the type of its IOMMU domain in sysfs, "DMA-FQ", "identity"; empty: none
  Constraints constraints;  ///< known demands on memory
  bool imports = false;     ///< whether the device can import dma-bufs; every DRM driver can since Linux 6.6
  std::string reason;       ///< if imports is false: why, or why it is not known; else empty
  bool busy = false;        ///< another program used the device, so the library could not ask whether it imports
  bool cache_hints = false; ///< whether V4L2 reports V4L2_BUF_CAP_SUPPORTS_MMAP_CACHE_HINTS
  std::vector<DeviceFormat> formats{};
  V4l2Fourcc fourcc;            ///< the current format of a V4L2 device; else none
  std::uint32_t width = 0;      ///< pixels, of the current V4L2 format; else 0
  std::uint32_t height = 0;     ///< pixels, of the current V4L2 format; else 0
  std::uint32_t pitch = 0;      ///< bytes of a row, of the current V4L2 format; else 0
  std::size_t image_size = 0;   ///< bytes of the largest plane of the current V4L2 format; else 0
  std::uint32_t max_width = 0;  ///< pixels, largest width of a DRM framebuffer; 0: not told
  std::uint32_t max_height = 0; ///< pixels, largest height of a DRM framebuffer; 0: not told
};

/// The verdict of a test import.
enum class ImportVerdict {
  Accepted, ///< the device imported the memory, and released it again
  Refused,  ///< the device does not import this memory
  Busy,     ///< another program uses the device, so nothing was tried
  Unknown,  ///< the test failed for another reason: permission, lack of memory
};

/// The result of Device::try_import().
struct ImportResult {
  ImportVerdict verdict = ImportVerdict::Unknown;
  std::string said; ///< the kernel's answer as a sentence; empty when accepted
};

/// A consumer of buffers. Copies stand for the same device. A Device holds no descriptor: each question opens the node
/// and closes it again, and never keeps DRM master.
/// Threads: any number of threads may use one Device at once.
class SA_API Device {
public:
  /// No device: info().name is empty, try_import() answers Unknown.
  Device() noexcept = default;

  /// Asks the device behind a DRM or V4L2 node for its properties. It changes nothing on the device.
  /// @throws Error ENOENT, EACCES, ...: open(2) failed. ENODEV: not a DRM or V4L2 device, or one without buffers.
  [[nodiscard]] static Device open(const std::filesystem::path& node);
  [[nodiscard]] static Device open(const std::filesystem::path& node, std::error_code& ec) noexcept;

  /// Describes a device that has no DRM or V4L2 node, such as an accelerator with an interface of its own.
  /// @param name what errors and selections call it
  /// @param constraints all demands of the device on memory
  /// @param rules its demands on pictures: for each format that it takes one rule, or several to choose from. A rule
  ///   without a format is for all formats. Empty: the device takes every format and demands nothing.
  /// @throws Error EINVAL: no memory satisfies the constraints, or no layout satisfies a rule
  [[nodiscard]] static Device described(std::string name, const Constraints& constraints, std::vector<LayoutRule> rules = {});
  [[nodiscard]] static Device described(std::string name, const Constraints& constraints, std::vector<LayoutRule> rules,
                                        std::error_code& ec) noexcept;
  [[nodiscard]] static Device described(std::string name, const Constraints& constraints, std::error_code& ec) noexcept {
    return described(std::move(name), constraints, {}, ec);
  }

  [[nodiscard]] const DeviceInfo& info() const noexcept;

  /// Tests whether the device imports @p buffer, and releases it again. A DRM device gets DRM_IOCTL_PRIME_FD_TO_HANDLE
  /// and, if it has a display, AddFB2. A V4L2 device gets VIDIOC_REQBUFS and VIDIOC_QBUF, which needs a buffer of
  /// info().image_size bytes at least. The test takes some milliseconds; meanwhile VIDIOC_REQBUFS of another program on
  /// the node fails with EBUSY. A device that needs contiguous memory can accept scattered memory by chance, since
  /// fresh pages often lie in one run.
  [[nodiscard]] ImportResult try_import(const DmaBuf& buffer) const;

  /// Tests whether the device imports @p image in exactly its layout, and releases it again. A display gets AddFB2 with
  /// the image's planes. A V4L2 device gets VIDIOC_TRY_FMT, which must answer with the same layout, and VIDIOC_QBUF
  /// with the image's buffers. The current format of a V4L2 node is never changed: if it is another one, the buffers
  /// are queued under that format.
  [[nodiscard]] ImportResult try_import(const Image& image) const;

  /// Asks for the demands of the device on a picture of @p format and the given size in pixels: one rule, or several to
  /// choose from (planes in one buffer, a buffer for each plane). The answer is remembered as long as a copy of this
  /// object lives.
  ///
  /// A V4L2 node is asked by VIDIOC_TRY_FMT, at most 6 times for each queue and code. This changes nothing on the
  /// device, and works while it streams. A KMS card is asked for the formats and modifiers of its planes. A table of
  /// known drivers adds demands that neither interface reports.
  /// @throws Error EOPNOTSUPP: the device does not take that format or size; the sentence says which it takes. Any
  ///         other code: open(2) failed.
  [[nodiscard]] std::vector<LayoutRule> rules(Format format, std::uint32_t width, std::uint32_t height) const;
  [[nodiscard]] std::vector<LayoutRule> rules(Format format, std::uint32_t width, std::uint32_t height,
                                              std::error_code& ec) const noexcept;

  /// For the library's own use.
  [[nodiscard]] const detail::Consumer* consumer() const noexcept { return consumer_.get(); }

private:
  explicit Device(std::shared_ptr<const detail::Consumer> consumer) noexcept : consumer_(std::move(consumer)) {}
  std::shared_ptr<const detail::Consumer> consumer_;
};

}} // namespace sa::v0
