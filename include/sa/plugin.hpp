// SPDX-License-Identifier: MIT
/// @file plugin.hpp
/// Heaps of a plugin that is linked into the program itself, such as the test that a plugin's author runs before the
/// plugin is installed.
///
/// Other programs do not need this header: Registry::refresh() loads the plugins that the system's configuration names
/// (docs/plugins.md).
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include <sa/export.hpp>
#include <sa/heap.hpp>

struct sa_heap_plugin; // sa/heap_plugin.h

namespace sa { inline namespace v0 {

/// Makes the heaps that @p plugin describes, named "NAME:INSTANCE", for Registry::add() or sa::conformance::run().
/// @param name letters, digits and ,._+-@#; not the name of a backend of the library
/// @param plugin the result of the plugin's sa_heap_plugin_1(); the plugin's code must not be unloaded
/// @throws Error EINVAL: a malformed name, another version, a missing function, an invalid description, or a library that
///         was built without plugins. std::bad_alloc
[[nodiscard]] SA_API std::vector<std::shared_ptr<Heap>> make_plugin_heaps(std::string_view name, const sa_heap_plugin* plugin);

}} // namespace sa::v0
