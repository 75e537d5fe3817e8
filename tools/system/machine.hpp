// SPDX-License-Identifier: MIT
/// Facts of the machine from the kernel, for sactl doctor. Nothing here changes anything.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace sactl {

/// A file's text; nothing when it cannot be read.
[[nodiscard]] std::optional<std::string> read_text(const std::filesystem::path& path);
/// The number that a file begins with.
[[nodiscard]] std::optional<std::uint64_t> read_number(const std::filesystem::path& path);
/// A field of /proc/meminfo, bytes.
[[nodiscard]] std::optional<std::uint64_t> memory_field(const std::string& field);
/// Names in a folder, sorted; none when there is no such folder.
[[nodiscard]] std::vector<std::string> names_in(const std::filesystem::path& folder);
/// Whether a program of that name is in $PATH or where root's programs are.
[[nodiscard]] bool has_program(const std::string& name);
/// The running kernel's release, `uname -r`.
[[nodiscard]] std::string kernel_release();

/// An option in the running kernel's configuration.
enum class Option { BuiltIn, Module, Missing, Unknown };
/// Asks /proc/config.gz, then /boot/config-RELEASE and /lib/modules/RELEASE/config. @param name with CONFIG_
[[nodiscard]] Option kernel_option(const std::string& name);

/// A module of the running kernel, as the module tools know it.
enum class Module {
  Loaded,
  BuiltIn,
  Installed, ///< modprobe would find it
  Absent,    ///< it would not
  Unknown,   ///< there are no lists of modules (modules.dep) for this kernel
};
/// @param name with underscores
[[nodiscard]] Module module_state(const std::string& name);

/// A process that holds dma-bufs.
struct Process {
  int pid = 0;
  std::string name;
  std::uint64_t descriptors = 0;                 ///< open
  std::optional<std::uint64_t> descriptor_limit; ///< the soft one
  std::uint64_t descriptor_most = 0;             ///< the hard one
  std::map<std::string, std::uint64_t> buffers;  ///< bytes by exporter: a dma-heap's node, "udmabuf", ...
};

struct ProcessList {
  std::vector<Process> processes; ///< without this one
  bool complete = true;           ///< false: some could not be looked into
};
[[nodiscard]] ProcessList holders_of_buffers();

} // namespace sactl
