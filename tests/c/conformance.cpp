// SPDX-License-Identifier: MIT
/// The conformance suite through the C interface:
///   conformance_c --heap=[c:][pool:]NAME [doctest options]
#include <cstdio>
#include <exception>
#include <string>

#include <sa/conformance.hpp>
#include <sa/sa.hpp>

namespace {

/// Takes @p prefix off @p text.
bool take_off(std::string& text, const std::string& prefix) {
  const bool there = text.starts_with(prefix);
  text.erase(0, there ? prefix.size() : 0);
  return there;
}

std::shared_ptr<sa::Heap> pool_around(const sa::Heap& heap) {
  sa_pool_options options = SA_POOL_OPTIONS_INIT;
  options.zero = 1;
  sa_heap* pool = nullptr;
  const int result = sa_heap_pool(heap.get(), &options, &pool);
  return result == 0 ? std::make_shared<sa::Heap>(pool) : nullptr;
}

} // namespace

int main(int argc, char** argv) try {
  std::string name;
  for (int i = 1; i < argc; ++i) {
    if (std::string argument = argv[i]; take_off(argument, "--heap=")) {
      name = argument;
    }
  }
  take_off(name, "c:");
  const bool pooled = take_off(name, "pool:");
  // Of its own each time: the suite sees that a buffer outlives its pool, too.
  const auto make = [&]() -> std::shared_ptr<sa::Heap> {
    auto heap = sa::Registry().find(name);
    return heap == nullptr || !pooled || !heap->info().usable ? heap : pool_around(*heap);
  };
  const auto heap = make();
  if (heap == nullptr) {
    std::fprintf(stderr, "conformance_c: %s\n", sa_message());
    return 1;
  }
  const auto settle = [&] {
    if (pooled) {
      sa_heap_trim(heap->get());
    }
  };
  return sa::conformance::run(heap, {.make = make, .settle = settle, .arguments = {argv + 1, argv + argc}});
} catch (const std::exception& error) {
  std::fprintf(stderr, "conformance_c: %s\n", error.what());
  return 1;
}
