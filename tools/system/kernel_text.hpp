// SPDX-License-Identifier: MIT
/// Files in which the kernel tells something as text: to read them whole and to take them apart.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include <dirent.h>

namespace sactl {

/// Nothing where @p text is anything but a number.
template <typename Number = std::uint64_t>
std::optional<Number> number(std::string_view text, int base = 10) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error == std::errc{} && end == text.data() + text.size() && !text.empty() ? std::optional(value) : std::nullopt;
}

/// Takes what stands before @p separator off @p text, and the separator; everything where there is none.
std::string_view take_field(std::string_view& text, char separator);

/// The whole of a file of unknown size into @p text, which keeps its memory from file to file. 0, or an errno; what was read
/// before that is there.
int read_all(int folder, const char* path, std::string& text);

struct CloseFolder {
  void operator()(DIR* folder) const noexcept { ::closedir(folder); }
};
using Folder = std::unique_ptr<DIR, CloseFolder>;

/// Null with errno set.
[[nodiscard]] Folder open_folder(int at, const char* path);

} // namespace sactl
