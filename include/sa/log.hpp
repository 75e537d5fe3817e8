// SPDX-License-Identifier: MIT
/// @file log.hpp
/// Where the library's log goes.
///
/// By default it goes to standard error, at the level that the environment variable SA_LOG names: trace, debug, info, warn (which
/// is the default), error, critical or off. A program that uses spdlog can register a logger of the name "sa" in place of that.
#pragma once

#include <sa/export.hpp>

namespace sa { inline namespace v0 {

/// How urgent a sentence is; the numbers are those of syslog(3).
enum class LogLevel : int {
  Warning = 4, ///< somebody should mend something
  Debug = 7,   ///< a step of the library, for those who look for a fault
};

/// @param data as it was given to set_log()
/// @param level a LogLevel, as a number, so that a function in C serves
/// @param sentence ends with a zero; valid during the call
using LogFunction = void (*)(void* data, int level, const char* sentence);

/// Hands the log to @p function, in place of standard error and of spdlog.
///
/// Any thread may call the function, also one of the library's own; no lock is held then, and it may call the library. Set it
/// before other threads use the library: a call of the former one may still run when this returns, so @p data has to live on.
/// @param function null: as by default
/// @param data the first argument of @p function
/// @param most the last level that is handed on: Warning, or Debug for both
/// @throws std::bad_alloc
SA_API void set_log(LogFunction function, void* data = nullptr, LogLevel most = LogLevel::Warning);

}} // namespace sa::v0
