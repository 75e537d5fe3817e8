// SPDX-License-Identifier: MIT
/// sa-conformance: the suite on a heap of this machine.
#include <cstdio>
#include <cstring>
#include <exception>

#include <sa/conformance.hpp>
#include <sa/sa.hpp>

namespace {

constexpr const char* usage =
    "usage: sa-conformance HEAP [DOCTEST_OPTION...]\n"
    "Runs the conformance suite of libsa on a heap of this machine or of its configuration, like memfd:4k.\n"
    "  -tc=PATTERN  the tests whose names match    -ltc  their names    -s  what passed, too\n"
    "Exits with 0: passed, 1: a test failed, 2: there is no such heap.\n";

} // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--help") == 0) {
    std::fputs(usage, stdout);
    return 0;
  }
  if (argc == 2 && std::strcmp(argv[1], "--version") == 0) {
    std::puts("sa-conformance " SA_VERSION);
    return 0;
  }
  if (argc < 2 || argv[1][0] == '-') {
    std::fputs(usage, stderr);
    return 2;
  }
  const std::string name = argv[1];
  try {
    const auto heap = sa::Registry::system().find(name);
    if (heap == nullptr || heap->info().name != name || name.find(':') == std::string::npos) {
      std::fprintf(stderr, "sa-conformance: %s: %s; there are:", name.c_str(),
                   heap == nullptr ? "no such heap" : "an alias, which is several heaps");
      for (const auto& info : sa::Registry::system().heaps()) {
        std::fprintf(stderr, " %s", info.name.c_str());
      }
      std::fputs("\n", stderr);
      return 2;
    }
    const auto make = [&name] {
      sa::Registry another;
      another.refresh();
      return another.find(name);
    };
    return sa::conformance::run(heap, {.make = make, .settle = {}, .arguments = {argv + 2, argv + argc}});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sa-conformance: %s\n", error.what());
    return 1;
  }
}
