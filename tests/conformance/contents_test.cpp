// SPDX-License-Identifier: MIT
/// Sizes, and what is in the memory.
#include <doctest/doctest.h>

#include <fstream>
#include <random>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "subject.hpp"
#include "support/counters.hpp"

void sa::conformance::contents_tests() {}

using namespace sa::conformance;

namespace {

/// Of this process, those that needed no disk.
long page_faults() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt;
}

} // namespace

TEST_CASE("a buffer is as large as asked for, in whole granules, and its fd agrees") {
  for (const std::size_t size :
       {std::size_t{1}, std::size_t{4095}, std::size_t{4096}, std::size_t{4097}, frame_size, std::size_t{64} << 20}) {
    CAPTURE(size);
    if (size > subject().info().max_size) { // a kernel without CMA gives 4 MiB in one piece
      std::error_code ec;
      CHECK_FALSE(subject().heap->allocate({.size = size}, ec));
      CHECK(ec == std::errc::not_enough_memory);
      continue;
    }
    const sa::DmaBuf buffer = subject().allocate(size);
    CHECK(buffer);
    CHECK(buffer.size() >= size);
    CHECK(buffer.size() % subject().info().granularity == 0);
    CHECK(buffer.heap() == subject().info().name);
    if (buffer.fd() >= 0) {
      CHECK(::lseek(buffer.fd(), 0, SEEK_END) == static_cast<off_t>(buffer.size()));
    }
    CHECK(buffer.map_unsynchronized().bytes().size() == buffer.size());
  }
}

TEST_CASE("an alignment that the heap promises holds for the size and for the address") {
  const auto& info = subject().info();
  const std::size_t most = std::max(info.max_alignment, info.granularity);
  for (std::size_t alignment = 1; alignment <= std::min<std::size_t>(most, 4 << 20); alignment *= 2) {
    CAPTURE(alignment);
    const sa::DmaBuf buffer = subject().heap->allocate({.size = 5000, .constraints = {.alignment = alignment}});
    CHECK(buffer.size() % alignment == 0);
    if (buffer.phys_addr()) {
      CHECK(*buffer.phys_addr() % alignment == 0);
    }
  }
  std::error_code ec;
  CHECK_FALSE(subject().heap->allocate({.size = 4096, .constraints = {.alignment = std::bit_ceil(most + 1)}}, ec));
  CHECK(ec == std::errc::operation_not_supported);
}

TEST_CASE("memory is zero at first sight, also where a filled buffer was before") {
  if (!subject().has(sa::Trait::Zeroed)) {
    std::error_code ec;
    CHECK_FALSE(subject().heap->allocate({.size = 4096, .require = sa::Trait::Zeroed}, ec));
    CHECK(ec == std::errc::operation_not_supported);
    return;
  }
  for (unsigned round = 0; round < 8; ++round) {
    const sa::DmaBuf buffer = subject().allocate(frame_size);
    CHECK(all_zero(buffer));
    fill(buffer, round);
    CHECK(filled(buffer, round));
  }
}

TEST_CASE("prefault changes nothing but the faults") {
  const sa::DmaBuf buffer = subject().heap->allocate({.size = frame_size, .flags = sa::AllocFlag::Prefault});
  const sa::Mapping mapping = buffer.map_unsynchronized();
  const long before = page_faults(); // before the first read, which makes pages present too
  if (subject().has(sa::Trait::Zeroed)) {
    CHECK(all_zero(buffer));
  }
  fill(buffer, 7);
  CHECK(page_faults() - before < static_cast<long>(frame_size / 4096 / 8)); // some are the program's own
  CHECK(filled(buffer, 7));
}

TEST_CASE("two maps are one mapping, and CpuAccess uses it too") {
  const sa::DmaBuf buffer = subject().allocate(8192);
  const int before = support::mappings();
  const sa::Mapping first = buffer.map_unsynchronized();
  const int once = support::mappings();
  CHECK(once - before <= 1);
  const sa::Mapping second = buffer.map_unsynchronized();
  const sa::CpuAccess access = buffer.access(sa::Access::ReadWrite);
  CHECK(support::mappings() == once);
  CHECK(first.bytes().data() == second.bytes().data());
  CHECK(first.bytes().data() == access.bytes().data());
  first.bytes()[5000] = std::byte{42};
  CHECK(second.bytes()[5000] == std::byte{42});
  CHECK(access.bytes()[5000] == std::byte{42});
}

TEST_CASE("a mapping of the fd by hand shows the same memory") {
  const sa::DmaBuf buffer = subject().allocate(frame_size);
  if (buffer.fd() < 0) {
    std::error_code ec;
    CHECK_FALSE(buffer.dup(ec));
    CHECK(ec == std::errc::operation_not_supported);
    return;
  }
  fill(buffer, 3);
  void* address = ::mmap(nullptr, buffer.size(), PROT_READ, MAP_SHARED, buffer.fd(), 0);
  REQUIRE(address != MAP_FAILED);
  CHECK(filled(std::span(static_cast<const std::byte*>(address), buffer.size()), 3));
  ::munmap(address, buffer.size());
}

TEST_CASE("bytes written through the buffer are at its physical address") {
  const sa::DmaBuf buffer = subject().allocate(64 << 10);
  CHECK(buffer.phys_addr().has_value() == subject().has(sa::Trait::PhysAddr));
  if (!buffer.phys_addr()) {
    return;
  }
  const auto seed = std::random_device{}();
  fill(buffer, seed);
  const int memory = ::open("/dev/mem", O_RDONLY | O_CLOEXEC);
  if (memory < 0) {
    MESSAGE("not compared with /dev/mem: it cannot be opened");
    return;
  }
  void* address = ::mmap(nullptr, buffer.size(), PROT_READ, MAP_SHARED, memory, static_cast<off_t>(*buffer.phys_addr()));
  REQUIRE(address != MAP_FAILED);
  CHECK(filled(std::span(static_cast<const std::byte*>(address), buffer.size()), seed));
  ::munmap(address, buffer.size());
  ::close(memory);
}

TEST_CASE("huge pages are there where they are promised") {
  if (!subject().has(sa::Trait::HugePages)) {
    return;
  }
  const sa::DmaBuf buffer = subject().allocate(4 << 20);
  fill(buffer, 1);
  char start[32];
  std::snprintf(start, sizeof start, "%lx-", reinterpret_cast<unsigned long>(buffer.map_unsynchronized().bytes().data()));
  std::ifstream smaps("/proc/self/smaps");
  bool here = false;
  bool huge = false;
  for (std::string line; std::getline(smaps, line);) {
    long kibibytes = 0;
    if (line.starts_with(start)) {
      here = true;
    } else if (here && std::sscanf(line.c_str(), "KernelPageSize: %ld", &kibibytes) == 1) {
      huge = huge || kibibytes == 2048;
    } else if (here && std::sscanf(line.c_str(), "ShmemPmdMapped: %ld", &kibibytes) == 1) {
      huge = huge || kibibytes >= 2048;
    } else if (line.starts_with("VmFlags")) {
      here = false;
    }
  }
  CHECK(huge);
}
