// SPDX-License-Identifier: MIT
#include "core/heap/request.hpp"

#include <string>

#include <fmt/format.h>

#include "core/base/failure.hpp"
#include "core/buffer/buffer.hpp"

namespace sa { inline namespace v0 { namespace detail {

void look_at_form(const AllocRequest& request, std::error_code& ec) {
  if (request.size == 0) {
    fail(ec, EINVAL, [] { return std::string("size 0; ask for at least one byte"); });
  } else if (!at_most_one_bit(request.alignment)) {
    fail(ec, EINVAL, [&] { return fmt::format("alignment {}; it must be a power of two", request.alignment); });
  } else if (const auto flags = static_cast<unsigned>(request.flags);
             (flags & ~static_cast<unsigned>(AllocFlag::Prefault)) != 0) {
    fail(ec, EINVAL, [&] { return fmt::format("unknown flags {:#x}; this library knows Prefault", flags); });
  } else if (!request.name.empty()) {
    check_name(request.name, ec);
  }
}

}}} // namespace sa::v0::detail
