// SPDX-License-Identifier: MIT
/// A program that uses a heap of an installed plugin: plugin_user NAME. Looking again leaves the heap as it is, and the plugin
/// is loaded once.
#include <cstdio>
#include <fstream>
#include <string>

#include <sa/sa.hpp>

int main(int, char** argv) {
  sa::Registry& registry = sa::Registry::system();
  const auto heap = registry.find(argv[1]);
  if (heap == nullptr) {
    std::fprintf(stderr, "no heap %s\n", argv[1]);
    return 1;
  }
  const sa::DmaBuf buffer = heap->allocate({.size = 100000, .name = "frame"});
  registry.refresh();
  sa::Registry another;
  another.refresh();
  int starts = 0; // of the file, each copy has one
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    starts += line.find("/libsa/example.so") != std::string::npos && line.find(" 00000000 ") != std::string::npos ? 1 : 0;
  }
  if (registry.find(argv[1]) != heap || another.find(argv[1]) == nullptr || starts != 1) {
    std::fprintf(stderr, "the plugin was mapped %d times, or its heap is another one\n", starts);
    return 1;
  }
  return buffer.heap() == argv[1] && buffer.size() >= 100000 ? 0 : 1;
}
