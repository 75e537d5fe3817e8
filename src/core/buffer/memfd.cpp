// SPDX-License-Identifier: MIT
#include "core/buffer/memfd.hpp"

#include <atomic>
#include <utility>

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <fmt/format.h>

#include "core/base/failure.hpp"
#include "core/base/system_call.hpp"
#include "core/base/system_facts.hpp"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U // linux/memfd.h since 6.3
#endif

namespace sa { inline namespace v0 { namespace detail {
namespace {

/// memfd_create without the right to execute; kernels before 6.3 refuse the flag with EINVAL, and are asked once.
int create(const char* name, unsigned flags) noexcept {
  static std::atomic<unsigned> no_exec{MFD_NOEXEC_SEAL};
  const unsigned extra = no_exec.load(std::memory_order_relaxed);
  int fd = ::memfd_create(name, flags | extra);
  if (fd < 0 && errno == EINVAL && extra != 0) {
    fd = ::memfd_create(name, flags);
    if (fd >= 0) {
      no_exec.store(0, std::memory_order_relaxed);
    }
  }
  return fd;
}

void not_a_memfd(std::error_code& ec, const char* why) {
  fail(ec, EINVAL, [&] { return fmt::format("{}; a dma-buf, or a memfd sealed with F_SEAL_SHRINK, can be imported", why); });
}

} // namespace

UniqueFd make_memfd(const char* name, std::size_t size, unsigned flags, std::error_code& ec) {
  // Size fixed for good; no later seals, since F_SEAL_FUTURE_WRITE from a peer would take our own write access.
  constexpr int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  const char* call = "memfd_create";
  UniqueFd fd{create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | flags)};
  bool made = static_cast<bool>(fd);
  if (made) {
    call = "ftruncate";
    made = uninterrupted([&] { return ::ftruncate(fd.get(), static_cast<off_t>(size)); }) == 0;
  }
  if (made) {
    call = "F_ADD_SEALS";
    made = ::fcntl(fd.get(), F_ADD_SEALS, seals) == 0;
  }
  if (!made) {
    const int error = errno;
    fd.reset();
    fail(ec, error, call);
  }
  return fd;
}

MemfdFacts secure_memfd(int fd, int seals, std::error_code& ec) {
  if (seals < 0) {
    not_a_memfd(ec, "the descriptor is neither a dma-buf nor a memory file");
    return {};
  }
  // A plain tmpfs file answers F_GET_SEALS too, with F_SEAL_SEAL alone: it can never be made safe.
  if ((seals & F_SEAL_SHRINK) == 0 && ((seals & F_SEAL_SEAL) != 0 || ::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)) {
    const int error = errno;
    // One that is open for reading alone cannot be sealed (fcntl(2)). Of any other it is not the file's fault.
    if ((seals & F_SEAL_SEAL) == 0 && (::fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY) {
      fail(ec, error, "F_ADD_SEALS");
      return {};
    }
    not_a_memfd(ec, "the memory file can be truncated by others and cannot be sealed against it");
    return {};
  }
  struct stat status {};
  if (::fstat(fd, &status) < 0) { // its size is certain only from here on
    const int error = errno;
    fail(ec, error, "fstat");
    return {};
  }
  if (status.st_size <= 0 || !std::in_range<std::size_t>(status.st_size)) { // not in 32 bits
    not_a_memfd(ec, "the memory file is empty, or larger than a program can map");
    return {};
  }
  // hugetlbfs tells its page as the block, and shmem may tell one too: only then is the file system asked.
  struct statfs file_system {};
  if (static_cast<std::size_t>(status.st_blksize) > page_size() &&
      uninterrupted([&] { return ::fstatfs(fd, &file_system); }) < 0) {
    const int error = errno;
    fail(ec, error, "fstatfs");
    return {};
  }
  const bool frozen = (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != 0;
  const bool huge = static_cast<std::uint32_t>(file_system.f_type) == HUGETLBFS_MAGIC;
  // A hole that is punched into huge pages gives them back to their pool, and a process that touches it when the pool is empty
  // dies of SIGBUS; shmem fills holes again. This user's processes, and root's, could kill this one in any case.
  if (huge && !frozen && status.st_uid != 0 && status.st_uid != ::geteuid()) {
    not_a_memfd(ec, "another user made this file of huge pages and could take them out of it; have it sealed with "
                    "F_SEAL_FUTURE_WRITE, or made of ordinary pages");
    return {};
  }
  return {static_cast<std::size_t>(status.st_size), frozen, huge};
}

}}} // namespace sa::v0::detail
