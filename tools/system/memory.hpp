// SPDX-License-Identifier: MIT
/// Shared by the commands that touch buffers.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include <sa/sa.hpp>

#include "terminal/output.hpp"

namespace sactl {

/// The traits' names as a JSON array.
[[nodiscard]] Json as_json(sa::Traits traits);

/// All memory below is read and written in aligned words of 8 bytes, since Device memory (Trait::DeviceMemory) takes no other
/// access, and is of whole pages.

/// Where the first byte is that is not zero; reads up to there.
[[nodiscard]] std::optional<std::size_t> find_non_zero(std::span<const std::byte> memory);

/// Writes the pattern that find_wrong() knows, different in each word.
void fill_pattern(std::span<std::byte> memory);
/// Where the first word is that fill_pattern() did not write.
[[nodiscard]] std::optional<std::size_t> find_wrong(std::span<const std::byte> memory);

/// From here on SIGBUS, which is how the kernel says that memory ran out at its first touch, ends the program with a sentence
/// and the status Failed.
void explain_bus_errors();

/// A time for people, "1.23 ms".
[[nodiscard]] std::string human_time(std::chrono::nanoseconds time);

} // namespace sactl
