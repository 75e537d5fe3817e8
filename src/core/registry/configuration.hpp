// SPDX-License-Identifier: MIT
/// @file configuration.hpp
/// The files that are read, and their merged content.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include <sa/configuration.hpp>

namespace sa { inline namespace v0 { namespace detail {

/// A text longer than this is no configuration, bytes.
inline constexpr std::size_t max_configuration_size = std::size_t{1} << 20;

struct ConfigurationFile {
  std::filesystem::path path;
  bool required = false; ///< an error, not ignored, when the file is missing
  bool system = false;   ///< whether it is the system's, which alone can name plugins
};

/// The files of this process, by its environment.
[[nodiscard]] std::vector<ConfigurationFile> configuration_files();

/// load_configuration() of @p files.
[[nodiscard]] LoadedConfiguration load_configuration(const std::vector<ConfigurationFile>& files);

/// The configuration @p below, overridden by @p text. The only function that knows TOML.
/// @param system whether the text may name plugins
/// @throws Error EINVAL, see parse_configuration()
[[nodiscard]] Configuration read_configuration(std::string_view text, std::string_view source, Configuration below, bool system);

/// The operation of every Error about the configuration.
inline constexpr const char* reading_configuration = "read the configuration";

}}} // namespace sa::v0::detail
