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

/// An alias of heap objects: tries its upstreams in order, and moves on when one is not permitted, lacks a required trait or
/// alignment, or is out of memory (ENOENT, ENODEV, EACCES, EPERM, EDQUOT, ENOMEM), and on nothing else. As with an alias
/// (registry.hpp), an upstream whose granularity is larger than the request is tried after the others, and the Error
/// lists every attempt and has the code of the one that came nearest.
///
/// info() is the first's, with the traits that any of them has, the largest max_size and max_alignment, the granularity
/// of which all sizes are multiples, and usable when any is. DmaBuf::traits() tells what one got. A peer's memory goes to
/// the first that accepts it.
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
