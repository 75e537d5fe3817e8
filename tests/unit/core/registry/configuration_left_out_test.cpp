// SPDX-License-Identifier: MIT
/// For a library that is built without configuration files.
#include <doctest/doctest.h>

#include <cstdlib>
#include <string>
#include <system_error>

#include <sa/configuration.hpp>
#include <sa/registry.hpp>

#include "support/log_capture.hpp"

TEST_CASE("a library without configuration files says so to a program that names one, once, and finds its heaps") {
  const support::LogCapture log;
  sa::Registry registry;
  registry.refresh();
  CHECK(log.count("configuration") == 0);
  ::setenv("SA_CONFIG", "/nowhere/sa.toml", 1);
  registry.refresh();
  registry.refresh();
  const sa::LoadedConfiguration loaded = sa::load_configuration();
  ::unsetenv("SA_CONFIG");
  CHECK(log.count("/nowhere/sa.toml: this library was built without configuration files") == 1);
  CHECK(registry.allocate("memfd:4k", {.size = 4096}).size() == 4096);
  REQUIRE(loaded.refused.size() == 1);
  CHECK(loaded.refused.front().code() == std::errc::operation_not_supported);
  CHECK(loaded.configuration == sa::Configuration{});
}

TEST_CASE("a library without configuration files parses none") {
  std::error_code ec;
  CHECK(sa::parse_configuration("order = []", "text", ec) == sa::Configuration{});
  CHECK(ec == std::errc::operation_not_supported);
  CHECK_THROWS_AS((void)sa::parse_configuration("order = []", "text"), sa::Error);
}
