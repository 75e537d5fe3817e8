// SPDX-License-Identifier: MIT
/// Text for terminals: what it takes of a line, and where it is broken.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tools/terminal/text.hpp"

using sactl::wrapped;
using Lines = std::vector<std::string>;

TEST_CASE("text is cut by columns, and made harmless") {
  CHECK(sactl::columns_of("a宽é") == 4);
  CHECK(sactl::cut("a宽é", 2) == "a");
  CHECK(sactl::cut("a宽é", 3) == "a宽");
  CHECK(sactl::harmless("a\x1b\x7f\xc2\x9b\xe2\x80\xae\xff宽") == "a?????宽");
}

TEST_CASE("text is broken between words, and a word too long for a line only behind its commas") {
  CHECK(wrapped("", 7) == Lines{""});
  CHECK(wrapped("one two three", 7) == Lines{"one two", "three"});
  CHECK(wrapped("one two  three", 8) == Lines{"one two", "three"});
  CHECK(wrapped("宽宽 宽", 4) == Lines{"宽宽", "宽"});
  CHECK(wrapped("12345678", 3) == Lines{"12345678"});
  CHECK(wrapped("see /sys/kernel/mm/shmem_enabled now", 10) == Lines{"see", "/sys/kernel/mm/shmem_enabled", "now"});
  CHECK(wrapped("it is dma-buf,cached,zeroed", 14) == Lines{"it is dma-buf,", "cached,zeroed"});
  CHECK(wrapped("dma-buf,cached", 3) == Lines{"dma-buf,", "cached"});
  CHECK(sactl::least_columns("one dma-buf,cached") == 8);
  CHECK(sactl::least_columns("see /dev/cma0, or") == 10);
}

TEST_CASE("a command in parentheses is never broken") {
  const std::string command = "(echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled)";
  CHECK(wrapped("let it " + command + ", or not", 20) == Lines{"let it", command + ",", "or not"});
  CHECK(wrapped("(echo a b c d e f g", 8) == Lines{"(echo a b c d e f g"}); // that has no end
  CHECK(wrapped("a (echoes b c d)", 8) == Lines{"a", "(echoes", "b c d)"}); // no command
  CHECK(wrapped("raise it (ulimit -n 4096)", 10) == Lines{"raise it", "(ulimit -n 4096)"});
  CHECK(sactl::least_columns("let it " + command) == command.size());
}
