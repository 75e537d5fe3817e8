// SPDX-License-Identifier: MIT
/// Text that fits into a terminal.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace sactl {

/// Columns that @p text takes; characters that may be wide count as two.
[[nodiscard]] std::size_t columns_of(std::string_view text);

/// @p text without anything that could move the cursor or turn the writing round: '?' stands for control characters and for
/// bytes that are not UTF-8. Names come from other programs.
[[nodiscard]] std::string harmless(std::string_view text);

/// The beginning of @p text that fits into @p columns.
[[nodiscard]] std::string cut(std::string_view text, std::size_t columns);

/// Lines of at most @p columns, broken at spaces; a word that is longer than a line also after its commas. A longer word, a
/// path for instance, is never broken and has a line of its own. Neither is a command in parentheses, "(sysctl ...)": it is
/// there to be pasted.
[[nodiscard]] std::vector<std::string> wrapped(std::string_view text, std::size_t columns);

/// The columns below which wrapped() cannot keep its lines: those of the longest piece that it does not break.
[[nodiscard]] std::size_t least_columns(std::string_view text);

} // namespace sactl
