// SPDX-License-Identifier: MIT
#include "heaps/cma_region.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "core/base/system_facts.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

/// The names of the default region's heap: by its device-tree node, by `cma=` on the command line, and by the fixed names
/// of newer kernels (drivers/dma-buf/heaps/cma_heap.c; `default_cma_region` since 6.17, beside the old name).
constexpr std::array<std::string_view, 4> default_names{"linux,cma", "reserved", "default_cma_region", "default-pool"};

/// The region's folder in debugfs; empty when there is none that this user sees.
std::filesystem::path debug_folder(std::string_view name, const std::filesystem::path& kernel) {
  std::error_code ec;
  for (const char* prefix : {"", "cma-"}) { // up to 5.14 with the prefix (mm/cma_debug.c)
    auto folder = kernel / "debug/cma" / fmt::format("{}{}", prefix, name);
    if (std::filesystem::is_directory(folder, ec)) {
      return folder;
    }
  }
  return {};
}

CmaState state_of(std::string_view name, const std::filesystem::path& kernel) {
  if (const auto debug = debug_folder(name, kernel); !debug.empty()) { // mm/cma_debug.c
    const auto count = read_number(debug / "count");
    const auto used = read_number(debug / "used");
    const auto largest = read_number(debug / "maxchunk");
    if (count && used && largest) {
      return {*count * page_size(), (*count - *used) * page_size(), *largest * page_size()};
    }
  }
  const auto folder = kernel / "mm/cma" / name; // mm/cma_sysfs.c; these numbers since 6.10
  const auto total = read_number(folder / "total_pages");
  const auto available = read_number(folder / "available_pages");
  return total && available ? CmaState{*total * page_size(), *available * page_size(), {}} : CmaState{};
}

} // namespace

bool is_default_cma(std::string_view name) noexcept {
  return std::find(default_names.begin(), default_names.end(), name) != default_names.end();
}

bool is_cma_region(std::string_view name, const std::filesystem::path& kernel) {
  std::error_code ec;
  return std::filesystem::is_directory(kernel / "mm/cma" / name, ec) || !debug_folder(name, kernel).empty();
}

CmaState cma_state(std::string_view name, const std::filesystem::path& kernel) {
  CmaState state = state_of(name, kernel);
  if (!state.total && is_default_cma(name)) { // the heap has a fixed name, its region the old one
    for (const std::string_view other : default_names) {
      state = state.total ? state : state_of(other, kernel);
    }
  }
  // Of all regions together, and behind by what the processors keep to themselves.
  return state.total ? state : CmaState{meminfo("CmaTotal"), meminfo("CmaFree"), {}};
}

std::string cma_refused(std::uint64_t size, std::string_view name) {
  const CmaState cma = cma_state(name);
  if (!cma.free) {
    return {};
  }
  const std::string state = fmt::format("{} refused, CmaFree {}{}", bytes_text(size), bytes_text(*cma.free),
                                        cma.largest ? ", largest piece " + bytes_text(*cma.largest) : std::string());
  const char* fix = "or enlarge cma= on the kernel command line, see docs/heaps.md";
  return *cma.free >= size ? fmt::format("{}: fragmented, not empty; allocate at start and keep, {}", state, fix)
                           : fmt::format("{}: used up; free buffers, {}", state, fix);
}

}}} // namespace sa::v0::detail
