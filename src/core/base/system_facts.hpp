// SPDX-License-Identifier: MIT
/// @file system_facts.hpp
/// The kernel's facts about this machine, from numbers and small text files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace sa { inline namespace v0 { namespace detail {

/// Bytes in a page.
[[nodiscard]] std::size_t page_size() noexcept;

/// Bytes of memory and swap, PTRDIFF_MAX where they are more: more can never be allocated.
[[nodiscard]] std::size_t total_memory() noexcept;

/// The end of Linux's memory, bytes: every physical address is lower. By /proc/zoneinfo; UINT64_MAX when it does not tell.
/// Looked up once: memory that is plugged in later is not seen.
[[nodiscard]] std::uint64_t highest_memory();

/// A field of /proc/meminfo ("CmaFree"), bytes; nothing when the kernel has no such field.
[[nodiscard]] std::optional<std::uint64_t> meminfo(std::string_view field);

/// All of a small file of the kernel's; empty when it cannot be read.
[[nodiscard]] std::string read_text(const std::filesystem::path& path);
[[nodiscard]] std::string read_text(const std::filesystem::path& path, std::error_code& ec);

/// The number a small file holds; nothing when it cannot be read or is none.
[[nodiscard]] std::optional<std::uint64_t> read_number(const std::filesystem::path& path);

/// Names in a folder, sorted; empty when it cannot be read.
[[nodiscard]] std::vector<std::string> list(const std::filesystem::path& folder);

/// "4 KiB", "3110400 bytes": exact, in the largest unit that is.
[[nodiscard]] std::string bytes_text(std::uint64_t bytes);

}}} // namespace sa::v0::detail
