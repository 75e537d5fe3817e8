// SPDX-License-Identifier: MIT
/// Runs the tests of every file on one heap.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <cstring>
#include <exception>
#include <vector>

#include <sa/conformance.hpp>

#include "subject.hpp"

namespace sa { inline namespace v0 { namespace conformance {

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

void fill(const DmaBuf& buffer, unsigned seed) {
  const auto cpu = buffer.access(Access::Write);
  fill(cpu.bytes(), seed);
}

bool filled(const DmaBuf& buffer, unsigned seed) {
  const auto cpu = buffer.access(Access::Read);
  return filled(std::span<const std::byte>(cpu.bytes()), seed);
}

bool all_zero(const DmaBuf& buffer) {
  const auto cpu = buffer.access(Access::Read);
  return all_zero(cpu.bytes());
}

int run(const std::shared_ptr<Heap>& heap, const Options& options) {
  // A linker takes of an archive what is named: without this, files whose tests register themselves would be left out.
  contents_tests();
  contract_tests();
  refusal_tests();
  sharing_tests();

  const auto refuse = [&](const char* why) {
    std::fprintf(stderr, "conformance: heap \"%s\": %s\n", heap == nullptr ? "" : heap->info().name.c_str(), why);
    return 1;
  };
  if (heap == nullptr) {
    return refuse("there is none");
  }
  if (!heap->info().usable) {
    return refuse(heap->info().reason.c_str());
  }
  Registry registry;
  try {
    registry.add(heap);
  } catch (const std::exception& error) {
    return refuse(error.what());
  }
  subject() = {heap->info().name, &registry, heap, options};

  std::vector<const char*> arguments{"conformance"};
  for (const std::string& argument : options.arguments) {
    arguments.push_back(argument.c_str());
  }
  doctest::Context context(static_cast<int>(arguments.size()), arguments.data());
  const int status = context.run();
  subject() = {};
  return status;
}

}}} // namespace sa::v0::conformance
