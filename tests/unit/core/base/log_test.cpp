// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <array>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include <fnmatch.h>
#include <sys/mman.h>
#include <unistd.h>

#include <sa/log.hpp>
#include <sa/unique_fd.hpp>

#include "core/base/log.hpp"

namespace {

using Heard = std::vector<std::pair<sa::LogLevel, std::string>>;

void hear(void* data, int level, const char* sentence) {
  static_cast<Heard*>(data)->emplace_back(static_cast<sa::LogLevel>(level), sentence);
}

/// What @p body writes to standard error.
template <typename Body>
std::string on_standard_error(Body&& body) {
  const sa::UniqueFd file{::memfd_create("log", MFD_CLOEXEC)};
  const sa::UniqueFd before{::dup(STDERR_FILENO)};
  REQUIRE(::dup2(file.get(), STDERR_FILENO) >= 0);
  body();
  std::fflush(stderr);
  REQUIRE(::dup2(before.get(), STDERR_FILENO) >= 0);
  std::array<char, 4096> text{};
  return {text.data(), static_cast<std::size_t>(::pread(file.get(), text.data(), text.size(), 0))};
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
  CHECK(heard == Heard{{sa::LogLevel::Warning, "first"}, {sa::LogLevel::Debug, "third"}});
  CHECK(built == 1);
}

// The same with spdlog and without it.
TEST_CASE("the log goes to standard error by itself: a line with time, name and level for each warning") {
  const std::string said = on_standard_error([] {
    sa::detail::log_warning([] { return std::string("fourth {}"); });
    sa::detail::log_debug([] { return std::string("fifth"); });
  });
  CAPTURE(said);
  const char* const line = R"(\[20[0-9][0-9]-[01][0-9]-[0-3][0-9] [0-2][0-9]:[0-5][0-9]:[0-6][0-9].[0-9][0-9][0-9]\] \[sa\] )"
                           "\\[warning\\] fourth {}\n";
  CHECK(::fnmatch(line, said.c_str(), 0) == 0);
}
