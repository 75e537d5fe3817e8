// SPDX-License-Identifier: MIT
/// The mistakes of a heap's author, and what allocate() says of them.
#include <doctest/doctest.h>

#include <memory>
#include <stdexcept>
#include <string>

#include "support/counters.hpp"
#include "unit/test_heap.hpp"

namespace {

/// What is said of a heap that cannot be right.
std::string refusal(sa::Heap& heap) {
  const int before = support::open_descriptors();
  std::error_code ec;
  CHECK_FALSE(heap.allocate({.size = 8192}, ec));
  CHECK(ec == std::errc::invalid_argument);
  CHECK(support::open_descriptors() == before);
  try {
    (void)heap.allocate({.size = 8192});
  } catch (const sa::Error& error) {
    return error.what();
  }
  return {};
}

bool says(const std::string& what, const char* part) {
  CAPTURE(what);
  return what.find(part) != std::string::npos;
}

/// Throws what it should not.
struct Careless final : sa::Heap {
  Careless() {
    about.granularity = 4096;
    about.max_size = 1 << 20;
  }
  [[nodiscard]] const sa::HeapInfo& info() const noexcept override { return about; }
  sa::DmaBuf do_allocate(const sa::AllocRequest&, std::error_code&) override { throw std::logic_error("no such bank"); }
  sa::HeapInfo about;
};

} // namespace

TEST_CASE("a heap on the stack is told that a shared_ptr must hold it") {
  unit::TestHeap heap("test:stack");
  CHECK(says(refusal(heap), "std::make_shared"));
  CHECK(std::make_shared<unit::TestHeap>("test:shared")->allocate({.size = 8192}));
}

TEST_CASE("a heap that forgets to seal its memory file is refused") {
  const auto heap = std::make_shared<unit::TestHeap>("test:unsealed");
  heap->unsealed = true;
  CHECK(says(refusal(*heap), "F_SEAL_SHRINK"));
}

TEST_CASE("a heap that promises more bytes than its descriptor has is refused") {
  const auto heap = std::make_shared<unit::TestHeap>("test:short");
  heap->lacks = 4096;
  CHECK(says(refusal(*heap), "8 KiB from a descriptor that has 4 KiB"));
}

TEST_CASE("an exception that a heap throws in spite of its promise is in the sentence") {
  const auto heap = std::make_shared<Careless>();
  CHECK_THROWS_WITH_AS((void)heap->allocate({.size = 1}), doctest::Contains("no such bank"), sa::Error);
}
