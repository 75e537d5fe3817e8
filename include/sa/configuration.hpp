// SPDX-License-Identifier: MIT
/// @file configuration.hpp
/// The configuration: TOML files in which the administrator or the user describes the machine's memory
/// (docs/configuration.md lists the keys).
///
/// Three files are read. A later file overrides an earlier one:
///
/// 1. the system's, sa.toml in the system configuration folder the library was built with (/usr/local/etc, or /etc for
///    the prefix /usr; `pkg-config --variable=configuration libsa` prints its path)
/// 2. the user's, $XDG_CONFIG_HOME/sa.toml, ~/.config/sa.toml where that is not set
/// 3. the one that $SA_CONFIG names
///
/// A program that raised its privileges (secure_getenv(3)) reads the first file only.
///
/// A file is used as a whole or not at all: a file with an error anywhere is refused, and the other files are used. A
/// missing file is no error, except the file that $SA_CONFIG names.
///
/// A library that was built without configuration files (docs/installation.md) reads none, and refuses that of $SA_CONFIG.
///
/// Registry::refresh() reads the files and uses aliases, carveouts, plugins and quotas. Registry::select() uses order
/// and devices. The library itself does not use the options for pools: a program that makes a pool gets them by
/// Registry::configuration().
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

/// A limit on the memory of one heap that a program may hold at once.
struct Quota {
  std::string heap;                   ///< a heap's name, or an alias'
  std::size_t max_bytes = SIZE_MAX;   ///< bytes; SIZE_MAX: any number
  std::size_t max_buffers = SIZE_MAX; ///< buffers; SIZE_MAX: any number

  friend bool operator==(const Quota&, const Quota&) = default;
};

/// The merged content of the configuration files. Without files it is as Configuration{}. A value type.
struct Configuration {
  /// The files that were read, in that order.
  std::vector<std::filesystem::path> files;
  /// Aliases and their candidates (Registry::alias()). A later file replaces an alias of the same name as a whole.
  std::map<std::string, std::vector<std::string>, std::less<>> aliases;
  /// Heaps, aliases or "backend:*" in the order of preference, used when several heaps suit. A later file replaces the
  /// list as a whole.
  std::vector<std::string> order;
  /// Reserved physical ranges, sorted by name, page-aligned, without overlaps. A range of size 0 and base 0 stands for
  /// the reserved-memory node of that name in the device tree. A later file replaces a carveout of the same name as a
  /// whole.
  std::vector<CarveoutRegion> carveouts;
  /// Device profiles, at most one for each match. A later file replaces a profile of the same match as a whole.
  std::vector<DeviceProfile> devices;
  /// Names of shared objects in the library's plugin folder that are loaded for their heaps (docs/plugins.md). Only the
  /// system's file may have this key: any other file that has it is refused.
  std::vector<std::string> plugins;
  /// Options for pools that a program makes; PoolOptions::name is empty. A later file replaces the keys that it has.
  PoolOptions pool;
  /// Quotas, at most one for each heap. A later file replaces a quota of the same heap as a whole.
  std::vector<Quota> quotas;

  friend bool operator==(const Configuration&, const Configuration&) = default;
};

/// The result of load_configuration().
struct LoadedConfiguration {
  Configuration configuration; ///< merged from the files without errors
  /// An Error for each file that is not used. what() names the file and, for an error in the text, line, column and
  /// key. code() is EINVAL for an error in the text, ENOENT if $SA_CONFIG names a missing file, EPERM if root reads a
  /// file that another user owns or may write, EOPNOTSUPP if the library was built without configuration files, else the
  /// errno of open(2) or read(2).
  std::vector<Error> refused;
};

/// Reads the three configuration files, independently of any registry. Any thread may call it while no thread
/// changes the environment. For a program without configuration files it costs two failed calls of open(2).
/// @throws std::bad_alloc
[[nodiscard]] SA_API LoadedConfiguration load_configuration();

/// Reads a configuration from a text: UTF-8, at most 1 MiB, as if it were the only file. Configuration::files stays
/// empty.
/// @param text TOML; borrowed for the call
/// @param source the name of the text in errors, such as the path of a file
/// @throws Error EINVAL: the text has an error; the sentence has source:line:column, the key, and the expected value.
///         EOPNOTSUPP: the library was built without configuration files. std::bad_alloc
[[nodiscard]] SA_API Configuration parse_configuration(std::string_view text, std::string_view source);
[[nodiscard]] SA_API Configuration parse_configuration(std::string_view text, std::string_view source,
                                                       std::error_code& ec) noexcept;

}} // namespace sa::v0
