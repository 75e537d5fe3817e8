// SPDX-License-Identifier: MIT
/// The aliases that every registry starts with.
#include "core/heap/backend.hpp"

namespace sa { inline namespace v0 { namespace detail {

const std::vector<StandardAlias>& standard_aliases() {
  static const std::vector<StandardAlias> aliases{
      // Real dma-bufs first. memfd:huge comes before memfd:4k, and its granularity keeps small requests from it.
      {"system", {"dma-heap:system", "ion:ion_system_heap", "udmabuf:4k", "memfd:huge", "memfd:4k"}},
      {"dma-buf",
       {"dma-heap:system", "ion:ion_system_heap", "udmabuf:4k", "cma",
        "drm:*"}}, // as system, but for devices; scarce memory last
      // The default CMA region: our module's, else the dma-heap's or ION's under any name that kernels have given it.
      {"cma",
       {"cma:cma0", "dma-heap:linux,cma", "dma-heap:reserved", "dma-heap:default_cma_region", "dma-heap:default-pool",
        "ion:linux,cma", "ion:reserved", "ion:default-pool"}},
      {"contiguous", {"cma", "carveout:*"}},
  };
  return aliases;
}

}}} // namespace sa::v0::detail
