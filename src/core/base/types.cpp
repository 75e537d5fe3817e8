// SPDX-License-Identifier: MIT
#include <sa/types.hpp>

#include <array>
#include <utility>

namespace sa { inline namespace v0 {

std::string to_string(Traits traits) {
  constexpr std::array<std::pair<Trait, const char*>, 8> names{{{Trait::DmaBuf, "dma-buf"},
                                                                {Trait::Contiguous, "contiguous"},
                                                                {Trait::Cached, "cached"},
                                                                {Trait::Zeroed, "zeroed"},
                                                                {Trait::PhysAddr, "phys-addr"},
                                                                {Trait::HugePages, "huge-pages"},
                                                                {Trait::Protected, "protected"},
                                                                {Trait::DeviceMemory, "device-memory"}}};
  std::string text;
  for (const auto& [trait, name] : names) {
    if (traits.contains(trait)) {
      text += text.empty() ? "" : ",";
      text += name;
    }
  }
  return text;
}

}} // namespace sa::v0
