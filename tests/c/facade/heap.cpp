// SPDX-License-Identifier: MIT
#include <sa/heap.hpp>

#include <array>

namespace sa { inline namespace v0 {
namespace {

constexpr std::array every_trait{
    std::pair{SA_TRAIT_DMABUF, Trait::DmaBuf},       std::pair{SA_TRAIT_CONTIGUOUS, Trait::Contiguous},
    std::pair{SA_TRAIT_CACHED, Trait::Cached},       std::pair{SA_TRAIT_ZEROED, Trait::Zeroed},
    std::pair{SA_TRAIT_PHYS_ADDR, Trait::PhysAddr},  std::pair{SA_TRAIT_HUGE_PAGES, Trait::HugePages},
    std::pair{SA_TRAIT_PROTECTED, Trait::Protected}, std::pair{SA_TRAIT_DEVICE_MEMORY, Trait::DeviceMemory},
};

Traits traits_of(std::uint32_t bits) {
  Traits traits;
  for (const auto& [c, trait] : every_trait) {
    traits = (bits & static_cast<std::uint32_t>(c)) != 0 ? traits | trait : traits;
  }
  return traits;
}

std::uint32_t bits_of(Traits traits) {
  std::uint32_t bits = 0;
  for (const auto& [c, trait] : every_trait) {
    bits |= traits.contains(trait) ? static_cast<std::uint32_t>(c) : 0;
  }
  return bits;
}

/// In the words of sa_request, what is not the default; also values that are refused.
std::string text_of(const Constraints& constraints) {
  std::string text;
  const auto word = [&](const std::string& one) { text += (text.empty() ? "" : ",") + one; };
  const auto number = [&](const char* name, std::uint64_t value, std::uint64_t nothing) {
    if (value != nothing) {
      word(name + std::to_string(value));
    }
  };
  const auto flag = [&](const char* name, bool set) {
    if (set) {
      word(name);
    }
  };
  number("segments=", constraints.max_segments, 0);
  number("align=", constraints.alignment, 1);
  number("size-align=", constraints.size_alignment, 1);
  number("max-address=", constraints.max_address, 0);
  flag("cached", constraints.cached);
  flag("uncached", constraints.uncached);
  flag("coherent", constraints.coherent);
  flag("dma-buf", constraints.dma_buf);
  flag("protected", constraints.protected_memory);
  return text;
}

} // namespace

Traits DmaBuf::traits() const noexcept {
  return traits_of(sa_dmabuf_traits(get()));
}

Heap::Heap(sa_heap* owned) : heap_(owned) {
  sa_heap_info told = SA_HEAP_INFO_INIT;
  if (const int result = sa_heap_get_info(heap_, &told); result < 0) {
    throw Error(std::error_code(-result, std::system_category()), "", sa_message());
  }
  info_ = {.name = told.name,
           .backend = told.backend,
           .node = told.node,
           .traits = traits_of(told.traits),
           .granularity = static_cast<std::size_t>(told.granularity),
           .max_size = static_cast<std::size_t>(told.max_size),
           .usable = told.usable != 0,
           .reason = told.reason,
           .max_alignment = static_cast<std::size_t>(told.max_alignment),
           .max_address = told.max_address};
}

DmaBuf Heap::allocate(const AllocRequest& request, std::error_code& ec) noexcept {
  const std::string name(request.name);
  const std::string constraints = text_of(request.constraints);
  sa_request asked = SA_REQUEST_INIT;
  asked.size = request.size;
  asked.name = name.empty() ? nullptr : name.c_str();
  asked.constraints = constraints.empty() ? nullptr : constraints.c_str();
  asked.require = bits_of(request.require);
  asked.flags = static_cast<std::uint32_t>(request.flags);
  sa_dmabuf* buffer = nullptr;
  detail::told(sa_dmabuf_alloc(heap_, &asked, &buffer), ec);
  return DmaBuf(buffer);
}

std::shared_ptr<Heap> Registry::find(std::string_view name) const {
  for (const auto& heap : heaps_) {
    if (heap->info().name == name) {
      return heap;
    }
  }
  sa_heap* heap = nullptr;
  return sa_heap_find(std::string(name).c_str(), &heap) == 0 ? std::make_shared<Heap>(heap) : nullptr;
}

DmaBuf Registry::allocate(std::string_view heap, const AllocRequest& request, std::error_code& ec) const noexcept {
  const auto found = find(heap);
  if (found == nullptr) {
    ec = std::make_error_code(std::errc::no_such_file_or_directory);
    return {};
  }
  return found->allocate(request, ec);
}

}} // namespace sa::v0
