// SPDX-License-Identifier: MIT
/// @file pools.hpp
/// All pools of the process, for what concerns them together: one thread that looks for buffers that got too old, and
/// fork(2).
#pragma once

#include <memory>

namespace sa { inline namespace v0 { namespace detail {

class Shelves;

/// @throws std::bad_alloc
void enlist(const std::shared_ptr<Shelves>& shelves);
void delist(const Shelves& shelves) noexcept;

/// Says that a pool has buffers that age. Starts the thread, unless it runs. It sleeps while nothing ages.
void wake_ageing() noexcept;

}}} // namespace sa::v0::detail
