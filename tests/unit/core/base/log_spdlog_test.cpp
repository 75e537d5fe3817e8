// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <memory>
#include <sstream>
#include <string>

#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include "core/base/log.hpp"

TEST_CASE("a program that registers a logger \"sa\" with spdlog gets the log, at that logger's level") {
  std::ostringstream text;
  const auto logger = std::make_shared<spdlog::logger>("sa", std::make_shared<spdlog::sinks::ostream_sink_mt>(text));
  logger->set_pattern("%l %v");
  spdlog::register_logger(logger);
  sa::detail::log_warning([] { return std::string("first"); });
  sa::detail::log_debug([] { return std::string("second"); });
  logger->set_level(spdlog::level::debug);
  sa::detail::log_debug([] { return std::string("third"); });
  spdlog::drop("sa");
  CHECK(text.str() == "warning first\ndebug third\n");
}
