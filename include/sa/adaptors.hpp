// SPDX-License-Identifier: MIT
/// @file adaptors.hpp
/// Heaps around heaps: a limit, statistics, a fallback, a trace, failures for tests. Each hands requests on to its upstream
/// and can stand anywhere a heap can: in a registry, around another adaptor, below or above a Pool (docs/adaptors.md).
///
/// What all of them share. info() is the upstream's, as it was when the adaptor was made, with what the adaptor changes; an
/// empty name in the options leaves the upstream's name, and one is needed to register several. Whether a request can
/// be served is the upstream's to decide, except where the adaptor says otherwise. DmaBuf::heap() is the heap that made the
/// memory. Memory that a peer sent (Heap::accept()) is passed through, not counted. An adaptor may end before its buffers.
///
/// Above a Pool an adaptor sees each use of a buffer, below it the memory: see Heap::attach(), also for release().
///
/// fork(2): a child's numbers are its own copies, and go on from where its parent's were.
///
/// Threads: any number may use an adaptor at once.
#pragma once

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <sys/types.h>

#include <sa/dma_buf.hpp>
#include <sa/export.hpp>
#include <sa/heap.hpp>
#include <sa/types.hpp>
#include <sa/unique_fd.hpp>

namespace sa { inline namespace v0 {

namespace detail {
struct Candidate;
class Ledger;
class Quota;
class Tally;
}

/// What the adaptors below have in common, and what one of your own derives from: override do_allocate(), hand the request
/// on by upstream().allocate(request, ec), and attach() to the buffer what must learn of its end. Make that before you ask
/// upstream: then a failure to make it costs no buffer.
class SA_API Adaptor : public Heap {
public:
  ~Adaptor() override;

  [[nodiscard]] const HeapInfo& info() const noexcept override { return info_; }

protected:
  /// @param upstream the heap to ask; kept
  /// @param name info().name; empty: the upstream's
  /// @throws Error EINVAL: no upstream, a malformed name
  Adaptor(std::shared_ptr<Heap> upstream, std::string name);

  [[nodiscard]] Heap& upstream() const noexcept { return *upstream_; }

  /// For constructors: info() must not change later.
  [[nodiscard]] HeapInfo& describe() noexcept { return info_; }

  /// Refuses nothing: upstream decides.
  void check_fit(const AllocRequest& request, std::error_code& ec) const override;
  /// Hands it to upstream.
  DmaBuf do_accept(UniqueFd handle, std::uint64_t offset, std::size_t size, std::string_view name, std::error_code& ec) override;

private:
  std::shared_ptr<Heap> upstream_;
  HeapInfo info_;
};

// Limit

struct LimitOptions {
  /// Bytes in use at most, as large as the buffers really are.
  std::size_t max_bytes = std::numeric_limits<std::size_t>::max();
  /// Buffers in use at most.
  std::size_t max_buffers = std::numeric_limits<std::size_t>::max();
  std::string name{}; ///< info().name; empty: the upstream's
};

/// What is in use under a Limit. Each number is exact at one moment; together they are no snapshot.
struct LimitUse {
  std::size_t bytes = 0;
  std::size_t buffers = 0;

  friend bool operator==(const LimitUse&, const LimitUse&) = default;
};

/// Bounds what may be in use at once. A request over it is EDQUOT, and upstream is not asked; one larger than max_bytes is
/// ENOMEM, since it can never succeed: max_size is at most max_bytes.
///
/// A request is charged, as large as info().granularity rounds it, before upstream is asked, and corrected to the buffer's
/// size: a buffer that turns out larger than what is left goes back, EDQUOT. So the bounds hold at every moment, in every
/// thread's view, and a request that is going to fail upstream may for that time be why another is refused.
///
/// A charge ends when the buffer has ended and its memory went back; above a Pool with each use. Free buffers of a Pool
/// around the Limit are charged, and given back by the pool when the Limit refuses.
class SA_API Limit final : public Adaptor {
public:
  /// @throws Error EINVAL: no upstream, a malformed name
  explicit Limit(std::shared_ptr<Heap> upstream, LimitOptions options = {});
  ~Limit() override;

  [[nodiscard]] LimitUse use() const noexcept;

protected:
  DmaBuf do_allocate(const AllocRequest& request, std::error_code& ec) override;
  void check_fit(const AllocRequest& request, std::error_code& ec) const override;

private:
  std::shared_ptr<detail::Quota> quota_;
};

// Statistics

struct StatisticsOptions {
  std::string name{}; ///< info().name; empty: the upstream's
};

/// What went through a Statistics since it was made. In one reading, also one taken while others allocate and free:
/// live <= peak <= total, of the buffers and of the bytes. When nobody does, every number is exact; otherwise each is of
/// some moment during the reading, and peak may lack what was added during it.
struct HeapStatistics {
  std::uint64_t live_buffers = 0;  ///< in use
  std::uint64_t peak_buffers = 0;  ///< the most in use at once
  std::uint64_t total_buffers = 0; ///< allocations that succeeded
  std::uint64_t failures = 0;      ///< well-formed requests that upstream refused
  std::uint64_t live_bytes = 0;    ///< in use, as large as the buffers really are
  std::uint64_t peak_bytes = 0;    ///< the most in use at once
  std::uint64_t total_bytes = 0;   ///< of all allocations that succeeded

  friend bool operator==(const HeapStatistics&, const HeapStatistics&) = default;
};

/// Counts. Takes no lock.
class SA_API Statistics final : public Adaptor {
public:
  /// @throws Error EINVAL: no upstream, a malformed name
  explicit Statistics(std::shared_ptr<Heap> upstream, StatisticsOptions options = {});
  ~Statistics() override;

  [[nodiscard]] HeapStatistics read() const noexcept;

protected:
  DmaBuf do_allocate(const AllocRequest& request, std::error_code& ec) override;

private:
  std::shared_ptr<detail::Tally> tally_;
};

// Fallback

struct FallbackOptions {
  std::string name{}; ///< info().name; empty: the first upstream's
};

/// An alias of heap objects: tries its upstreams in order, and moves on when one is not permitted, lacks a required trait or
/// alignment, or is out of memory (ENOENT, ENODEV, EACCES, EPERM, EDQUOT, ENOMEM), and on nothing else. As with an alias
/// (registry.hpp), an upstream whose granularity is larger than the request is tried after the others, and the Error
/// lists every attempt and has the code of the one that came nearest.
///
/// info() is the first's, with the traits that any of them has, the largest max_size and max_alignment, the granularity
/// of which all sizes are multiples, and usable when any is. DmaBuf::traits() tells what one got. A peer's memory goes to
/// the first that accepts it.
class SA_API Fallback final : public Adaptor {
public:
  /// @throws Error EINVAL: no upstreams, a null one, a malformed name
  explicit Fallback(std::vector<std::shared_ptr<Heap>> upstreams, FallbackOptions options = {});
  ~Fallback() override;

protected:
  DmaBuf do_allocate(const AllocRequest& request, std::error_code& ec) override;
  DmaBuf do_accept(UniqueFd handle, std::uint64_t offset, std::size_t size, std::string_view name, std::error_code& ec) override;

private:
  std::vector<detail::Candidate> candidates_;
};

// Trace

/// Who asked for a buffer, and when.
struct TraceRecord {
  std::uint64_t number = 0;                          ///< of the request: a Trace counts them from 1
  std::string name;                                  ///< of the buffer, when it was allocated
  std::size_t size = 0;                              ///< bytes; of a request that failed, what was asked for
  std::string heap;                                  ///< that made the memory; of a request that failed, the Trace's name
  pid_t thread = 0;                                  ///< gettid(2)
  std::string thread_name;                           ///< pthread_getname_np(3)
  std::chrono::steady_clock::duration since_start{}; ///< from the making of the Trace to the request
  std::chrono::system_clock::time_point time;        ///< of the request
  std::vector<void*> stack;                          ///< return addresses, the innermost first; TraceOptions::stack_depth
};

/// "4096 bytes "frame" from memfd:4k, request 7, by thread 123 (decoder), 1.234 s after the start, at 2026-01-31 12:00:00
/// UTC"; below it a line for each frame of the stack, symbolised now (backtrace_symbols(3)).
[[nodiscard]] SA_API std::string to_string(const TraceRecord& record);

/// What a Trace saw happen.
struct TraceEvent {
  enum class Kind { Allocated, Failed, Freed };
  Kind kind;
  const TraceRecord& record;   ///< borrowed for the call
  std::error_code error{};     ///< of Failed
  std::string_view sentence{}; ///< of Failed: what an Error would say; borrowed for the call
};

struct TraceOptions {
  /// Return addresses kept of each request, at most 64; 0: none, which spares microseconds.
  unsigned stack_depth = 0;
  /// Called for each event by the thread that brings it about, without any lock: several at once. What it throws is lost.
  /// Not called any more once the Trace has ended.
  std::function<void(const TraceEvent&)> on_event{};
  /// Gets what is still alive when the Trace or the process ends, if anything is. By default the library's log does, a
  /// warning for each buffer. What it throws is lost. A Trace that lives until the process ends calls it then: what it
  /// refers to must live as long.
  std::function<void(const std::vector<TraceRecord>&)> on_leak{};
  std::string name{}; ///< info().name; empty: the upstream's
};

/// Remembers who allocated each buffer that is alive.
///
/// What is still alive when the Trace is destroyed is reported, once: to on_leak or the log. A Trace that is not destroyed
/// (Registry::system() never is) reports at exit(3), of _exit(2) and signals it does not hear. That is after main()'s
/// objects and the statics that were made after the process' first Trace have ended; a buffer that an earlier static
/// holds is reported though it is about to end. A Trace that is empty reports nothing. A forked child reports nothing of
/// its parent's.
///
/// It takes a lock, one for all traces, for some instructions of each allocation and of each end. Over a fork that lock
/// is held by the forking thread (pthread_atfork(3)), so that the child finds it free.
class SA_API Trace final : public Adaptor {
public:
  /// @throws Error EINVAL: no upstream, a malformed name, a stack_depth over 64
  explicit Trace(std::shared_ptr<Heap> upstream, TraceOptions options = {});
  /// Reports what is still alive. Buffers stay valid.
  ~Trace() override;

  /// The buffers that are alive, in the order of their requests. Above a Pool those in use; in a forked child
  /// also the copies of its parent's.
  /// @throws std::bad_alloc
  [[nodiscard]] std::vector<TraceRecord> live() const;

protected:
  DmaBuf do_allocate(const AllocRequest& request, std::error_code& ec) override;

private:
  std::shared_ptr<detail::Ledger> ledger_;
};

// Failing

/// Which requests fail: those that any of the first three says.
struct FailingOptions {
  std::uint64_t nth = 0;   ///< that one alone, counted from 1; 0: none
  std::uint64_t every = 0; ///< every so many: 3 fails the 3rd, 6th, 9th; 0: none
  double probability = 0;  ///< 0 to 1, each by itself
  std::uint64_t seed = 0;  ///< of probability: the same seed fails the same numbers
  int error = ENOMEM;      ///< errno they fail with, 1 to 4095
  std::string name{};      ///< info().name; empty: the upstream's
};

/// Makes allocations fail on purpose, for tests of what is done about it. Upstream is not asked then, and the sentence says
/// that the failure was made.
///
/// Well-formed requests are numbered as they come, and a request's fate depends on its number and the options alone: a run
/// that asks in the same order fails in the same places, and with several threads the same numbers fail, whichever thread
/// draws them.
class SA_API Failing final : public Adaptor {
public:
  /// @throws Error EINVAL: no upstream, a malformed name, a probability or an errno out of range
  explicit Failing(std::shared_ptr<Heap> upstream, FailingOptions options = {});
  ~Failing() override;

  /// Requests so far, failed ones too.
  [[nodiscard]] std::uint64_t count() const noexcept { return count_.load(std::memory_order_relaxed); }

protected:
  DmaBuf do_allocate(const AllocRequest& request, std::error_code& ec) override;

private:
  FailingOptions options_;
  std::atomic<std::uint64_t> count_{0};
};

}} // namespace sa::v0
