// SPDX-License-Identifier: MIT
/// What a test must leave as it found it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace support {

/// Descriptors this process has open.
int open_descriptors();

/// Lines of /proc/self/maps that contain @p text; all lines for "". In a build with a sanitizer only shared mappings.
int mappings(std::string_view text = "");

/// What the kernel counts of buffer memory, by name, where it tells: "bufinfo objects", "bufinfo bytes", "CMA used",
/// "ION bytes", "HugePages_Rsvd", "Shmem" (bytes).
std::map<std::string, std::int64_t> kernel_counters();

/// Everything above at one moment.
struct Counts {
  int descriptors;
  int mappings;
  std::map<std::string, std::int64_t> kernel;
};

Counts count();

/// What differs between @p before and now, as text; empty when nothing does. Shmem may differ by 1 MiB, everything else
/// not at all. Waits up to two seconds for what the kernel gives back late.
std::string leaked_since(const Counts& before);

/// The whole of a file; empty when it cannot be read.
std::string read_file(const std::string& path);

} // namespace support
