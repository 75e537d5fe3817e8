// SPDX-License-Identifier: MIT
#include "commands/describe.hpp"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include <sa/version.hpp>

namespace sactl {
namespace {

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* one) { return !one->get_group().empty(); });
}

std::vector<const CLI::Option*> options_of(const CLI::App& app) {
  return app.get_options([](const CLI::Option* one) { return !one->get_group().empty(); });
}

/// For roff: a hyphen that is one, and no line that begins with a request.
std::string roff(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\') {
      escaped += "\\e";
    } else if (c == '-') {
      escaped += "\\-";
    } else if ((c == '.' || c == '\'') && (escaped.empty() || escaped.back() == '\n')) {
      escaped += std::string("\\&") + c;
    } else {
      escaped += c;
    }
  }
  return escaped;
}

bool flag(const CLI::Option& option) {
  return option.get_items_expected_max() == 0;
}

std::string argument_of(const CLI::Option& option) {
  return flag(option) ? "" : option.get_type_name().empty() ? "VALUE" : option.get_type_name();
}

std::string man_options(const CLI::App& app) {
  std::string page;
  for (const CLI::Option* option : options_of(app)) {
    const std::string name = option->get_name(option->get_positional(), true);
    const std::string argument = option->get_positional() ? "" : argument_of(*option);
    page += fmt::format(".TP\n.B {}{}\n{}\n", roff(name), argument.empty() ? "" : " \\fI" + roff(argument) + "\\fB",
                        roff(option->get_description()));
  }
  return page;
}

std::string man(const CLI::App& app) {
  std::string page =
      fmt::format(".TH SACTL 1 \"\" \"sactl {0}\"\n.SH NAME\nsactl \\- {1}\n.SH SYNOPSIS\n.B sactl\n.I COMMAND\n[options]\n"
                  ".SH DESCRIPTION\n{1}.\n.SH OPTIONS\n{2}.SH COMMANDS\n",
                  SA_VERSION, roff(app.get_description()), man_options(app));
  for (const CLI::App* command : commands_of(app)) {
    std::string footer = command->get_footer();
    if (const auto at = footer.find("\n  "); at != std::string::npos) {
      footer = footer.substr(at + 3);
    }
    page += fmt::format(".SS sactl {}\n{}.\n{}.PP\nExample:\n.PP\n.EX\n{}\n.EE\n", roff(command->get_name()),
                        roff(command->get_description()), man_options(*command), roff(footer));
  }
  page +=
      ".SH EXIT STATUS\n.TP\n.B 0\nDone.\n.TP\n.B 1\nIt could not be done; standard error has the sentence.\n.TP\n.B 2\nThe "
      "command "
      "line is wrong.\n.TP\n.B 3\ndoctor: works, but not as well as it could.\n.TP\n.B 4\ndoctor: something does not work.\n"
      ".SH ENVIRONMENT\n.TP\n.B SA_CONFIG\nA configuration file, read after the others.\n.TP\n.B SA_CARVEOUT\nReserved "
      "ranges.\n.TP\n.B SA_LOG\nThe "
      "level from which the library logs: trace, debug, info, warn, err, off.\n.TP\n.B NO_COLOR\nSet to anything: no colours.\n"
      ".SH FILES\n.TP\n.I sa.toml\nThe configuration, see\n.BR sa.toml (5).\n.SH SEE ALSO\n.BR sa.toml (5)\n";
  return page;
}

/// Words separated by spaces: the options that begin with "--", and "--json".
std::string long_options(const CLI::App& app) {
  std::string words;
  for (const CLI::Option* option : options_of(app)) {
    for (const auto& name : option->get_lnames()) {
      words += (words.empty() ? "--" : " --") + name;
    }
  }
  return words;
}

std::string names_of(const std::vector<const CLI::App*>& commands) {
  std::string words;
  for (const CLI::App* command : commands) {
    words += (words.empty() ? "" : " ") + command->get_name();
  }
  return words;
}

/// The command whose --names are the choices for the first argument.
const char* list_for(const CLI::App& app) {
  const auto options = options_of(app);
  const bool format = std::any_of(options.begin(), options.end(), [](const CLI::Option* one) {
    return one->get_positional() && one->get_name(true) == "format";
  });
  return format ? "formats" : "heaps";
}

std::string bash(const CLI::App& app) {
  const auto commands = commands_of(app);
  // A heap's name has a colon, at which readline breaks words: the word is taken from the line, and what readline has before
  // its own is taken off the answers.
  std::string script =
      "# bash completion for sactl\n_sactl() {\n  local line=${COMP_LINE:0:COMP_POINT} list=heaps words= before\n"
      "  local word=${COMP_WORDS[COMP_CWORD]}\n"
      "  [ -z \"$line\" ] || word=${line##*[[:space:]]}\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n";
  script += fmt::format("    words='{} {}'\n  else\n    case ${{COMP_WORDS[1]}} in\n", names_of(commands), long_options(app));
  for (const CLI::App* command : commands) {
    script += fmt::format("      {}) words='{}' list={} ;;\n", command->get_name(), long_options(*command), list_for(*command));
  }
  script += "    esac\n    [[ $word == -* ]] || words=$(sactl $list --names 2>/dev/null)\n  fi\n"
            "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
            "  if [[ $word == *:* && $COMP_WORDBREAKS == *:* ]]; then\n"
            "    before=${word%\"${word##*:}\"}\n"
            "    COMPREPLY=(\"${COMPREPLY[@]#\"$before\"}\")\n"
            "  fi\n"
            "}\ncomplete -o default -F _sactl sactl\n";
  return script;
}

/// For a word in single quotes that _arguments and _describe read.
std::string zsh_text(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\'') {
      escaped += "'\\''";
    } else if (c == '[' || c == ']' || c == ':') {
      escaped += std::string("\\") + c;
    } else {
      escaped += c;
    }
  }
  return escaped;
}

std::string zsh(const CLI::App& app) {
  std::string script = "#compdef sactl\n_sactl() {\n  local -a commands\n  commands=(\n";
  for (const CLI::App* command : commands_of(app)) {
    script += fmt::format("    '{}:{}'\n", command->get_name(), zsh_text(command->get_description()));
  }
  script += "  )\n  if (( CURRENT == 2 )); then\n    _describe command commands\n    return\n  fi\n  case $words[2] in\n";
  for (const CLI::App* command : commands_of(app)) {
    script += fmt::format("    {})\n      _arguments", command->get_name());
    for (const CLI::Option* option : options_of(*command)) {
      for (const auto& name : option->get_lnames()) {
        script += fmt::format(" \\\n        '--{}[{}]{}'", name, zsh_text(option->get_description()),
                              flag(*option) ? "" : ":value:_files");
      }
    }
    script += fmt::format(" \\\n        '*:name:($(sactl {} --names 2>/dev/null))'\n      ;;\n", list_for(*command));
  }
  script += "  esac\n}\n_sactl \"$@\"\n";
  return script;
}

} // namespace

std::string describe(const CLI::App& app, const std::string& form) {
  return form == "man" ? man(app) : form == "bash" ? bash(app) : zsh(app);
}

} // namespace sactl
