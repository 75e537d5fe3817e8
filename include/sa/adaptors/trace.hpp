// SPDX-License-Identifier: MIT
/// @file trace.hpp
/// An adaptor that records where each live buffer was allocated.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <sys/types.h>

#include <sa/adaptors/adaptor.hpp>
#include <sa/dma_buf.hpp>
#include <sa/export.hpp>
#include <sa/heap.hpp>
#include <sa/types.hpp>

namespace sa { inline namespace v0 {

namespace detail {
class Ledger;
}

/// One request for a buffer: the thread that made it, the time, and the call stack.
struct TraceRecord {
  std::uint64_t number = 0;                          ///< the request's number: a Trace counts requests from 1
  std::string name;                                  ///< the buffer's name when it was allocated
  std::size_t size = 0;                              ///< bytes: the buffer's size, or the requested size if the request failed
  std::string heap;                                  ///< the heap that made the memory, or the Trace's name if the request failed
  pid_t thread = 0;                                  ///< the requesting thread, gettid(2)
  std::string thread_name;                           ///< pthread_getname_np(3)
  std::chrono::steady_clock::duration since_start{}; ///< time from the creation of the Trace to the request
  std::chrono::system_clock::time_point time;        ///< time of the request
  std::vector<void*> stack;                          ///< return addresses, innermost first; at most TraceOptions::stack_depth
};

/// A record as text: "4096 bytes "frame" from memfd:4k, request 7, by thread 123 (decoder), 1.234 s after the start, at
/// 2026-01-31 12:00:00 UTC". A line for each frame of the stack follows. The frames get their symbols during this call
/// (backtrace_symbols(3)).
[[nodiscard]] SA_API std::string to_string(const TraceRecord& record);

/// An allocation, a failed request or the end of a buffer, as a Trace reports it.
struct TraceEvent {
  enum class Kind { Allocated, Failed, Freed };
  Kind kind;
  const TraceRecord& record;   ///< the request; valid during the call
  std::error_code error{};     ///< with Failed: the error
  std::string_view sentence{}; ///< with Failed: the sentence of an Error; valid during the call
};

struct TraceOptions {
  /// Number of return addresses kept for each request, at most 64. 0: none, which saves microseconds for each request.
  unsigned stack_depth = 0;
  /// Called for each event, on the thread that allocates or frees. No lock is held, so several calls can run at once.
  /// Exceptions that it throws are ignored. It is not called after the Trace has ended.
  std::function<void(const TraceEvent&)> on_event{};
  /// Called with the buffers that are still alive when the Trace or the process ends, if there are any. Empty: the
  /// library's log gets a warning for each buffer. Exceptions that the function throws are ignored. A Trace that lives
  /// until the process ends calls it at that time, so all that the function refers to must live as long.
  std::function<void(const std::vector<TraceRecord>&)> on_leak{};
  std::string name{}; ///< info().name; empty: the upstream's
};

/// An adaptor that records where each live buffer was allocated, and reports buffers that are never freed.
///
/// Buffers that are still alive when the Trace is destroyed are reported once, to on_leak or to the log. A Trace that is never
/// destroyed (Registry::system() keeps its heaps until the process ends) reports at exit(3); _exit(2) and a fatal signal end
/// the process without a report. The report at exit comes after the objects of main(), and the statics that were made after
/// the first Trace of the process, have ended. A buffer that an earlier static holds is reported although it is about to end.
/// A Trace without live buffers reports nothing. A forked child does not report buffers of its parent.
///
/// Threads: one lock guards all traces, held for some instructions of each allocation and each end of a buffer. The
/// forking thread holds this lock during fork(2) (pthread_atfork(3)), so that the child finds it free.
class SA_API Trace final : public Adaptor {
public:
  /// @throws Error EINVAL: no upstream, a malformed name, a stack_depth over 64
  explicit Trace(std::shared_ptr<Heap> upstream, TraceOptions options = {});
  /// Reports the buffers that are still alive. These buffers stay valid.
  ~Trace() override;

  /// The buffers that are alive, in the order of their requests. A Trace above a Pool lists the buffers in use. In a
  /// forked child the list also has the child's copies of its parent's buffers.
  /// @throws std::bad_alloc
  [[nodiscard]] std::vector<TraceRecord> live() const;

protected:
  DmaBuf do_allocate(const AllocRequest& request, std::error_code& ec) override;

private:
  std::shared_ptr<detail::Ledger> ledger_;
};

}} // namespace sa::v0
