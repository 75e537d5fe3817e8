// SPDX-License-Identifier: MIT
/// @file loans.hpp
/// Owners of a heap that nobody counts. Copying a shared_ptr takes two locked instructions, which is more than all else that
/// finding a heap by its name takes. A loan is a shared_ptr with a control block of its own, in a place that belongs to the
/// thread: it begins and, unless somebody copied it, ends with plain stores. A registry keeps its heaps as long as it lives,
/// so that it is soon enough to look who has one on loan when it ends.
#pragma once

#include <list>
#include <memory>

#include <sa/heap.hpp>

namespace sa { inline namespace v0 { namespace detail {

/// An owner of @p heap, which the caller keeps until keep_lent(): a loan, or a copy where this thread has no slot or has as
/// many loans as it may. Any thread may let go of it.
[[nodiscard]] std::shared_ptr<Heap> lend(const std::shared_ptr<Heap>& heap) noexcept;

/// Lets go of @p heaps, of those on loan as soon as they are not any more.
void keep_lent(std::list<std::shared_ptr<Heap>> heaps) noexcept;

}}} // namespace sa::v0::detail
