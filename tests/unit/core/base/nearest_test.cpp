// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/nearest.hpp"

using sa::detail::edit_distance;
using sa::detail::nearest;
using Names = std::vector<std::string_view>;

TEST_CASE("the distance of two names is the number of typing errors between them, in either case") {
  struct Row {
    std::string_view a, b;
    std::size_t letters;
  };
  for (const Row& row : {Row{"", "", 0}, Row{"system", "system", 0}, Row{"system", "SYSTEM", 0}, Row{"", "abc", 3},
                         Row{"sytem", "system", 1},   // one left out
                         Row{"sysstem", "system", 1}, // one too many
                         Row{"sistem", "system", 1},  // another one
                         Row{"hepas", "heaps", 1},    // two exchanged
                         Row{"dma_heap:sytem", "dma-heap:system", 2}, Row{"kitten", "sitting", 3},
                         Row{"ca", "abc", 3}}) { // optimal string alignment: no letter is touched twice
    CAPTURE(row.a);
    CAPTURE(row.b);
    CHECK(edit_distance(row.a, row.b, 9) == row.letters);
    CHECK(edit_distance(row.b, row.a, 9) == row.letters);
    CHECK(edit_distance(row.a, row.b, 1) == (row.letters > 1 ? 2 : row.letters));
  }
}

TEST_CASE("the nearest names are those that may have been meant, and none when nothing is near") {
  const Names names{"memfd:4k", "memfd:huge", "dma-heap:system", "dma-heap:reserved", "udmabuf:4k",
                    "system",   "cma",        "contiguous"};
  CHECK(nearest("sytem", names) == Names{"system"});
  CHECK(nearest("SYSTEM", names) == Names{"system"});
  CHECK(nearest("cam", names) == Names{"cma"});
  CHECK(nearest("contigous", names) == Names{"contiguous"});
  CHECK(nearest("memfd:4", names) == Names{"memfd:4k"});
  CHECK(nearest("dma_heap:sytem", names) == Names{"dma-heap:system"});
  CHECK(nearest("reserved", names) == Names{"dma-heap:reserved"});                // the instance alone
  CHECK(nearest("memfd", names) == Names{"memfd:4k", "memfd:huge"});              // the backend alone
  CHECK(nearest("4k", names) == Names{"memfd:4k", "udmabuf:4k"});                 // both are called so
  CHECK(nearest("ab", Names{"aa", "ac", "ad", "ae"}) == Names{"aa", "ac", "ad"}); // three are enough
  CHECK(nearest("none", names).empty());
  CHECK(nearest("x", names).empty());
  CHECK(nearest("", names).empty());
  CHECK(nearest("carveout:camera", names).empty());
}

TEST_CASE("a name of a million letters is compared with no name") {
  const std::string endless(1'000'000, 'x');
  const auto start = std::chrono::steady_clock::now();
  CHECK(nearest(endless, Names{"system", "memfd:4k"}).empty());
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::milliseconds(100));
}
