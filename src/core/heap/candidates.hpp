// SPDX-License-Identifier: MIT
/// @file candidates.hpp
/// An ordered list of heaps, for an alias and a Fallback: the first heap that can serves a request.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <sa/heap.hpp>
#include <sa/layout.hpp>

namespace sa { inline namespace v0 { namespace detail {

/// A heap, or a name that no heap has (now).
struct Candidate {
  std::string name;
  std::shared_ptr<Heap> heap; ///< null when there is none of that name
  friend bool operator==(const Candidate&, const Candidate&) = default;
};

/// The union of the candidates' abilities, since each candidate checks the request itself, and a granularity of which
/// all their sizes are multiples. It has no backend.
[[nodiscard]] HeapInfo describe(std::string name, const std::vector<Candidate>& candidates);

/// The attempts of one heap after another. The next is tried when one is absent, not permitted, cannot do what is wanted
/// or is out of memory (moves_on_at in candidates.cpp), and on nothing else.
class Attempts {
public:
  Attempts() noexcept;

  /// Tries @p heap, null when there is none of that name. True when this ends the attempts: it succeeded, or failed in
  /// another way.
  bool ask(std::string_view name, Heap* heap, const AllocRequest& request) { return ask(name, heap, std::span(&request, 1)); }
  /// The same for several buffers, max_planes at most, of which it has to give all.
  bool ask(std::string_view name, Heap* heap, std::span<const AllocRequest> requests);
  [[nodiscard]] bool over() const noexcept { return over_; }

  /// Adds a remark on the heap of that name to the sentence.
  void note(std::string_view name, std::string_view said);

  /// The first heap of dma-bufs that this user may not allocate from; null when there was none.
  [[nodiscard]] const Heap* denied() const noexcept { return denied_; }

  /// The first buffer; else the error that came nearest to success, with every attempt, or @p none, and @p besides as its
  /// sentence.
  [[nodiscard]] DmaBuf result(std::error_code& ec, const char* none, std::string_view besides);
  /// The same for several.
  [[nodiscard]] std::vector<DmaBuf> results(std::error_code& ec, const char* none, std::string_view besides);

private:
  bool explaining_;
  bool over_ = false;
  const Heap* denied_ = nullptr;
  std::error_code nearest_;
  std::string text_;
  std::array<DmaBuf, max_planes> buffers_; ///< those that were asked for last
};

/// A buffer of the first candidate that can; those whose granularity is larger than the request come last. Warns, once by
/// @p warned unless that is null, when lack of permission made it one that is no dma-buf.
[[nodiscard]] DmaBuf allocate_from(const std::vector<Candidate>& candidates, const AllocRequest& request,
                                   std::atomic<bool>* warned, std::error_code& ec);

}}} // namespace sa::v0::detail
