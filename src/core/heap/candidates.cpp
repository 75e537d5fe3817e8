// SPDX-License-Identifier: MIT
#include "core/heap/candidates.hpp"

#include <algorithm>
#include <array>
#include <numeric>

#include <fmt/format.h>

#include "core/base/failure.hpp"
#include "core/base/system_facts.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

/// The errors on which one moves on, the most telling last: what is reported in the end is the one that came
/// nearest to success.
constexpr std::array moves_on_at{ENOENT, ENODEV, EACCES, EPERM, EDQUOT, ENOMEM};

/// Whether @p info can be what @p request asks for at all.
bool suits(const HeapInfo& info, const AllocRequest& request) {
  return info.traits.contains(request.require) && request.alignment <= std::max(info.max_alignment, info.granularity);
}

} // namespace

int telling(const std::error_code& ec) noexcept {
  const auto* const at = std::find(moves_on_at.begin(), moves_on_at.end(), ec.value());
  return at == moves_on_at.end() ? -1 : static_cast<int>(at - moves_on_at.begin());
}

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

DmaBuf allocate_from(const std::vector<Candidate>& candidates, const AllocRequest& request, std::error_code& ec) {
  const bool explaining = Explanation::current() != nullptr;
  std::string attempts;
  const auto note = [&](const std::string& name, const std::string& said) {
    attempts += fmt::format("{}[{}: {}]", attempts.empty() ? "" : " ", name, said);
  };
  std::error_code nearest = from_errno(EOPNOTSUPP); // nothing suited
  bool wasteful_left = false;
  // Twice: first those whose granularity fits the request, then those that would waste memory on it.
  for (const bool wasteful : {false, true}) {
    if (wasteful && !wasteful_left) {
      break;
    }
    for (const auto& [name, heap] : candidates) {
      const bool wastes = heap != nullptr && heap->info().granularity > page_size() && heap->info().granularity > request.size;
      if (wastes != wasteful) {
        wasteful_left = wasteful_left || wastes;
        continue;
      }
      std::error_code attempt;
      if (heap == nullptr) {
        attempt = from_errno(ENOENT);
        if (explaining) {
          note(name, "no such heap");
        }
      } else if (!suits(heap->info(), request)) {
        if (explaining) {
          note(name, fmt::format("passed over, it is {}", to_string(heap->info().traits)));
        }
        continue;
      } else if (explaining) {
        const Explanation inner;
        DmaBuf buffer = heap->allocate(request, attempt);
        if (!attempt) {
          return buffer;
        }
        note(name, inner.text().empty() ? attempt.message() : inner.text());
      } else {
        DmaBuf buffer = heap->allocate(request, attempt);
        if (!attempt) {
          return buffer;
        }
      }
      if (telling(attempt) < 0) {
        fail(ec, attempt.value(), [&] { return fmt::format("tried {}", attempts); });
        return {};
      }
      if (telling(attempt) > telling(nearest)) {
        nearest = attempt;
      }
    }
  }
  fail(ec, nearest.value(), [&] {
    return attempts.empty() ? std::string("it has no candidates on this machine") : fmt::format("tried {}", attempts);
  });
  return {};
}

}}} // namespace sa::v0::detail
