// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <csignal>
#include <cstdlib>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/counters.hpp"
#include "support/process.hpp"
#include "unit/test_heap.hpp"

namespace {

sa::UniqueFd memfd(std::uint64_t size, unsigned flags = MFD_ALLOW_SEALING) {
  sa::UniqueFd fd{::memfd_create("import", MFD_CLOEXEC | flags)};
  REQUIRE(::ftruncate(fd.get(), static_cast<off_t>(size)) == 0);
  return fd;
}

std::error_code refusal(sa::UniqueFd fd) {
  std::error_code ec;
  CHECK_FALSE(sa::DmaBuf::import(std::move(fd), ec));
  return ec;
}

} // namespace

TEST_CASE("a memfd that cannot shrink is imported with its size") {
  sa::UniqueFd fd = memfd(12288);
  REQUIRE(::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK) == 0);
  const sa::DmaBuf buffer = sa::DmaBuf::import(std::move(fd));
  CHECK(buffer.size() == 12288);
  CHECK(buffer.heap() == "import");
  CHECK(buffer.name().empty());
  CHECK(buffer.traits() == sa::Traits{sa::Trait::Cached});
  {
    const auto cpu = buffer.access(sa::Access::Write);
    cpu.bytes()[12287] = std::byte{1};
  }
}

TEST_CASE("a memfd is imported with all of its size, or refused by a program that cannot map it") {
  constexpr std::uint64_t size = (std::uint64_t{4} << 30) + 4096;
  std::error_code ec;
  const sa::DmaBuf buffer = sa::DmaBuf::import(memfd(size), ec);
  if constexpr (sizeof(std::size_t) < sizeof size) {
    CHECK(ec == std::errc::invalid_argument);
  } else {
    CHECK(buffer.size() == size);
  }
}

TEST_CASE("a memfd that can still be sealed is, and then cannot be shrunk by its maker") {
  sa::UniqueFd fd = memfd(8192);
  const sa::UniqueFd maker{::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0)};
  const sa::DmaBuf buffer = sa::DmaBuf::import(std::move(fd));
  CHECK(::ftruncate(maker.get(), 0) == -1);
  CHECK(errno == EPERM);
  CHECK(buffer.map_unsynchronized().bytes()[8191] == std::byte{0});
}

TEST_CASE("a file that a peer could truncate, or that is not memory, is refused and closed") {
  const int before = support::open_descriptors();
  CHECK(refusal(memfd(4096, 0)) == std::errc::invalid_argument); // sealed against sealing
  char path[] = "/dev/shm/sa-unit-XXXXXX";
  sa::UniqueFd plain{::mkostemp(path, O_CLOEXEC)}; // tmpfs answers F_GET_SEALS too
  REQUIRE(plain);
  ::unlink(path);
  REQUIRE(::ftruncate(plain.get(), 4096) == 0);
  CHECK(refusal(std::move(plain)) == std::errc::invalid_argument);
  CHECK(refusal(memfd(0)) == std::errc::invalid_argument);
  CHECK(refusal(sa::UniqueFd{::open("/dev/null", O_RDWR | O_CLOEXEC)}) == std::errc::invalid_argument);
  CHECK(refusal(sa::UniqueFd{::open("/", O_RDONLY | O_CLOEXEC)}) == std::errc::invalid_argument);
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  CHECK(refusal(sa::UniqueFd{ends[0]}) == std::errc::invalid_argument);
  ::close(ends[1]);
  CHECK(refusal(sa::UniqueFd{}) == std::errc::bad_file_descriptor);
  CHECK(support::open_descriptors() == before);
  try {
    (void)sa::DmaBuf::import(memfd(4096, 0));
    FAIL("not refused");
  } catch (const sa::Error& error) {
    CHECK(std::string(error.what()).find("F_SEAL_SHRINK") != std::string::npos);
  }
}

TEST_CASE("a read-only descriptor refuses writing with EACCES, and its mapping faults") {
  const sa::DmaBuf owner = unit::real_buffer(4096);
  owner.map_unsynchronized().bytes()[0] = std::byte{7};
  const std::string path = "/proc/self/fd/" + std::to_string(owner.fd());
  const sa::DmaBuf buffer = sa::DmaBuf::import(sa::UniqueFd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)});
  std::error_code ec;
  CHECK_FALSE(buffer.access(sa::Access::Write, ec));
  CHECK(ec == std::errc::permission_denied);
  CHECK(buffer.map_unsynchronized(sa::Access::ReadWrite, ec).bytes().empty());
  CHECK(ec == std::errc::permission_denied);
  buffer.begin_cpu_access(sa::Access::Write, ec);
  CHECK(ec == std::errc::permission_denied);
  CHECK(buffer.map_unsynchronized(sa::Access::Read).bytes()[0] == std::byte{7});
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  CHECK(support::in_child([&] {
          buffer.map_unsynchronized(sa::Access::Read).bytes()[0] = std::byte{8};
          return support::passed;
        }) == 128 + SIGSEGV);
#endif
}

TEST_CASE("a memfd sealed against writing is imported for reading") {
  sa::UniqueFd fd = memfd(4096);
  REQUIRE(::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE) == 0);
  const sa::DmaBuf buffer = sa::DmaBuf::import(std::move(fd));
  std::error_code ec;
  CHECK_FALSE(buffer.access(sa::Access::Write, ec));
  CHECK(ec == std::errc::permission_denied);
  {
    const auto cpu = buffer.access(sa::Access::Read);
    CHECK(cpu.bytes().size() == 4096);
  }
}

TEST_CASE("a peer can neither shrink nor grow nor freeze a buffer of memfd:4k") {
  const sa::DmaBuf buffer = unit::real_buffer(2 * unit::page);
  CHECK(::ftruncate(buffer.fd(), static_cast<off_t>(unit::page)) == -1);
  CHECK(::ftruncate(buffer.fd(), 1 << 20) == -1);
  CHECK(::fcntl(buffer.fd(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == -1);
  CHECK(buffer.map_unsynchronized().bytes().size() == 2 * unit::page);
}

TEST_CASE("a buffer that is sealed against writing after its import is still read, and says why it is not written") {
  sa::UniqueFd fd = memfd(4096);
  const sa::UniqueFd maker{::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0)};
  const sa::DmaBuf buffer = sa::DmaBuf::import(std::move(fd));
  const sa::DmaBuf other = sa::DmaBuf::import(sa::UniqueFd{::fcntl(maker.get(), F_DUPFD_CLOEXEC, 0)});
  REQUIRE(::fcntl(maker.get(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0);
  {
    const auto cpu = buffer.access(sa::Access::Read);
    CHECK(cpu.bytes()[4095] == std::byte{0});
  }
  std::error_code ec;
  CHECK_FALSE(buffer.access(sa::Access::Write, ec));
  CHECK(ec == std::errc::permission_denied);
  try { // asked for writing first
    (void)other.map_unsynchronized(sa::Access::ReadWrite);
    FAIL("not refused");
  } catch (const sa::Error& error) {
    CHECK(error.code() == std::errc::permission_denied);
    CHECK(std::string(error.what()).find("sealed against writing") != std::string::npos);
  }
  CHECK(other.map_unsynchronized(sa::Access::Read).bytes().size() == 4096);
}

TEST_CASE("huge pages that another user made and could take away are refused, unless they are sealed against it") {
  const sa::UniqueFd probe{::memfd_create("probe", MFD_CLOEXEC | MFD_HUGETLB)};
  if (!probe || ::geteuid() != 0) {
    MESSAGE("not tested: it takes a kernel with huge pages, and root, who can become another user");
    return;
  }
  const auto received_from = [](uid_t maker, int seals) {
    const support::SocketPair sockets(SOCK_SEQPACKET);
    CHECK(support::in_child([&] {
            if (::setresuid(maker, maker, maker) != 0) {
              return 2;
            }
            const int fd = ::memfd_create("huge", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB); // no page of it is taken
            if (::ftruncate(fd, 1 << 30) != 0 || ::fcntl(fd, F_ADD_SEALS, seals) != 0) { // a multiple of every size there is
              return 3;
            }
            sa::send(sockets.a, sa::DmaBuf::import(sa::UniqueFd{fd})); // the maker's own
            return support::passed;
          }) == support::passed);
    const int before = support::open_descriptors();
    std::error_code ec;
    const auto size = sa::receive(sockets.b, ec).size();
    CHECK((size == 0) == static_cast<bool>(ec));
    CHECK(support::open_descriptors() == before);
    return ec;
  };
  constexpr uid_t nobody = 65534;
  CHECK(received_from(nobody, F_SEAL_SHRINK) == std::errc::invalid_argument);
  CHECK_FALSE(received_from(nobody, F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE));
  CHECK_FALSE(received_from(::geteuid(), F_SEAL_SHRINK | F_SEAL_GROW));
}

TEST_CASE("a buffer has one identity, whatever descriptor shows it, and asking does not give it away") {
  sa::Pool pool(sa::Registry::system().find("memfd:4k"));
  sa::BufferId first;
  {
    const sa::DmaBuf buffer = pool.allocate({.size = 4096});
    first = buffer.id().value();
  }
  const sa::DmaBuf buffer = pool.allocate({.size = 4096}); // a memfd that was given away would not come again
  CHECK(pool.statistics().hits == 1);
  CHECK(buffer.id() == first);
  CHECK(sa::DmaBuf::import(buffer.dup()).id() == first);
  CHECK(unit::real_buffer(4096).id() != first);
  CHECK_FALSE(sa::DmaBuf{}.id());
}

TEST_CASE("the memory file of a buffer is borrowed, and there is none behind other memory") {
  const sa::DmaBuf buffer = sa::Registry::system().allocate("memfd:4k", {.size = 4096});
  REQUIRE(buffer.memfd() >= 0);
  CHECK(buffer.memfd() == buffer.fd());
  CHECK(sa::DmaBuf().memfd() == -1);
}
