// SPDX-License-Identifier: MIT
#include "commands/usage.hpp"

#include <algorithm>
#include <sstream>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "commands/nearest.hpp"
#include "terminal/text.hpp"

namespace sactl {
namespace {

std::vector<std::string> commands_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App* one) { return !one->get_group().empty(); })) {
    names.push_back(command->get_name());
  }
  return names;
}

std::vector<std::string> options_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options([](const CLI::Option* one) { return !one->get_group().empty(); })) {
    for (const auto& name : option->get_lnames()) {
      names.push_back("--" + name);
    }
  }
  return names;
}

std::string or_similar(const std::string& word, const std::vector<std::string>& names) {
  const auto near = nearest(word, names, std::clamp<std::size_t>(word.size() / 3, 1, 3));
  return near.empty() ? "" : fmt::format("did you mean {}? ", fmt::join(near, " or "));
}

} // namespace

std::string help(const CLI::App& app, std::size_t columns) {
  // "  --size BYTES                bytes, ...": name, spaces, description.
  std::string all;
  std::istringstream lines(app.help());
  for (std::string line; std::getline(lines, line);) {
    const std::size_t name = std::min(line.find_first_not_of(' '), line.size());
    const std::size_t gap = line.find("  ", name);
    const bool two = gap != std::string::npos;
    const std::size_t text = two ? line.find_first_not_of(' ', gap) : name; // where the description begins
    if (columns_of(line) <= columns || line.starts_with("  sactl ")) {      // an example is there to be pasted
      all += line + "\n";
      continue;
    }
    constexpr std::size_t least = 28; // columns that a description is worth beginning beside its name in
    const bool beside = text + least <= columns;
    const std::size_t indent = beside ? text : two ? name + 4 : std::min<std::size_t>(name, 4);
    std::string before = line.substr(0, two ? gap : 0);
    before += beside ? std::string(text - before.size(), ' ') : two ? "\n" + std::string(indent, ' ') : std::string(indent, ' ');
    for (const auto& part : wrapped(std::string_view(line).substr(text), columns - std::min(indent, columns))) {
      all += before + part + "\n";
      before = std::string(indent, ' ');
    }
  }
  return all;
}

std::string explain(const CLI::App& app, const CLI::ParseError& error) {
  const auto parsed = app.get_subcommands();
  const bool before = parsed.empty() || !app.remaining().empty(); // the command, or instead of one
  const CLI::App& command = before ? app : *parsed.front();
  const std::string name = before ? "sactl" : "sactl " + command.get_name();
  const std::string more = name + " --help lists all";
  const auto unknown = command.remaining();
  const auto option = std::find_if(unknown.begin(), unknown.end(), [](const auto& word) { return word.starts_with('-'); });
  if (option != unknown.end()) {
    const std::string word = option->substr(0, option->find('='));
    return fmt::format("{}: there is no option \"{}\"; {}{}", name, harmless(word), or_similar(word, options_of(command)), more);
  }
  if (before && !unknown.empty()) {
    const std::string& word = unknown.front();
    return fmt::format("{}: there is no command \"{}\"; {}{}", name, harmless(word), or_similar(word, commands_of(app)), more);
  }
  if (before && parsed.empty()) {
    return fmt::format("{}: no command is given; {}", name, more);
  }
  if (!unknown.empty()) {
    return fmt::format("{}: there is an argument too many, \"{}\"; {}", name, harmless(unknown.front()), more);
  }
  return fmt::format("{}: {}; {}", name, error.what(), more);
}

} // namespace sactl
