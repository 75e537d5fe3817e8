// SPDX-License-Identifier: MIT
/// @file prefault.hpp
/// AllocFlag::Prefault: the allocation takes all page faults of a buffer at once.
#pragma once

#include <cstddef>
#include <system_error>

#include <sa/dma_buf.hpp>

namespace sa { inline namespace v0 { namespace detail {

/// Makes every page of a mapping present and writable (MADV_POPULATE_WRITE, Linux 5.14). Kernels before that, and mappings
/// of device drivers (VM_IO, VM_PFNMAP: madvise(2) answers EINVAL), are touched page by page. Mappings whose pages are
/// all present are touched as well: where the processor does not set a page's dirty bit itself (arm64 before v8.1), the
/// first write still faults. The mapping must be fresh: it may be written with zeroes.
void populate(void* address, std::size_t length, std::error_code& ec);

/// Maps and populates a buffer without other holders, once: in a pool, or behind heaps that hand requests on, it may
/// have been done.
void prefault(const DmaBuf& buffer, std::error_code& ec);

}}} // namespace sa::v0::detail
