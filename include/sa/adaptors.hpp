// SPDX-License-Identifier: MIT
/// @file adaptors.hpp
/// Includes every adaptor: a heap that wraps another heap (sa/adaptors/adaptor.hpp has the rules for all of them).
#pragma once

#include <sa/adaptors/adaptor.hpp>    // IWYU pragma: export
#include <sa/adaptors/failing.hpp>    // IWYU pragma: export
#include <sa/adaptors/fallback.hpp>   // IWYU pragma: export
#include <sa/adaptors/limit.hpp>      // IWYU pragma: export
#include <sa/adaptors/statistics.hpp> // IWYU pragma: export
#include <sa/adaptors/trace.hpp>      // IWYU pragma: export
