// SPDX-License-Identifier: MIT
/// @file sa.hpp
/// The whole public interface.
#pragma once

#include <sa/adaptors.hpp>      // IWYU pragma: export
#include <sa/carveout.hpp>      // IWYU pragma: export
#include <sa/configuration.hpp> // IWYU pragma: export
#include <sa/constraints.hpp>   // IWYU pragma: export
#include <sa/device.hpp>        // IWYU pragma: export
#include <sa/dma_buf.hpp>       // IWYU pragma: export
#include <sa/error.hpp>         // IWYU pragma: export
#include <sa/format.hpp>        // IWYU pragma: export
#include <sa/heap.hpp>          // IWYU pragma: export
#include <sa/image.hpp>         // IWYU pragma: export
#include <sa/ipc.hpp>           // IWYU pragma: export
#include <sa/layout.hpp>        // IWYU pragma: export
#include <sa/log.hpp>           // IWYU pragma: export
#include <sa/memory.hpp>        // IWYU pragma: export
#include <sa/plugin.hpp>        // IWYU pragma: export
#include <sa/pool.hpp>          // IWYU pragma: export
#include <sa/registry.hpp>      // IWYU pragma: export
#include <sa/selection.hpp>     // IWYU pragma: export
#include <sa/types.hpp>         // IWYU pragma: export
#include <sa/unique_fd.hpp>     // IWYU pragma: export
#include <sa/version.hpp>       // IWYU pragma: export
