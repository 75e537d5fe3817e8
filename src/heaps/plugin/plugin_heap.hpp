// SPDX-License-Identifier: MIT
/// @file plugin_heap.hpp
/// The table of a plugin as heaps.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <sa/heap.hpp>
#include <sa/heap_plugin.h>

namespace sa { inline namespace v0 { namespace detail {

/// The heaps that a plugin describes, or why none of them is used.
struct PluginHeaps {
  std::vector<std::shared_ptr<Heap>> heaps{};
  std::string refusal{};
};

/// @param name the plugin's, which refused_name() takes; @param table refused_table() takes it
[[nodiscard]] PluginHeaps plugin_heaps(const std::string& name, const sa_heap_plugin& table);

}}} // namespace sa::v0::detail
