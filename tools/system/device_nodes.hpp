// SPDX-License-Identifier: MIT
/// The nodes in /dev that may be consumers of buffers.
#pragma once

#include <string>
#include <vector>

namespace sactl {

/// /dev/dri/cardN and /dev/videoN.
[[nodiscard]] std::vector<std::string> importer_nodes();

/// These and /dev/dri/renderDN, second doors to the cards.
[[nodiscard]] std::vector<std::string> device_nodes();

} // namespace sactl
