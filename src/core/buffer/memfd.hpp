// SPDX-License-Identifier: MIT
/// @file memfd.hpp
/// Memory files that cannot shrink under us: a peer that truncates a mapped file kills its other users with SIGBUS.
#pragma once

#include <cstddef>
#include <system_error>

#include <sa/unique_fd.hpp>

namespace sa { inline namespace v0 { namespace detail {

/// A memfd of @p size bytes, sealed: its size is final and no peer can seal it against our writes.
/// @param flags added to the usual ones, MFD_HUGETLB and a page size
[[nodiscard]] UniqueFd make_memfd(const char* name, std::size_t size, unsigned flags, std::error_code& ec);

/// The facts about a memfd that came from elsewhere.
struct MemfdFacts {
  std::size_t size = 0; ///< bytes
  bool frozen = false;  ///< sealed against writing
  bool huge = false;    ///< hugetlb pages
};

/// Makes sure that the file behind @p fd cannot shrink, sealing it if that can still be done.
/// @param seals the answer of F_GET_SEALS, negative for a refusal
/// @p ec EINVAL for everything that is not such a memfd
[[nodiscard]] MemfdFacts secure_memfd(int fd, int seals, std::error_code& ec);

}}} // namespace sa::v0::detail
