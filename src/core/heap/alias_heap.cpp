// SPDX-License-Identifier: MIT
#include "core/heap/alias_heap.hpp"

#include <utility>

namespace sa { inline namespace v0 { namespace detail {

AliasHeap::AliasHeap(std::string name, std::vector<Candidate> candidates, const Constraints& demands)
    : info_(describe(std::move(name), candidates)), candidates_(std::move(candidates)), demands_(demands) {
  info_.backend = "alias";
  info_.granularity = 1; // each candidate rounds by its own
}

DmaBuf AliasHeap::do_allocate(const AllocRequest& request, std::error_code& ec) {
  if (demands_ == Constraints{}) {
    return allocate_from(candidates_, request, &warned_, ec);
  }
  AllocRequest whole = request;
  whole.constraints = merge(request.constraints, demands_, ec);
  return ec ? DmaBuf{} : allocate_from(candidates_, whole, &warned_, ec);
}

}}} // namespace sa::v0::detail
