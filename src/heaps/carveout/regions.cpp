// SPDX-License-Identifier: MIT
#include "heaps/carveout/regions.hpp"

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>

#include "core/base/byte_size.hpp"
#include "core/base/heap_name.hpp"
#include "core/base/system_facts.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

/// Gives a region that has only a name the range of the node of @p tree that is called so.
void find_node(ListedRegion& listed, const std::vector<CarveoutRegion>& tree, const char* source, const char* fix) {
  const std::string& name = listed.region.name;
  const auto node = std::find_if(tree.begin(), tree.end(), [&](const auto& region) { return region.name == name; });
  if (node == tree.end()) {
    listed.reason = fmt::format("{} names {}, but no reserved-memory node with no-map has that name; {}", source, name, fix);
  } else {
    listed.region.base = node->base;
    listed.region.size = node->size;
  }
}

ListedRegion parse_entry(std::string_view entry, const std::vector<CarveoutRegion>& tree) {
  constexpr std::string_view option = ",device-memory";
  ListedRegion listed;
  if (entry.ends_with(option)) {
    listed.region.device_memory = true;
    entry.remove_suffix(option.size());
  }
  const std::size_t equals = entry.find('=');
  const std::string_view name = entry.substr(0, equals);
  listed.region.name = std::string(name);
  if (equals == std::string_view::npos) {
    find_node(listed, tree, "SA_CARVEOUT", "write NAME=SIZE@BASE");
    return listed;
  }
  const std::string_view range = entry.substr(equals + 1);
  const std::size_t at = range.find('@');
  const auto size = parse_bytes(range.substr(0, at));
  const auto base = parse_bytes(at == std::string_view::npos ? std::string_view() : range.substr(at + 1));
  if (size && base) {
    listed.region.size = size.bytes;
    listed.region.base = base.bytes;
  } else {
    listed.reason = fmt::format("SA_CARVEOUT: \"{}\" is not NAME=SIZE@BASE[,device-memory], as in camera=64M@0x30000000", entry);
  }
  return listed;
}

bool overlap(std::uint64_t a_start, std::uint64_t a_last, std::uint64_t b_start, std::uint64_t b_last) {
  return a_start <= b_last && b_start <= a_last;
}

} // namespace

std::vector<ListedRegion> list_regions(std::string_view variable, const std::vector<CarveoutRegion>& configured,
                                       const std::vector<CarveoutRegion>& tree) {
  std::vector<ListedRegion> listed;
  const auto named = [&](const std::string& name) {
    return std::any_of(listed.begin(), listed.end(), [&](const auto& one) { return one.region.name == name; });
  };
  while (!variable.empty()) {
    const std::string_view entry = variable.substr(0, variable.find(';'));
    variable.remove_prefix(std::min(entry.size() + 1, variable.size()));
    if (!entry.empty()) {
      listed.push_back(parse_entry(entry, tree));
    }
  }
  for (const auto& region : configured) {
    if (!named(region.name)) {
      listed.push_back({region, {}});
      if (region.size == 0) {
        find_node(listed.back(), tree, "the configuration", "give it base and size");
      }
    }
  }
  for (const auto& node : tree) {
    // Such a node may as well be the firmware's own memory: reading it can stop the machine.
    if (!named(node.name)) {
      listed.push_back({node, fmt::format("found in the device tree; if it is free to use, say so: SA_CARVEOUT={0}, or "
                                          "[carveouts.{0}] in the configuration",
                                          node.name)});
    }
  }
  for (auto& one : listed) {
    for (const auto& other : listed) {
      const bool both = one.reason.empty() && other.region.size != 0 && one.region.size != 0 && &one != &other;
      if (both && overlap(one.region.base, one.region.base + one.region.size - 1, other.region.base,
                          other.region.base + other.region.size - 1)) {
        one.reason = fmt::format("overlaps the region {}; correct SA_CARVEOUT or the configuration", other.region.name);
      }
    }
  }
  return listed;
}

std::vector<CarveoutRegion> device_tree_regions(const std::filesystem::path& reserved_memory) {
  const auto cells = [&](const char* property) { // big-endian u32, 1 or 2
    const std::string text = read_text(reserved_memory / property);
    return text.size() == 4 ? static_cast<std::size_t>(text[3]) : 0;
  };
  const auto number = [](std::string_view bytes) {
    std::uint64_t value = 0;
    for (const char byte : bytes) {
      value = value << 8 | static_cast<unsigned char>(byte);
    }
    return value;
  };
  const std::size_t base_width = cells("#address-cells") * 4;
  const std::size_t size_width = cells("#size-cells") * 4;
  std::vector<CarveoutRegion> regions;
  for (const auto& node : list(reserved_memory)) {
    std::error_code ec;
    const std::string reg = read_text(reserved_memory / node / "reg");
    const std::string status = read_text(reserved_memory / node / "status");
    const bool enabled = status.empty() || status.starts_with("ok");
    if (!enabled || !std::filesystem::exists(reserved_memory / node / "no-map", ec) || base_width == 0 || base_width > 8 ||
        size_width == 0 || size_width > 8 || reg.size() < base_width + size_width) {
      continue;
    }
    CarveoutRegion region;
    region.name = node.substr(0, node.find('@'));
    region.base = number(std::string_view(reg).substr(0, base_width));
    region.size = number(std::string_view(reg).substr(base_width, size_width));
    regions.push_back(std::move(region));
  }
  return regions;
}

std::string conflict(const CarveoutRegion& region, std::string_view iomem) {
  const std::uint64_t last = region.base + region.size - 1;
  bool addresses_shown = false;
  while (!iomem.empty()) {
    const std::string line(iomem.substr(0, iomem.find('\n')));
    iomem.remove_prefix(std::min(line.size() + 1, iomem.size()));
    unsigned long long start = 0;
    unsigned long long end = 0;
    int name_at = 0;
    if (std::sscanf(line.c_str(), " %llx-%llx : %n", &start, &end, &name_at) != 2 || name_at == 0) {
      continue;
    }
    addresses_shown = addresses_shown || end != 0;
    const std::string name = line.substr(static_cast<std::size_t>(name_at));
    if (end != 0 && overlap(region.base, last, start, end) && name != "Reserved" && name != "reserved") {
      return fmt::format("{:#x}-{:#x} is {} in /proc/iomem; a carveout must be memory that Linux does not use "
                         "(memmap= on the kernel command line, or a reserved-memory node with no-map)",
                         start, end, name);
    }
  }
  // Users other than root see zeroes.
  return addresses_shown ? std::string()
                         : std::string("/proc/iomem shows no addresses, so the range cannot be checked; run as root");
}

}}} // namespace sa::v0::detail
