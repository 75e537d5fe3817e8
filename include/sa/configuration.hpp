// SPDX-License-Identifier: MIT
/// @file configuration.hpp
/// What whoever runs the machine, or the program, says of its memory: TOML files (docs/configuration.md has their keys).
///
/// Three files are read, and a later one overrides an earlier one:
///
/// 1. the system's, sa.toml in the system configuration folder the library was built with (/usr/local/etc, or /etc for
///    the prefix /usr; `pkg-config --variable=configuration libsa` prints its path)
/// 2. the user's, $XDG_CONFIG_HOME/sa.toml, ~/.config/sa.toml where that is not set
/// 3. the one that $SA_CONFIG names
///
/// A program that raised its privileges (secure_getenv(3)) reads the first alone.
///
/// A file counts as a whole or not at all: one that is wrong anywhere is refused, and the others are used. A file that is
/// not there is nothing special, except that of $SA_CONFIG, which somebody asked for.
///
/// Registry::refresh() reads the files and uses aliases, carveouts, plugins and quotas; Registry::select() uses order and
/// devices. The options for pools are for whoever asks for them by Registry::configuration().
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <sa/carveout.hpp>
#include <sa/device.hpp>
#include <sa/error.hpp>
#include <sa/export.hpp>
#include <sa/pool.hpp>

namespace sa { inline namespace v0 {

/// How much of a heap a program may hold at once.
struct Quota {
  std::string heap;                   ///< a heap's name, or an alias'
  std::size_t max_bytes = SIZE_MAX;   ///< bytes; SIZE_MAX: any number
  std::size_t max_buffers = SIZE_MAX; ///< buffers; SIZE_MAX: any number

  friend bool operator==(const Quota&, const Quota&) = default;
};

/// What the files say together; without any it is as it is made. A value: copy it, compare it.
struct Configuration {
  /// The files that were read, in that order.
  std::vector<std::filesystem::path> files;
  /// Aliases and their candidates (Registry::alias()). A later file replaces an alias of the same name as a whole.
  std::map<std::string, std::vector<std::string>, std::less<>> aliases;
  /// Heaps, aliases or "backend:*", preferred first when several suit. A later file replaces it as a whole.
  std::vector<std::string> order;
  /// Reserved ranges, by name, page-aligned, without overlaps. One of size 0 and base 0 is the reserved-memory node of that
  /// name in the device tree. A later file replaces a carveout of the same name as a whole.
  std::vector<CarveoutRegion> carveouts;
  /// At most one for each match. A later file replaces one of the same match as a whole.
  std::vector<DeviceProfile> devices;
  /// Shared objects in the library's plugin folder, by name, that are loaded for their heaps (docs/plugins.md). Only the system's
  /// file can have this key: another one that has it is refused.
  std::vector<std::string> plugins;
  /// For pools that a program makes; PoolOptions::name is empty. A later file replaces the keys it has.
  PoolOptions pool;
  /// At most one for each heap. A later file replaces one of the same heap as a whole.
  std::vector<Quota> quotas;

  friend bool operator==(const Configuration&, const Configuration&) = default;
};

/// What load_configuration() found.
struct LoadedConfiguration {
  Configuration configuration; ///< of the files that are right
  /// For each file of which nothing is used, why: the errno, and in what() a sentence with the file and, as far as it is
  /// the text that is wrong, line, column and key. EINVAL: the text. ENOENT: $SA_CONFIG names a file that is not there.
  std::vector<Error> refused;
};

/// Reads the three files, and nothing of what a registry has read before. Any thread may call it, while none changes the
/// environment. Two failed open(2) are all it costs a program without files.
/// @throws std::bad_alloc
[[nodiscard]] SA_API LoadedConfiguration load_configuration();

/// Reads one text, UTF-8, of at most 1 MiB, by itself: as if there were no other file. Configuration::files stays empty.
/// @param text TOML; borrowed for the call
/// @param source what to call the text in errors, a file's name
/// @throws Error EINVAL: the text is wrong; the sentence has source:line:column, the key, and what is expected there.
///         std::bad_alloc
[[nodiscard]] SA_API Configuration parse_configuration(std::string_view text, std::string_view source);
[[nodiscard]] SA_API Configuration parse_configuration(std::string_view text, std::string_view source,
                                                       std::error_code& ec) noexcept;

}} // namespace sa::v0
