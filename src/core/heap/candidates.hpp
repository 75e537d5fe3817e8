// SPDX-License-Identifier: MIT
/// @file candidates.hpp
/// An ordered list of heaps of which the first that can, gives: what an alias and a Fallback are.
#pragma once

#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include <sa/heap.hpp>

namespace sa { inline namespace v0 { namespace detail {

/// A heap, or a name that no heap has (now).
struct Candidate {
  std::string name;
  std::shared_ptr<Heap> heap; ///< null when there is none of that name
  friend bool operator==(const Candidate&, const Candidate&) = default;
};

/// The union of what the candidates can, since each of them checks the request for itself; the granularity that all their
/// sizes are multiples of. Without a backend.
[[nodiscard]] HeapInfo describe(std::string name, const std::vector<Candidate>& candidates);

/// How near to success a candidate's error came, larger is nearer; negative for one at which nobody else is tried.
[[nodiscard]] int telling(const std::error_code& ec) noexcept;

/// A buffer of the first candidate that can. Moves on when one is absent, not permitted, lacks a required trait or
/// alignment, or is out of memory, and on nothing else; those whose granularity is larger than the request come last. Whoever
/// listens is told every attempt.
[[nodiscard]] DmaBuf allocate_from(const std::vector<Candidate>& candidates, const AllocRequest& request, std::error_code& ec);

}}} // namespace sa::v0::detail
