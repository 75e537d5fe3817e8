// SPDX-License-Identifier: MIT
#include "core/device/probe.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "core/base/failure.hpp"
#include "core/device/consumer.hpp"
#include "core/device/scattered.hpp"

namespace sa { inline namespace v0 { namespace detail {

Scatter probe_scatter(const Device& device, std::string& why) {
  const Consumer& consumer = *device.consumer();
  if (const Scatter known = consumer.verdicts().scatter(); known != Scatter::Unknown) {
    return known;
  }
  if (consumer.probe_size() == 0) {
    why = "it cannot be asked";
    return Scatter::Unknown;
  }
  const Explanation refused;
  std::error_code ec;
  const std::array<DmaBuf, 2> scattered = make_scattered(consumer.probe_size(), ec);
  if (ec) {
    why = fmt::format("no memory scattered on purpose could be made ({})", refused.text());
    return Scatter::Unknown;
  }
  ImportAnswer result;
  for (const DmaBuf& buffer : scattered) {
    result = consumer.import(buffer);
    if (result.verdict != ImportVerdict::Accepted) {
      break;
    }
  }
  Scatter found = Scatter::Unknown;
  if (result.verdict == ImportVerdict::Accepted) {
    found = Scatter::Taken;
  } else if (result.verdict == ImportVerdict::Refused && consumer.wants_one_run(result)) {
    found = Scatter::Refused;
  } else {
    why = result.verdict == ImportVerdict::Busy ? fmt::format("it is busy ({})", result.said) : result.said;
  }
  if (found != Scatter::Unknown) {
    consumer.verdicts().remember_scatter(found);
  }
  return found;
}

ImportVerdict probe_heap(const Device& device, Heap& heap, std::size_t size, std::string& why) {
  const Consumer& consumer = *device.consumer();
  const std::string& name = heap.info().name;
  if (const auto known = consumer.verdicts().of(name); known) {
    why = known->said;
    return known->accepted ? ImportVerdict::Accepted : ImportVerdict::Refused;
  }
  if (consumer.probe_size() == 0) {
    why = "it cannot be asked";
    return ImportVerdict::Unknown;
  }
  const Explanation refused;
  std::error_code ec;
  const DmaBuf buffer = heap.allocate({.size = std::max(size, consumer.probe_size()), .name = "probe"}, ec);
  if (ec) {
    why = fmt::format("{} gave no buffer to ask with ({})", name, refused.text().empty() ? ec.message() : refused.text());
    return ImportVerdict::Unknown;
  }
  const ImportResult result = device.try_import(buffer);
  why = result.verdict == ImportVerdict::Busy ? fmt::format("it is busy ({})", result.said) : result.said;
  if (result.verdict == ImportVerdict::Refused) {
    consumer.verdicts().remember(name, {false, result.said});
  } else if (result.verdict == ImportVerdict::Accepted) {
    // Scattered pages may have come in one run by chance.
    if (!heap.info().traits.contains(Trait::Contiguous) && consumer.verdicts().scatter() != Scatter::Taken) {
      why = "it accepted a buffer whose pages may have been in one run by chance";
      return ImportVerdict::Unknown;
    }
    consumer.verdicts().remember(name, {true, {}});
  }
  return result.verdict;
}

}}} // namespace sa::v0::detail
