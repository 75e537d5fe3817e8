// SPDX-License-Identifier: MIT
/// The kernel interface of `cma:*`, by its numbers, and what the heap says where there is no such kernel.
#include <doctest/doctest.h>

#include <cstddef>
#include <fstream>
#include <type_traits>

#include <sa/sa.hpp>
#include <sa/uapi/simple-allocator.h>

static_assert(sizeof(simple_allocate_data) == 32);
static_assert(offsetof(simple_allocate_data, version) == 0);
static_assert(offsetof(simple_allocate_data, length) == 8);
static_assert(offsetof(simple_allocate_data, flags) == 16);
static_assert(offsetof(simple_allocate_data, reserved1) == 20);
static_assert(offsetof(simple_allocate_data, fd) == 24);
static_assert(offsetof(simple_allocate_data, reserved2) == 28);
static_assert(std::is_same_v<decltype(simple_allocate_data::fd), __s32>);
static_assert(SA_IOC_MAGIC == 'S');
static_assert(SA_IOC_ALLOC == 0xC0205300);

TEST_CASE("without the kernel modules the heap cma:cma0 is listed with the fix, and refuses with it") {
  if (std::ifstream("/sys/class/simple_allocator/cma0/uevent").good()) {
    return; // this kernel has them: the conformance suite proves the heap
  }
  const auto heap = sa::Registry::system().find("cma:cma0");
  REQUIRE(heap != nullptr);
  CHECK_FALSE(heap->info().usable);
  CHECK(heap->info().reason.find("simple_allocator_cma") != std::string::npos);
  CHECK(heap->info().node == "/dev/cma0");
  std::error_code ec;
  CHECK_FALSE(heap->allocate({.size = 4096}, ec));
  CHECK(ec == std::errc::no_such_file_or_directory);
}
