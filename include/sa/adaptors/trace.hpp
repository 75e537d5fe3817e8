// SPDX-License-Identifier: MIT
/// @file trace.hpp
/// An adaptor that remembers who allocated each buffer that is alive.
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

}} // namespace sa::v0
