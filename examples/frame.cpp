// SPDX-License-Identifier: MIT
/// The example of the README, whole.
#include <algorithm>
#include <cstdio>

#include <sa/sa.hpp>

int main() try {
  auto& registry = sa::Registry::system();
  const sa::DmaBuf frame = registry.allocate("system", {.size = 3110400, .name = "frame"});
  {
    const sa::CpuAccess cpu = frame.access(sa::Access::Write); // maps once, begins CPU access
    std::ranges::fill(cpu.bytes(), std::byte{0xff});
  } // ends it: devices see what was written
  std::printf("%zu bytes from %s, descriptor %d\n", frame.size(), std::string(frame.heap()).c_str(), frame.fd());
} catch (const sa::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
