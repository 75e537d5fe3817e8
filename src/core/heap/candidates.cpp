// SPDX-License-Identifier: MIT
#include "core/heap/candidates.hpp"

#include <algorithm>
#include <array>
#include <numeric>

#include <fmt/format.h>

#include "core/base/failure.hpp"
#include "core/base/log.hpp"
#include "core/base/system_facts.hpp"
#include "core/heap/request.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

/// The errors on which one moves on, the most telling last: what is reported in the end is the one that came
/// nearest to success.
constexpr std::array moves_on_at{EOPNOTSUPP, ENOENT, ENODEV, EACCES, EPERM, EDQUOT, ENOMEM};

/// How near to success an error came, larger is nearer; negative for one at which no other heap is tried.
int telling(const std::error_code& ec) noexcept {
  const auto* const at = std::find(moves_on_at.begin(), moves_on_at.end(), ec.value());
  return at == moves_on_at.end() ? -1 : static_cast<int>(at - moves_on_at.begin());
}

} // namespace

HeapInfo describe(std::string name, const std::vector<Candidate>& candidates) {
  HeapInfo info;
  info.name = std::move(name);
  for (const auto& [candidate, heap] : candidates) {
    if (heap == nullptr) {
      continue;
    }
    const HeapInfo& one = heap->info();
    info.traits = info.traits | one.traits;
    info.max_size = std::max(info.max_size, one.max_size);
    info.max_alignment = std::max({info.max_alignment, one.max_alignment, one.granularity});
    info.granularity = std::gcd(info.granularity, one.granularity);
    info.usable = info.usable || one.usable;
  }
  if (!info.usable) {
    info.reason = "no candidate is usable:";
    for (const auto& [candidate, heap] : candidates) {
      info.reason += fmt::format(" [{}: {}]", candidate, heap == nullptr ? "no such heap" : heap->info().reason);
    }
  }
  return info;
}

Attempts::Attempts() noexcept : explaining_(Explanation::current() != nullptr), nearest_(from_errno(EOPNOTSUPP)) {}

void Attempts::note(std::string_view name, std::string_view said) {
  if (explaining_) {
    text_ += fmt::format("{}[{}: {}]", text_.empty() ? "tried " : " ", name, said);
  }
}

bool Attempts::ask(std::string_view name, Heap* heap, std::span<const AllocRequest> requests) {
  std::error_code refused = from_errno(ENOENT);
  const auto allocate = [&] {
    refused.clear();
    check_wanted(heap->info(), requests[0], refused);
    for (std::size_t i = 0; i < requests.size() && !refused; ++i) {
      buffers_[i] = heap->allocate(requests[i], refused);
    }
    if (refused) {
      buffers_ = {};
    }
  };
  if (heap == nullptr) {
    note(name, "no such heap");
  } else if (explaining_) {
    const Explanation inner;
    allocate();
    if (refused) {
      const HeapInfo& info = heap->info(); // has the remedy for a node that is not there or not permitted
      const bool shut = refused == std::errc::no_such_file_or_directory || refused == std::errc::no_such_device ||
                        refused == std::errc::permission_denied || refused == std::errc::operation_not_permitted;
      note(name, shut && !info.usable ? info.reason : inner.text().empty() ? refused.message() : inner.text());
    }
  } else {
    allocate();
  }
  over_ = telling(refused) < 0; // as no error is, too
  if (over_ || telling(refused) > telling(nearest_)) {
    nearest_ = refused;
  }
  if (denied_ == nullptr && heap != nullptr && (refused.value() == EACCES || refused.value() == EPERM) &&
      heap->info().traits.contains(Trait::DmaBuf)) {
    denied_ = heap;
  }
  return over_;
}

DmaBuf Attempts::result(std::error_code& ec, const char* none, std::string_view besides) {
  if (nearest_) {
    fail(ec, nearest_.value(), [&] { return fmt::format("{}{}", text_.empty() ? none : text_, besides); });
  }
  return std::move(buffers_[0]);
}

std::vector<DmaBuf> Attempts::results(std::error_code& ec, const char* none, std::string_view besides) {
  std::vector<DmaBuf> all;
  all.reserve(buffers_.size());
  for (DmaBuf one = result(ec, none, besides); one && all.size() < buffers_.size();) {
    all.push_back(std::move(one));
    one = all.size() < buffers_.size() ? std::move(buffers_[all.size()]) : DmaBuf{};
  }
  return all;
}

DmaBuf allocate_from(const std::vector<Candidate>& candidates, const AllocRequest& request, std::atomic<bool>* warned,
                     std::error_code& ec) {
  Attempts attempts;
  // Twice: first those whose granularity fits the request, then those that would waste memory on it.
  for (const bool wasteful : {false, true}) {
    for (const auto& [name, heap] : candidates) {
      const bool wastes = heap != nullptr && heap->info().granularity > page_size() && heap->info().granularity > request.size;
      if (wastes == wasteful && !attempts.over()) {
        attempts.ask(name, heap.get(), request);
      }
    }
  }
  const Heap* const denied = attempts.denied();
  DmaBuf buffer = attempts.result(ec, "it has no candidates on this machine", "");
  if (warned != nullptr && denied != nullptr && buffer && !buffer.traits().contains(Trait::DmaBuf) && !warned->exchange(true)) {
    log_warning([&] {
      const HeapInfo& info = denied->info();
      return fmt::format("no device can import this memory, it is of {}: {} was passed over ({})", buffer.heap(), info.name,
                         info.usable ? from_errno(EACCES).message() : info.reason);
    });
  }
  return buffer;
}

}}} // namespace sa::v0::detail
