// SPDX-License-Identifier: MIT
/// What a program hears of the library: warnings and steps in the log, refusals in its own words, nothing that depends on which
/// heaps the machine has.
#include <cstdint>
#include <cstdio>

#include <sa/sa.hpp>

int main() try {
  sa::Registry& registry = sa::Registry::system();
  const sa::Trace trace(registry.find("memfd:4k")); // a step, which the level debug shows
  sa::Pool pool(registry.find("memfd:4k"), {.name = "frames"});
  for (int i = 0; i < 100; ++i) { // a pool whose buffers are shared each time is of little use, and says so
    if (pool.allocate({.size = 4096}).fd() < 0) {
      return 1;
    }
  }
  for (const sa::AllocRequest& wrong : {sa::AllocRequest{.size = 0}, sa::AllocRequest{.size = SIZE_MAX / 4},
                                        sa::AllocRequest{.size = 4096, .require = sa::Trait::Contiguous}}) {
    try {
      (void)registry.find("memfd:4k")->allocate(wrong);
    } catch (const sa::Error& error) {
      std::fprintf(stderr, "%d: %s\n", error.code().value(), error.what());
    }
  }
  return 0;
} catch (const sa::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
