// SPDX-License-Identifier: MIT
/// What valgrind counts: 1000 rounds of a warm pool, each an allocate() and the end of the buffer, between two requests
/// to callgrind.
#include <valgrind/callgrind.h>

#include <sa/sa.hpp>

int main() {
  sa::Pool pool(sa::Registry::system().find("memfd:4k"), {.max_age = std::chrono::milliseconds::max()});
  constexpr int warm = 10;
  for (int round = 0; round < warm; ++round) {
    pool.allocate({.size = 4096}).reset();
  }
  CALLGRIND_START_INSTRUMENTATION;
  CALLGRIND_TOGGLE_COLLECT;
  for (int round = 0; round < 1000; ++round) {
    const sa::DmaBuf buffer = pool.allocate({.size = 4096});
    if (buffer.size() != 4096) {
      return 1;
    }
  }
  CALLGRIND_TOGGLE_COLLECT;
  CALLGRIND_STOP_INSTRUMENTATION;
  return pool.statistics().hits == warm - 1 + 1000 ? 0 : 1;
}
