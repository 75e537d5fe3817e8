// SPDX-License-Identifier: MIT
/// @file import.hpp
/// A buffer of a descriptor that was made elsewhere.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <system_error>

#include <sa/dma_buf.hpp>
#include <sa/memory.hpp>

namespace sa { inline namespace v0 { namespace detail {

/// The kind of a descriptor that was made elsewhere.
struct ForeignMemory {
  Descriptor descriptor = Descriptor::DmaBuf;
  std::size_t size = 0; ///< bytes
  Traits traits{};
  bool frozen = false; ///< a memory file that is sealed against writing
};

/// Looks whether @p fd is a dma-buf, or a memory file that cannot shrink from here on. Asks only the kernel.
/// @p ec EBADF: no descriptor. EINVAL: anything else; then close_unproven() closes it.
[[nodiscard]] ForeignMemory prove(int fd, std::error_code& ec);

/// DmaBuf::import() with the name of the heap it came from.
[[nodiscard]] DmaBuf import_fd(UniqueFd fd, std::shared_ptr<const std::string> heap, std::error_code& ec);

}}} // namespace sa::v0::detail
