// SPDX-License-Identifier: MIT
/// What is known of a dma-heap by its name, and of CMA regions by what the kernel tells.
#include <doctest/doctest.h>

#include <fstream>

#include "core/base/system_facts.hpp"
#include "heaps/cma_region.hpp"
#include "heaps/dma_heap.hpp"
#include "unit/folder.hpp"

using sa::Trait;
using sa::detail::dma_heap_kind;

namespace {

constexpr sa::Traits plain = Trait::DmaBuf | Trait::Cached | Trait::Zeroed;

void put(const std::filesystem::path& folder, const char* name, int number) {
  std::filesystem::create_directories(folder);
  std::ofstream(folder / name) << number << '\n';
}

} // namespace

TEST_CASE("a dma-heap is what the kernel's own heap of its name is, and a vendor's is no more than dma-bufs") {
  for (const char* node : {"system", "system_cc_shared"}) {
    CAPTURE(node);
    CHECK(dma_heap_kind(node, false).traits == plain);
    CHECK_FALSE(dma_heap_kind(node, false).cma);
  }
  for (const char* node : {"linux,cma", "reserved", "default_cma_region", "default-pool"}) {
    CAPTURE(node);
    CHECK(dma_heap_kind(node, false).traits == (plain | Trait::Contiguous));
    CHECK(dma_heap_kind(node, false).cma);
  }
  for (const char* node : {"system-uncached", "qcom,display", "camera-cma@60000000", "memory@42000000-contiguous"}) {
    CAPTURE(node);
    CHECK(dma_heap_kind(node, false).traits == Trait::DmaBuf);
    CHECK_FALSE(dma_heap_kind(node, false).mainline);
  }
}

TEST_CASE("a dma-heap of any name is contiguous where the kernel tells of a CMA region of that name") {
  CHECK(dma_heap_kind("camera-cma@60000000", true).traits == (plain | Trait::Contiguous));
  CHECK(dma_heap_kind("camera-cma@60000000", true).cma);
}

TEST_CASE("a dma-heap with the word protected or restricted in its name is memory that the CPU cannot map, whatever else it is") {
  for (const char* node :
       {"protected,secure-video", "protected,trusted-ui", "protected", "restricted_mtk_cma", "memory@42000000-protected"}) {
    CAPTURE(node);
    CHECK(dma_heap_kind(node, false).traits == (Trait::DmaBuf | Trait::Protected));
    CHECK(dma_heap_kind(node, true).traits == (Trait::DmaBuf | Trait::Protected));
  }
  for (const char* node : {"unprotected", "protectedness", "video"}) { // a word, not a part of one
    CAPTURE(node);
    CHECK(dma_heap_kind(node, false).traits == Trait::DmaBuf);
  }
}

TEST_CASE("a CMA region is found in sysfs, or in debugfs under either of its names there, and its numbers are read") {
  const unit::Folder kernel;
  const std::filesystem::path root = kernel / "";
  const std::uint64_t page = sa::detail::page_size();
  CHECK_FALSE(sa::detail::is_cma_region("camera", root));
  CHECK(sa::detail::cma_state("camera", root).total == sa::detail::meminfo("CmaTotal")); // of all regions together

  put(root / "mm/cma/camera", "total_pages", 100);
  CHECK(sa::detail::is_cma_region("camera", root));
  CHECK_FALSE(sa::detail::is_cma_region("display", root));
  put(root / "mm/cma/camera", "available_pages", 40);
  CHECK(sa::detail::cma_state("camera", root).total == 100 * page);
  CHECK(sa::detail::cma_state("camera", root).free == 40 * page);
  CHECK_FALSE(sa::detail::cma_state("camera", root).largest);

  for (const char* folder : {"display", "cma-codec"}) { // up to 5.14 with the prefix
    put(root / "debug/cma" / folder, "count", 64);
    put(root / "debug/cma" / folder, "used", 16);
    put(root / "debug/cma" / folder, "maxchunk", 32);
  }
  for (const char* name : {"display", "codec"}) {
    CAPTURE(name);
    CHECK(sa::detail::is_cma_region(name, root));
    CHECK(sa::detail::cma_state(name, root).total == 64 * page);
    CHECK(sa::detail::cma_state(name, root).free == 48 * page);
    CHECK(sa::detail::cma_state(name, root).largest == 32 * page);
  }
}

TEST_CASE("the heap of the default CMA region finds its region under the name that the region has") {
  const unit::Folder kernel;
  put(kernel / "mm/cma/reserved", "total_pages", 100);
  put(kernel / "mm/cma/reserved", "available_pages", 99);
  CHECK(sa::detail::cma_state("default_cma_region", kernel / "").total == 100 * sa::detail::page_size());
  CHECK(sa::detail::cma_state("camera", kernel / "").total == sa::detail::meminfo("CmaTotal"));
}
