// SPDX-License-Identifier: MIT
/// @file consumer.hpp
/// What core knows of a device: what the kernel tells of it, how it imports, and what probes found.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <system_error>

#include <sa/device.hpp>

#include "core/device/verdicts.hpp"

namespace sa { inline namespace v0 { namespace detail {

/// With the errno with which the kernel refused; 0 where it did not, or was not asked.
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

  /// Whether the device refused a scattered buffer for being scattered, and not for something else that it never takes.
  [[nodiscard]] virtual bool wants_one_run([[maybe_unused]] const ImportAnswer& refusal) const { return false; }

  /// Bytes of a buffer to probe with; 0: it cannot be probed.
  [[nodiscard]] virtual std::size_t probe_size() const noexcept = 0;

private:
  DeviceInfo info_;
  std::shared_ptr<Verdicts> verdicts_;
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
