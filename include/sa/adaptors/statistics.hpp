// SPDX-License-Identifier: MIT
/// @file statistics.hpp
/// An adaptor that counts.
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

/// What went through a Statistics since it was made. In one reading, also one taken while others allocate and free:
/// live <= peak <= total, of the buffers and of the bytes. When nobody does, every number is exact; otherwise each is of
/// some moment during the reading, and peak may lack what was added during it.
struct HeapStatistics {
  std::uint64_t live_buffers = 0;  ///< in use
  std::uint64_t peak_buffers = 0;  ///< the most in use at once
  std::uint64_t total_buffers = 0; ///< allocations that succeeded
  std::uint64_t failures = 0;      ///< well-formed requests that upstream refused
  std::uint64_t live_bytes = 0;    ///< in use, as large as the buffers really are
  std::uint64_t peak_bytes = 0;    ///< the most in use at once
  std::uint64_t total_bytes = 0;   ///< of all allocations that succeeded

  friend bool operator==(const HeapStatistics&, const HeapStatistics&) = default;
};

/// Counts. Takes no lock.
class SA_API Statistics final : public Adaptor {
public:
  /// @throws Error EINVAL: no upstream, a malformed name
  explicit Statistics(std::shared_ptr<Heap> upstream, StatisticsOptions options = {});
  ~Statistics() override;

  [[nodiscard]] HeapStatistics read() const noexcept;

protected:
  DmaBuf do_allocate(const AllocRequest& request, std::error_code& ec) override;

private:
  std::shared_ptr<detail::Tally> tally_;
};

}} // namespace sa::v0
