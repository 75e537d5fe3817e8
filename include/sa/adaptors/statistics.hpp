// SPDX-License-Identifier: MIT
/// @file statistics.hpp
/// An adaptor that counts allocations.
#pragma once

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

namespace detail {
class Tally;
}

struct StatisticsOptions {
  std::string name{}; ///< info().name; empty: the upstream's
};

/// The counts of a Statistics adaptor since it was made. live <= peak <= total holds for buffers and for bytes, also in
/// a reading that is taken while other threads allocate and free. While no other thread does, every number is exact.
/// Otherwise each number is from some moment during the reading, and a peak that was reached during the reading may be
/// missing.
struct HeapStatistics {
  std::uint64_t live_buffers = 0;  ///< buffers in use
  std::uint64_t peak_buffers = 0;  ///< the largest number of buffers in use at once
  std::uint64_t total_buffers = 0; ///< allocations that succeeded
  std::uint64_t failures = 0;      ///< well-formed requests that the upstream refused
  std::uint64_t live_bytes = 0;    ///< bytes in use, counted by the buffers' real sizes
  std::uint64_t peak_bytes = 0;    ///< the largest number of bytes in use at once
  std::uint64_t total_bytes = 0;   ///< bytes of all allocations that succeeded

  friend bool operator==(const HeapStatistics&, const HeapStatistics&) = default;
};

/// An adaptor that counts allocations, buffers and bytes. It takes no lock.
class SA_API Statistics final : public Adaptor {
public:
  /// @throws Error EINVAL: no upstream, a malformed name
  explicit Statistics(std::shared_ptr<Heap> upstream, StatisticsOptions options = {});
  ~Statistics() override;

  /// The counts so far.
  [[nodiscard]] HeapStatistics read() const noexcept;

protected:
  DmaBuf do_allocate(const AllocRequest& request, std::error_code& ec) override;

private:
  std::shared_ptr<detail::Tally> tally_;
};

}} // namespace sa::v0
