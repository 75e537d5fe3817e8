// SPDX-License-Identifier: MIT
/// One suite that every heap must pass:
///   conformance --heap=NAME [doctest options]
/// What adapts a heap may stand in front of its name, the outermost first: limit:pool:memfd:4k is a limit around a pool around
/// that heap, all under its name. stack: is all of them.
/// A heap that this machine lacks, or that is unusable, is a failure.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <string>
#include <vector>

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

namespace {

/// What looks at whether anything is left, of every adaptor that counts.
std::vector<std::function<bool()>>& checks() {
  static std::vector<std::function<bool()>> all;
  return all;
}

template <typename Adaptor>
std::shared_ptr<sa::Heap> counted(std::shared_ptr<Adaptor> adaptor, bool (*empty)(const Adaptor&)) {
  checks().emplace_back([adaptor, empty] { return empty(*adaptor); });
  return adaptor;
}

/// The adaptor of that name around @p heap.
std::shared_ptr<sa::Heap> adapt(const std::string& adaptor, const std::shared_ptr<sa::Heap>& heap) {
  if (adaptor == "pool") {
    subject().pools.push_back(std::make_shared<sa::Pool>(heap, sa::PoolOptions{.zero = true}));
    return subject().pools.back();
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

/// In a registry of its own: what is added keeps its name.
void put_adaptors_around(Subject& subject) {
  const std::string stack = "stack:";
  if (subject.name.starts_with(stack)) {
    subject.name.replace(0, stack.size(), "trace:statistics:limit:pool:limit:fallback:failing:");
  }
  std::vector<std::string> around; // the outermost first
  const std::array<std::string, 6> known{"limit", "statistics", "fallback", "trace", "failing", "pool"};
  for (auto next = known.begin(); next != known.end();) {
    next = std::find_if(known.begin(), known.end(), [&](const auto& one) { return subject.name.starts_with(one + ":"); });
    if (next != known.end()) {
      around.push_back(*next);
      subject.name.erase(0, next->size() + 1);
    }
  }
  auto heap = subject.registry->find(subject.name);
  if (heap == nullptr || around.empty()) {
    return;
  }
  std::for_each(around.rbegin(), around.rend(), [&](const auto& one) { heap = adapt(one, heap); });
  static sa::Registry registry;
  registry.add(heap);
  registry.refresh();
  subject.registry = &registry;
}

/// After the suite: every charge, count and record has ended.
bool nothing_left(const Subject& subject) {
  subject.settle();
  for (const auto& empty : checks()) {
    if (!empty()) {
      std::fprintf(stderr, "conformance: an adaptor around %s still counts buffers, or never did\n", subject.name.c_str());
      return false;
    }
  }
  return true;
}

} // namespace
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
    conformance::put_adaptors_around(subject);
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
  const int status = context.run();
  return conformance::nothing_left(subject) ? status : 1;
}
