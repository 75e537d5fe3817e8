// SPDX-License-Identifier: MIT
#include "core/registry/aliases.hpp"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "core/base/failure.hpp"
#include "core/base/heap_name.hpp"
#include "core/base/log.hpp"
#include "core/base/words.hpp"
#include "core/heap/alias_heap.hpp"
#include "core/heap/backend.hpp"
#include "core/registry/snapshot.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

/// Calls @p leaf(name) for what @p name leads to, and @p again(name) for each name that was met before. Keeps its own
/// stack: the author of the aliases decides how deep they are.
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

/// Calls @p add(name, heap) for each of @p heaps that @p wildcard, "backend:*", stands for.
template <typename Add>
void each_instance(std::string_view wildcard, const Heaps& heaps, Add&& add) {
  for (const auto& heap : heaps) {
    if (heap->info().name.starts_with(wildcard.substr(0, wildcard.size() - 1))) {
      add(heap->info().name, heap);
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

std::vector<Candidate> resolve(std::string_view name, const Heaps& heaps, const Aliases& aliases) {
  std::vector<Candidate> found;
  std::set<std::string_view> names;
  const auto add = [&](std::string_view canonical, const std::shared_ptr<Heap>& heap) {
    if (names.insert(canonical).second) {
      found.push_back({std::string(canonical), heap});
    }
  };
  for (const std::string_view leaf : leaves(name, aliases)) {
    if (is_wildcard(leaf)) {
      each_instance(leaf, heaps, add);
    } else {
      const auto heap = std::find_if(heaps.begin(), heaps.end(), [&](const auto& one) { return one->info().name == leaf; });
      add(leaf, heap == heaps.end() ? nullptr : *heap);
    }
  }
  return found;
}

std::shared_ptr<Heap> list_of(std::string_view list, const Snapshot& snapshot, std::error_code& ec) {
  std::vector<Candidate> candidates;
  bool any = false;
  const auto add = [&](std::string_view name, std::shared_ptr<Heap> heap) {
    any = any || heap != nullptr;
    candidates.push_back({std::string(name), std::move(heap)});
  };
  const auto read = [&](std::string_view word) {
    if (!is_candidate(word)) {
      fail(ec, EINVAL, [&] {
        return fmt::format("\"{}\" in \"{}\" is not a heap name; {}", shown(word), shown(list), snapshot.names_for(word));
      });
    } else if (is_wildcard(word)) {
      each_instance(word, snapshot.heaps, add);
    } else {
      const auto* heap = snapshot.find(word);
      add(word, heap == nullptr ? nullptr : *heap);
    }
    return !ec;
  };
  each_word(list, read, between_names);
  if (!ec && !any) {
    fail(ec, ENOENT, [&] { return fmt::format("there is no heap of \"{}\"; {}", list, snapshot.names()); });
  }
  return ec ? nullptr : std::make_shared<AliasHeap>(std::string(list), std::move(candidates));
}

Aliases layered(const Configuration& configuration, const Aliases& own) {
  Aliases all = own;
  all.insert(configuration.aliases.begin(), configuration.aliases.end());
  for (const auto& alias : standard_aliases()) {
    all.emplace(alias.name, alias.candidates);
  }
  // The configuration was right by itself. Where it meets the program's aliases in a loop, the program's hold.
  for (const auto& [name, candidates] : configuration.aliases) {
    if (!own.contains(name) && loops(name, all)) {
      log_warning([&alias = name] {
        return fmt::format("the alias {} of the configuration would lead back to itself by one that the program defined; it is "
                           "left out",
                           alias);
      });
      all.erase(name);
      for (const auto& alias : standard_aliases()) {
        if (alias.name == name) {
          all.emplace(name, alias.candidates);
        }
      }
    }
  }
  return all;
}

}}} // namespace sa::v0::detail
