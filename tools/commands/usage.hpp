// SPDX-License-Identifier: MIT
/// The command line: its help, and its mistakes.
#pragma once

#include <string>

#include <CLI/CLI.hpp>

namespace sactl {

/// The help that CLI11 writes, its descriptions broken between words to lines of @p columns.
[[nodiscard]] std::string help(const CLI::App& app, std::size_t columns);

/// The mistake in the command line, a sentence with the command or option that may have been meant.
[[nodiscard]] std::string explain(const CLI::App& app, const CLI::ParseError& error);

} // namespace sactl
