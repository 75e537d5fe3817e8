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

/// While it lives, what this thread gets from operator new begins a page that nothing else is in.
class PageForEach {
public:
  PageForEach() noexcept;
  PageForEach(const PageForEach&) = delete;
  PageForEach& operator=(const PageForEach&) = delete;
  ~PageForEach();
};

} // namespace support
