// SPDX-License-Identifier: MIT
/// Counts what operator new gives to this thread. A program that links it has its own operator new.
#pragma once

#include <cstddef>

namespace support {

struct Allocations {
  long count = 0;           ///< calls of operator new
  std::ptrdiff_t bytes = 0; ///< given, as large as they really are, less what was deleted
};

/// Of this thread, since it began.
Allocations allocations();

} // namespace support
