// SPDX-License-Identifier: MIT
/// @file version.hpp
/// Which version a program is compiled with, and which one is loaded.
#pragma once

#include <string_view>

#include <sa/export.hpp>
#include <sa/version.h> // IWYU pragma: export

namespace sa { inline namespace v0 {

/// The version whose headers the program is compiled with: the text of SA_VERSION.
inline constexpr std::string_view compiled_version = SA_VERSION;

/// Tells the version of the library that is loaded, as "MAJOR.MINOR.PATCH". It differs from compiled_version when a library with
/// the same soname has taken the place of the one that the program was linked with (docs/versions.md).
/// @return valid for ever
[[nodiscard]] SA_API std::string_view version() noexcept;

}} // namespace sa::v0
