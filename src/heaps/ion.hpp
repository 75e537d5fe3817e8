// SPDX-License-Identifier: MIT
/// @file ion.hpp
/// The names of ION's heaps and the properties of their memory, from the kernel's answers.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sa/types.hpp>

#include "heaps/ion_abi.hpp"

namespace sa { inline namespace v0 { namespace detail { namespace ion {

/// The instance names of @p heaps, in their order: the kernel's names, with "_" for a character that a name cannot
/// have. Heaps with equal names get their ids behind the name; otherwise the meaning of a name would depend on the
/// order of the drivers.
[[nodiscard]] std::vector<std::string> names(std::span<const HeapData> heaps);

/// The properties of memory from a heap of that type, as the kernel's own heaps make it. A vendor's type promises no more than
/// that it makes dma-bufs.
/// @param release the running kernel's, "5.10.0-28-amd64"
[[nodiscard]] Traits traits(std::uint32_t type, std::string_view release);

}}}} // namespace sa::v0::detail::ion
