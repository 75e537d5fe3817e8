// SPDX-License-Identifier: MIT
/// The kernel interface of `ion:*`, by its numbers, and what its heaps are called and said to be.
#include <doctest/doctest.h>

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <sa/sa.hpp>

#include "core/base/heap_name.hpp"
#include "heaps/ion.hpp"

using sa::Trait;
namespace ion = sa::detail::ion;

// Of the kernel's own header (drivers/staging/android/uapi/ion.h in 5.10).
static_assert(sizeof(ion::AllocationData) == 24);
static_assert(offsetof(ion::AllocationData, length) == 0);
static_assert(offsetof(ion::AllocationData, heap_id_mask) == 8);
static_assert(offsetof(ion::AllocationData, flags) == 12);
static_assert(offsetof(ion::AllocationData, fd) == 16);
static_assert(sizeof(ion::HeapData) == 52);
static_assert(offsetof(ion::HeapData, type) == 32);
static_assert(offsetof(ion::HeapData, id) == 36);
static_assert(sizeof(ion::HeapQuery) == 24);
static_assert(offsetof(ion::HeapQuery, heaps) == 8);
static_assert(ion::allocate == 0xc0184900);
static_assert(ion::query_heaps == 0xc0184908);

namespace {

ion::HeapData heap(const char* name, std::uint32_t id) {
  ion::HeapData data{};
  std::string_view(name).copy(data.name, sizeof data.name); // unterminated at 32 bytes, as a kernel might
  data.id = id;
  return data;
}

std::string name_of(const char* kernels) {
  const ion::HeapData one = heap(kernels, 0);
  return ion::names({&one, 1})[0];
}

} // namespace

TEST_CASE("an ION heap has the kernel's name for it, with _ for what a name cannot have") {
  CHECK(name_of("ion_system_heap") == "ion_system_heap");
  CHECK(name_of("linux,cma") == "linux,cma");
  CHECK(name_of("camera cma/0:\n") == "camera_cma_0__");
  CHECK(name_of("../../mem") == ".__.__mem");
  CHECK(name_of("") == "_");
  CHECK(name_of("0123456789abcdef0123456789abcdef") == "0123456789abcdef0123456789abcdef");
  for (const char* kernels : {"camera cma/0", "../../mem", "...", "", "\xff"}) {
    CAPTURE(kernels);
    CHECK(sa::detail::is_word(name_of(kernels)));
  }
}

TEST_CASE("ION heaps with one name are told apart by their ids, each of them") {
  const ion::HeapData heaps[] = {heap("camera", 5), heap("a b", 4), heap("camera", 3), heap("a_b", 2), heap("video", 1)};
  CHECK(ion::names(heaps) == std::vector<std::string>{"camera-5", "a_b-4", "camera-3", "a_b-2", "video"});
}

TEST_CASE("an ION heap's memory is what its type says, and a vendor's type says no more than that it makes dma-bufs") {
  constexpr sa::Traits plain = Trait::DmaBuf | Trait::Cached | Trait::Zeroed;
  CHECK(ion::traits(ion::System, "5.10.0") == plain);
  CHECK(ion::traits(ion::Chunk, "5.10.0") == plain);
  for (const std::uint32_t type : {ion::SystemContiguous, ion::Carveout, ion::Dma}) {
    CAPTURE(type);
    CHECK(ion::traits(type, "5.10.0") == (plain | Trait::Contiguous));
  }
  for (const std::uint32_t type : {5U, 6U, 16U, UINT32_MAX}) {
    CAPTURE(type);
    CHECK(ion::traits(type, "5.10.0") == Trait::DmaBuf);
  }
}

TEST_CASE("ION's CMA memory is not said to be zeroed on kernels that left the last owner's bytes in it") {
  for (const char* release : {"4.12.0", "4.14.186-perf+", "4.15", "3.99", "", "unreadable"}) {
    CAPTURE(release);
    CHECK_FALSE(ion::traits(ion::Dma, release).contains(Trait::Zeroed));
    CHECK(ion::traits(ion::System, release).contains(Trait::Zeroed));
  }
  for (const char* release : {"4.16.0", "4.19.113-perf", "5.4.0", "5.10.262-dmabufvm-ion"}) {
    CAPTURE(release);
    CHECK(ion::traits(ion::Dma, release).contains(Trait::Zeroed));
  }
}

TEST_CASE("where the kernel has no ION, nothing is said of it") {
  if (std::filesystem::exists("/dev/ion")) {
    return; // this kernel has it: the conformance suite proves the heaps
  }
  for (const auto& info : sa::Registry::system().heaps()) {
    CHECK(info.backend != "ion");
  }
}
