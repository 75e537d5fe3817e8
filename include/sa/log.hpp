// SPDX-License-Identifier: MIT
/// @file log.hpp
/// Where the library's log goes.
///
/// By default the log goes to standard error. The environment variable SA_LOG sets its level: trace, debug, info, warn
/// (the default), error, critical or off. If the library was built with spdlog (docs/installation.md), a program can
/// register a spdlog logger with the name "sa", which then gets the log.
#pragma once

#include <sa/export.hpp>

namespace sa { inline namespace v0 {

/// The urgency of a sentence. The numbers are those of syslog(3).
enum class LogLevel : int {
  Warning = 4, ///< a trouble that a person should fix
  Debug = 7,   ///< a step of the library, for the search for a fault
};

/// A function that gets the log.
/// @param data as it was given to set_log()
/// @param level a LogLevel as a number, so that the function can be written in C
/// @param sentence UTF-8, ends with a zero; valid during the call
using LogFunction = void (*)(void* data, int level, const char* sentence);

/// Sends the library's log to @p function, instead of standard error or spdlog. Every build of the library can.
///
/// Threads: the function is called on any thread, also on threads of the library. The library holds no lock during the
/// call, so the function may call the library. Call set_log() before other threads use the library: a call of the
/// former function may still run when set_log() returns, so @p data must stay valid until the process ends.
/// @param function null: standard error or spdlog again
/// @param data the first argument of @p function
/// @param most the most detailed level that is sent: Warning, or Debug for both
/// @throws std::bad_alloc
SA_API void set_log(LogFunction function, void* data = nullptr, LogLevel most = LogLevel::Warning);

}} // namespace sa::v0
