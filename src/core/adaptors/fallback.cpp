// SPDX-License-Identifier: MIT
#include <sa/adaptors/fallback.hpp>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fcntl.h>

#include "core/base/failure.hpp"
#include "core/heap/candidates.hpp"

namespace sa { inline namespace v0 {
namespace {

std::shared_ptr<Heap> first_of(const std::vector<std::shared_ptr<Heap>>& upstreams) {
  if (std::find(upstreams.begin(), upstreams.end(), nullptr) != upstreams.end()) {
    return nullptr;
  }
  return upstreams.empty() ? nullptr : upstreams.front();
}

} // namespace

Fallback::Fallback(std::vector<std::shared_ptr<Heap>> upstreams, FallbackOptions options)
    : Adaptor(first_of(upstreams), std::move(options.name)) {
  for (auto& heap : upstreams) {
    std::string name = heap->info().name;
    candidates_.push_back({std::move(name), std::move(heap)});
  }
  const HeapInfo together = detail::describe(info().name, candidates_);
  HeapInfo& own = describe();
  own.traits = together.traits;
  own.granularity = together.granularity;
  own.max_size = together.max_size;
  own.max_alignment = together.max_alignment;
  own.usable = together.usable;
  own.reason = together.reason;
}

Fallback::~Fallback() = default;

DmaBuf Fallback::do_allocate(const AllocRequest& request, std::error_code& ec) {
  return detail::allocate_from(candidates_, request, nullptr, ec);
}

DmaBuf Fallback::do_accept(UniqueFd handle, std::uint64_t offset, std::size_t size, std::string_view name, std::error_code& ec) {
  std::error_code telling; // one that refused this handle, rather than handles
  for (const auto& candidate : candidates_) {
    UniqueFd copy; // each but the last may refuse what it is given, and has it then
    if (&candidate != &candidates_.back()) {
      copy = UniqueFd{::fcntl(handle.get(), F_DUPFD_CLOEXEC, 0)};
      if (!copy) {
        return refuse(ec, errno, "F_DUPFD_CLOEXEC");
      }
    }
    if (DmaBuf buffer = candidate.heap->accept(std::move(handle), offset, size, name, ec); buffer) {
      return buffer;
    }
    handle = std::move(copy);
    if (!telling || telling.value() == EOPNOTSUPP) {
      telling = ec;
    }
  }
  ec = telling;
  return {};
}

}} // namespace sa::v0
