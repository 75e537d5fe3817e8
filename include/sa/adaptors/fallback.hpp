// SPDX-License-Identifier: MIT
/// @file fallback.hpp
/// An adaptor that tries several heaps in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <sa/adaptors/adaptor.hpp>
#include <sa/dma_buf.hpp>
#include <sa/export.hpp>
#include <sa/heap.hpp>
#include <sa/types.hpp>
#include <sa/unique_fd.hpp>

namespace sa { inline namespace v0 {

namespace detail {
struct Candidate;
}

struct FallbackOptions {
  std::string name{}; ///< info().name; empty: the first upstream's
};

/// An adaptor that tries several upstreams in order. It moves on to the next one when an upstream is not permitted,
/// lacks a required trait or alignment, or is out of memory (EOPNOTSUPP, ENOENT, ENODEV, EACCES, EPERM, EDQUOT,
/// ENOMEM). Any other error ends the attempt. As with an alias (registry.hpp), an upstream whose granularity is larger
/// than the request is tried after the others. The Error lists every attempt and has the code of the attempt that came
/// nearest to success.
///
/// info() is the first upstream's, changed so: it has every trait that any upstream has, the largest max_size and
/// max_alignment, a granularity of which all sizes are multiples, and it is usable if any upstream is. DmaBuf::traits()
/// tells the traits of one buffer. A peer's memory goes to the first upstream that accepts it.
class SA_API Fallback final : public Adaptor {
public:
  /// @throws Error EINVAL: no upstreams, a null one, a malformed name
  explicit Fallback(std::vector<std::shared_ptr<Heap>> upstreams, FallbackOptions options = {});
  ~Fallback() override;

protected:
  DmaBuf do_allocate(const AllocRequest& request, std::error_code& ec) override;
  DmaBuf do_accept(UniqueFd handle, std::uint64_t offset, std::size_t size, std::string_view name, std::error_code& ec) override;

private:
  std::vector<detail::Candidate> candidates_;
};

}} // namespace sa::v0
