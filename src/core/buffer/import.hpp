// SPDX-License-Identifier: MIT
/// @file import.hpp
/// A buffer from a descriptor that somebody else made.
#pragma once

#include <memory>
#include <string>
#include <system_error>

#include <sa/dma_buf.hpp>

namespace sa::inline v0::detail {

/// DmaBuf::import() with the name of the heap it came from.
[[nodiscard]] DmaBuf import_fd(UniqueFd fd, std::shared_ptr<const std::string> heap, std::error_code& ec);

} // namespace sa::inline v0::detail
