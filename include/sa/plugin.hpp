// SPDX-License-Identifier: MIT
/// @file plugin.hpp
/// A plugin that a program brings itself: its author's test, which runs before anything is installed.
///
/// Registry::refresh() loads the plugins that the system's configuration names (docs/plugins.md); it needs none of this.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include <sa/export.hpp>
#include <sa/heap.hpp>

struct sa_heap_plugin; // sa/heap_plugin.h

namespace sa { inline namespace v0 {

/// The heaps that @p plugin describes, named "NAME:INSTANCE", for Registry::add() or sa::conformance::run().
/// @param name of letters, digits and ,._+-@#, and no backend of the library's
/// @param plugin what its sa_heap_plugin_1() returned; its code must not be unloaded
/// @throws Error EINVAL: the name, another version, a missing function, a description that cannot be, or a library that was built
///         without plugins. std::bad_alloc
[[nodiscard]] SA_API std::vector<std::shared_ptr<Heap>> make_plugin_heaps(std::string_view name, const sa_heap_plugin* plugin);

}} // namespace sa::v0
