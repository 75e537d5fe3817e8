// SPDX-License-Identifier: MIT
/// @file load.hpp
/// Shared objects with heaps: their loading, and the times when their functions may be called.
#pragma once

#include <filesystem>
#include <string>

#include <sa/heap_plugin.h>

namespace sa { inline namespace v0 { namespace detail {

/// The table of a plugin, or why it is refused.
struct LoadedPlugin {
  const sa_heap_plugin* table = nullptr;
  std::string refusal{};
};

/// Loads @p folder/@p name.so, once in a process: what was loaded stays so. A refused one is tried again at each call.
///
/// Code from there runs in every program of the machine. So only root may have put it there, and a program with raised
/// privileges, which must not run what its caller could have influenced, loads none.
[[nodiscard]] LoadedPlugin load_plugin(const std::filesystem::path& folder, const std::string& name);

/// Why @p name cannot be a plugin's; empty when it can.
[[nodiscard]] std::string refused_name(const std::string& name);

/// Why this library cannot call @p table; empty when it can.
[[nodiscard]] std::string refused_table(const sa_heap_plugin* table);

/// From here on exit_began() tells whether handlers that were registered before this call may have run.
void watch_exit();

/// Whether exit(3) has come to a handler of watch_exit(): destructors of plugins may have run, and nothing of one is called.
[[nodiscard]] bool exit_began() noexcept;

}}} // namespace sa::v0::detail
