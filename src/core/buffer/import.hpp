// SPDX-License-Identifier: MIT
/// @file import.hpp
/// A buffer from a descriptor that somebody else made.
#pragma once

#include <memory>
#include <string>
#include <system_error>

#include <sa/dma_buf.hpp>

namespace sa { inline namespace v0 { namespace detail {

/// DmaBuf::import() with the name of the heap it came from.
[[nodiscard]] DmaBuf import_fd(UniqueFd fd, std::shared_ptr<const std::string> heap, std::error_code& ec);

}}} // namespace sa::v0::detail
