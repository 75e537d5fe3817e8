// SPDX-License-Identifier: MIT
/// The commands of sactl, each a file of its own, and a row in commands.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include <CLI/CLI.hpp>

#include "terminal/output.hpp"

namespace sactl {

/// Exit statuses, the same for every command (docs/sactl.md).
enum Status : int {
  Done = 0,    ///< done
  Failed = 1,  ///< stderr has the sentence
  Usage = 2,   ///< the command line is wrong
  Warning = 3, ///< doctor: works, but not as well as it could
  Trouble = 4, ///< doctor: something does not work
};

class Command {
public:
  Command() = default;
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;
  virtual ~Command() = default;

  /// Adds its options to @p app, which has its name, its description, --json and an example already.
  virtual void add_options(CLI::App& app) = 0;
  /// An exception is printed, and the status is Failed.
  virtual Status run(Output& output) = 0;
};

/// An option that is a number of bytes, with K, M or G.
CLI::Option* add_bytes(CLI::App& app, const std::string& name, std::uint64_t& bytes, const std::string& about);

/// A row of the table.
struct Entry {
  const char* name;
  const char* about;   ///< its work, a sentence without a full stop
  const char* example; ///< a command line
  std::unique_ptr<Command> (*make)();
};

/// Every command, in the order of --help.
[[nodiscard]] std::span<const Entry> commands();

} // namespace sactl
