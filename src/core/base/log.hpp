// SPDX-License-Identifier: MIT
/// @file log.hpp
/// The library's log, for the person that runs the program. It goes to the function of set_log(), otherwise to log_sink.hpp.
#pragma once

#include <functional>
#include <string>

namespace sa { inline namespace v0 { namespace detail {

/// @p sentence is called only when the level is on. Never throws: a message that cannot be written is lost.
void log_warning(const std::function<std::string()>& sentence) noexcept;
void log_debug(const std::function<std::string()>& sentence) noexcept;

}}} // namespace sa::v0::detail
