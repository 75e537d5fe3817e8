// SPDX-License-Identifier: MIT
/// @file backend.hpp
/// The backends, for the registry: two tables, filled by src/heaps.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include <sa/heap.hpp>

namespace sa { inline namespace v0 {

struct CarveoutRegion; // a heap's own: it goes through here unread

namespace detail {

/// The parts of the configuration for the backends.
struct Configured {
  const std::vector<CarveoutRegion>& carveouts;
  const std::vector<std::string>& plugins;
};

/// Lists the heaps of one backend on this machine. Allocates nothing, opens no device node except
/// one that alone tells its heaps' names (/dev/ion), and leaves out nothing: a heap that cannot be used is listed with
/// its reason.
using Discover = std::vector<std::shared_ptr<Heap>> (*)(const Configured& configured);

/// Every backend, in the order heaps are listed.
[[nodiscard]] std::span<const Discover> backends() noexcept;

/// An alias that every registry starts with.
struct StandardAlias {
  std::string name;
  std::vector<std::string> candidates;
};

[[nodiscard]] const std::vector<StandardAlias>& standard_aliases();

}
}} // namespace sa::v0::detail
