// SPDX-License-Identifier: MIT
/// @file probe.hpp
/// Tests of devices by real imports (SelectOptions::probe).
#pragma once

#include <memory>
#include <string>

#include <sa/device.hpp>
#include <sa/heap.hpp>

#include "core/device/verdicts.hpp"

namespace sa { inline namespace v0 { namespace detail {

/// Whether @p device takes memory in many physical runs: remembered, or asked with memory scattered on purpose. When
/// the test was not possible, @p why has the reason.
[[nodiscard]] Scatter probe_scatter(const Device& device, std::string& why);

/// Whether @p device takes memory of @p heap: remembered, or asked. Nothing when the test was not possible. @p why has
/// the reason, or the refusal.
/// @param size bytes that will be asked for; 0: not known
[[nodiscard]] ImportVerdict probe_heap(const Device& device, Heap& heap, std::size_t size, std::string& why);

}}} // namespace sa::v0::detail
