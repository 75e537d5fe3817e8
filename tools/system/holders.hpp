// SPDX-License-Identifier: MIT
/// Who holds which buffers: /proc of every process, and the kernel's own list of dma-bufs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

namespace sactl {

enum class Kind { DmaBuf, Memfd };

/// A buffer, once, however many hold it.
struct HeldBuffer {
  Kind kind = Kind::DmaBuf;
  std::uint64_t device = 0; ///< st_dev of a memfd, whose inodes are numbered by file system; 0 of a dma-buf
  std::uint64_t inode = 0;
  std::uint64_t size = 0;  ///< bytes
  bool size_exact = false; ///< otherwise @ref size is the end of what is mapped: the buffer is held by mappings alone
  std::string exporter;    ///< "memfd" for memfds; empty: not known
  std::string name;        ///< may hold anything, control characters too
  std::optional<std::uint64_t> references; ///< of the kernel's to the file
  std::vector<std::string> devices;        ///< attached to it, where the kernel's list can be read
};

/// A process's hold on one buffer.
struct Holding {
  std::size_t buffer = 0; ///< index into Snapshot::buffers
  std::uint64_t descriptors = 0;
  std::uint64_t mappings = 0;
};

struct Holder {
  pid_t pid = 0;
  std::string name; ///< may hold anything
  std::vector<Holding> holdings;
};

/// The kernel's count of all dma-bufs together.
struct KernelTotal {
  std::uint64_t buffers = 0;
  std::uint64_t bytes = 0;
};

struct Snapshot {
  std::vector<HeldBuffer> buffers;
  std::vector<Holder> processes;     ///< those that hold a buffer
  std::size_t unreadable = 0;        ///< processes that this one may not look into
  std::optional<KernelTotal> kernel; ///< nothing: its list cannot be read
  int kernel_error = 0;              ///< why not, errno

  /// Sentences that name its gaps, with the reasons.
  [[nodiscard]] std::vector<std::string> gaps() const;
  /// How many processes hold each buffer.
  [[nodiscard]] std::vector<std::size_t> holders() const;
  /// Only the holds whose process, exporter or buffer's name has @p text in it, in either case.
  [[nodiscard]] Snapshot filtered(std::string_view text) const;
};

/// Where to look; other places for tests.
struct Places {
  std::string processes = "/proc";
  std::string bufinfo = "/sys/kernel/debug/dma_buf/bufinfo";
};

/// Looks at everything. A process that ends meanwhile is passed over.
/// @throws std::system_error there is no such folder of processes
[[nodiscard]] Snapshot look(const Places& places = {});

} // namespace sactl
