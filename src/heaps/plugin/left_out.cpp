// SPDX-License-Identifier: MIT
/// In place of load.cpp and plugin_heap.cpp where the library is built without plugins: each is refused.
#include "heaps/plugin/load.hpp"
#include "heaps/plugin/plugin_heap.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

constexpr const char* left_out = "this library was built without plugins (Meson's option plugins)";

} // namespace

LoadedPlugin load_plugin(const std::filesystem::path&, const std::string&) {
  return {nullptr, left_out};
}

std::string refused_name(const std::string&) {
  return left_out;
}

std::string refused_table(const sa_heap_plugin*) {
  return left_out;
}

PluginHeaps plugin_heaps(const std::string&, const sa_heap_plugin&) {
  return {{}, left_out};
}

void watch_exit() {}

}}} // namespace sa::v0::detail
