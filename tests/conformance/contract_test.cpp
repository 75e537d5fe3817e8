// SPDX-License-Identifier: MIT
/// What the contract promises of one buffer: traits, names, access, lifetime, empty objects.
#include <doctest/doctest.h>

#include <array>
#include <cerrno>
#include <type_traits>

#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "subject.hpp"
#include "support/counters.hpp"
#include "support/sync_count.hpp"

void sa::conformance::contract_tests() {}

using namespace sa::conformance;
using namespace std::chrono_literals;

namespace {

constexpr std::array every_trait{sa::Trait::DmaBuf,   sa::Trait::Contiguous, sa::Trait::Cached,    sa::Trait::Zeroed,
                                 sa::Trait::PhysAddr, sa::Trait::HugePages,  sa::Trait::Protected, sa::Trait::DeviceMemory};

bool on_dma_buf_file_system(int fd) {
  struct statfs file_system {};
  return ::fstatfs(fd, &file_system) == 0 && file_system.f_type == DMA_BUF_MAGIC;
}

/// Every operation of an empty DmaBuf.
void check_empty(sa::DmaBuf& buffer) {
  CHECK_FALSE(buffer);
  CHECK(buffer.fd() == -1);
  CHECK(buffer.size() == 0);
  CHECK(buffer.name().empty());
  CHECK(buffer.heap().empty());
  CHECK(buffer.traits() == sa::Traits{});
  CHECK_FALSE(buffer.phys_addr());
  const auto refused = [](auto&& operation) {
    std::error_code ec;
    operation(ec);
    CHECK(ec == std::errc::bad_file_descriptor);
  };
  refused([&](auto& ec) { CHECK_FALSE(buffer.access(sa::Access::Read, ec)); });
  refused([&](auto& ec) { CHECK_FALSE(buffer.access(sa::Access::Read, 1ms, ec)); });
  refused([&](auto& ec) { CHECK(buffer.map_unsynchronized(sa::Access::Read, ec).bytes().empty()); });
  refused([&](auto& ec) { CHECK(buffer.map_unsynchronized(ec).bytes().empty()); });
  refused([&](auto& ec) { buffer.begin_cpu_access(sa::Access::Read, ec); });
  refused([&](auto& ec) { buffer.end_cpu_access(sa::Access::Read, ec); });
  refused([&](auto& ec) { buffer.wait(sa::Access::Read, 0ms, ec); });
  refused([&](auto& ec) { CHECK_FALSE(buffer.export_sync_file(sa::Access::Read, ec)); });
  refused([&](auto& ec) { buffer.import_sync_file(sa::Access::Read, 0, ec); });
  refused([&](auto& ec) { buffer.set_name("x", ec); });
  refused([&](auto& ec) { CHECK_FALSE(buffer.dup(ec)); });
  refused([&](auto& ec) { CHECK_FALSE(buffer.release(ec)); });
  refused([&](auto& ec) { sa::send(-1, buffer, ec); });
  CHECK_THROWS_AS(buffer.access(sa::Access::Read), sa::Error);
  CHECK_THROWS_AS(buffer.access(sa::Access::Read, 1ms), sa::Error);
  CHECK_THROWS_AS(buffer.map_unsynchronized(), sa::Error);
  CHECK_THROWS_AS(buffer.begin_cpu_access(sa::Access::Read), sa::Error);
  CHECK_THROWS_AS(buffer.end_cpu_access(sa::Access::Read), sa::Error);
  CHECK_THROWS_AS(buffer.wait(sa::Access::Read, 0ms), sa::Error);
  CHECK_THROWS_AS((void)buffer.export_sync_file(sa::Access::Read), sa::Error);
  CHECK_THROWS_AS(buffer.import_sync_file(sa::Access::Read, 0), sa::Error);
  CHECK_THROWS_AS(buffer.set_name("x"), sa::Error);
  CHECK_THROWS_AS((void)buffer.dup(), sa::Error);
  CHECK_THROWS_AS((void)buffer.release(), sa::Error);
  CHECK_THROWS_AS(sa::send(-1, buffer), sa::Error);
  buffer.reset();
  CHECK_FALSE(buffer);
}

} // namespace

TEST_CASE("every trait is true, and every absent one refuses") {
  const sa::DmaBuf buffer = subject().allocate(4096);
  CHECK(buffer.traits() == subject().info().traits);
  for (const sa::Trait trait : every_trait) {
    std::error_code ec;
    const sa::DmaBuf required = subject().heap->allocate({.size = 4096, .require = trait}, ec);
    CHECK(static_cast<bool>(required) == subject().has(trait));
    CHECK((ec == std::errc::operation_not_supported) == !subject().has(trait));
  }
  const bool dma_buf = subject().has(sa::Trait::DmaBuf);
  CHECK(on_dma_buf_file_system(buffer.fd()) == dma_buf);
  std::error_code ec;
  buffer.wait(sa::Access::ReadWrite, 0ms, ec);
  CHECK(static_cast<bool>(ec) == !dma_buf);
  // Kernels before 6.0 have fences, but hand none out.
  std::int32_t argument[] = {DMA_BUF_SYNC_RW, -1}; // DMA_BUF_IOCTL_EXPORT_SYNC_FILE, which older headers lack
  const bool exports =
      dma_buf && (::ioctl(buffer.fd(), _IOWR(DMA_BUF_BASE, 2, std::int32_t[2]), argument) == 0 || errno != ENOTTY);
  const sa::UniqueFd exported{argument[1]};
  CHECK(static_cast<bool>(buffer.export_sync_file(sa::Access::ReadWrite, ec)) == exports);
  if (exports) {
    const sa::UniqueFd fence = buffer.export_sync_file(sa::Access::Write);
    buffer.import_sync_file(sa::Access::Read, fence.get());
    CHECK_THROWS_AS(buffer.import_sync_file(sa::Access::Read, -1), sa::Error);
  } else {
    CHECK(ec == std::errc::operation_not_supported);
    buffer.import_sync_file(sa::Access::Read, -1, ec);
    CHECK(ec == std::errc::operation_not_supported);
  }
}

TEST_CASE("names show where the kernel shows them") {
  subject().settle(); // a buffer that is used again keeps the kernel's name until set_name()
  sa::DmaBuf buffer = subject().allocate(4096, "conformance frame");
  CHECK(buffer.name() == "conformance frame");
  if (subject().has(sa::Trait::DmaBuf)) {
    const std::string fdinfo = "/proc/self/fdinfo/" + std::to_string(buffer.fd());
    CHECK(support::read_file(fdinfo).find("name:\tconformance frame") != std::string::npos);
    buffer.set_name("another");
    CHECK(support::read_file(fdinfo).find("name:\tanother") != std::string::npos);
  } else {
    buffer.set_name("another");
  }
  CHECK(buffer.name() == "another");
  buffer.set_name("");
  CHECK(buffer.name().empty());
  buffer.set_name(std::string(31, 'x'));
  std::error_code ec;
  buffer.set_name(std::string(32, 'x'), ec);
  CHECK(ec == std::errc::filename_too_long);
  CHECK(buffer.name() == std::string(31, 'x'));
}

TEST_CASE("access is bracketed in its direction, once, on a dma-buf; elsewhere it costs no system call") {
  const sa::DmaBuf buffer = subject().allocate(4096);
  const int each = subject().has(sa::Trait::DmaBuf) ? 1 : 0;
  for (const sa::Access access : {sa::Access::Read, sa::Access::Write, sa::Access::ReadWrite}) {
    support::reset_sync_count();
    {
      sa::CpuAccess cpu = buffer.access(access);
      CHECK(support::sync_count().starts == each);
      CHECK(support::sync_count().ends == 0);
      sa::CpuAccess moved = std::move(cpu);
      CHECK(cpu.bytes().empty());
      CHECK(moved.bytes().size() == buffer.size());
      CHECK(support::sync_count().ends == 0);
    }
    CHECK(support::sync_count().starts == each);
    CHECK(support::sync_count().ends == each);
    CHECK(support::sync_count().directions == (each == 1 ? static_cast<unsigned>(access) : 0));
  }
  support::reset_sync_count();
  sa::CpuAccess cpu = buffer.access(sa::Access::Write);
  cpu = buffer.access(sa::Access::Read); // ends the first
  CHECK(support::sync_count().ends == each);
  cpu.end();
  CHECK(support::sync_count().ends == 2 * each);
  CHECK(cpu.bytes().empty());
  std::error_code ec;
  cpu.end(ec);
  CHECK(ec == std::errc::bad_file_descriptor);
  CHECK_THROWS_AS(cpu.end(), sa::Error);
  CHECK(support::sync_count().ends == 2 * each);
  buffer.begin_cpu_access(sa::Access::Write);
  buffer.end_cpu_access(sa::Access::Write);
  CHECK(support::sync_count().starts == 3 * each);
  CHECK(support::sync_count().ends == 3 * each);
  buffer.access(sa::Access::Write, 100ms).end();
  (void)buffer.access(static_cast<sa::Access>(0), ec);
  CHECK(ec == std::errc::invalid_argument);
  (void)buffer.access(static_cast<sa::Access>(4), ec);
  CHECK(ec == std::errc::invalid_argument);
  (void)buffer.access(sa::Access::Read, -1ms, ec);
  CHECK(ec == std::errc::invalid_argument);
}

TEST_CASE("a mapping and an access outlive their DmaBuf, and end with the last of them") {
  const auto before = subject().count();
  {
    sa::Mapping mapping;
    sa::CpuAccess access;
    {
      const sa::DmaBuf buffer = subject().allocate(frame_size);
      mapping = buffer.map_unsynchronized();
      access = buffer.access(sa::Access::ReadWrite);
    }
    fill(mapping.bytes(), 5);
    CHECK(filled(std::span<const std::byte>(access.bytes()), 5));
    access.end();
    CHECK(filled(std::span<const std::byte>(mapping.bytes()), 5));
    const sa::Mapping copy = mapping;
    mapping = {};
    CHECK(filled(std::span<const std::byte>(copy.bytes()), 5));
  }
  CHECK(subject().leaked_since(before) == "");
}

TEST_CASE("release gives the memory to the fd, and with an access alive a duplicate of it") {
  const auto before = subject().count();
  {
    sa::DmaBuf buffer = subject().allocate(frame_size);
    fill(buffer, 11);
    if (buffer.fd() < 0) {
      std::error_code ec;
      CHECK_FALSE(buffer.release(ec));
      CHECK(ec == std::errc::operation_not_supported);
      CHECK(filled(buffer, 11));
      return;
    }
    const int number = buffer.fd();
    sa::UniqueFd alone = buffer.release();
    CHECK((alone.get() == number) != through_c); // C can only give a duplicate away, and let go of its own
    check_empty(buffer);
    sa::DmaBuf again = sa::DmaBuf::import(std::move(alone));
    CHECK(filled(again, 11));
    const sa::CpuAccess access = again.access(sa::Access::ReadWrite);
    const int original = again.fd();
    const sa::UniqueFd duplicate = again.release();
    check_empty(again);
    CHECK(duplicate.get() != original);
    CHECK((::fcntl(duplicate.get(), F_GETFD) & FD_CLOEXEC) != 0);
    access.bytes()[0] = std::byte{99};
    const sa::DmaBuf imported = sa::DmaBuf::import(sa::UniqueFd{::fcntl(duplicate.get(), F_DUPFD_CLOEXEC, 0)});
    {
      const auto cpu = imported.access(sa::Access::Read);
      CHECK(cpu.bytes()[0] == std::byte{99});
    }
  }
  CHECK(subject().leaked_since(before) == "");
}

TEST_CASE("dup is the same memory, and not inherited over exec") {
  const sa::DmaBuf buffer = subject().allocate(8192);
  if (buffer.fd() < 0) {
    return; // refused: "a mapping of the fd by hand" checks it
  }
  sa::UniqueFd copy = buffer.dup();
  CHECK((::fcntl(copy.get(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK((::fcntl(buffer.fd(), F_GETFD) & FD_CLOEXEC) != 0);
  fill(buffer, 21);
  const sa::DmaBuf imported = sa::DmaBuf::import(std::move(copy));
  CHECK(imported.heap() == "import");
  CHECK(imported.size() == buffer.size());
  CHECK(imported.traits().contains(sa::Trait::DmaBuf) == subject().has(sa::Trait::DmaBuf));
  CHECK_FALSE(imported.traits().contains(sa::Trait::Contiguous));
  CHECK(filled(imported, 21));
}

TEST_CASE("empty objects are empty, however they became so") {
  sa::DmaBuf made;
  check_empty(made);
  sa::DmaBuf source = subject().allocate(4096);
  sa::DmaBuf target = std::move(source);
  check_empty(source);
  CHECK(target.size() >= 4096);
  target.reset();
  check_empty(target);
  target = subject().allocate(4096);
  sa::DmaBuf& same = target;
  target = std::move(same);
  CHECK(sa::Mapping{}.bytes().empty());
  CHECK_FALSE(sa::CpuAccess{});
  std::error_code ec;
  sa::CpuAccess{}.end(ec);
  CHECK(ec == std::errc::bad_file_descriptor);
  static_assert(!std::is_copy_constructible_v<sa::DmaBuf> && std::is_nothrow_move_constructible_v<sa::DmaBuf>);
  static_assert(!std::is_copy_constructible_v<sa::CpuAccess> && std::is_nothrow_move_assignable_v<sa::CpuAccess>);
}

TEST_CASE("a buffer outlives the registry it came from, and its heap") {
  const auto before = subject().count();
  {
    sa::DmaBuf buffer;
    {
      sa::Registry registry;
      registry.add(subject().options.make ? subject().options.make() : subject().heap);
      buffer = registry.allocate(subject().name, {.size = frame_size, .name = "survivor"});
    }
    CHECK(buffer.heap() == subject().name);
    CHECK(buffer.name() == "survivor");
    fill(buffer, 31);
    CHECK(filled(buffer, 31));
  }
  CHECK(subject().leaked_since(before) == "");
}
