// SPDX-License-Identifier: MIT
/// The suite on the heaps of this project:
///   conformance --heap=NAME [doctest options]
/// What adapts a heap may stand in front of its name, the outermost first: limit:pool:memfd:4k is a limit around a pool around
/// that heap, all under its name. stack: is all of them.
/// A heap that this machine lacks, or that is unusable, is a failure.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include <dlfcn.h>

#include <sa/conformance.hpp>
#include <sa/heap_plugin.h>
#include <sa/sa.hpp>

#include "guard_heap.hpp"

namespace {

std::vector<std::shared_ptr<sa::Pool>> pools;

/// What looks at whether anything is left, of every adaptor that counts.
std::vector<std::function<bool()>> checks;

template <typename Adaptor>
std::shared_ptr<sa::Heap> counted(std::shared_ptr<Adaptor> adaptor, bool (*empty)(const Adaptor&)) {
  checks.emplace_back([adaptor, empty] { return empty(*adaptor); });
  return adaptor;
}

/// The adaptor of that name around @p heap.
std::shared_ptr<sa::Heap> adapt(const std::string& adaptor, const std::shared_ptr<sa::Heap>& heap) {
  if (adaptor == "pool") {
    pools.push_back(std::make_shared<sa::Pool>(heap, sa::PoolOptions{.zero = true}));
    return pools.back();
  }
  if (adaptor == "limit") {
    return counted<sa::Limit>(std::make_shared<sa::Limit>(heap), [](const auto& one) { return one.use() == sa::LimitUse{}; });
  }
  if (adaptor == "statistics") {
    return counted<sa::Statistics>(std::make_shared<sa::Statistics>(heap), [](const auto& one) {
      return one.read().live_buffers == 0 && one.read().live_bytes == 0 && one.read().total_buffers > 0;
    });
  }
  if (adaptor == "fallback") {
    return std::make_shared<sa::Fallback>(std::vector<std::shared_ptr<sa::Heap>>{heap});
  }
  if (adaptor == "trace") {
    return counted<sa::Trace>(std::make_shared<sa::Trace>(heap), [](const auto& one) { return one.live().empty(); });
  }
  return std::make_shared<sa::Failing>(heap);
}

/// Takes the adaptors off @p name: the outermost first.
std::vector<std::string> adaptors_of(std::string& name) {
  const std::string stack = "stack:";
  if (name.starts_with(stack)) {
    name.replace(0, stack.size(), "trace:statistics:limit:pool:limit:fallback:failing:");
  }
  std::vector<std::string> around;
  const auto known = std::to_array<std::string>({"limit", "statistics", "fallback", "trace", "failing", "pool"});
  for (auto next = known.begin(); next != known.end();) {
    next = std::find_if(known.begin(), known.end(), [&](const auto& one) { return name.starts_with(one + ":"); });
    if (next != known.end()) {
      around.push_back(*next);
      name.erase(0, next->size() + 1);
    }
  }
  return around;
}

void trim() {
  for (const auto& pool : pools) {
    pool->trim();
  }
}

/// The table of the plugin in examples/plugin, as it was built.
const sa_heap_plugin* example_plugin() {
  void* const handle = ::dlopen(SA_EXAMPLE_PLUGIN, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    throw std::runtime_error(::dlerror());
  }
  return reinterpret_cast<decltype(&sa_heap_plugin_1)>(::dlsym(handle, "sa_heap_plugin_1"))();
}

/// The heap of that name, an object of its own each time; null when there is none.
std::shared_ptr<sa::Heap> make(const std::string& name) {
  sa::Registry registry;
  registry.refresh();
  registry.add(std::make_shared<GuardHeap>());
  if (name.starts_with("example:")) { // a library without plugins runs the others
    for (const auto& heap : sa::make_plugin_heaps("example", example_plugin())) {
      registry.add(heap);
    }
  }
  return registry.find(name);
}

} // namespace

int main(int argc, char** argv) {
  std::string name;
  for (int i = 1; i < argc; ++i) {
    if (std::strncmp(argv[i], "--heap=", 7) == 0) {
      name = argv[i] + 7;
    }
  }
  int status = 1;
  try {
    const auto around = adaptors_of(name);
    auto heap = make(name);
    if (heap == nullptr) {
      std::fprintf(stderr, "conformance: no heap \"%s\"; name one with --heap=\n", name.c_str());
      return 1;
    }
    if (heap->info().usable) {
      std::for_each(around.rbegin(), around.rend(), [&](const auto& one) { heap = adapt(one, heap); });
    }
    status =
        sa::conformance::run(heap, {.make = [&] { return make(name); }, .settle = trim, .arguments = {argv + 1, argv + argc}});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "conformance: %s\n", error.what());
  }
  trim();
  if (!std::all_of(checks.begin(), checks.end(), [](const auto& empty) { return empty(); })) {
    std::fprintf(stderr, "conformance: an adaptor around %s still counts buffers, or never did\n", name.c_str());
    status = 1;
  }
  return status;
}
