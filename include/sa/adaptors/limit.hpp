// SPDX-License-Identifier: MIT
/// @file limit.hpp
/// An adaptor that bounds what may be in use at once.
#pragma once

#include <cstddef>
#include <limits>
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
class Quota;
}

struct LimitOptions {
  /// Bytes in use at most, as large as the buffers really are.
  std::size_t max_bytes = std::numeric_limits<std::size_t>::max();
  /// Buffers in use at most.
  std::size_t max_buffers = std::numeric_limits<std::size_t>::max();
  std::string name{}; ///< info().name; empty: the upstream's
};

/// What is in use under a Limit. Each number is exact at one moment; together they are no snapshot.
struct LimitUse {
  std::size_t bytes = 0;
  std::size_t buffers = 0;

  friend bool operator==(const LimitUse&, const LimitUse&) = default;
};

/// Bounds what may be in use at once. A request over it is EDQUOT, and upstream is not asked; one larger than max_bytes is
/// ENOMEM, since it can never succeed: max_size is at most max_bytes.
///
/// A request is charged, as large as info().granularity rounds it, before upstream is asked, and corrected to the buffer's
/// size: a buffer that turns out larger than what is left goes back, EDQUOT. So the bounds hold at every moment, in every
/// thread's view, and a request that is going to fail upstream may for that time be why another is refused.
///
/// A charge ends when the buffer has ended and its memory went back; above a Pool with each use. Free buffers of a Pool
/// around the Limit are charged, and given back by the pool when the Limit refuses.
class SA_API Limit final : public Adaptor {
public:
  /// @throws Error EINVAL: no upstream, a malformed name
  explicit Limit(std::shared_ptr<Heap> upstream, LimitOptions options = {});
  ~Limit() override;

  [[nodiscard]] LimitUse use() const noexcept;

protected:
  DmaBuf do_allocate(const AllocRequest& request, std::error_code& ec) override;
  void check_fit(const AllocRequest& request, std::error_code& ec) const override;

private:
  std::shared_ptr<detail::Quota> quota_;
};

}} // namespace sa::v0
