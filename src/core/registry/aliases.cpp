// SPDX-License-Identifier: MIT
#include "core/registry/aliases.hpp"

#include <set>

#include "core/base/heap_name.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

/// Calls @p leaf(name) for what @p name leads to, and @p again(name) for each name that was met before. Keeps its own
/// stack: who writes aliases decides how deep they are.
template <typename Leaf, typename Again>
void walk(std::string_view name, const Aliases& aliases, Leaf&& leaf, Again&& again) {
  std::set<std::string_view> met;
  std::vector<std::string_view> ahead{name};
  while (!ahead.empty()) {
    const std::string_view next = ahead.back();
    ahead.pop_back();
    if (!met.insert(next).second) {
      again(next);
    } else if (const auto alias = aliases.find(next); alias != aliases.end()) {
      ahead.insert(ahead.end(), alias->second.rbegin(), alias->second.rend());
    } else {
      leaf(next);
    }
  }
}

} // namespace

bool is_candidate(std::string_view candidate) noexcept {
  return is_heap_name(candidate) || is_wildcard(candidate);
}

std::vector<std::string_view> leaves(std::string_view name, const Aliases& aliases) {
  std::vector<std::string_view> found;
  walk(
      name, aliases, [&](std::string_view leaf) { found.push_back(leaf); }, [](std::string_view) {});
  return found;
}

bool loops(std::string_view name, const Aliases& aliases) {
  bool back = false;
  walk(
      name, aliases, [](std::string_view) {}, [&](std::string_view again) { back = back || again == name; });
  return back;
}

}}} // namespace sa::v0::detail
