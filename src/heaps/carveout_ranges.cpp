// SPDX-License-Identifier: MIT
#include "heaps/carveout_ranges.hpp"

#include <algorithm>
#include <charconv>
#include <memory>
#include <sstream>

#include <fcntl.h>
#include <sys/stat.h>

#include <fmt/format.h>

#include "core/failure.hpp"
#include "core/fork.hpp"
#include "core/system_call.hpp"
#include "core/system_facts.hpp"

namespace sa::inline v0::detail {
namespace {

constexpr std::uint64_t none = UINT64_MAX;

struct flock lock_on(std::uint64_t start, std::uint64_t size) noexcept {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(start / frame_size);
  lock.l_len = static_cast<off_t>(size / frame_size);
  return lock;
}

} // namespace

CarveoutRanges::CarveoutRanges(std::filesystem::path lock_file, std::uint64_t base, std::uint64_t size)
    : lock_file_(std::move(lock_file)), base_(base), end_(base + size), index_(new Index{}) {
  index_.load()->generation = fork_generation();
}

CarveoutRanges::~CarveoutRanges() {
  Index* const mine = index_.load();
  if (mine->generation == fork_generation()) { // a parent's, in its forked child, may be in the middle of a change
    delete mine;
  }
}

/// This process's index. A forked child starts with an empty one; its parent's, whose lock another thread may have held
/// at the fork, is left alone.
CarveoutRanges::Index& CarveoutRanges::index() {
  Index* mine = index_.load(std::memory_order_acquire);
  if (mine->generation != fork_generation()) {
    auto fresh = std::make_unique<Index>();
    fresh->generation = fork_generation();
    if (index_.compare_exchange_strong(mine, fresh.get(), std::memory_order_acq_rel)) {
      mine = fresh.release();
    }
  }
  return *mine;
}

/// Finds the first gap in the index and marks it taken, so that no other thread tries it; `none` when there is none.
std::uint64_t CarveoutRanges::reserve(std::uint64_t size, std::uint64_t alignment) {
  Index& index = this->index();
  const std::lock_guard lock(index.lock);
  std::uint64_t start = (base_ + alignment - 1) / alignment * alignment;
  for (const auto& [taken_start, taken] : index.taken) {
    if (start + size <= taken_start) {
      break;
    }
    if (taken.end > start) {
      start = (taken.end + alignment - 1) / alignment * alignment;
    }
  }
  if (start > end_ || end_ - start < size) {
    return none;
  }
  index.taken.insert_or_assign(start, Taken{start + size, false});
  return start;
}

HeldRange CarveoutRanges::allocate(std::uint64_t size, std::uint64_t alignment, std::error_code& ec) {
  UniqueFd handle = open_lock_file(ec);
  if (ec) {
    return {};
  }
  for (bool hints_dropped = false;;) {
    const std::uint64_t start = reserve(size, alignment);
    if (start == none) {
      Index& index = this->index();
      const std::lock_guard lock(index.lock);
      if (hints_dropped || std::erase_if(index.taken, [](const auto& entry) { return entry.second.foreign; }) == 0) {
        ec = from_errno(ENOMEM);
        return {};
      }
      hints_dropped = true; // what others held may be free by now
      continue;
    }
    struct flock lock = lock_on(start, size);
    if (::fcntl(handle.get(), F_OFD_SETLK, &lock) == 0) {
      return {std::move(handle), start};
    }
    const int error = errno;
    forget(start);
    if (error != EAGAIN && error != EACCES) {
      fail(ec, error, [&] { return kernel_said(fmt::format("a lock on {}", lock_file_.string()), error); });
      return {};
    }
    if (::fcntl(handle.get(), F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK) {
      const auto first = static_cast<std::uint64_t>(lock.l_start) * frame_size;
      const std::uint64_t end = lock.l_len == 0 ? end_ : first + static_cast<std::uint64_t>(lock.l_len) * frame_size;
      Index& index = this->index();
      const std::lock_guard guard(index.lock);
      auto& taken = index.taken.try_emplace(std::max(first, base_), Taken{0, true}).first->second;
      taken.end = std::max(taken.end, end);
    }
  }
}

void CarveoutRanges::forget(std::uint64_t start) noexcept {
  Index* const mine = index_.load(std::memory_order_acquire);
  if (mine->generation != fork_generation()) {
    return; // a forked child that has no index yet has nothing to forget
  }
  const std::lock_guard lock(mine->lock);
  mine->taken.erase(start);
}

UniqueFd CarveoutRanges::open_lock_file(std::error_code& ec) const {
  const auto open = [&] {
    return UniqueFd{uninterrupted([&] { return ::open(lock_file_.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600); })};
  };
  UniqueFd fd = open();
  if (!fd && errno == ENOENT) {
    ::mkdir(lock_file_.parent_path().c_str(), 0755); // a failure shows below
    fd = open();
  }
  if (!fd) {
    const int error = errno;
    fail(ec, error, [&] { return kernel_said(lock_file_.string(), error); });
  }
  return fd;
}

bool CarveoutRanges::holds(int handle, std::uint64_t start, std::uint64_t size) const {
  if (start < base_ || start > end_ || end_ - start < size || size == 0 || start % frame_size != 0 || size % frame_size != 0) {
    return false;
  }
  struct stat theirs {};
  struct stat ours {};
  if (::fstat(handle, &theirs) < 0 || ::stat(lock_file_.c_str(), &ours) < 0 || theirs.st_dev != ours.st_dev ||
      theirs.st_ino != ours.st_ino) {
    return false;
  }
  // "lock:	1: OFDLCK  ADVISORY  WRITE -1 00:1a:123 196608 196863", frames, the last one included (proc_pid_fdinfo(5)).
  std::istringstream lines(read_text(fmt::format("/proc/self/fdinfo/{}", handle)));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string key, number, type, advisory, mode, pid, inode, last;
    std::uint64_t first = 0;
    if (words >> key >> number >> type >> advisory >> mode >> pid >> inode >> first >> last && key == "lock:" &&
        type == "OFDLCK" && mode == "WRITE") {
      std::uint64_t end = UINT64_MAX; // "EOF"
      std::from_chars(last.data(), last.data() + last.size(), end);
      if (first <= start / frame_size && (start + size) / frame_size - 1 <= end) {
        return true;
      }
    }
  }
  return false;
}

} // namespace sa::inline v0::detail
