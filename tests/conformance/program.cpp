// SPDX-License-Identifier: MIT
/// sa-conformance: the suite on a heap of this machine.
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <string>

#include <dlfcn.h>

#include <sa/conformance.hpp>
#include <sa/heap_plugin.h>
#include <sa/sa.hpp>

namespace {

constexpr const char* usage =
    "usage: sa-conformance [--plugin=FILE] HEAP [DOCTEST_OPTION...]\n"
    "Runs the conformance suite of libsa on a heap of this machine or of its configuration, like memfd:4k.\n"
    "  --plugin=./NAME.so  on a heap NAME:... of that plugin, which need not be installed\n"
    "  -tc=PATTERN  the tests whose names match    -ltc  their names    -s  what passed, too\n"
    "Exits with 0: passed, 1: a test failed, 2: there is no such heap.\n";

/// Adds the heaps of the plugin in @p file; none for "".
void add_plugin(sa::Registry& registry, const std::string& file) {
  if (file.empty()) {
    return;
  }
  void* const handle = ::dlopen(std::filesystem::absolute(file).c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (handle == nullptr) {
    throw std::runtime_error(::dlerror());
  }
  const auto function = reinterpret_cast<decltype(&sa_heap_plugin_1)>(::dlsym(handle, "sa_heap_plugin_1"));
  if (function == nullptr) {
    throw std::runtime_error(file + " exports no sa_heap_plugin_1()");
  }
  for (const auto& heap : sa::make_plugin_heaps(std::filesystem::path(file).stem().string(), function())) {
    registry.add(heap);
  }
}

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
  const std::string option = "--plugin=";
  std::string plugin;
  if (argc > 1 && std::string(argv[1]).starts_with(option)) {
    plugin = argv[1] + option.size();
    ++argv;
    --argc;
  }
  if (argc < 2 || argv[1][0] == '-') {
    std::fputs(usage, stderr);
    return 2;
  }
  const std::string name = argv[1];
  try {
    sa::Registry registry;
    registry.refresh();
    add_plugin(registry, plugin);
    const auto heap = registry.find(name);
    if (heap == nullptr || heap->info().name != name || name.find(':') == std::string::npos) {
      std::fprintf(stderr, "sa-conformance: %s: %s; there are:", name.c_str(),
                   heap == nullptr ? "no such heap" : "an alias, which is several heaps");
      for (const auto& info : registry.heaps()) {
        std::fprintf(stderr, " %s", info.name.c_str());
      }
      std::fputs("\n", stderr);
      return 2;
    }
    const auto make = [&] {
      sa::Registry another;
      another.refresh();
      add_plugin(another, plugin);
      return another.find(name);
    };
    return sa::conformance::run(heap, {.make = make, .settle = {}, .arguments = {argv + 2, argv + argc}});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sa-conformance: %s\n", error.what());
    return 1;
  }
}
