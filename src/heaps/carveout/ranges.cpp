// SPDX-License-Identifier: MIT
#include "heaps/carveout/ranges.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <new>
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

/// Slack is at most this part of what is in buffers: of a full region 98.4 % is in buffers.
constexpr std::uint64_t slack_divisor = 64;

/// So many leases after each conflict the hints are dropped: to learn them again costs less than half a call a lease.
constexpr std::uint64_t leases_per_conflict = 4;

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

/// All of this process, for fork(2).
struct CarveoutForks {
  std::mutex mutex;
  CarveoutRanges* first = nullptr;

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
    for (auto* ranges = first; ranges != nullptr; ranges = ranges->next_) {
      ranges->before_fork();
    }
  }
  void after(bool in_child) noexcept {
    for (auto* ranges = first; ranges != nullptr; ranges = ranges->next_) {
      ranges->after_fork(in_child);
    }
    mutex.unlock();
  }
};

int HeldRange::handle(std::error_code& ec) {
  if (ranges_ == nullptr) {
    ec = from_errno(EBADF);
    return -1;
  }
  return ranges_->share(*this, ec);
}

void HeldRange::reset() noexcept {
  if (ranges_ != nullptr) {
    std::exchange(ranges_, nullptr)->release(run_, handle_);
  }
}

CarveoutRanges::CarveoutRanges(std::filesystem::path lock_file, std::uint64_t base, std::uint64_t size)
    : lock_file_(std::move(lock_file)), base_(base), end_(base + size), index_(base, base + size) {
  CarveoutForks& all = CarveoutForks::all();
  const std::lock_guard lock(all.mutex);
  next_ = std::exchange(all.first, this);
}

CarveoutRanges::~CarveoutRanges() {
  CarveoutForks& all = CarveoutForks::all();
  const std::lock_guard lock(all.mutex);
  CarveoutRanges** link = &all.first;
  while (*link != this) {
    link = &(*link)->next_;
  }
  *link = next_;
}

HeldRange CarveoutRanges::allocate(std::uint64_t size, std::uint64_t alignment, std::error_code& ec) {
  const std::lock_guard lock(mutex_);
  leave_to_parent();
  if (learned_ != 0 && leases_ - learned_at_ > leases_per_conflict * learned_) {
    forget();
  }
  for (bool hints_dropped = false; !ec;) {
    const CarveoutIndex::Fit slack = index_.find(Use::Slack, size, alignment);
    const CarveoutIndex::Fit open = index_.find(Use::Open, size, alignment);
    if (slack.hole != 0 && (open.hole == 0 || slack.hole <= open.hole)) {
      return take(index_.at(slack.start), slack.start, size);
    }
    HeldRange held;
    if (open.hole != 0) {
      held = lease(open, size, ec);
    } else if (const CarveoutIndex::Fit both = index_.find_across(size, alignment); both.hole != 0) {
      held = lease_across(both.start, size, ec);
    } else if (hints_dropped) {
      ec = from_errno(ENOMEM);
    } else {
      forget(); // what others held may be free by now
      hints_dropped = true;
    }
    if (held) {
      return held;
    }
  }
  return {};
}

/// Makes a buffer of a part of @p run, which is locked.
HeldRange CarveoutRanges::take(CarveoutIndex::Iterator run, std::uint64_t start, std::uint64_t size) {
  return {*this, index_.change(run, start, start + size, Use::Live), leases_};
}

/// Locks [start, end), which is Open. False: somebody holds some of it, and the index has learned so, or @p ec.
bool CarveoutRanges::lock_open(std::uint64_t start, std::uint64_t end, std::error_code& ec) {
  if (!locks_) {
    locks_ = make_lock_file(O_RDWR, ec);
    if (ec) {
      return false;
    }
  }
  index_.prepare();
  if (set_lock(locks_.get(), F_WRLCK, start, end)) {
    ++leases_;
    return true;
  }
  const int error = errno;
  if (error == EAGAIN || error == EACCES) {
    learn(start, end);
  } else {
    refuse_lock(error, ec);
  }
  return false;
}

/// Takes the range, and the rest of its hole as slack where that is little enough. Empty as lock_open() is false.
HeldRange CarveoutRanges::lease(const CarveoutIndex::Fit& fit, std::uint64_t size, std::error_code& ec) {
  const auto hole = index_.at(fit.start);
  const std::uint64_t slack = index_.slack_bytes() + fit.hole - size;
  const bool whole = slack <= (index_.live_bytes() + size) / slack_divisor;
  const std::uint64_t start = whole ? hole->first : fit.start;
  const std::uint64_t end = whole ? hole->second.end : fit.start + size;
  if (!lock_open(start, end, ec)) {
    return {};
  }
  return take(whole ? index_.change(hole, start, end, Use::Slack) : hole, fit.start, size);
}

/// Takes a range of Slack and Open runs. Empty as lock_open() is false.
HeldRange CarveoutRanges::lease_across(std::uint64_t start, std::uint64_t size, std::error_code& ec) {
  for (std::uint64_t at = start; at < start + size;) {
    const auto run = index_.at(at);
    const std::uint64_t end = std::min(run->second.end, start + size);
    if (run->second.use == Use::Open) {
      if (!lock_open(at, end, ec)) {
        if (const auto locked = index_.at(start); locked->second.use == Use::Slack) {
          settle(locked);
        }
        return {};
      }
      index_.change(run, at, end, Use::Slack);
    }
    at = end;
  }
  return take(index_.at(start), start, size);
}

/// Drops the hints.
void CarveoutRanges::forget() {
  index_.drop_hints();
  learned_ = 0;
  learned_at_ = leases_;
}

/// Asks who holds something of [start, end), which is Open, and makes what he holds of the region Foreign.
void CarveoutRanges::learn(std::uint64_t start, std::uint64_t end) {
  struct flock lock = lock_on(F_WRLCK, start, end);
  if (::fcntl(locks_.get(), F_OFD_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) {
    return; // he let go of it since
  }
  ++learned_;
  const auto first = static_cast<std::uint64_t>(lock.l_start) * frame_size;
  const std::uint64_t last = lock.l_len == 0 ? end_ : first + static_cast<std::uint64_t>(lock.l_len) * frame_size;
  for (std::uint64_t at = std::max(first, base_); at < std::min(last, end_);) {
    auto run = index_.at(at);
    const std::uint64_t run_end = std::min(run->second.end, last);
    if (run->second.use == Use::Open) {
      run = index_.change(run, at, run_end, Use::Foreign);
    }
    at = run_end;
  }
}

/// Makes slack of a buffer that nobody else holds, or gives it back.
void CarveoutRanges::free(CarveoutIndex::Iterator run) {
  const std::uint64_t size = run->second.end - run->first;
  const std::uint64_t counted = run->second.counted ? size : 0;
  const bool fits = index_.slack_bytes() + size <= (index_.live_bytes() - counted) / slack_divisor;
  const auto longest = fits ? index_.runs().end() : index_.longest_slack();
  const bool longer = !fits && (longest == index_.runs().end() || size >= longest->second.end - longest->first);
  if (!index_.beside(run, Use::Slack) && (longer || index_.beside(run, Use::Open)) && give_back(run)) {
    return; // the usual way where there is little slack, without the detour
  }
  settle(index_.change(run, run->first, run->second.end, Use::Slack));
}

/// Gives back what is too much, after @p slack became so.
void CarveoutRanges::settle(CarveoutIndex::Iterator slack) {
  // A lease ends with its last buffer. Slack beside open memory would split it for others and for the best fit.
  if ((index_.beside(slack, Use::Open) || !index_.beside(slack, Use::Live)) && !give_back(slack)) {
    return;
  }
  const std::uint64_t most = index_.live_bytes() / slack_divisor;
  // The longest first: each hole is one more lock in the kernel's list.
  while (index_.slack_bytes() > most && give_back(index_.longest_slack())) {
  }
}

/// Unlocks a run. False when the kernel refuses; then it stays as it is.
bool CarveoutRanges::give_back(CarveoutIndex::Iterator run) {
  const std::uint64_t start = run->first;
  const std::uint64_t end = run->second.end;
  index_.prepare();
  if (!set_lock(locks_.get(), F_UNLCK, start, end)) {
    return false;
  }
  index_.change(run, start, end, Use::Open);
  return true;
}

void CarveoutRanges::release(CarveoutIndex::Iterator run, UniqueFd& handle) noexcept {
  const std::lock_guard lock(mutex_);
  const std::uint64_t start = run->first;
  handle.reset();
  try {
    leave_to_parent();
    const std::uint64_t end = run->second.end;
    index_.prepare();
    if (run->second.shared && !set_lock(locks_.get(), F_WRLCK, start, end)) {
      (void)set_lock(locks_.get(), F_UNLCK, start, end); // another holder has it now
      index_.change(run, start, end, Use::Foreign);
      return;
    }
    const bool shared = run->second.shared;
    free(run);
    if (shared && std::has_single_bit(++shared_releases_)) {
      regain();
    }
  } catch (const std::bad_alloc&) {
    if (run = index_.at(start); run->second.use == Use::Live) {
      index_.lose(run); // held until this process ends, if need be
    }
  }
}

int CarveoutRanges::share(HeldRange& held, std::error_code& ec) {
  const std::lock_guard lock(mutex_);
  if (held.handle_) {
    return held.handle_.get();
  }
  UniqueFd handle = make_lock_file(O_RDONLY, ec);
  if (ec) {
    return -1;
  }
  const auto run = held.run_;
  const std::uint64_t start = run->first;
  run->second.shared = true;
  for (const int fd : {locks_.get(), handle.get()}) { // in this order
    if (!set_lock(fd, F_RDLCK, start, run->second.end)) {
      refuse_lock(errno, ec);
      return -1;
    }
  }
  run->second.sent = true;
  held.handle_ = std::move(handle);
  return held.handle_.get();
}

/// After a fork, when a child is likely to have ended: tries to have all for this process alone again.
void CarveoutRanges::regain() noexcept {
  const auto own = [](const CarveoutIndex::Run& run) { return run.use == Use::Slack || (run.use == Use::Live && !run.sent); };
  auto& runs = index_.runs();
  for (auto run = runs.begin(); run != runs.end(); ++run) {
    const auto first = run;
    std::uint64_t end = first->first;
    for (; run != runs.end() && own(run->second); ++run) {
      end = run->second.end;
    }
    if (end != first->first && !set_lock(locks_.get(), F_WRLCK, first->first, end)) {
      return;
    }
    for (auto one = first; one != run; ++one) {
      one->second.shared = false;
    }
    if (run == runs.end()) {
      return;
    }
  }
}

/// In a forked child, before its first change: the slack is the parent's.
void CarveoutRanges::leave_to_parent() {
  if (!inherited_) {
    return;
  }
  index_.discount();
  for (auto slack = index_.longest_slack(); slack != index_.runs().end(); slack = index_.longest_slack()) {
    index_.prepare();
    (void)set_lock(locks_.get(), F_UNLCK, slack->first, slack->second.end);
    index_.change(slack, slack->first, slack->second.end, Use::Foreign);
  }
  inherited_ = false;
}

/// Divides what is held: the child gets the old description, the parent one of its own.
void CarveoutRanges::before_fork() noexcept {
  mutex_.lock();
  divided_ = true;
  if (!index_.holds_any()) {
    return;
  }
  parents_ = open_lock_file(O_RDWR);
  divided_ = static_cast<bool>(parents_);
  const auto held = [](const CarveoutIndex::Run& run) { return run.use == Use::Slack || run.use == Use::Live; };
  auto& runs = index_.runs();
  for (auto run = runs.begin(); run != runs.end();) {
    const std::uint64_t start = run->first;
    std::uint64_t end = start;
    for (; run != runs.end() && held(run->second); ++run) {
      end = run->second.end;
      run->second.shared = run->second.use == Use::Live;
    }
    if (end != start) {
      divided_ = divided_ && set_lock(locks_.get(), F_RDLCK, start, end) && set_lock(parents_.get(), F_RDLCK, start, end);
    } else {
      ++run;
    }
  }
}

void CarveoutRanges::after_fork(bool in_child) noexcept {
  if (!divided_) {
    // One description for two processes, that neither may unlock: what is held now stays so until both end.
    (void)locks_.release();
    parents_.reset();
    for (auto run = index_.runs().begin(); run != index_.runs().end(); ++run) {
      if (run->second.use == Use::Slack) {
        index_.lose(run);
      }
    }
  } else if (in_child) {
    inherited_ = static_cast<bool>(parents_);
    if (!inherited_) {
      locks_.reset(); // holds nothing, and is the parent's
    }
    parents_.reset();
  } else if (parents_) {
    locks_ = std::move(parents_);
  }
  shared_releases_ = 0;
  mutex_.unlock();
}

/// Empty on failure, with the reason in errno.
UniqueFd CarveoutRanges::open_lock_file(int access) const noexcept {
  return UniqueFd{uninterrupted([&] { return ::open(lock_file_.c_str(), access | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC); })};
}

UniqueFd CarveoutRanges::make_lock_file(int access, std::error_code& ec) const {
  UniqueFd fd = open_lock_file(access);
  if (!fd && errno == ENOENT) {
    ::mkdir(lock_file_.parent_path().c_str(), 0755); // a failure shows below
    ::mkfifo(lock_file_.c_str(), 0600);
    fd = open_lock_file(access);
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
    std::istringstream words(line);
    std::string key, number, type, advisory, mode, pid, inode, last;
    std::uint64_t first = 0;
    if (words >> key >> number >> type >> advisory >> mode >> pid >> inode >> first >> last && key == "lock:" &&
        type == "OFDLCK") {
      std::uint64_t end = UINT64_MAX; // "EOF"
      std::from_chars(last.data(), last.data() + last.size(), end);
      if (first <= start / frame_size && (start + size) / frame_size - 1 <= end) {
        return true;
      }
    }
  }
  return false;
}

}}} // namespace sa::v0::detail
