// SPDX-License-Identifier: MIT
/// @file verdicts.hpp
/// The results of probes of a device, remembered as long as the process lives.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sa { inline namespace v0 { namespace detail {

/// Whether a device takes memory in many physical runs.
enum class Scatter : unsigned char { Unknown, Taken, Refused };

/// Of one device. Any thread may call it.
class Verdicts {
public:
  /// One import and its verdict.
  struct Verdict {
    bool accepted = false;
    std::string said; ///< by the kernel, when it was refused
  };

  [[nodiscard]] Scatter scatter() const noexcept { return scatter_.load(std::memory_order_acquire); }
  void remember_scatter(Scatter found) noexcept { scatter_.store(found, std::memory_order_release); }

  /// @param subject the name of a heap, or the text of an image layout, which has spaces
  [[nodiscard]] std::optional<Verdict> of(std::string_view subject) const;
  void remember(std::string_view subject, Verdict verdict);

private:
  std::atomic<Scatter> scatter_{Scatter::Unknown};
  std::atomic<bool> any_{false}; ///< spares the lock where nothing was probed
  mutable std::mutex mutex_;     ///< held for bookkeeping only
  std::vector<std::pair<std::string, Verdict>> known_;
};

/// Those of the device that @p key describes: path, driver, module parameters, IOMMU group and kernel. The same object for
/// the same key.
[[nodiscard]] std::shared_ptr<Verdicts> verdicts_of(const std::string& key);

}}} // namespace sa::v0::detail
