// SPDX-License-Identifier: MIT
#include "heaps/carveout/ranges.hpp"

#include <algorithm>
#include <cstdio>
#include <sstream>

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <fmt/format.h>

#include "core/base/failure.hpp"
#include "core/base/system_call.hpp"
#include "core/base/system_facts.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

constexpr std::uint64_t aligned(std::uint64_t address, std::uint64_t alignment) noexcept {
  return (address + alignment - 1) & ~(alignment - 1);
}

struct flock lock_on(short type, std::uint64_t start, std::uint64_t end) noexcept {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(start / frame_size);
  lock.l_len = static_cast<off_t>((end - start) / frame_size);
  return lock;
}

bool set_lock(int fd, short type, std::uint64_t start, std::uint64_t end) noexcept {
  struct flock lock = lock_on(type, start, end);
  return ::fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

} // namespace

/// Every CarveoutRanges of this process, for fork(2).
struct CarveoutForks {
  std::mutex mutex;
  std::vector<CarveoutRanges*> ranges;

  /// Never destroyed: a heap may live as long as the process.
  static CarveoutForks& all() {
    static auto* const forks = [] {
      ::pthread_atfork([] { all().before(); }, [] { all().after(false); }, [] { all().after(true); });
      return new CarveoutForks;
    }();
    return *forks;
  }
  void before() noexcept {
    mutex.lock();
    std::for_each(ranges.begin(), ranges.end(), [](auto* one) { one->before_fork(); });
  }
  void after(bool in_child) noexcept {
    std::for_each(ranges.begin(), ranges.end(), [in_child](auto* one) { one->after_fork(in_child); });
    mutex.unlock();
  }
};

HeldRange::~HeldRange() {
  if (ranges_ != nullptr) {
    handle_.reset();
    ranges_->release(*this);
  }
}

int HeldRange::handle(std::error_code& ec) {
  if (ranges_ == nullptr) {
    ec = from_errno(EBADF);
    return -1;
  }
  return ranges_->share(*this, ec);
}

CarveoutRanges::CarveoutRanges(std::filesystem::path lock_file, std::uint64_t base, std::uint64_t size)
    : lock_file_(std::move(lock_file)), base_(base), end_(base + size) {
  CarveoutForks& all = CarveoutForks::all();
  const std::lock_guard lock(all.mutex);
  all.ranges.push_back(this);
}

CarveoutRanges::~CarveoutRanges() {
  CarveoutForks& all = CarveoutForks::all();
  const std::lock_guard lock(all.mutex);
  std::erase(all.ranges, this);
}

HeldRange CarveoutRanges::allocate(std::uint64_t size, std::uint64_t alignment, std::error_code& ec) {
  const std::lock_guard lock(mutex_);
  if (!locks_) {
    locks_ = open_lock_file(O_RDWR, ec);
  }
  for (bool hints_dropped = false; !ec;) {
    std::uint64_t start = aligned(base_, alignment);
    const auto fits = [&] { return size <= end_ - base_ && start >= base_ && start <= end_ - size; };
    auto next = taken_.begin();
    for (; fits() && next != taken_.end() && next->start < start + size; ++next) {
      start = aligned(next->end, alignment);
    }
    if (fits()) {
      const auto taken = taken_.insert(next, {start, start + size, true}); // first, since it may fail
      if (set_lock(locks_.get(), F_WRLCK, start, start + size)) {
        return {*this, start, start + size};
      }
      if (const int error = errno; error == EAGAIN || error == EACCES) {
        learn(taken);
      } else {
        taken_.erase(taken);
        refuse_lock(error, ec);
      }
    } else if (hints_dropped) {
      ec = from_errno(ENOMEM);
    } else {
      std::erase_if(taken_, [](const Taken& one) { return !one.mine; }); // what others held may be free by now
      hints_dropped = true;
    }
  }
  return {};
}

/// Makes a hint of @p refused: which part of the gap that it is in another description holds.
void CarveoutRanges::learn(Iterator refused) {
  struct flock lock = lock_on(F_WRLCK, refused->start, refused->end);
  if (::fcntl(locks_.get(), F_OFD_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) {
    taken_.erase(refused); // the holder let go of it since
    return;
  }
  const auto first = static_cast<std::uint64_t>(lock.l_start) * frame_size;
  const std::uint64_t last = lock.l_len == 0 ? end_ : first + static_cast<std::uint64_t>(lock.l_len) * frame_size;
  const std::uint64_t gap_start = refused == taken_.begin() ? base_ : std::prev(refused)->end;
  const std::uint64_t gap_end = std::next(refused) == taken_.end() ? end_ : std::next(refused)->start;
  *refused = {std::max(first, gap_start), std::min(last, gap_end), false};
}

void CarveoutRanges::release(const HeldRange& held) noexcept {
  const std::lock_guard lock(mutex_);
  const auto taken = std::lower_bound(taken_.begin(), taken_.end(), held.start_,
                                      [](const Taken& one, std::uint64_t start) { return one.start < start; });
  const bool mine = taken != taken_.end() && taken->start == held.start_ && taken->mine;
  if (mine && set_lock(locks_.get(), F_UNLCK, held.start_, held.end_)) { // without memory for it the range stays
    taken_.erase(taken);
  }
}

int CarveoutRanges::share(HeldRange& held, std::error_code& ec) {
  const std::lock_guard lock(mutex_);
  if (held.handle_) {
    return held.handle_.get();
  }
  UniqueFd handle = open_lock_file(O_RDONLY, ec);
  if (ec) {
    return -1;
  }
  for (const int fd : {locks_.get(), handle.get()}) { // in this order
    if (!set_lock(fd, F_RDLCK, held.start_, held.end_)) {
      refuse_lock(errno, ec);
      return -1;
    }
  }
  held.handle_ = std::move(handle);
  return held.handle_.get();
}

/// Divides what is held: the child gets the old description, the parent one of its own. No parents_: it was not possible.
void CarveoutRanges::before_fork() noexcept {
  mutex_.lock();
  if (!locks_) {
    return;
  }
  std::error_code ec;
  parents_ = open_lock_file(O_RDWR, ec);
  for (const Taken& one : taken_) {
    if (one.mine && parents_ &&
        (!set_lock(locks_.get(), F_RDLCK, one.start, one.end) || !set_lock(parents_.get(), F_RDLCK, one.start, one.end))) {
      parents_.reset();
    }
  }
}

void CarveoutRanges::after_fork(bool in_child) noexcept {
  if (locks_ && !parents_) {
    // One description for two processes, that neither may unlock: what is held now stays so until both end.
    (void)locks_.release();
    std::for_each(taken_.begin(), taken_.end(), [](Taken& one) { one.mine = false; });
  } else if (!in_child) {
    locks_ = std::move(parents_);
  }
  parents_.reset();
  mutex_.unlock();
}

UniqueFd CarveoutRanges::open_lock_file(int access, std::error_code& ec) const {
  const auto open = [&] {
    return UniqueFd{uninterrupted([&] { return ::open(lock_file_.c_str(), access | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC); })};
  };
  UniqueFd fd = open();
  if (!fd && errno == ENOENT) {
    ::mkdir(lock_file_.parent_path().c_str(), 0755); // a failure shows below
    ::mkfifo(lock_file_.c_str(), 0600);
    fd = open();
  }
  if (!fd) {
    const int error = errno;
    fail(ec, error, [&] { return kernel_said(lock_file_.string(), error); });
  }
  return fd;
}

void CarveoutRanges::refuse_lock(int error, std::error_code& ec) const {
  fail(ec, error, [&] { return kernel_said(fmt::format("a lock on {}", lock_file_.string()), error); });
}

bool CarveoutRanges::holds(int handle, std::uint64_t start, std::uint64_t size) const {
  if (start < base_ || start > end_ || end_ - start < size || size == 0 || start % frame_size != 0 || size % frame_size != 0) {
    return false;
  }
  // Not fstat(): a pipe of a peer's FUSE file system asks a daemon, which need not answer.
  struct statx theirs {};
  struct stat ours {};
  if (::statx(handle, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, &theirs) < 0 || ::stat(lock_file_.c_str(), &ours) < 0 ||
      makedev(theirs.stx_dev_major, theirs.stx_dev_minor) != ours.st_dev || theirs.stx_ino != ours.st_ino) {
    return false;
  }
  // "lock:	1: OFDLCK  ADVISORY  READ -1 00:1a:123 196608 196863", frames, the last one included (proc_pid_fdinfo(5)).
  // A write lock keeps others away as well.
  std::istringstream lines(read_text(fmt::format("/proc/self/fdinfo/{}", handle)));
  for (std::string line; std::getline(lines, line);) {
    unsigned long long first = 0;
    unsigned long long last = 0;
    if (std::sscanf(line.c_str(), "lock: %*d: OFDLCK %*s %*s %*d %*s %llu %llu", &first, &last) == 2 &&
        first <= start / frame_size && (start + size) / frame_size - 1 <= last) {
      return true;
    }
  }
  return false;
}

}}} // namespace sa::v0::detail
