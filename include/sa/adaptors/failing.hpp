// SPDX-License-Identifier: MIT
/// @file failing.hpp
/// An adaptor that makes allocations fail on purpose.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <system_error>

#include <sa/adaptors/adaptor.hpp>
#include <sa/dma_buf.hpp>
#include <sa/export.hpp>
#include <sa/heap.hpp>
#include <sa/types.hpp>

namespace sa { inline namespace v0 {

/// Which requests fail: those that any of the first three says.
struct FailingOptions {
  std::uint64_t nth = 0;   ///< that one alone, counted from 1; 0: none
  std::uint64_t every = 0; ///< every so many: 3 fails the 3rd, 6th, 9th; 0: none
  double probability = 0;  ///< 0 to 1, each by itself
  std::uint64_t seed = 0;  ///< of probability: the same seed fails the same numbers
  int error = ENOMEM;      ///< errno they fail with, 1 to 4095
  std::string name{};      ///< info().name; empty: the upstream's
};

/// Makes allocations fail on purpose, for tests of what is done about it. Upstream is not asked then, and the sentence says
/// that the failure was made.
///
/// Well-formed requests are numbered as they come, and a request's fate depends on its number and the options alone: a run
/// that asks in the same order fails in the same places, and with several threads the same numbers fail, whichever thread
/// draws them.
class SA_API Failing final : public Adaptor {
public:
  /// @throws Error EINVAL: no upstream, a malformed name, a probability or an errno out of range
  explicit Failing(std::shared_ptr<Heap> upstream, FailingOptions options = {});
  ~Failing() override;

  /// Requests so far, failed ones too.
  [[nodiscard]] std::uint64_t count() const noexcept { return count_.load(std::memory_order_relaxed); }

protected:
  DmaBuf do_allocate(const AllocRequest& request, std::error_code& ec) override;

private:
  FailingOptions options_;
  std::atomic<std::uint64_t> count_{0};
};

}} // namespace sa::v0
