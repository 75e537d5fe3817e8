// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <cerrno>
#include <string>

#include "core/base/device_node.hpp"

TEST_CASE("a node that was refused comes with what helps there: the udev rule only where it names the node") {
  const auto said = [](const char* node, const char* part) {
    return sa::detail::open_refused(node, EACCES).find(part) != std::string::npos;
  };
  for (const char* node : {"/dev/dma_heap/none", "/dev/cma99", "/dev/carveout99"}) { // none is there: no group to be in
    CAPTURE(node);
    CHECK(said(node, "install the udev rule"));
  }
  CHECK(said("/dev/video99", "(chgrp video /dev/video99 && chmod 0660 /dev/video99)"));
  CHECK(said("/dev/dri/card99", "chgrp video /dev/dri/card99"));
  CHECK(said("/dev/dri/renderD999", "chgrp render /dev/dri/renderD999"));
  CHECK(said("/dev/none", "only root may"));
  for (const char* node : {"/dev/video99", "/dev/dri/card99", "/dev/none"}) {
    CHECK_FALSE(said(node, "udev rule"));
  }
}
