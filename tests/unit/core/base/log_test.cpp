// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <sa/log.hpp>

#include "core/base/log.hpp"
#include "support/log_capture.hpp"

namespace {

using Heard = std::vector<std::pair<sa::LogLevel, std::string>>;

void hear(void* data, int level, const char* sentence) {
  static_cast<Heard*>(data)->emplace_back(static_cast<sa::LogLevel>(level), sentence);
}

} // namespace

TEST_CASE("a program hears the log in place of standard error, up to the level that it asks for") {
  Heard heard;
  sa::set_log(hear, &heard);
  int built = 0;
  sa::detail::log_warning([] { return std::string("first"); });
  sa::detail::log_debug([&] { return ++built, std::string("second"); });
  sa::set_log(hear, &heard, sa::LogLevel::Debug);
  sa::detail::log_debug([&] { return ++built, std::string("third"); });
  sa::set_log(nullptr);
  const support::LogCapture log;
  sa::detail::log_warning([] { return std::string("fourth"); });
  CHECK(heard == Heard{{sa::LogLevel::Warning, "first"}, {sa::LogLevel::Debug, "third"}});
  CHECK(built == 1);
  CHECK(log.count("fourth") == 1);
}
