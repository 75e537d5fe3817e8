// SPDX-License-Identifier: MIT
/// Uses a heap of one's own like any other: by name, through the registry.
#include "guard_heap.hpp"

#include <algorithm>
#include <cstdio>

int main() {
  sa::Registry registry;
  registry.add(std::make_shared<GuardHeap>());

  const sa::DmaBuf frame = registry.allocate("guard:4k", {.size = 3110400, .name = "frame"});
  sa::CpuAccess cpu = frame.access(sa::Access::Write);
  std::ranges::fill(cpu.bytes(), std::byte{0xff});
  std::printf("%zu bytes from %s, with a guard page on each side\n", frame.size(), std::string(frame.heap()).c_str());
}
