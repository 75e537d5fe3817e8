// SPDX-License-Identifier: MIT
/// @file consumer.hpp
/// Core's view of a device: the kernel's facts about it, its imports, its rules for pictures, and the results of probes.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include <sa/device.hpp>

#include "core/device/verdicts.hpp"

namespace sa { inline namespace v0 { namespace detail {

/// A verdict with the errno of the kernel's refusal; 0 where it did not refuse, or was not asked.
struct ImportAnswer : ImportResult {
  int error = 0;
};

class Consumer {
public:
  explicit Consumer(DeviceInfo info, std::shared_ptr<Verdicts> verdicts)
      : info_(std::move(info)), verdicts_(std::move(verdicts)) {}
  Consumer(const Consumer&) = delete;
  Consumer& operator=(const Consumer&) = delete;
  virtual ~Consumer() = default;

  [[nodiscard]] const DeviceInfo& info() const noexcept { return info_; }
  [[nodiscard]] Verdicts& verdicts() const noexcept { return *verdicts_; }

  /// Behind Device::try_import(). Any thread may call it.
  [[nodiscard]] virtual ImportAnswer import(const DmaBuf& buffer) const = 0;

  /// The same for a picture in its very layout.
  [[nodiscard]] virtual ImportAnswer import(const Image& image) const = 0;

  /// Behind Device::rules(), remembered: a device is asked once for each format and size. Any thread may call it.
  [[nodiscard]] std::shared_ptr<const std::vector<LayoutRule>> rules(Format format, std::uint32_t width, std::uint32_t height,
                                                                     std::error_code& ec) const;

  /// The device's answer to @p layout, which obeys its rules: the same layout, with the sizes of the buffers that it then needs;
  /// remembered. @p ec when it does not take it.
  [[nodiscard]] ImageLayout confirm(const ImageLayout& layout, std::error_code& ec) const;

  /// Whether the device refused a scattered buffer for being scattered, and not for something else that it never takes.
  [[nodiscard]] virtual bool wants_one_run([[maybe_unused]] const ImportAnswer& refusal) const { return false; }

  /// Bytes of a buffer to probe with; 0: it cannot be probed.
  [[nodiscard]] virtual std::size_t probe_size() const noexcept = 0;

protected:
  /// Asks the device. Not called under a lock. Empty with @p ec when it does not take that format or size.
  [[nodiscard]] virtual std::vector<LayoutRule> ask(Format format, std::uint32_t width, std::uint32_t height,
                                                    std::error_code& ec) const = 0;

  /// Asks the device whether it takes @p layout; the default relies on its rules.
  [[nodiscard]] virtual ImageLayout ask(const ImageLayout& layout, std::error_code& ec) const;

private:
  /// The answer for one format and size.
  struct Answer {
    Format format;
    std::uint32_t width;  // pixels
    std::uint32_t height; // pixels
    std::error_code ec;
    std::string said; ///< when it was refused
    std::vector<LayoutRule> rules;
  };
  struct Confirmed {
    ImageLayout asked;
    std::error_code ec;
    std::string said;
    ImageLayout answered;
  };

  DeviceInfo info_;
  std::shared_ptr<Verdicts> verdicts_;
  mutable std::mutex mutex_; ///< of what follows; held for bookkeeping only
  mutable std::vector<std::shared_ptr<const Answer>> answers_;
  mutable std::vector<std::shared_ptr<const Confirmed>> confirmed_;
};

/// How devices of one kind are opened: those whose character node has that major number
/// (Documentation/admin-guide/devices.txt).
struct ConsumerKind {
  unsigned major_number;
  /// @p facts has name, driver, iommu and what sysfs tells of the constraints; @p ec what the node refused
  std::shared_ptr<const Consumer> (*open)(DeviceInfo facts, std::shared_ptr<Verdicts> verdicts, std::error_code& ec);
};

/// Every kind that was built.
[[nodiscard]] std::span<const ConsumerKind> consumer_kinds() noexcept;

/// The verdict that the errno of an import ioctl means.
[[nodiscard]] ImportAnswer import_refused(const char* call, int error);

}}} // namespace sa::v0::detail
