// SPDX-License-Identifier: MIT
/// @file require.hpp
/// What a fuzzer claims: a broken claim ends the process, so that libFuzzer keeps the input.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace fuzz {

inline void require(bool holds, const char* claim) {
  if (!holds) {
    std::fprintf(stderr, "broken: %s\n", claim);
    std::abort();
  }
}

} // namespace fuzz
