// SPDX-License-Identifier: MIT
#include "core/selection/selection.hpp"

#include <algorithm>
#include <string_view>
#include <tuple>

#include <fmt/format.h>

#include "core/base/failure.hpp"
#include "core/base/heap_name.hpp"
#include "core/base/system_facts.hpp"
#include "core/device/consumer.hpp"
#include "core/device/probe.hpp"
#include "core/heap/alias_heap.hpp"
#include "core/heap/candidates.hpp"
#include "core/heap/request.hpp"

namespace sa { inline namespace v0 {
namespace detail {
namespace {

/// The known needs of a device, from all sources.
struct Need {
  const Device* device = nullptr;
  Constraints constraints;
  bool scatter_known = false; ///< whether constraints.max_segments tells the truth
  std::string note;           ///< how that is known, or why it is not
};

bool translated(const DeviceInfo& info) {
  return info.iommu.starts_with("DMA"); // "DMA", "DMA-FQ"; an identity domain translates nothing
}

/// @p probes whether to ask what is not known
Need need_of(const Device& device, const Wishes& wishes, bool probes, std::error_code& ec) {
  const DeviceInfo& info = device.info();
  Need need{&device, info.constraints, false, {}};
  if (device.consumer() == nullptr) {
    fail(ec, EINVAL, [] { return std::string("an empty Device; Device::open() makes one"); });
    return need;
  }
  for (const DeviceProfile& profile : wishes.profiles) {
    if (profile.constraints && matches(profile, info)) {
      need.constraints = merge(need.constraints, *profile.constraints, ec);
      need.scatter_known = true;
      need.note = "its profile says so";
    }
  }
  need.scatter_known = need.scatter_known || need.constraints.max_segments != 0;
  if (translated(info)) {
    need.constraints.max_segments = 0;
    need.constraints.max_address = 0; // of physical addresses, which it does not see
    need.scatter_known = true;
    need.note = fmt::format("behind an IOMMU ({}) contiguity is no constraint for {}", info.iommu, info.name);
    return need;
  }
  if (!need.scatter_known) {
    Scatter scatter = device.consumer()->verdicts().scatter();
    if (scatter == Scatter::Unknown && probes && info.imports) {
      std::string why;
      scatter = probe_scatter(device, why);
      need.note = std::move(why);
    }
    need.scatter_known = scatter != Scatter::Unknown;
    if (scatter == Scatter::Refused) {
      need.constraints.max_segments = 1;
      need.note = "it refused memory that was scattered on purpose";
    }
  }
  return need;
}

/// Why the memory of @p heap cannot be what @p request demands; empty when it can, or when that is not known.
std::string unfit(const HeapInfo& heap, const AllocRequest& request) {
  const Explanation said;
  std::error_code ec;
  check_fit(heap, request, ec);
  return said.text();
}

/// Why @p heap is refused, with the source of the demand that it lacks; empty when it is not.
std::string refusal(const HeapInfo& heap, const AllocRequest& request, const std::vector<Need>& needs) {
  if (!heap.usable) {
    return heap.reason;
  }
  std::string why = unfit(heap, request);
  if (const Explanation said; why.empty()) {
    std::error_code ec;
    check_wanted(heap, request, ec);
    return said.text();
  }
  for (const Need& need : needs) {
    AllocRequest its{.size = request.size, .constraints = need.constraints};
    if (!why.empty() && !unfit(heap, its).empty()) {
      its.constraints.max_segments = 0;
      const bool noted = !need.note.empty() && unfit(heap, its).empty(); // the note is about scattered memory
      return fmt::format("{} ({}{}{})", why, need.device->info().name, noted ? ": " : "", noted ? need.note : std::string());
    }
  }
  return why;
}

/// The verdict of one device on one heap.
struct Judgement {
  bool refused = false;
  Certainty certainty = Certainty::Suits;
  std::string said;
};

Judgement judge(const Need& need, Heap& heap, std::size_t size, bool probes) {
  const Device& device = *need.device;
  const DeviceInfo& info = device.info();
  Verdicts& verdicts = device.consumer()->verdicts();
  if (!info.imports && !info.busy) {
    return {true, {}, fmt::format("{}: {}", info.name, info.reason)};
  }
  std::string said;
  std::string unproven; ///< why a probe found nothing out
  ImportVerdict verdict = ImportVerdict::Unknown;
  if (const auto known = verdicts.of(heap.info().name); known) {
    verdict = known->accepted ? ImportVerdict::Accepted : ImportVerdict::Refused;
    said = known->said;
  } else if (probes && device.consumer()->probe_size() != 0) {
    verdict = probe_heap(device, heap, size, said);
    if (verdict == ImportVerdict::Unknown || verdict == ImportVerdict::Busy) {
      unproven = fmt::format("not proven with {}: {}", info.name, said);
    }
  }
  if (verdict == ImportVerdict::Refused) {
    return {true, {}, fmt::format("{} refused a buffer of it ({})", info.name, said)};
  }
  if (verdict == ImportVerdict::Accepted) {
    return {false, Certainty::Proven, {}};
  }
  const bool contiguous = heap.info().traits.contains(Trait::Contiguous);
  Judgement rest;
  if (info.busy) {
    rest = {false, Certainty::Unknown, fmt::format("{}: {}", info.name, info.reason)};
  } else if (!need.scatter_known && !contiguous) {
    rest = {false, Certainty::Unknown,
            need.note.empty()
                ? fmt::format("whether {} takes scattered memory is not known; probe it, or write a profile for it", info.name)
                : fmt::format("whether {} takes scattered memory is not known: {}", info.name, need.note)};
  } else if (translated(info) && !contiguous) {
    rest.said = need.note;
  }
  if (!unproven.empty()) { // what was known before the probe is known still
    rest.said += (rest.said.empty() ? "" : "; ") + unproven;
  }
  return rest;
}

/// Smaller is better. Contiguous memory is scarce: it comes last unless a demand needs it.
std::size_t place_of(const HeapInfo& heap, const AllocRequest& request, const Wishes& wishes) {
  std::size_t place = 0;
  for (const std::string& wanted : wishes.order) {
    const bool wildcard = is_wildcard(wanted);
    if (wildcard ? heap.name.starts_with(std::string_view(wanted).substr(0, wanted.size() - 1)) : heap.name == wanted) {
      return place;
    }
    ++place;
  }
  const bool contiguous = heap.traits.contains(Trait::Contiguous);
  const bool wastes = request.size != 0 && heap.granularity > page_size() && heap.granularity > request.size;
  constexpr std::string_view plain[] = {"dma-heap", "ion", "udmabuf", "memfd"};
  constexpr std::string_view scarce[] = {"cma", "dma-heap", "ion", "carveout"};
  const auto within = [&](const auto& backends) {
    return static_cast<std::size_t>(std::find(std::begin(backends), std::end(backends), heap.backend) - std::begin(backends));
  };
  constexpr std::size_t group = 8; // larger than either list
  place += contiguous ? within(scarce) : within(plain);
  place += contiguous && request.constraints.max_segments != 1 ? group : 0;
  return place + (wastes ? 2 * group : 0);
}

} // namespace

bool matches(const DeviceProfile& profile, const DeviceInfo& info) noexcept {
  const std::string_view match = profile.match;
  constexpr std::string_view by_driver = "driver:";
  return match == info.name || (match.starts_with(by_driver) && match.substr(by_driver.size()) == info.driver);
}

Selection select_heaps(const std::vector<std::shared_ptr<Heap>>& heaps, AllocRequest request, const std::vector<Device>& devices,
                       const Wishes& wishes, bool probes, std::error_code& ec) {
  Selection selection;
  selection.constraints = merge(request.constraints, {}, ec); // refuses what is malformed
  std::vector<Need> needs;
  needs.reserve(devices.size());
  for (const Device& device : devices) {
    if (ec) {
      return {};
    }
    needs.push_back(need_of(device, wishes, probes, ec));
    if (!ec) {
      selection.constraints = merge(selection.constraints, needs.back().constraints, ec);
    }
  }
  if (ec) {
    return {};
  }
  request.constraints = selection.constraints;
  selection.choices.reserve(heaps.size());
  selection.refusals.reserve(heaps.size());
  std::vector<std::tuple<Certainty, std::size_t, std::size_t>> ranks; // with the index of the choice
  for (const auto& heap : heaps) {
    const HeapInfo& info = heap->info();
    std::string why = refusal(info, request, needs);
    Choice choice{heap, needs.empty() ? Certainty::Suits : Certainty::Proven, {}};
    for (const Need& need : needs) {
      if (!why.empty()) {
        break;
      }
      Judgement judgement = judge(need, *heap, request.size, probes);
      if (judgement.refused) {
        why = std::move(judgement.said);
        break;
      }
      choice.certainty = std::max(choice.certainty, judgement.certainty);
      if (!judgement.said.empty()) {
        choice.note += (choice.note.empty() ? "" : "; ") + judgement.said;
      }
    }
    if (!why.empty()) {
      selection.refusals.push_back({info.name, std::move(why)});
      continue;
    }
    if (const std::uint64_t below = selection.constraints.max_address;
        below != 0 && info.max_address == 0 && highest_memory() > below) { // contiguous, or it was refused
      choice.certainty = Certainty::Unknown;
      choice.note += fmt::format("{}where its region lies is not known, and addresses below {:#x} are needed",
                                 choice.note.empty() ? "" : "; ", below);
    }
    ranks.emplace_back(choice.certainty, place_of(info, request, wishes), selection.choices.size());
    selection.choices.push_back(std::move(choice));
  }
  std::sort(ranks.begin(), ranks.end());
  std::vector<Choice> ranked;
  ranked.reserve(ranks.size());
  for (const auto& rank : ranks) {
    ranked.push_back(std::move(selection.choices[std::get<2>(rank)]));
  }
  selection.choices = std::move(ranked);
  return selection;
}

static std::string refusals_of(const Selection& selection) {
  std::string refusals;
  for (const auto& [heap, reason] : selection.refusals) {
    refusals += fmt::format(" [{}: {}]", heap, reason);
  }
  return refusals;
}

DmaBuf allocate_selected(const Selection& selection, AllocRequest request, std::optional<Certainty> minimum,
                         std::error_code& ec) {
  const Certainty last = minimum.value_or(least_known(selection.choices));
  request.constraints = selection.constraints;
  Attempts attempts;
  for (const auto& [heap, certainty, said] : selection.choices) {
    const HeapInfo& info = heap->info();
    if (certainty > last) {
      attempts.note(info.name, fmt::format("not asked, since it is not known to serve{}{}", said.empty() ? "" : ": ", said));
      continue;
    }
    if (attempts.ask(info.name, heap.get(), request)) {
      break;
    }
  }
  return attempts.result(ec, "no heap suits", Explanation::current() == nullptr ? std::string() : refusals_of(selection));
}

} // namespace detail

std::shared_ptr<Heap> make_heap(const Selection& selection) {
  return detail::or_throw(
      "", [] { return std::string("make a heap of a selection"); },
      [&](std::error_code& ec) { return make_heap(selection, ec); });
}

std::shared_ptr<Heap> make_heap(const Selection& selection, std::error_code& ec) noexcept {
  return detail::or_code(ec, [&]() -> std::shared_ptr<Heap> {
    if (selection.choices.empty()) {
      detail::fail(ec, EOPNOTSUPP, [&] { return "no heap suits" + detail::refusals_of(selection); });
      return nullptr;
    }
    const Certainty last = detail::least_known(selection.choices);
    std::vector<detail::Candidate> candidates;
    std::string name;
    for (const Choice& choice : selection.choices) {
      if (choice.certainty <= last) {
        candidates.push_back({choice.heap->info().name, choice.heap});
        name += (name.empty() ? "" : "|") + candidates.back().name;
      }
    }
    return std::make_shared<detail::AliasHeap>(std::move(name), std::move(candidates), selection.constraints);
  });
}

}} // namespace sa::v0
