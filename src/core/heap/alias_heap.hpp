// SPDX-License-Identifier: MIT
/// @file alias_heap.hpp
/// A name for an ordered list of heaps: the first heap that can serves a request.
#pragma once

#include <string>
#include <system_error>
#include <vector>

#include <sa/heap.hpp>

#include "core/heap/candidates.hpp"

namespace sa { inline namespace v0 { namespace detail {

class AliasHeap final : public Heap {
public:
  /// @param demands of every buffer, beside what is asked for
  AliasHeap(std::string name, std::vector<Candidate> candidates, const Constraints& demands = {});

  [[nodiscard]] const HeapInfo& info() const noexcept override { return info_; }
  [[nodiscard]] const std::vector<Candidate>& candidates() const noexcept { return candidates_; }

protected:
  DmaBuf do_allocate(const AllocRequest& request, std::error_code& ec) override;
  void check_fit(const AllocRequest&, std::error_code&) const override {} // each candidate decides for itself

private:
  HeapInfo info_;
  std::vector<Candidate> candidates_;
  Constraints demands_;
  std::atomic<bool> warned_{false}; ///< whether it has warned that its memory is not a dma-buf, for lack of permission
};

}}} // namespace sa::v0::detail
