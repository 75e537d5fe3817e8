// SPDX-License-Identifier: MIT
/// @file alias_heap.hpp
/// A name for an ordered list of heaps: the first that can, gives.
#pragma once

#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include <sa/heap.hpp>

namespace sa::inline v0::detail {

/// A candidate of an alias: a heap, or a name that no heap has (now).
struct Candidate {
  std::string name;
  std::shared_ptr<Heap> heap; ///< null when there is none of that name
};

/// How near to success a candidate's error came, larger is nearer; negative for one at which nobody else is tried.
[[nodiscard]] int telling(const std::error_code& ec) noexcept;

class AliasHeap final : public Heap {
public:
  AliasHeap(std::string name, std::vector<Candidate> candidates);

  [[nodiscard]] const HeapInfo& info() const noexcept override { return info_; }

protected:
  DmaBuf do_allocate(const AllocRequest& request, std::error_code& ec) override;
  void check_fit(const AllocRequest&, std::error_code&) const override {} // each candidate decides for itself

private:
  HeapInfo info_;
  std::vector<Candidate> candidates_;
};

} // namespace sa::inline v0::detail
