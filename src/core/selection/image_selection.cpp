// SPDX-License-Identifier: MIT
#include "core/selection/image_selection.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>

#include <fmt/format.h>

#include "core/base/failure.hpp"
#include "core/device/consumer.hpp"
#include "core/heap/candidates.hpp"
#include "core/heap/request.hpp"
#include "core/selection/layouts.hpp"
#include "core/selection/selection.hpp"

namespace sa { inline namespace v0 {
namespace detail {
namespace {

/// A format that serves, with what is known of its layout.
struct Served {
  FormatAnswer answer;
  Certainty certainty = Certainty::Suits;
  std::string note;
};

std::string named(const Device& device, const std::string& said) {
  return fmt::format("{}: {}", device.info().name, said);
}

/// Whether every device took a picture of that layout in an earlier probe. A refusal is not remembered: the next format
/// or mode that a device is set to can change it.
bool was_proven(const ImageLayout& layout, const std::vector<Device>& devices) {
  const std::string text = to_string(layout);
  return std::all_of(devices.begin(), devices.end(), [&](const Device& device) {
    const auto known = device.consumer()->verdicts().of(text);
    return known && known->accepted;
  });
}

/// Has every device import a picture of that layout. False, with the reason, when one refuses.
bool prove(Served& served, Heap& heap, const std::vector<Device>& devices, AllocRequest memory, const Constraints& constraints) {
  memory.constraints = constraints;
  for (const Device& device : devices) { // a node takes buffers of the format that is set, which may be larger
    memory.size = std::max(memory.size, device.consumer()->probe_size());
  }
  const Explanation refused;
  std::error_code ec;
  const Image image = heap.allocate(served.answer.layout, memory, ec);
  if (ec) {
    served.note = fmt::format("the layout is not proven: {} gave no image to ask with ({})", heap.info().name,
                              refused.text().empty() ? ec.message() : refused.text());
    return true;
  }
  Certainty certainty = Certainty::Proven;
  for (const Device& device : devices) {
    const ImportResult result = device.try_import(image);
    if (result.verdict == ImportVerdict::Refused) {
      served.answer.why = fmt::format("{}: {} refused it ({})", to_string(served.answer.layout), device.info().name, result.said);
      return false;
    }
    if (result.verdict == ImportVerdict::Accepted) {
      device.consumer()->verdicts().remember(to_string(served.answer.layout), {true, {}});
    } else {
      certainty = served.certainty;
      served.note = fmt::format("the layout is not proven with {}", named(device, result.said));
    }
  }
  served.certainty = certainty;
  return true;
}

std::vector<Format> candidates(const ImageRequest& request, const std::vector<Device>& devices) {
  if (!request.formats.empty()) {
    return request.formats;
  }
  std::vector<Format> shared;
  std::copy_if(Format::all().begin(), Format::all().end(), std::back_inserter(shared), [&](Format format) {
    return std::all_of(devices.begin(), devices.end(), [&](const Device& device) { return lists(device, format); });
  });
  return shared;
}

} // namespace

ImageSelection select_images(const std::vector<std::shared_ptr<Heap>>& heaps, const ImageRequest& request,
                             const std::vector<Device>& devices, const Wishes& wishes, const SelectOptions& options,
                             std::error_code& ec) {
  if (request.width == 0 || request.height == 0 || request.width > max_image_side || request.height > max_image_side) {
    fail(ec, EINVAL,
         [&] { return fmt::format("{}x{}: a side is from 1 to {} pixels", request.width, request.height, max_image_side); });
    return {};
  }
  if (std::any_of(devices.begin(), devices.end(), [](const Device& device) { return device.consumer() == nullptr; })) {
    fail(ec, EINVAL, [] { return std::string("an empty Device; Device::open() makes one"); });
    return {};
  }
  ImageSelection selection;
  std::vector<Served> serving;
  const std::vector<Format> formats = candidates(request, devices);
  for (const Format format : formats) {
    if (!format) {
      selection.refusals.push_back({{}, {}, "an empty Format; Format::find() did not know its name", 0});
      continue;
    }
    FormatAnswer answer = layout_for(format, request.width, request.height, request.colour, devices, wishes);
    if (!answer.serves) {
      selection.refusals.push_back({format, {}, std::move(answer.why), answer.width_that_fits});
      continue;
    }
    serving.push_back({std::move(answer), Certainty::Suits, {}});
    if (!serving.back().answer.known) {
      serving.back().certainty = Certainty::Unknown;
      serving.back().note = "it is not known whether this layout serves: it is a guess that often works; probe it";
    }
    if (!options.probe && !devices.empty() && was_proven(serving.back().answer.layout, devices)) {
      serving.back().certainty = Certainty::Proven;
      serving.back().note.clear();
    }
  }
  if (formats.empty()) {
    selection.refusals.push_back({{}, {}, "the devices share no format of the table (sactl formats)", 0});
  }
  // The questions to the heaps are the same for all layouts, except the sizes.
  AllocRequest memory = request.memory;
  for (const Served& one : serving) {
    memory.size = std::max(
        memory.size, static_cast<std::size_t>(*std::max_element(one.answer.layout.sizes.begin(), one.answer.layout.sizes.end())));
  }
  const bool probes = options.probe && !serving.empty();
  const Selection of_heaps = select_heaps(heaps, memory, devices, wishes, probes, ec);
  if (ec) {
    return {};
  }
  selection.constraints = of_heaps.constraints;
  for (Served& served : serving) {
    if (probes && !devices.empty() && !of_heaps.choices.empty() &&
        !prove(served, *of_heaps.choices.front().heap, devices, request.memory, selection.constraints)) {
      selection.refusals.push_back({served.answer.layout.format, {}, std::move(served.answer.why), 0});
      continue;
    }
    for (const Choice& choice : of_heaps.choices) {
      ImageChoice& one = selection.choices.emplace_back();
      one.layout = served.answer.layout;
      one.heap = choice.heap;
      one.certainty = devices.empty() ? choice.certainty : std::max(choice.certainty, served.certainty);
      one.sources = served.answer.sources;
      one.note = choice.note + (choice.note.empty() || served.note.empty() ? "" : "; ") + served.note;
    }
  }
  // Formats are in the order of the request and heaps in that of select_heaps() already.
  std::stable_sort(selection.choices.begin(), selection.choices.end(),
                   [](const ImageChoice& a, const ImageChoice& b) { return a.certainty < b.certainty; });
  for (const Refusal& one : of_heaps.refusals) {
    selection.refusals.push_back({{}, one.heap, one.reason, 0});
  }
  return selection;
}

/// The reasons for which @p selection refuses images.
static std::string refusals_of(const ImageSelection& selection) {
  std::string refusals;
  for (const ImageRefusal& one : selection.refusals) {
    refusals += fmt::format(" [{}{}]", one.heap.empty() ? "" : one.heap + ": ", one.reason);
  }
  return refusals;
}

Image allocate_image(const ImageSelection& selection, const ImageRequest& request, std::optional<Certainty> minimum,
                     std::error_code& ec) {
  const Certainty last = minimum.value_or(least_known(selection.choices));
  AllocRequest memory = request.memory;
  memory.constraints = selection.constraints;
  Attempts attempts;
  const ImageLayout* layout = nullptr;
  for (const ImageChoice& choice : selection.choices) {
    const std::string& name = choice.heap->info().name;
    if (choice.certainty > last) {
      attempts.note(name, fmt::format("{} not asked, since it is not known to serve{}{}", choice.layout.format.name(),
                                      choice.note.empty() ? "" : ": ", choice.note));
      continue;
    }
    layout = &choice.layout;
    std::array<AllocRequest, max_planes> requests;
    for (unsigned i = 0; i < layout->buffer_count(); ++i) {
      requests[i] = request_for(*layout, i, memory);
    }
    if (attempts.ask(name, choice.heap.get(), std::span(requests).first(layout->buffer_count()))) {
      break;
    }
  }
  const std::string refusals = Explanation::current() == nullptr ? std::string() : refusals_of(selection);
  std::vector<DmaBuf> buffers = attempts.results(ec, "nothing suits", refusals);
  return ec || layout == nullptr ? Image{} : Image::import(*layout, std::move(buffers), ec);
}

} // namespace detail

std::shared_ptr<Heap> make_heap(const ImageSelection& selection) {
  return detail::or_throw(
      "", [] { return std::string("make a heap for images"); }, [&](std::error_code& ec) { return make_heap(selection, ec); });
}

std::shared_ptr<Heap> make_heap(const ImageSelection& selection, std::error_code& ec) noexcept {
  return detail::or_code(ec, [&]() -> std::shared_ptr<Heap> {
    if (selection.choices.empty()) {
      detail::fail(ec, EOPNOTSUPP, [&] { return "nothing suits" + detail::refusals_of(selection); });
      return nullptr;
    }
    Selection of_layout{selection.constraints, {}, {}};
    for (const ImageChoice& choice : selection.choices) {
      if (choice.layout == selection.choices.front().layout) {
        of_layout.choices.push_back({choice.heap, choice.certainty, choice.note});
      }
    }
    return make_heap(of_layout, ec);
  });
}

}} // namespace sa::v0
