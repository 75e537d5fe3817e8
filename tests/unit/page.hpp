// SPDX-License-Identifier: MIT
/// The machine's page, of which every real buffer has a whole number, and how sentences write such sizes and addresses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include <unistd.h>

#include <fmt/format.h>

namespace unit {

inline const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); ///< bytes

/// What sentences say for @p count pages that are less than 1 MiB: "8 KiB".
inline std::string kib_of_pages(std::size_t count) {
  return std::to_string(count * page / 1024) + " KiB";
}

/// "0x1800".
inline std::string hex(std::uint64_t number) {
  return fmt::format("{:#x}", number);
}

} // namespace unit
