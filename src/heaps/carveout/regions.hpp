// SPDX-License-Identifier: MIT
/// @file regions.hpp
/// The physical ranges that may be carveouts: from configuration and the device tree, never guessed.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <sa/carveout.hpp>

namespace sa { inline namespace v0 { namespace detail {

/// A region that was named, or found, and the reason why it cannot be used; empty when it can.
struct ListedRegion {
  CarveoutRegion region;
  std::string reason;
};

/// Reads the form of SA_CARVEOUT: entries "NAME=SIZE@BASE[,device-memory]" or "NAME[,device-memory]" (a device-tree node
/// of that name), separated by ';'. SIZE and BASE as parse_bytes() reads them. A malformed entry is listed
/// with the reason. Regions of @p tree that no entry names are listed as not to be used, and so are overlapping ones.
/// An entry hides the region of @p configured with the same name; one of those with size 0 is a device-tree node.
[[nodiscard]] std::vector<ListedRegion> list_regions(std::string_view variable, const std::vector<CarveoutRegion>& configured,
                                                     const std::vector<CarveoutRegion>& tree);

/// The no-map regions below @p reserved_memory, /sys/firmware/devicetree/base/reserved-memory
/// (Documentation/devicetree/bindings/reserved-memory).
[[nodiscard]] std::vector<CarveoutRegion> device_tree_regions(const std::filesystem::path& reserved_memory);

/// The reason why @p region must not be used, by its entry in /proc/iomem (@p iomem); empty when it may.
[[nodiscard]] std::string conflict(const CarveoutRegion& region, std::string_view iomem);

}}} // namespace sa::v0::detail
