// SPDX-License-Identifier: MIT
/// @file log_sink.hpp
/// Where the log goes if no function was given to set_log(). The build takes one of two: spdlog's logger "sa"
/// (log_sink_spdlog.cpp), or lines of the same form on standard error (log_sink_stderr.cpp). Both obey SA_LOG.
#pragma once

#include <functional>
#include <string>

#include <sa/log.hpp>

namespace sa { inline namespace v0 { namespace detail {

/// The variable of the environment that names the level.
inline constexpr const char* log_variable = "SA_LOG";

/// Writes @p sentence, which is called only when the level is on.
void write_to_sink(LogLevel level, const std::function<std::string()>& sentence);

/// The warning about a value of SA_LOG that is not a level.
[[nodiscard]] std::string unknown_log_level(const char* value);

}}} // namespace sa::v0::detail
