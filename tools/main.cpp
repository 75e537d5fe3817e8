// SPDX-License-Identifier: MIT
/// sactl: the library from the command line.
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "commands/command.hpp"
#include "commands/describe.hpp"
#include "commands/usage.hpp"

#include <sa/version.hpp>

int main(int argc, char** argv) {
  CLI::App app{"Memory that devices can share, from the heaps of this machine", "sactl"};
  app.set_version_flag("--version", "sactl " SA_VERSION);
  app.require_subcommand(1);
  constexpr std::size_t names = 32; // columns: two more than the longest option with its argument
  app.get_formatter()->column_width(names);
  app.footer(
      "sactl COMMAND --help says more. Exit status: 0 done, 1 failed, 2 wrong command line; doctor: 3 warning, 4 trouble.");

  bool json = false;
  std::vector<std::pair<CLI::App*, std::unique_ptr<sactl::Command>>> made;
  for (const auto& entry : sactl::commands()) {
    CLI::App* const one = app.add_subcommand(entry.name, entry.about);
    one->footer(fmt::format("Example:\n  {}", entry.example));
    one->add_flag("--json", json, "answer in JSON, for programs");
    made.emplace_back(one, entry.make());
    made.back().second->add_options(*one);
  }
  // For the build, which makes pages and completions of it.
  std::string form;
  CLI::App* const describe = app.add_subcommand("describe", "Print the manual page, or a completion")->group("");
  describe->add_option("form", form)->required()->check(CLI::IsMember({"man", "bash", "zsh"}));

  try {
    try {
      app.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
      fmt::print("{}", sactl::help(app, sactl::Output("", false).columns()));
      sactl::Output::flush();
      return sactl::Done;
    } catch (const CLI::CallForVersion& version) {
      fmt::print("{}\n", version.what());
      sactl::Output::flush();
      return sactl::Done;
    } catch (const CLI::ParseError& error) {
      fmt::print(stderr, "{}\n", sactl::explain(app, error));
      return sactl::Usage;
    }
    if (*describe) {
      fmt::print("{}", sactl::describe(app, form));
      sactl::Output::flush();
      return sactl::Done;
    }
    for (const auto& [parsed, command] : made) {
      if (*parsed) {
        sactl::Output output(parsed->get_name(), json);
        const sactl::Status status = command->run(output);
        sactl::Output::flush();
        return status;
      }
    }
  } catch (const std::exception& error) {
    std::fflush(stdout);
    fmt::print(stderr, "sactl: {}\n", error.what());
  }
  return sactl::Failed;
}
