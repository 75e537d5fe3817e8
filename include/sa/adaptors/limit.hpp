// SPDX-License-Identifier: MIT
/// @file limit.hpp
/// An adaptor that limits the bytes and buffers in use at once.
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
  /// Bytes in use at most, counted by the buffers' real sizes.
  std::size_t max_bytes = std::numeric_limits<std::size_t>::max();
  /// Number of buffers in use at most.
  std::size_t max_buffers = std::numeric_limits<std::size_t>::max();
  std::string name{}; ///< info().name; empty: the upstream's
};

/// The bytes and buffers in use under a Limit. Each number is exact at one moment. The two are read one after the
/// other, so together they are not a snapshot.
struct LimitUse {
  std::size_t bytes = 0;
  std::size_t buffers = 0;

  friend bool operator==(const LimitUse&, const LimitUse&) = default;
};

/// An adaptor that limits the bytes and buffers in use at once. A request that would exceed a limit fails with EDQUOT,
/// and the upstream is not asked. A request larger than max_bytes fails with ENOMEM, since it can never succeed:
/// info().max_size is at most max_bytes.
///
/// A request is charged before the upstream is asked, with its size rounded up to info().granularity. Afterwards the
/// charge is corrected to the buffer's real size; a buffer that is larger than the rest of the limit is given back and
/// the request fails with EDQUOT. So the limits hold at every moment, for every thread. A request that the upstream is
/// about to refuse is charged until then, and can be the reason why another request is refused.
///
/// A charge ends when the buffer has ended and its memory was given back. In a Limit above a Pool, the charge ends with
/// each use of a buffer. In a Limit below a Pool, the pool's free buffers are charged, and the pool gives them back
/// when the Limit refuses.
class SA_API Limit final : public Adaptor {
public:
  /// @throws Error EINVAL: no upstream, a malformed name
  explicit Limit(std::shared_ptr<Heap> upstream, LimitOptions options = {});
  ~Limit() override;

  /// The bytes and buffers that are in use now.
  [[nodiscard]] LimitUse use() const noexcept;

protected:
  DmaBuf do_allocate(const AllocRequest& request, std::error_code& ec) override;
  void check_fit(const AllocRequest& request, std::error_code& ec) const override;

private:
  std::shared_ptr<detail::Quota> quota_;
};

}} // namespace sa::v0
