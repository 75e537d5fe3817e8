// SPDX-License-Identifier: MIT
/// What a display shows, read back from its writeback connector (vkms has one).
#pragma once

#include <cstdint>
#include <vector>

namespace writeback {

struct Screen {
  unsigned width = 0;
  unsigned height = 0;
  std::vector<std::uint8_t> rgb; ///< three bytes a pixel, rows without padding
};

/// The pixels that a CRTC shows now.
/// @param card its master, borrowed; it becomes a client that knows of atomic commits and of writeback connectors
/// @throws std::runtime_error the call that failed, with the kernel's word
Screen read(int card, std::uint32_t crtc);

} // namespace writeback
