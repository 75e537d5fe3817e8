// SPDX-License-Identifier: MIT
/// @file request.hpp
/// The checks of a request: those that hold for every heap, and those that need only a heap's description of itself.
#pragma once

#include <cstddef>
#include <system_error>

#include <sa/layout.hpp>
#include <sa/types.hpp>

namespace sa { inline namespace v0 { namespace detail {

/// The size of a buffer for @p request, bytes, of a heap with @p granularity; less than request.size when it overflows.
[[nodiscard]] std::size_t rounded_size(const AllocRequest& request, std::size_t granularity) noexcept;

/// The refusals of requests that no heap takes: size, flags, name. Constraints are check_fit()'s.
void look_at_form(const AllocRequest& request, std::error_code& ec);
inline void check_form(const AllocRequest& request, std::error_code& ec) {
  if (request.size == 0 || request.flags != AllocFlag::None || !request.name.empty()) {
    look_at_form(request, ec); // something may be wrong with it
  }
}

/// The request for buffer @p index of a picture. @p memory as in ImageRequest
[[nodiscard]] AllocRequest request_for(const ImageLayout& layout, unsigned index, AllocRequest memory) noexcept;

/// Refuses protected memory to a request that does not demand it, if the request did not name the heap: what the CPU
/// cannot touch is no answer to "memory".
void check_wanted(const HeapInfo& heap, const AllocRequest& request, std::error_code& ec);

/// Refuses demands that no memory satisfies, and demands that @p heap cannot satisfy by its own description. A size of
/// 0 is any.
void check_fit(const HeapInfo& heap, const AllocRequest& request, std::error_code& ec);

}}} // namespace sa::v0::detail
