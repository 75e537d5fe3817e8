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

/// Selects the requests that fail: a request fails if any of nth, every and probability selects it.
struct FailingOptions {
  std::uint64_t nth = 0;   ///< fails the request with this number, counted from 1; 0: none
  std::uint64_t every = 0; ///< fails every request whose number is a multiple: 3 fails the 3rd, 6th, 9th; 0: none
  double probability = 0;  ///< 0 to 1: the probability that a request fails, for each request on its own
  std::uint64_t seed = 0;  ///< for probability: the same seed fails the same numbers
  int error = ENOMEM;      ///< errno of the failures, 1 to 4095
  std::string name{};      ///< info().name; empty: the upstream's
};

/// An adaptor that makes allocations fail on purpose, to test a program's handling of failures. The upstream is not
/// asked for a request that fails. The sentence of the Error says that the failure was made on purpose.
///
/// Well-formed requests are numbered in the order of their arrival. Only its number and the options decide whether a
/// request fails. A run with the same order of requests fails in the same places. With several threads the same numbers
/// fail, but the order in which the threads arrive may differ.
class SA_API Failing final : public Adaptor {
public:
  /// @throws Error EINVAL: no upstream, a malformed name, a probability or an errno out of range
  explicit Failing(std::shared_ptr<Heap> upstream, FailingOptions options = {});
  ~Failing() override;

  /// The number of well-formed requests so far, including those that failed.
  [[nodiscard]] std::uint64_t count() const noexcept { return count_.load(std::memory_order_relaxed); }

protected:
  DmaBuf do_allocate(const AllocRequest& request, std::error_code& ec) override;

private:
  FailingOptions options_;
  std::atomic<std::uint64_t> count_{0};
};

}} // namespace sa::v0
