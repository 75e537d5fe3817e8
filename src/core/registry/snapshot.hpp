// SPDX-License-Identifier: MIT
/// @file snapshot.hpp
/// What a registry knows at one moment.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <sa/configuration.hpp>
#include <sa/heap.hpp>

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
};

}}} // namespace sa::v0::detail
