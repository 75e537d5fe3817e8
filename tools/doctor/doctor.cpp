// SPDX-License-Identifier: MIT
/// sactl doctor
#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <unistd.h>

#include "commands/command.hpp"
#include "doctor/finding.hpp"
#include "terminal/text.hpp"

namespace sactl {
namespace {

const char* word(Severity severity) {
  constexpr std::array words{"ok", "unknown", "warning", "trouble"};
  return words[static_cast<std::size_t>(severity)];
}

/// Cameras, codecs and displays; and of them those that may need contiguous memory: devices of a chip's own bus without an
/// IOMMU. Others (USB, PCI) copy, or gather scattered memory by themselves, as far as it can be told without asking them.
void look_for_devices(Examination& all) {
  namespace fs = std::filesystem;
  for (const auto& [group, prefix, nodes] : {std::array{"video4linux", "video", "/dev/"}, {"drm", "card", "/dev/dri/"}}) {
    for (const auto& name : names_in(fs::path("/sys/class") / group)) {
      if (!name.starts_with(prefix) || name.find('-') != std::string::npos) { // card0-HDMI-A-1 is a connector
        continue;
      }
      all.devices.push_back(nodes + name);
      std::error_code ec;
      const fs::path device = fs::path("/sys/class") / group / name / "device";
      const bool on_chip = fs::read_symlink(device / "subsystem", ec).filename() == "platform";
      if (on_chip && !fs::exists(device / "iommu_group", ec)) {
        all.contiguous_devices.push_back(nodes + name);
      }
    }
  }
}

Examination examine(bool trials) {
  Examination all;
  all.trials = trials;
  check_descriptors(all); // first: without descriptors no other check can look at anything
  look_for_devices(all);
  const auto& registry = sa::Registry::system();
  all.heaps = registry.heaps();
  all.aliases = registry.aliases();
  check_nodes(all);
  check_permissions(all);
  check_cma(all);
  check_contiguous(all);
  check_udmabuf(all);
  check_huge_pages(all);
  check_configuration(all);
  check_carveouts(all);
  check_aliases(all);
  // The worst first; among equals what was tested first, since the one is often why the other is.
  std::stable_sort(all.findings.begin(), all.findings.end(),
                   [](const auto& a, const auto& b) { return a.severity > b.severity; });
  return all;
}

/// Prints "WORD: text", its further lines indented; without a word all lines are.
void print_paragraph(const Output& output, const std::string& word, Style style, const std::string& text) {
  const std::string indent = "  ";
  const std::string whole = word.empty() ? text : fmt::format("{}: {}", word, text);
  const std::size_t room = output.columns() - std::min(output.columns(), indent.size());
  bool first = !word.empty();
  for (const auto& line : wrapped(whole, room)) {
    output.line(first ? output.styled(word, style) + line.substr(word.size()) : indent + line);
    first = false;
  }
}

class Doctor final : public Command {
public:
  void add_options(CLI::App& app) override {
    app.add_flag("--no-trials", no_trials_, "allocate nothing: only the kernel's numbers then tell whether there is memory");
  }

  Status run(Output& output) override {
    const Examination all = examine(!no_trials_);
    const Severity worst = all.findings.front().severity; // there is one of the descriptors at least
    const Status status = worst == Severity::Trouble ? Trouble : worst == Severity::Warning ? Warning : Done;
    if (output.json()) {
      output.print(as_json(all.findings));
    } else {
      print(output, all.findings);
    }
    return status;
  }

private:
  static Json as_json(const std::vector<Finding>& findings) {
    Json list = Json::array();
    for (const auto& one : findings) {
      list.push_back({{"id", one.id},
                      {"severity", word(one.severity)},
                      {"subject", one.subject},
                      {"seen", one.seen},
                      {"means", one.means},
                      {"fix", one.fix},
                      {"fix_needs_root", !one.fix.empty() && one.fix_needs_root}});
    }
    return {{"findings", std::move(list)}};
  }

  static void print(const Output& output, const std::vector<Finding>& findings) {
    std::string fine;
    for (const auto& one : findings) {
      if (one.severity == Severity::Ok) {
        fine += (fine.empty() ? "" : ", ") + one.seen;
        continue;
      }
      const Style style = one.severity == Severity::Trouble   ? Style::Bad
                          : one.severity == Severity::Warning ? Style::Strong
                                                              : Style::Faint;
      print_paragraph(output, word(one.severity), style, one.seen);
      if (!one.means.empty()) {
        print_paragraph(output, "", Style::Plain, one.means);
      }
      if (!one.fix.empty()) {
        output.line(one.fix_needs_root && ::geteuid() != 0 ? "  as root:" : "  fix:");
        output.line("    " + output.styled(one.fix, Style::Strong));
      }
    }
    print_paragraph(output, "fine", Style::Good, fine);
  }

  bool no_trials_ = false;
};

} // namespace

std::unique_ptr<Command> make_doctor() {
  return std::make_unique<Doctor>();
}

} // namespace sactl
