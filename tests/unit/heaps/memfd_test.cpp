// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <filesystem>
#include <vector>

#include <sys/resource.h>

#include <sa/sa.hpp>

#include "support/process.hpp"

TEST_CASE("a memfd says in /proc whose it is and what it was named") {
  const sa::DmaBuf buffer = sa::Registry::system().allocate("memfd:4k", {.size = 4096, .name = "unit frame"});
  const auto target = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(buffer.fd()));
  CHECK(target.string().starts_with("/memfd:sa:unit frame"));
}

TEST_CASE("a process that may open no more descriptors is told which limit to raise") {
  CHECK(support::in_child([] {
          const auto heap = sa::Registry::system().find("memfd:4k");
          const rlimit tight{64, 64};
          ::setrlimit(RLIMIT_NOFILE, &tight);
          std::vector<sa::DmaBuf> buffers;
          try {
            for (int i = 0; i < 65; ++i) {
              buffers.push_back(heap->allocate({.size = 4096}));
            }
          } catch (const sa::Error& error) {
            return error.code() == std::errc::too_many_files_open &&
                           std::string(error.what()).find("ulimit -n") != std::string::npos
                       ? support::passed
                       : 2;
          }
          return 3;
        }) == support::passed);
}
