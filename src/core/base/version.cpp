// SPDX-License-Identifier: MIT
#include <sa/version.hpp>

namespace sa { inline namespace v0 {

std::string_view version() noexcept {
  return SA_VERSION;
}

}} // namespace sa::v0
