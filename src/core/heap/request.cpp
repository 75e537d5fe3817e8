// SPDX-License-Identifier: MIT
#include "core/heap/request.hpp"

#include <algorithm>
#include <string>

#include <fmt/format.h>

#include "core/base/byte_size.hpp"
#include "core/base/failure.hpp"
#include "core/base/system_facts.hpp"
#include "core/buffer/buffer.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

#if defined(__x86_64__) || defined(__i386__)
constexpr bool devices_snoop_caches = true; // the architecture's promise; of others some do, and no interface tells which
#else
constexpr bool devices_snoop_caches = false;
#endif

/// The parts of @p need that check_fit() refuses for buffers of @p size bytes; 0: any size.
void check_constraints(const HeapInfo& heap, const Constraints& need, std::size_t size, std::error_code& ec) {
  if ((void)merge(need, {}, ec); ec) { // malformed
    return;
  }
  const auto has = [&](Trait trait) { return heap.traits.contains(trait); };
  const std::size_t piece = std::max(heap.granularity, page_size()); // in the worst case every one lies elsewhere
  const bool scattered =
      need.max_segments != 0 && !has(Trait::Contiguous) && (size == 0 || (size - 1) / piece + 1 > need.max_segments);
  const std::size_t most = heap.max_alignment != 0 ? heap.max_alignment : std::max<std::size_t>(heap.granularity, 1);
  const std::uint64_t highest = need.max_address == 0 ? 0 : heap.max_address != 0 ? heap.max_address : highest_memory();
  const char* const why = need.dma_buf && !has(Trait::DmaBuf)   ? "it is no dma-buf, and a device imports nothing else"
                          : scattered && need.max_segments == 1 ? "its memory is scattered, and contiguous memory is needed"
                          : need.protected_memory && !has(Trait::Protected) ? "the CPU can map it, and protected memory is needed"
                          : (need.cached || need.uncached) && has(Trait::Protected) ? "the CPU cannot map it"
                          : need.cached && !has(Trait::Cached)                      ? "CPU reads of it are not cached"
                          : need.uncached && has(Trait::Cached) ? "the CPU caches it, and uncached memory is needed"
                          : need.coherent && has(Trait::Cached) && !devices_snoop_caches
                              ? "the CPU caches it, and this machine's devices do not all look into its caches"
                              : nullptr;
  const bool misaligned = need.alignment > most;
  if (why != nullptr || scattered || misaligned ||
      (highest > need.max_address && (heap.max_address != 0 || !has(Trait::Contiguous)))) {
    fail(ec, EOPNOTSUPP, [&] {
      return why != nullptr ? std::string(why)
             : scattered    ? fmt::format("its memory may lie in more than {} pieces", need.max_segments)
             : misaligned
                 ? fmt::format("this heap can promise an alignment of {}, not of {}", bytes_text(most),
                               bytes_text(need.alignment))
                 : fmt::format("its memory may lie up to {:#x}, and addresses below {:#x} are needed", highest, need.max_address);
    });
  }
}

} // namespace

std::size_t rounded_size(const AllocRequest& request, std::size_t granularity) noexcept {
  std::uint64_t multiple = granularity > 1 ? granularity : 1;
  for (const std::uint64_t other : {request.constraints.alignment, request.constraints.size_alignment}) {
    multiple = other > 1 ? common_multiple(multiple, other) : multiple;
  }
  return multiple == 0 || multiple > SIZE_MAX ? 0 : round_up(request.size, static_cast<std::size_t>(multiple));
}

AllocRequest request_for(const ImageLayout& layout, unsigned index, AllocRequest memory) noexcept {
  memory.size = std::max(memory.size, static_cast<std::size_t>(layout.sizes[index]));
  return memory;
}

void look_at_form(const AllocRequest& request, std::error_code& ec) {
  if (request.size == 0) {
    fail(ec, EINVAL, [] { return std::string("size 0; ask for at least one byte"); });
  } else if (const auto flags = static_cast<unsigned>(request.flags);
             (flags & ~static_cast<unsigned>(AllocFlag::Prefault)) != 0) {
    fail(ec, EINVAL, [&] { return fmt::format("unknown flags {:#x}; this library knows only prefault", flags); });
  } else if (!request.name.empty()) {
    check_name(request.name, ec);
  }
}

void check_wanted(const HeapInfo& heap, const AllocRequest& request, std::error_code& ec) {
  if (heap.traits.contains(Trait::Protected) && !request.constraints.protected_memory &&
      !request.require.contains(Trait::Protected)) {
    fail(ec, EOPNOTSUPP,
         [] { return std::string("the CPU cannot map it; ask for it by the heap's name, or by the constraint protected"); });
  }
}

void check_fit(const HeapInfo& heap, const AllocRequest& request, std::error_code& ec) {
  const std::size_t rounded = rounded_size(request, heap.granularity);
  if (!heap.traits.contains(request.require)) {
    fail(ec, EOPNOTSUPP, [&] {
      return fmt::format("this memory is not {}; it is {}", to_string(request.require.without(heap.traits)),
                         to_string(heap.traits));
    });
  } else if (request.constraints != Constraints{}) {
    check_constraints(heap, request.constraints, std::max(rounded, request.size), ec);
  }
  if (!ec && (request.size > heap.max_size || rounded > heap.max_size || rounded < request.size)) {
    fail(ec, ENOMEM, [&] {
      return fmt::format("{} is more than the {} this heap can ever give",
                         bytes_text(rounded < request.size ? SIZE_MAX : rounded), bytes_text(heap.max_size));
    });
  }
}

}}} // namespace sa::v0::detail
