// SPDX-License-Identifier: MIT
/// The manual page and the completions, made of the texts of --help.
#pragma once

#include <string>

#include <CLI/CLI.hpp>

namespace sactl {

/// @param form "man", "bash" or "zsh"
[[nodiscard]] std::string describe(const CLI::App& app, const std::string& form);

} // namespace sactl
