// SPDX-License-Identifier: MIT
/// Second holders and forks: which process has which range whatever dies when. Each CarveoutRanges has a description of its
/// own, so a second one stands for another process wherever no process has to die.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "heaps/carveout/ranges.hpp"
#include "support/counters.hpp"
#include "support/process.hpp"
#include "unit/folder.hpp"

using sa::detail::CarveoutRanges;
using sa::detail::HeldRange;
using unit::Folder;

namespace {

constexpr std::uint64_t page = 4096;
constexpr std::uint64_t base = 0x30000000;
constexpr std::uint64_t mebibyte = std::uint64_t{1} << 20;

/// A range in one piece; none and no reason when there is none.
HeldRange get(CarveoutRanges& ranges, std::uint64_t size) {
  std::error_code ec;
  HeldRange held = ranges.allocate(size, page, ec);
  CHECK((!ec || ec == std::errc::not_enough_memory));
  return held;
}

/// Whether anybody has a lock on a byte of [start, start + size).
bool locked(const std::filesystem::path& file, std::uint64_t start, std::uint64_t size) {
  const sa::UniqueFd fd{::open(file.c_str(), O_RDWR | O_CLOEXEC)};
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(start / page);
  lock.l_len = static_cast<off_t>(size / page);
  return ::fcntl(fd.get(), F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/// How many frames of the region somebody has a lock on.
std::uint64_t locked_frames(const std::filesystem::path& file, std::uint64_t size) {
  std::uint64_t frames = 0;
  for (std::uint64_t at = base; at < base + size; at += page) {
    frames += locked(file, at, page) ? 1 : 0;
  }
  return frames;
}

int lowest_free_descriptor() {
  const sa::UniqueFd probe{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
  return probe.get();
}

/// The random workload: sizes whose logarithm is uniform from 4 KiB to 16 MiB.
class Workload {
public:
  explicit Workload(unsigned seed) : random_(seed) {}
  std::uint64_t size() { return static_cast<std::uint64_t>(std::ceil(std::exp2(exponent_(random_)))) * page; }

  struct Live {
    HeldRange range;
    std::uint64_t size;
  };

  /// False when it was refused.
  bool grow(CarveoutRanges& ranges) {
    const std::uint64_t wanted = size();
    std::error_code ec;
    HeldRange held = ranges.allocate(wanted, page, ec);
    if (!held) {
      return false;
    }
    live.push_back({std::move(held), wanted});
    bytes += wanted;
    return true;
  }
  void shrink() {
    const std::size_t which = random_() % live.size();
    std::swap(live[which], live.back());
    bytes -= live.back().size;
    live.pop_back();
  }
  /// Gives random ones back and takes others, at @p level bytes, until @p factor times as many were taken as there are.
  int churn(CarveoutRanges& ranges, std::uint64_t level, std::size_t factor) {
    int refused = 0;
    while (bytes < level && refused == 0) {
      refused += grow(ranges) ? 0 : 1;
    }
    for (std::size_t round = factor * live.size(); round > 0 && refused == 0; --round) {
      shrink();
      while (bytes < level && refused == 0) {
        refused += grow(ranges) ? 0 : 1;
      }
    }
    return refused;
  }

  std::vector<Live> live;
  std::uint64_t bytes = 0;

private:
  std::mt19937 random_;
  std::uniform_real_distribution<double> exponent_{0, 12};
};

} // namespace

TEST_CASE("1,000 live ranges are locked, do not overlap and cost one descriptor") {
  const Folder folder;
  const std::uint64_t size = 4096 * mebibyte;
  CarveoutRanges ranges(folder / "lock", base, size);
  CarveoutRanges other(folder / "lock", base, size);
  const int before = support::open_descriptors();
  Workload work(1);
  REQUIRE(work.churn(ranges, size / 10 * 6, 2) == 0);
  CHECK(work.live.size() > 1000);
  CHECK(support::open_descriptors() == before + 1);
  std::sort(work.live.begin(), work.live.end(), [](const auto& a, const auto& b) { return a.range.start() < b.range.start(); });
  std::uint64_t end = base;
  int wrong = 0;
  for (const auto& one : work.live) {
    wrong += one.range.start() >= end ? 0 : 1;
    end = one.range.start() + one.size;
    wrong += locked(folder / "lock", one.range.start(), page) && locked(folder / "lock", end - page, page) ? 0 : 1;
  }
  CHECK(wrong == 0);
  CHECK(end <= base + size);
  work.live.clear();
  CHECK(get(other, size));
}

TEST_CASE("a range that one process frees is free for another at once, and nothing else is locked") {
  const Folder folder;
  const std::uint64_t size = 1024 * page;
  CarveoutRanges ranges(folder / "lock", base, size);
  CarveoutRanges other(folder / "lock", base, size);
  std::vector<HeldRange> held;
  for (std::uint64_t i = 0; i < size / page; ++i) {
    held.push_back(get(ranges, page));
    REQUIRE(held.back());
  }
  CHECK_FALSE(get(other, page));
  std::mt19937 random(3);
  std::shuffle(held.begin(), held.end(), random);
  while (!held.empty()) {
    held.resize(held.size() - 256);
    CHECK(locked_frames(folder / "lock", size) == held.size());
    CHECK(static_cast<bool>(get(other, page)));
  }
  CHECK(get(other, size));
}

TEST_CASE("a killed process' range is free") {
  const Folder folder;
  CarveoutRanges ranges(folder / "lock", base, 4096 * page);
  const support::SocketPair turns(SOCK_STREAM);
  const pid_t holder = support::start([&] {
    CarveoutRanges own(folder / "lock", base, 4096 * page);
    std::vector<HeldRange> held;
    for (int i = 0; i < 4096; ++i) {
      held.push_back(get(own, page));
    }
    support::signal_peer(turns.b);
    ::pause();
    return 1;
  });
  REQUIRE(support::wait_for_peer(turns.a));
  CHECK(locked_frames(folder / "lock", 4096 * page) == 4096);
  ::kill(holder, SIGKILL);
  CHECK(support::finish(holder) == 128 + SIGKILL);
  CHECK(get(ranges, 4096 * page));
}

TEST_CASE("the receiver of a handle holds the range beside the sender and after it") {
  const Folder folder;
  CarveoutRanges ranges(folder / "lock", base, 16 * page);
  CarveoutRanges other(folder / "lock", base, 16 * page);
  std::error_code ec;
  HeldRange held = get(ranges, 16 * page);
  sa::UniqueFd peers{::dup(held.handle(ec))};
  CHECK_FALSE(ec);
  CHECK(held.handle(ec) == held.handle(ec)); // one description, however often it is sent
  CHECK(other.holds(peers.get(), base, 16 * page));
  held.reset();
  CHECK(other.holds(peers.get(), base, 16 * page));
  CHECK_FALSE(get(other, page));
  CHECK_FALSE(get(ranges, page)); // the sender himself
  peers.reset();
  CHECK(get(ranges, 16 * page));
  held = get(ranges, 8 * page);
  peers = sa::UniqueFd{::dup(held.handle(ec))};
  peers.reset(); // the peer is the first to let go
  CHECK_FALSE(get(other, 16 * page));
  CHECK(get(other, 8 * page));
  held.reset();
  CHECK(get(other, 16 * page));
}

TEST_CASE("a sender does not get a range again that its peer holds") {
  const Folder folder;
  CarveoutRanges ranges(folder / "lock", base, 256 * page);
  std::vector<HeldRange> held;
  for (int i = 0; i < 256; ++i) {
    held.push_back(get(ranges, page));
  }
  std::error_code ec;
  sa::UniqueFd peers{::dup(held[100].handle(ec))};
  held[100].reset();
  CHECK_FALSE(get(ranges, page));
  peers.reset();
  CHECK(get(ranges, page).start() == base + 100 * page);
}

TEST_CASE("a sender that dies at any step of a send leaves nothing held, and one whose call fails keeps its range") {
  const Folder folder;
  CarveoutRanges ranges(folder / "lock", base, 16 * page);
  enum class Step { Open, Own, Handle };
  for (const Step step : {Step::Open, Step::Own, Step::Handle}) {
    for (const int error : {0, ENOLCK}) {
      CAPTURE(static_cast<int>(step));
      CAPTURE(error);
      const support::SocketPair turns(SOCK_STREAM);
      const pid_t sender = support::start([&] {
        CarveoutRanges own(folder / "lock", base, 16 * page);
        const int locks = lowest_free_descriptor();
        HeldRange held = get(own, 8 * page);
        const int handle = lowest_free_descriptor();
        const support::Injection open{"openat", SYS_openat, error};
        const support::Injection lock{"fcntl", SYS_fcntl, error,
                                      0,       ~0U,       static_cast<unsigned>(step == Step::Own ? locks : handle)};
        std::error_code ec;
        const bool as_told = held && support::inject(step == Step::Open ? open : lock) && held.handle(ec) == -1;
        support::signal_peer(turns.b);
        if (as_told && ec.value() == error) {
          ::pause();
        }
        return 3;
      });
      if (error == 0) {
        CHECK(support::finish(sender) == 128 + SIGSYS);
      } else {
        CHECK(support::wait_for_peer(turns.a));
        CHECK_FALSE(get(ranges, 9 * page)); // held as before
        CHECK(get(ranges, 8 * page).start() == base + 8 * page);
        ::kill(sender, SIGKILL);
        CHECK(support::finish(sender) == 128 + SIGKILL);
      }
      CHECK(get(ranges, 16 * page));
    }
  }
}

TEST_CASE("while a range passes from sender to peer no other process gets it") {
  const Folder folder;
  CarveoutRanges ranges(folder / "lock", base, page);
  CarveoutRanges other(folder / "lock", base, page);
  std::atomic<bool> stop{false};
  std::atomic<bool> held_here{false};
  std::atomic<int> stolen{0};
  std::atomic<int> taken{0};
  std::thread thief([&] {
    while (!stop) {
      std::error_code ec;
      if (const HeldRange got = other.allocate(page, page, ec)) {
        stolen += held_here ? 1 : 0;
        ++taken;
      }
    }
  });
  int rounds = 0;
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while ((rounds < 2000 || taken < 100) && std::chrono::steady_clock::now() < until) {
    std::error_code ec;
    HeldRange held = ranges.allocate(page, page, ec);
    if (held) {
      held_here = true;
      const sa::UniqueFd peers{::dup(held.handle(ec))};
      held.reset();
      held_here = false;
      ++rounds;
    }
  }
  stop = true;
  thief.join();
  CHECK(stolen == 0);
  CHECK(taken > 0); // it did try
}

TEST_CASE("without a descriptor to spare a handle is EMFILE, and the range stays") {
  CHECK(support::in_child([] {
          const Folder folder;
          CarveoutRanges ranges(folder / "lock", base, 4 * page);
          HeldRange held = get(ranges, page);
          const auto now = static_cast<rlim_t>(lowest_free_descriptor());
          const rlimit tight{now, 4096};
          ::setrlimit(RLIMIT_NOFILE, &tight);
          std::error_code ec;
          if (held.handle(ec) != -1 || ec != std::errc::too_many_files_open) {
            return 2;
          }
          const rlimit wide{4096, 4096};
          ::setrlimit(RLIMIT_NOFILE, &wide);
          ec.clear();
          return ranges.holds(held.handle(ec), base, page) ? support::passed : 3;
        }) == support::passed);
}

TEST_CASE("parent and child let go of what they had at the fork each by itself") {
  const Folder folder;
  CarveoutRanges ranges(folder / "lock", base, 12 * page);
  CarveoutRanges other(folder / "lock", base, 12 * page);
  const support::SocketPair turns(SOCK_STREAM);
  std::vector<HeldRange> held;
  for (int i = 0; i < 3; ++i) {
    held.push_back(get(ranges, 4 * page));
  }
  const pid_t child = support::start([&] {
    held[0].reset(); // the first to let go
    support::signal_peer(turns.b);
    support::wait_for_peer(turns.b);
    held[1].reset(); // the last to let go
    const bool again = get(ranges, 8 * page).start() == base;
    support::signal_peer(turns.b);
    support::wait_for_peer(turns.b); // and ends with the third
    return again ? support::passed : 2;
  });
  REQUIRE(support::wait_for_peer(turns.a));
  CHECK_FALSE(get(other, page)); // the parent has all
  held[0].reset();
  CHECK(get(other, 4 * page).start() == base);
  held[1].reset();
  held[2].reset();
  CHECK_FALSE(get(ranges, 5 * page)); // the child has two
  CHECK(get(ranges, 4 * page).start() == base);
  support::signal_peer(turns.a);
  REQUIRE(support::wait_for_peer(turns.a));
  CHECK(get(ranges, 8 * page).start() == base);
  CHECK_FALSE(get(ranges, 9 * page));
  support::signal_peer(turns.a);
  CHECK(support::finish(child) == support::passed);
  CHECK(get(ranges, 12 * page));
}

TEST_CASE("a child forked while nothing is held has locks of its own") {
  const Folder folder;
  CarveoutRanges ranges(folder / "lock", base, 8 * page);
  CHECK(get(ranges, page)); // and given back
  const support::SocketPair turns(SOCK_STREAM);
  const pid_t child = support::start([&] {
    HeldRange own = get(ranges, 4 * page);
    support::signal_peer(turns.b);
    support::wait_for_peer(turns.b);
    own.reset(); // and nothing of the parent's
    support::signal_peer(turns.b);
    support::wait_for_peer(turns.b);
    return support::passed;
  });
  REQUIRE(support::wait_for_peer(turns.a));
  CHECK_FALSE(get(ranges, 8 * page));
  const HeldRange mine = get(ranges, 4 * page);
  CHECK(mine.start() == base + 4 * page);
  support::signal_peer(turns.a);
  REQUIRE(support::wait_for_peer(turns.a));
  CHECK(locked_frames(folder / "lock", 8 * page) == 4);
  support::signal_peer(turns.a);
  CHECK(support::finish(child) == support::passed);
}

TEST_CASE("a child keeps what it inherited when its parent is killed") {
  const Folder folder;
  CarveoutRanges ranges(folder / "lock", base, 8 * page);
  const support::SocketPair turns(SOCK_STREAM);
  const pid_t parent = support::start([&] {
    const HeldRange held = get(ranges, 4 * page);
    support::start([&] {
      support::signal_peer(turns.b);
      support::wait_for_peer(turns.b);
      ::kill(::getpid(), SIGKILL);
      return 1;
    });
    ::pause();
    return 1;
  });
  REQUIRE(support::wait_for_peer(turns.a));
  ::kill(parent, SIGKILL);
  CHECK(support::finish(parent) == 128 + SIGKILL);
  CHECK(locked_frames(folder / "lock", 8 * page) == 4);
  CHECK_FALSE(get(ranges, 5 * page));
  support::signal_peer(turns.a);
  for (int wait = 0; wait < 1000 && locked(folder / "lock", base, 8 * page); ++wait) {
    ::usleep(10000); // the grandchild ends by itself
  }
  CHECK(get(ranges, 8 * page));
}

TEST_CASE("parent and child take different ranges after a fork, and each finds the ranges that the other gave back") {
  const Folder folder;
  CarveoutRanges ranges(folder / "lock", base, 6 * page);
  std::vector<HeldRange> held;
  for (int i = 0; i < 3; ++i) {
    held.push_back(get(ranges, page));
  }
  const support::SocketPair turns(SOCK_STREAM);
  const pid_t child = support::start([&] {
    const HeldRange own = get(ranges, page);
    support::signal_peer(turns.b);
    support::wait_for_peer(turns.b);
    return own.start() == base + 3 * page ? support::passed : 2;
  });
  REQUIRE(support::wait_for_peer(turns.a));
  held[2].reset(); // the child's lock on it reaches down to what the parent has, too
  const HeldRange next = get(ranges, page);
  CHECK(next.start() == base + 4 * page);
  held[1].reset();
  held[0].reset();
  CHECK_FALSE(get(ranges, 2 * page)); // 3 of before and 1 are the child's
  support::signal_peer(turns.a);
  CHECK(support::finish(child) == support::passed);
  CHECK(get(ranges, 4 * page).start() == base);
  CHECK(locked_frames(folder / "lock", 6 * page) == 1);
}

TEST_CASE("a fork for which there is no descriptor loses no range to others") {
  CHECK(support::in_child([] {
          const Folder folder;
          CarveoutRanges ranges(folder / "lock", base, 8 * page);
          CarveoutRanges other(folder / "lock", base, 8 * page);
          const support::SocketPair turns(SOCK_STREAM);
          HeldRange held = get(ranges, 4 * page);
          const rlimit tight{static_cast<rlim_t>(lowest_free_descriptor()), 4096};
          ::setrlimit(RLIMIT_NOFILE, &tight);
          const pid_t child = support::start([&] {
            held.reset();
            support::signal_peer(turns.b);
            support::wait_for_peer(turns.b);
            return support::passed;
          });
          const rlimit wide{4096, 4096};
          ::setrlimit(RLIMIT_NOFILE, &wide);
          support::wait_for_peer(turns.a);
          const bool kept = !get(other, 5 * page) && static_cast<bool>(get(ranges, 4 * page));
          held.reset();
          const bool still = !get(other, 5 * page) && !get(ranges, 5 * page);
          support::signal_peer(turns.a);
          return kept && still && support::finish(child) == support::passed ? support::passed : 2;
        }) == support::passed);
}

namespace {

/// What processes that share frames write into them; mapped by all of a test's processes.
class Frames {
public:
  /// The last one counts the processes that found something wrong.
  explicit Frames(std::size_t count) : count_(count + 1) {
    tags_ = static_cast<std::atomic<std::uint64_t>*>(
        ::mmap(nullptr, count_ * sizeof(*tags_), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  }
  Frames(const Frames&) = delete;
  Frames& operator=(const Frames&) = delete;
  ~Frames() { ::munmap(tags_, count_ * sizeof(*tags_)); }

  void write(std::uint64_t start, std::uint64_t size, std::uint64_t tag) {
    for (std::uint64_t at = (start - base) / page; at < (start - base + size) / page; ++at) {
      tags_[at].store(tag, std::memory_order_relaxed);
    }
  }
  [[nodiscard]] bool are(std::uint64_t start, std::uint64_t size, std::uint64_t tag) const {
    for (std::uint64_t at = (start - base) / page; at < (start - base + size) / page; ++at) {
      if (tags_[at].load(std::memory_order_relaxed) != tag) {
        return false;
      }
    }
    return true;
  }

  [[nodiscard]] std::atomic<std::uint64_t>& wrong() const { return tags_[count_ - 1]; }

private:
  std::atomic<std::uint64_t>* tags_;
  std::size_t count_;
};

/// A range that came with a handle, as do_accept() takes one.
struct Message {
  std::uint64_t start;
  std::uint64_t size;
  std::uint64_t tag;
};

void send_range(int socket, HeldRange& range, Message message) {
  std::error_code ec;
  const int fd = range.handle(ec);
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))]{};
  iovec part{&message, sizeof message};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  cmsghdr* rights = CMSG_FIRSTHDR(&header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  (void)::sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
}

sa::UniqueFd receive_range(int socket, Message& message) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))]{};
  iovec part{&message, sizeof message};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  int fd = -1;
  if (::recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) == sizeof message && CMSG_FIRSTHDR(&header) != nullptr) {
    std::memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&header)), sizeof fd);
  }
  return sa::UniqueFd{fd};
}

/// Allocates, checks, sends, receives and frees at random, and sometimes forks a child that does so with a half of what it
/// has, for a while. Ends only when it is killed, unless a range was somebody else's too.
int live_wild(CarveoutRanges& ranges, Frames& frames, int outbox, int inbox, unsigned seed) {
  struct Live {
    HeldRange range;
    sa::UniqueFd received;
    Message what{};
  };
  std::mt19937 random(seed);
  std::vector<Live> live;
  std::uint64_t next = std::uint64_t{seed} << 32;
  bool child = false;
  ::signal(SIGCHLD, SIG_IGN); // nobody waits for them
  for (int left = -1; left != 0; left -= child ? 1 : 0) {
    const unsigned dice = random() % 100;
    if (dice < 45) {
      const std::uint64_t size = (1 + random() % (std::uint64_t{1} << random() % 6)) * page;
      std::error_code ec;
      HeldRange range = ranges.allocate(size, page, ec);
      if (range) {
        const Message what{range.start(), size, ++next};
        frames.write(what.start, size, what.tag);
        live.push_back({std::move(range), {}, what});
      } else {
        live.resize(live.size() / 2);
      }
    } else if (dice < 85) {
      if (live.empty()) {
        continue;
      }
      std::swap(live[random() % live.size()], live.back());
      if (!frames.are(live.back().what.start, live.back().what.size, live.back().what.tag)) {
        ++frames.wrong();
        return 3;
      }
      live.pop_back();
    } else if (dice < 92) {
      if (!live.empty() && live.back().range) {
        send_range(outbox, live.back().range, live.back().what);
      }
    } else if (dice < 99) {
      Message what{};
      if (sa::UniqueFd handle = receive_range(inbox, what)) {
        if (!ranges.holds(handle.get(), what.start, what.size) || !frames.are(what.start, what.size, what.tag)) {
          ++frames.wrong();
          return 4;
        }
        live.push_back({{}, std::move(handle), what});
      }
    } else if (!child && random() % 50 == 0) {
      child = ::fork() == 0;
      std::vector<Live> half;
      for (std::size_t i = 0; i < live.size(); ++i) {
        if (i % 2 == (child ? 0 : 1)) {
          half.push_back(std::move(live[i]));
        }
      }
      live = std::move(half);
      if (child) {
        left = 1000;
        next |= static_cast<std::uint64_t>(::getpid()) << 48;
        random.seed(static_cast<unsigned>(::getpid()));
      }
    }
  }
  ::_exit(0);
}

} // namespace

TEST_CASE("processes that allocate, send, fork and are killed at any instant never have the same frames") {
  const Folder folder;
  constexpr std::size_t count = 512;
  Frames frames(count);
  CarveoutRanges ranges(folder / "lock", base, count * page);
  {
    const support::SocketPair mail(SOCK_DGRAM);
    unsigned seed = 0;
    const auto spawn = [&] {
      ++seed;
      return support::start([&] { return live_wild(ranges, frames, mail.a, mail.b, seed); });
    };
    std::vector<pid_t> processes{spawn(), spawn(), spawn()};
    for (unsigned round = 0; round < 50; ++round) {
      ::usleep(20000);
      pid_t& victim = processes[round % processes.size()];
      ::kill(victim, SIGKILL);
      CHECK(support::finish(victim) == 128 + SIGKILL); // otherwise it had found something wrong
      victim = spawn();
    }
    for (const pid_t process : processes) {
      ::kill(process, SIGKILL);
      CHECK(support::finish(process) == 128 + SIGKILL);
    }
  }
  for (int wait = 0; wait < 1000 && locked(folder / "lock", base, count * page); ++wait) {
    ::usleep(10000); // forked ones end by themselves
  }
  CHECK(frames.wrong() == 0);
  CHECK(get(ranges, count * page));
}
