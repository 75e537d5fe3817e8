// SPDX-License-Identifier: MIT
/// Bad input and failing calls: the right code, a sentence, and nothing left behind.
#include <doctest/doctest.h>

#include <chrono>
#include <cstring>
#include <iterator>
#include <vector>

#include <fcntl.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "subject.hpp"
#include "support/counters.hpp"
#include "support/process.hpp"

void sa::conformance::refusal_tests() {}

using namespace sa::conformance;
using namespace std::chrono_literals;

TEST_CASE("impossible requests are refused with the right code, a sentence, and at no cost") {
  struct Row {
    const char* what;
    sa::AllocRequest request;
    std::errc code;
  };
  const std::string long_name(32, 'n');
  const Row rows[] = {
      {"size 0", {.size = 0}, std::errc::invalid_argument},
      {"more than there is", {.size = std::size_t{1} << (sizeof(std::size_t) == 8 ? 60 : 31)}, std::errc::not_enough_memory},
      {"SIZE_MAX", {.size = SIZE_MAX}, std::errc::not_enough_memory},
      {"SIZE_MAX aligned", {.size = SIZE_MAX, .constraints = {.alignment = 4096}}, std::errc::not_enough_memory},
      {"more than max_size", {.size = subject().info().max_size + 1}, std::errc::not_enough_memory},
      {"alignment 3", {.size = 4096, .constraints = {.alignment = 3}}, std::errc::invalid_argument},
      {"alignment 4097", {.size = 4096, .constraints = {.alignment = 4097}}, std::errc::invalid_argument},
      {"unknown flag", {.size = 4096, .flags = static_cast<sa::AllocFlag>(1U << 31)}, std::errc::invalid_argument},
      {"name of 32 bytes", {.size = 4096, .name = long_name}, std::errc::filename_too_long},
      {"newline in the name", {.size = 4096, .name = "a\nb"}, std::errc::invalid_argument},
  };
  (void)subject().allocate(4096); // whatever is opened once is open
  const auto before = subject().count();
  for (const Row& row : rows) {
    CAPTURE(row.what);
    std::error_code ec;
    CHECK_FALSE(subject().heap->allocate(row.request, ec));
    CHECK(ec == row.code);
    CHECK_FALSE(subject().registry->allocate(subject().name, row.request, ec));
    CHECK(ec == row.code);
    try {
      (void)subject().heap->allocate(row.request);
      FAIL_CHECK("not refused");
    } catch (const sa::Error& error) {
      CHECK(error.code() == row.code);
      CHECK(error.heap() == subject().name);
      CHECK(std::string(error.what()).find(subject().name) != std::string::npos);
      CHECK(std::strlen(error.what()) > error.operation().size() + error.heap().size() + 8);
    }
  }
  CHECK(subject().leaked_since(before) == "");
}

TEST_CASE("an error code is cleared by success") {
  std::error_code ec = std::make_error_code(std::errc::io_error);
  CHECK(subject().heap->allocate({.size = 4096}, ec));
  CHECK_FALSE(ec);
}

TEST_CASE("whichever system call fails, the code tells and nothing stays behind") {
  // One child per call: the kernel refuses that call to it from then on.
  const std::vector<support::Injection> injections{
      {"memfd_create", SYS_memfd_create, ENFILE},
      {"ftruncate", SYS_ftruncate, ENOSPC},
      {"F_ADD_SEALS", SYS_fcntl, EPERM, 1, ~0U, F_ADD_SEALS},
      {"F_OFD_SETLK", SYS_fcntl, ENOLCK, 1, ~0U, F_OFD_SETLK},
      {"mmap, shared", support::mmap_number, ENODEV, 3, MAP_SHARED, MAP_SHARED},
      {"MADV_POPULATE_WRITE", SYS_madvise, EHWPOISON, 2, ~0U, 23},
      {"DMA_HEAP_IOCTL_ALLOC", SYS_ioctl, ENOMEM, 1, ~0U, static_cast<unsigned>(DMA_HEAP_IOCTL_ALLOC)},
      {"ION_IOC_ALLOC", SYS_ioctl, ENOMEM, 1, ~0U, 0xc0184900},
      {"UDMABUF_CREATE", SYS_ioctl, ENOMEM, 1, ~0U, static_cast<unsigned>(UDMABUF_CREATE)},
      {"DRM_IOCTL_MODE_CREATE_DUMB", SYS_ioctl, ENOSPC, 1, ~0U, 0xc02064b2},
      {"DRM_IOCTL_PRIME_HANDLE_TO_FD", SYS_ioctl, ENOSPC, 1, ~0U, 0xc00c642d},
  };
  constexpr int not_used = 77;
  int bitten = 0;
  for (const auto& injection : injections) {
    CAPTURE(injection.name);
    const auto before = subject().count();
    const int status = support::in_child([&] {
      (void)subject().allocate(4096).map_unsynchronized(); // whatever is opened once is open
      const int descriptors = subject().open_descriptors();
      const int maps = subject().mappings();
      if (!support::inject(injection)) {
        return 2;
      }
      int failures = 0;
      for (int round = 0; round < 20; ++round) {
        std::error_code ec;
        sa::DmaBuf buffer = subject().heap->allocate({.size = frame_size, .flags = sa::AllocFlag::Prefault}, ec);
        if (!ec) {
          (void)buffer.map_unsynchronized(ec);
        }
        if (ec && ec.value() != injection.error && ec != std::errc::not_enough_memory) {
          std::fprintf(stderr, "%s gave %s\n", injection.name, ec.message().c_str());
          return 3;
        }
        failures += ec ? 1 : 0;
      }
      if (subject().open_descriptors() != descriptors || subject().mappings() > maps + 1) {
        std::fprintf(stderr, "%s left descriptors %d -> %d, mappings %d -> %d\n", injection.name, descriptors,
                     subject().open_descriptors(), maps, subject().mappings());
        return 4;
      }
      return failures == 0 ? not_used : support::passed;
    });
    CHECK((status == support::passed || status == not_used));
    bitten += status == support::passed ? 1 : 0;
    CHECK(subject().leaked_since(before) == "");
  }
  WARN(bitten >= 1); // a heap can do without all of them
}

TEST_CASE("at the limit of descriptors the answer is EMFILE, and the next allocation after a free works") {
  CHECK(support::in_child([] {
          std::vector<sa::DmaBuf> buffers;
          buffers.push_back(subject().allocate(4096));
          const rlim_t limit = static_cast<rlim_t>(subject().open_descriptors()) + 12;
          const rlimit tight{limit, limit};
          ::setrlimit(RLIMIT_NOFILE, &tight);
          std::error_code ec;
          for (int i = 0; i < 64 && !ec; ++i) {
            sa::DmaBuf buffer = subject().heap->allocate({.size = 4096}, ec);
            if (buffer) {
              buffers.push_back(std::move(buffer));
            }
          }
          if (!ec && buffers.back().fd() < 0) {
            return support::passed; // 64 of them took no descriptor
          }
          if (ec != std::errc::too_many_files_open) {
            std::fprintf(stderr, "not EMFILE but: %s\n", ec.message().c_str());
            return 2;
          }
          try {
            (void)subject().allocate(4096);
            return 3;
          } catch (const sa::Error& error) {
            if (error.code() != std::errc::too_many_files_open) {
              return 4;
            }
          }
          buffers.erase(std::prev(buffers.end(), 2), buffers.end());
          buffers.push_back(subject().heap->allocate({.size = 4096}, ec));
          return ec ? 5 : support::passed;
        }) == support::passed);
}

TEST_CASE("thousands of rounds leave descriptors, mappings and the kernel's counters where they were") {
  (void)subject().allocate(4096);
  const auto before = subject().count();
  // Where a round is dear (an emulated processor clears huge pages), one leak in a thousand has to do.
  const auto enough = std::chrono::steady_clock::now() + 2s;
  for (int round = 0; round < 1000 || (round < 10000 && std::chrono::steady_clock::now() < enough); ++round) {
    const sa::DmaBuf buffer = subject().allocate(4096, "round");
    if (round % 16 == 0) {
      {
        const auto cpu = buffer.access(sa::Access::Write);
        cpu.bytes()[0] = std::byte{1};
      }
    }
  }
  CHECK(subject().leaked_since(before) == "");
}
