// SPDX-License-Identifier: MIT
/// @file thread_index.hpp
/// Spreads threads over copies of what they would otherwise share: a cache line that two processors write costs either of
/// them more than a search.
#pragma once

namespace sa::inline v0::detail {

/// A small number that differs between threads, until there are more threads than numbers; the same for a thread's life.
[[nodiscard]] unsigned thread_index() noexcept;

} // namespace sa::inline v0::detail
