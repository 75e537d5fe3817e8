// SPDX-License-Identifier: MIT
/// @file cma_region.hpp
/// The kernel's facts about its CMA regions, for the heaps that take their memory there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace sa { inline namespace v0 { namespace detail {

/// Whether a heap of that name is the default CMA region's, under one of the names that kernels have given it.
[[nodiscard]] bool is_default_cma(std::string_view name) noexcept;

/// Whether the kernel tells of a CMA region of that name. It tells everybody (CONFIG_CMA_SYSFS), or root alone
/// (CONFIG_CMA_DEBUGFS), or to no user.
/// @param name a word (heap_name.hpp); @param kernel the folder /sys/kernel, or what a test has made
[[nodiscard]] bool is_cma_region(std::string_view name, const std::filesystem::path& kernel = "/sys/kernel");

/// The kernel's numbers of a CMA region, bytes.
struct CmaState {
  std::optional<std::uint64_t> total;
  std::optional<std::uint64_t> free;
  std::optional<std::uint64_t> largest; ///< the largest free piece; told to root alone
};

/// The state of the region behind a heap of that name; where the kernel does not tell of regions, of all of them together.
[[nodiscard]] CmaState cma_state(std::string_view name, const std::filesystem::path& kernel = "/sys/kernel");

/// Why that region refused @p size bytes with ENOMEM, and the remedy; empty when the kernel has no numbers of CMA.
[[nodiscard]] std::string cma_refused(std::uint64_t size, std::string_view name);

}}} // namespace sa::v0::detail
