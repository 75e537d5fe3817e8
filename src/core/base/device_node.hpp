// SPDX-License-Identifier: MIT
/// @file device_node.hpp
/// A device node that is opened when it is first needed and then kept.
#pragma once

#include <atomic>
#include <filesystem>
#include <string>
#include <system_error>

#include <sa/unique_fd.hpp>

namespace sa { inline namespace v0 { namespace detail {

/// The reason why @p node cannot be opened for @p mode (R_OK, W_OK of access(2)), and the remedy; empty when it can.
/// Does not open the node. @p absent is the remedy for a node that does not exist.
[[nodiscard]] std::string why_unusable(const std::filesystem::path& node, int mode, const std::string& absent);

/// The sentence for a node that open(2) refused with @p error.
[[nodiscard]] std::string open_refused(const std::filesystem::path& node, int error);

/// Any thread may call it.
class DeviceNode {
public:
  /// @param flags of open(2); O_CLOEXEC is added
  DeviceNode(std::filesystem::path path, int flags) : path_(std::move(path)), flags_(flags) {}
  DeviceNode(const DeviceNode&) = delete;
  DeviceNode& operator=(const DeviceNode&) = delete;
  ~DeviceNode();

  /// The descriptor, borrowed; -1 and @p ec when the node cannot be opened. Opening is tried again at each call until
  /// it succeeds.
  int open(std::error_code& ec);

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

private:
  std::filesystem::path path_;
  int flags_;
  std::atomic<int> fd_{-1};
};

}}} // namespace sa::v0::detail
