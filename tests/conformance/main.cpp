// SPDX-License-Identifier: MIT
/// One suite that every heap must pass:
///   conformance --heap=NAME [doctest options]
/// pool:NAME is a pool around that heap, under its name.
/// A heap that this machine lacks, or that is unusable, is a failure.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>

#include "guard_heap.hpp"
#include "subject.hpp"

namespace conformance {

Subject& subject() {
  static Subject one;
  return one;
}

void fill(std::span<std::byte> bytes, unsigned seed) {
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    bytes[at] = pattern(at, seed);
  }
}

bool filled(std::span<const std::byte> bytes, unsigned seed) {
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    if (bytes[at] != pattern(at, seed)) {
      return false;
    }
  }
  return !bytes.empty();
}

bool all_zero(std::span<const std::byte> bytes) {
  return !bytes.empty() && bytes[0] == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

void fill(const sa::DmaBuf& buffer, unsigned seed) {
  fill(buffer.access(sa::Access::Write).bytes(), seed);
}

bool filled(const sa::DmaBuf& buffer, unsigned seed) {
  return filled(std::span<const std::byte>(buffer.access(sa::Access::Read).bytes()), seed);
}

} // namespace conformance

int main(int argc, char** argv) {
  auto& subject = conformance::subject();
  for (int i = 1; i < argc; ++i) {
    if (std::strncmp(argv[i], "--heap=", 7) == 0) {
      subject.name = argv[i] + 7;
    }
  }
  try {
    subject.registry = &sa::Registry::system();
    subject.registry->add(std::make_shared<GuardHeap>());
    const std::string pooled = "pool:";
    if (subject.name.starts_with(pooled)) {
      subject.name.erase(0, pooled.size());
      if (const auto upstream = subject.registry->find(subject.name); upstream != nullptr) {
        // In a registry of its own: what is added keeps its name.
        static sa::Registry registry;
        subject.pool = std::make_shared<sa::Pool>(upstream, sa::PoolOptions{.zero = true});
        registry.add(subject.pool);
        registry.refresh();
        subject.registry = &registry;
      }
    }
    subject.heap = subject.registry->find(subject.name);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "conformance: %s\n", error.what());
    return 1;
  }
  if (subject.heap == nullptr || !subject.heap->info().usable) {
    std::fprintf(stderr, "conformance: heap \"%s\": %s; name one with --heap=\n", subject.name.c_str(),
                 subject.heap == nullptr ? "there is none" : subject.heap->info().reason.c_str());
    std::printf("[doctest] test cases: 1 | 0 passed | 1 failed | 0 skipped\n");
    return 1;
  }
  doctest::Context context(argc, argv);
  return context.run();
}
