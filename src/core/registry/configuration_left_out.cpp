// SPDX-License-Identifier: MIT
/// In place of configuration.cpp where the library is built without configuration files: none is read.
#include <cerrno>
#include <cstdlib>

#include <fmt/format.h>

#include "core/base/failure.hpp"
#include "core/registry/configuration.hpp"

namespace sa { inline namespace v0 {
namespace {

Error refused(std::string_view source) {
  return {detail::from_errno(EOPNOTSUPP), "", detail::reading_configuration,
          fmt::format("{}: this library was built without configuration files (Meson's option configuration)", source)};
}

} // namespace

LoadedConfiguration load_configuration() {
  LoadedConfiguration loaded;
  if (const char* named = ::secure_getenv("SA_CONFIG"); named != nullptr && *named != '\0') {
    loaded.refused.push_back(refused(named));
  }
  return loaded;
}

Configuration parse_configuration(std::string_view, std::string_view source) {
  throw refused(source);
}

Configuration parse_configuration(std::string_view text, std::string_view source, std::error_code& ec) noexcept {
  return detail::or_code(ec, [&] { return parse_configuration(text, source); });
}

}} // namespace sa::v0
