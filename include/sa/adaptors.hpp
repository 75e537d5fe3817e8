// SPDX-License-Identifier: MIT
/// @file adaptors.hpp
/// Every adaptor: heaps around heaps (sa/adaptors/adaptor.hpp says what they share).
#pragma once

#include <sa/adaptors/adaptor.hpp>    // IWYU pragma: export
#include <sa/adaptors/failing.hpp>    // IWYU pragma: export
#include <sa/adaptors/fallback.hpp>   // IWYU pragma: export
#include <sa/adaptors/limit.hpp>      // IWYU pragma: export
#include <sa/adaptors/statistics.hpp> // IWYU pragma: export
#include <sa/adaptors/trace.hpp>      // IWYU pragma: export
