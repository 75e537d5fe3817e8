// SPDX-License-Identifier: MIT
/// @file snapshot.hpp
/// The content of a registry at one moment.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <sa/configuration.hpp>
#include <sa/heap.hpp>

#include "core/base/nearest.hpp"
#include "core/registry/aliases.hpp"
#include "core/selection/selection.hpp"

namespace sa { inline namespace v0 { namespace detail {

struct NamedHeap {
  std::string name; ///< beside the heap: a search touches nothing else
  std::shared_ptr<Heap> heap;
};

/// Every name at one moment. It never changes: a reader that owns it needs no lock.
struct Snapshot {
  std::vector<NamedHeap> entries; ///< heaps, then aliases
  Heaps heaps;                    ///< those of them that are no aliases, in order
  std::shared_ptr<const Configuration> configuration;
  detail::Wishes wishes; ///< the configuration's, in names of heaps alone

  [[nodiscard]] const std::shared_ptr<Heap>* find(std::string_view name) const noexcept {
    if (name.empty()) {
      return nullptr;
    }
    for (const NamedHeap& entry : entries) {
      // Names differ most at their end: one byte there spares nearly every comparison.
      if (entry.name.size() == name.size() && entry.name.back() == name.back() && entry.name == name) {
        return &entry.heap;
      }
    }
    return nullptr;
  }

  /// The names there are, for sentences: "there are: memfd:4k, system; not usable, sactl heaps says why: dma-heap:system".
  [[nodiscard]] std::string names() const {
    std::string usable;
    std::string others;
    for (const NamedHeap& entry : entries) {
      std::string& text = entry.heap->info().usable ? usable : others;
      text += (text.empty() ? "" : ", ") + entry.name;
    }
    return "there are: " + (usable.empty() ? "none" : usable) +
           (others.empty() ? "" : "; not usable, sactl heaps says why: " + others);
  }

  /// The same for a name that is not there, after the names that it is near to: "did you mean system? (there are: ...)".
  [[nodiscard]] std::string names_for(std::string_view missing) const {
    std::vector<std::string_view> all;
    all.reserve(entries.size());
    for (const NamedHeap& entry : entries) {
      all.push_back(entry.name);
    }
    std::string near;
    for (const std::string_view name : nearest(missing, all)) {
      near += near.empty() ? "did you mean " : " or ";
      near += name;
    }
    return near.empty() ? names() : near + "? (" + names() + ")";
  }
};

/// Between the names of a list.
inline constexpr char between_names = '|';

inline bool is_list(std::string_view names) noexcept {
  return names.find(between_names) != std::string_view::npos;
}

/// A temporary alias of the names in @p list, which are heaps, aliases or "backend:*".
/// @p ec EINVAL: one of them is malformed. ENOENT: there is none of them.
[[nodiscard]] std::shared_ptr<Heap> list_of(std::string_view list, const Snapshot& snapshot, std::error_code& ec);

}}} // namespace sa::v0::detail
