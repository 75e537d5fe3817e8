// SPDX-License-Identifier: MIT
#include <sa/adaptors/trace.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <mutex>
#include <new>
#include <utility>

#include <pthread.h>
#include <unistd.h>
#if __has_include(<execinfo.h>)
#include <execinfo.h>
#endif

#include <fmt/format.h>

#include "core/base/failure.hpp"
#include "core/base/fork.hpp"
#include "core/base/log.hpp"
#include "core/base/system_facts.hpp"

namespace sa { inline namespace v0 {
namespace {

constexpr unsigned deepest_stack = 64;

/// Return addresses of this thread, from the caller on; at most @p depth.
[[gnu::noinline]] std::vector<void*> call_stack(unsigned depth) {
#if __has_include(<execinfo.h>)
  if (depth != 0) {
    std::array<void*, deepest_stack + 1> addresses{};
    const int found = ::backtrace(addresses.data(), static_cast<int>(depth) + 1);
    if (found > 1) { // the first is here
      return std::vector<void*>(addresses.begin() + 1, addresses.begin() + found);
    }
  }
#else
  (void)depth;
#endif
  return {};
}

/// "module(function+0x12) [0x7f...]" for each address.
std::vector<std::string> symbols(const std::vector<void*>& stack) {
  std::vector<std::string> found;
#if __has_include(<execinfo.h>)
  if (!stack.empty()) {
    const std::unique_ptr<char*, decltype(&std::free)> texts(::backtrace_symbols(stack.data(), static_cast<int>(stack.size())),
                                                             &std::free);
    for (std::size_t i = 0; texts != nullptr && i < stack.size(); ++i) {
      found.emplace_back(texts.get()[i]);
    }
  }
#else
  (void)stack;
#endif
  return found;
}

} // namespace

namespace detail {

/// One buffer that is alive.
class Entry final : public Attachment {
public:
  Entry(std::shared_ptr<Ledger> ledger, TraceRecord record) noexcept
      : ledger_(std::move(ledger)), record_(std::move(record)), process_(fork_generation()) {}
  ~Entry() override;

  /// The buffer is there: lists it.
  void begin() noexcept;

  [[nodiscard]] TraceRecord& record() noexcept { return record_; }

private:
  friend class Ledger;

  std::shared_ptr<Ledger> ledger_;
  TraceRecord record_;
  unsigned process_; ///< fork_generation() of the process that allocated it
  bool listed_ = false;
  Entry* before_ = nullptr;
  Entry* after_ = nullptr;
};

/// The records of a Trace. They outlive it as long as one of its buffers lives.
class Ledger {
public:
  Ledger(TraceOptions options, std::string name) : options_(std::move(options)), name_(std::move(name)) {}

  [[nodiscard]] const TraceOptions& options() const noexcept { return options_; }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

  /// The record of a request before it is served.
  [[nodiscard]] TraceRecord request(std::string_view name, std::size_t size);

  void list(Entry& entry) noexcept;
  void strike(Entry& entry) noexcept;
  [[nodiscard]] std::vector<TraceRecord> live(bool of_this_process) const;

  void tell(const TraceEvent& event) const noexcept;
  /// The buffers that this process has left alive; only the first call returns them.
  void report() noexcept;
  /// The Trace has ended: it reports nothing any more.
  void close() noexcept { closed_.store(true, std::memory_order_relaxed); }

private:
  TraceOptions options_;
  std::string name_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::atomic<std::uint64_t> requests_{0};
  std::atomic<bool> closed_{false};
  std::atomic<bool> reported_{false};
  Entry* first_ = nullptr; ///< guarded by the lock of Ledgers, as the entries' links
  Entry* last_ = nullptr;
};

namespace {

/// All traces. The lock is theirs together: one is easily held over a fork, and none is held while anything is called that
/// could take another.
struct Ledgers {
  std::mutex lock;
  std::vector<std::weak_ptr<Ledger>> open; ///< whose Trace lives
};

// Never destroyed: buffers end while other objects' destructors run.
Ledgers& ledgers() {
  static auto* const all = new Ledgers;
  return *all;
}

/// Reports, at exit, for the traces that were not destroyed.
struct AtExit {
  AtExit() = default;
  AtExit(const AtExit&) = delete;
  AtExit& operator=(const AtExit&) = delete;
  ~AtExit() {
    std::vector<std::shared_ptr<Ledger>> left;
    try {
      const std::lock_guard guard(ledgers().lock);
      left.reserve(ledgers().open.size());
      for (const auto& one : ledgers().open) {
        if (auto ledger = one.lock()) {
          left.push_back(std::move(ledger));
        }
      }
    } catch (...) { // no memory for the list
      return;
    }
    for (const auto& ledger : left) {
      ledger->report();
    }
  }
};

void open(const std::shared_ptr<Ledger>& ledger) {
  // The logger first: what is made before at_exit is destroyed after it.
  log_debug([&] { return fmt::format("{} is traced", ledger->name()); });
  static const AtExit at_exit;
  static const int registered =
      ::pthread_atfork([] { ledgers().lock.lock(); }, [] { ledgers().lock.unlock(); }, [] { ledgers().lock.unlock(); });
  if (registered != 0) {
    throw std::bad_alloc();
  }
  const std::lock_guard guard(ledgers().lock);
  ledgers().open.emplace_back(ledger);
}

void close(const std::shared_ptr<Ledger>& ledger) noexcept {
  const std::lock_guard guard(ledgers().lock);
  // By owner: no ledger may end under the lock.
  std::erase_if(ledgers().open, [&](const auto& one) { return !one.owner_before(ledger) && !ledger.owner_before(one); });
}

} // namespace

Entry::~Entry() {
  if (listed_) {
    ledger_->strike(*this);
    ledger_->tell({TraceEvent::Kind::Freed, record_});
  }
}

void Entry::begin() noexcept {
  ledger_->list(*this);
  ledger_->tell({TraceEvent::Kind::Allocated, record_});
}

TraceRecord Ledger::request(std::string_view name, std::size_t size) {
  TraceRecord record;
  record.since_start = std::chrono::steady_clock::now() - start_;
  record.time = std::chrono::system_clock::now();
  record.number = requests_.fetch_add(1, std::memory_order_relaxed) + 1;
  record.name = name;
  record.size = size;
  record.heap = name_;
  record.thread = ::gettid();
  std::array<char, 16> thread_name{}; // TASK_COMM_LEN
  ::pthread_getname_np(::pthread_self(), thread_name.data(), thread_name.size());
  record.thread_name = thread_name.data();
  record.stack = call_stack(options_.stack_depth);
  return record;
}

void Ledger::list(Entry& entry) noexcept {
  const std::lock_guard guard(ledgers().lock);
  entry.listed_ = true;
  entry.before_ = last_;
  (last_ != nullptr ? last_->after_ : first_) = &entry;
  last_ = &entry;
}

void Ledger::strike(Entry& entry) noexcept {
  const std::lock_guard guard(ledgers().lock);
  (entry.before_ != nullptr ? entry.before_->after_ : first_) = entry.after_;
  (entry.after_ != nullptr ? entry.after_->before_ : last_) = entry.before_;
}

std::vector<TraceRecord> Ledger::live(bool of_this_process) const {
  std::vector<TraceRecord> found;
  {
    const std::lock_guard guard(ledgers().lock);
    for (const Entry* entry = first_; entry != nullptr; entry = entry->after_) {
      if (!of_this_process || entry->process_ == fork_generation()) {
        found.push_back(entry->record_);
      }
    }
  }
  // They are listed when they were there, and numbered when they were asked for.
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.number < b.number; });
  return found;
}

void Ledger::tell(const TraceEvent& event) const noexcept {
  if (options_.on_event && !closed_.load(std::memory_order_relaxed)) {
    try {
      options_.on_event(event);
    } catch (...) { // NOLINT(bugprone-empty-catch): an observer must not harm an allocation
    }
  }
}

void Ledger::report() noexcept {
  if (reported_.exchange(true, std::memory_order_relaxed)) {
    return;
  }
  try {
    const std::vector<TraceRecord> left = live(true);
    if (left.empty()) {
      return;
    }
    if (options_.on_leak) {
      options_.on_leak(left);
      return;
    }
    std::size_t bytes = 0;
    for (const TraceRecord& record : left) {
      bytes += record.size;
    }
    log_warning([&] { return fmt::format("{}: buffers still alive: {}, {}", name_, left.size(), bytes_text(bytes)); });
    for (const TraceRecord& record : left) {
      log_warning([&] { return fmt::format("{}: still alive: {}", name_, to_string(record)); });
    }
  } catch (...) { // NOLINT(bugprone-empty-catch): no memory for the report, or the callback's own trouble
  }
}

} // namespace detail

std::string to_string(const TraceRecord& record) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(record.time);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  std::array<char, 32> wall{};
  std::strftime(wall.data(), wall.size(), "%Y-%m-%d %H:%M:%S UTC", &utc);
  std::string text =
      fmt::format("{}{} from {}, request {}, by thread {} ({}), {:.3f} s after the start, at {}", detail::bytes_text(record.size),
                  record.name.empty() ? std::string() : fmt::format(" \"{}\"", record.name), record.heap, record.number,
                  record.thread, record.thread_name, std::chrono::duration<double>(record.since_start).count(), wall.data());
  for (const std::string& frame : symbols(record.stack)) {
    text += "\n    " + frame;
  }
  return text;
}

Trace::Trace(std::shared_ptr<Heap> upstream, TraceOptions options) : Adaptor(std::move(upstream), options.name) {
  if (options.stack_depth > deepest_stack) {
    throw Error(detail::from_errno(EINVAL), info().name, "trace a heap",
                fmt::format("a stack_depth of {}; at most {} return addresses are kept", options.stack_depth, deepest_stack));
  }
  (void)call_stack(options.stack_depth); // the first loads a library
  ledger_ = std::make_shared<detail::Ledger>(std::move(options), info().name);
  detail::open(ledger_);
}

Trace::~Trace() {
  detail::close(ledger_);
  ledger_->report();
  ledger_->close();
}

std::vector<TraceRecord> Trace::live() const {
  return ledger_->live(false);
}

DmaBuf Trace::do_allocate(const AllocRequest& request, std::error_code& ec) {
  auto entry = std::make_unique<detail::Entry>(ledger_, ledger_->request(request.name, request.size));
  DmaBuf buffer;
  std::string sentence;
  if (ledger_->options().on_event) { // which reads the sentence, whether our caller does or not
    const detail::Explanation inner;
    buffer = upstream().allocate(request, ec);
    sentence = inner.text();
  } else {
    buffer = upstream().allocate(request, ec);
  }
  if (!buffer) {
    if (!sentence.empty()) {
      explain(sentence);
    }
    ledger_->tell({TraceEvent::Kind::Failed, entry->record(), ec, sentence});
    return buffer;
  }
  entry->record().size = buffer.size();
  entry->record().heap = buffer.heap();
  entry->begin();
  attach(buffer, std::move(entry));
  return buffer;
}

}} // namespace sa::v0
