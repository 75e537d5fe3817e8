// SPDX-License-Identifier: MIT
#include "core/device/verdicts.hpp"

#include <algorithm>
#include <map>

namespace sa { inline namespace v0 { namespace detail {

std::optional<Verdicts::Verdict> Verdicts::of(std::string_view subject) const {
  if (!any_.load(std::memory_order_acquire)) {
    return std::nullopt;
  }
  const std::lock_guard lock(mutex_);
  const auto known = std::find_if(known_.begin(), known_.end(), [&](const auto& one) { return one.first == subject; });
  return known == known_.end() ? std::nullopt : std::optional(known->second);
}

void Verdicts::remember(std::string_view subject, Verdict verdict) {
  const std::lock_guard lock(mutex_);
  const auto known = std::find_if(known_.begin(), known_.end(), [&](const auto& one) { return one.first == subject; });
  if (known != known_.end()) {
    known->second = std::move(verdict);
  } else {
    known_.emplace_back(subject, std::move(verdict));
    any_.store(true, std::memory_order_release);
  }
}

std::shared_ptr<Verdicts> verdicts_of(const std::string& key) {
  // Never destroyed: devices may be used by other objects' destructors at exit.
  static auto& mutex = *new std::mutex;
  static auto& devices = *new std::map<std::string, std::shared_ptr<Verdicts>>;
  const std::lock_guard lock(mutex);
  auto& one = devices[key];
  if (one == nullptr) {
    one = std::make_shared<Verdicts>();
  }
  return one;
}

}}} // namespace sa::v0::detail
