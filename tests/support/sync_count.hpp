// SPDX-License-Identifier: MIT
/// Counts the DMA_BUF_IOCTL_SYNC calls of this process, on their way to the kernel: on a coherent machine a forgotten
/// one never shows as wrong pixels. A program that links it has its own ioctl(), which passes everything on.
#pragma once

namespace support {

struct SyncCount {
  int starts = 0;          ///< calls with START
  int ends = 0;            ///< calls with END
  unsigned directions = 0; ///< every direction bit seen
};

/// The calls since the last reset_sync_count().
SyncCount sync_count();
void reset_sync_count();

} // namespace support
