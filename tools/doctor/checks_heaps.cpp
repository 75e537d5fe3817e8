// SPDX-License-Identifier: MIT
/// sactl doctor: the configuration, and whether the aliases still serve.
#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>
#include <unistd.h>

#include "doctor/finding.hpp"

namespace sactl {
namespace {

constexpr bool is_alias(std::string_view name) {
  return name.find(':') == std::string_view::npos;
}

} // namespace

std::vector<const sa::HeapInfo*> Examination::candidates(std::string_view alias) const {
  std::vector<const sa::HeapInfo*> found;
  const auto entry = std::find_if(aliases.begin(), aliases.end(), [&](const auto& one) { return one.name == alias; });
  if (entry == aliases.end()) {
    return found;
  }
  for (const auto& name : entry->candidates) {
    if (is_alias(name)) { // never back to itself: the registry refuses that
      const auto further = candidates(name);
      found.insert(found.end(), further.begin(), further.end());
      continue;
    }
    const bool all_of_it = name.ends_with(":*");
    for (const auto& heap : heaps) {
      if (heap.name == name || (all_of_it && heap.name.starts_with(std::string_view(name).substr(0, name.size() - 1)))) {
        found.push_back(&heap);
      }
    }
  }
  return found;
}

bool Examination::serves(std::string_view alias) const {
  const auto all = candidates(alias);
  return std::any_of(all.begin(), all.end(),
                     [](const auto* heap) { return heap->usable && heap->traits.contains(sa::Trait::DmaBuf); });
}

bool Examination::needed(std::string_view alias) const {
  return alias == "contiguous" || alias == "cma" ? !contiguous_devices.empty() : !devices.empty();
}

Severity Examination::without(std::string_view alias) const {
  return is_alias(alias) && needed(alias) && !serves(alias) ? Severity::Trouble : Severity::Warning;
}

void check_configuration(Examination& all) {
  const sa::LoadedConfiguration loaded = sa::load_configuration();
  for (const sa::Error& refused : loaded.refused) {
    all.add({"configuration", Severity::Trouble, "configuration", refused.what(),
             "no line of this file is used: its aliases, carveouts, profiles and quotas are missing (docs/configuration.md)", "",
             false});
  }
  for (const auto& file : loaded.configuration.files) {
    all.add({"configuration", Severity::Ok, file.string(), file.string()});
  }
}

void check_carveouts(Examination& all) {
  const char* configured = std::getenv("SA_CARVEOUT");
  for (const auto& heap : all.heaps) {
    if (heap.backend != "carveout") {
      continue;
    }
    // Nodes of the device tree that were not asked for are listed with the way to ask (docs/heaps.md).
    const std::string name = heap.name.substr(heap.name.find(':') + 1);
    const bool asked = configured != nullptr && (";" + std::string(configured) + "=").find(";" + name) != std::string::npos;
    if (heap.usable) {
      all.add({"carveout", Severity::Ok, heap.name, heap.name});
    } else if (heap.node != "/dev/mem") {
      continue; // check_permissions()
    } else if (::geteuid() != 0) {
      all.add({"carveout", Severity::Unknown, heap.name, fmt::format("whether {} may be used", heap.name),
               "only root may open /dev/mem, and /proc/iomem tells only root where memory lies", "sactl doctor"});
    } else if (!asked && heap.reason.starts_with("found in the device tree")) {
      all.add({"carveout", Severity::Ok, heap.name, heap.name + " in the device tree, not used"});
    } else {
      all.add({"carveout", Severity::Trouble, heap.name, fmt::format("{} is refused: {}", heap.name, heap.reason),
               "each program that asks for this carveout gets an error; correct SA_CARVEOUT or the configuration, or reserve the "
               "range at boot (docs/heaps.md)",
               ""});
    }
  }
}

void check_aliases(Examination& all) {
  for (const char* alias : {"system", "contiguous"}) {
    const std::string name = alias;
    const auto& wanting = name == "contiguous" ? all.contiguous_devices : all.devices;
    if (!all.serves(alias)) {
      std::string nodes;
      for (const auto& node : wanting) {
        nodes += (nodes.empty() ? "" : ", ") + node;
      }
      all.add({"alias", all.without(alias), alias, fmt::format("no heap of \"{}\" makes buffers that devices import", alias),
               nodes.empty() ? "no device of this machine is known to need one; the other findings say why"
                             : fmt::format("{} may need one; the other findings say why, with the fix", nodes),
               ""});
      continue;
    }
    if (all.trials && name == "system") {
      std::string refusal;
      try {
        (void)sa::Registry::system().allocate(name, {.size = 1, .name = "sactl doctor", .require = sa::Trait::DmaBuf});
      } catch (const sa::Error& error) {
        refusal = error.what();
      }
      if (!refusal.empty()) {
        all.add({"alias", all.needed(alias) ? Severity::Trouble : Severity::Warning, alias, refusal,
                 "every program that asks for it gets this error", ""});
        continue;
      }
    }
    all.add({"alias", Severity::Ok, alias, fmt::format("\"{}\" serves", alias)});
  }
}

} // namespace sactl
