// SPDX-License-Identifier: MIT
/// sactl probe
#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include <sa/sa.hpp>

#include "commands/command.hpp"
#include "system/device_nodes.hpp"
#include "terminal/progress.hpp"
#include "terminal/text.hpp"

namespace sactl {
namespace {

/// A device and the memory that it needs.
struct Found {
  std::string node;
  std::string driver;
  std::optional<bool> contiguous; ///< nothing: it is not known
};

std::optional<bool> needs_contiguous(const sa::Device& device, const sa::Selection& selection) {
  if (device.info().iommu.starts_with("DMA")) { // it translates for the device
    return false;
  }
  if (selection.constraints.max_segments == 1) {
    return true;
  }
  const auto takes_scattered = [](const sa::Choice& choice) {
    return choice.certainty == sa::Certainty::Proven && !choice.heap->info().traits.contains(sa::Trait::Contiguous);
  };
  return std::any_of(selection.choices.begin(), selection.choices.end(), takes_scattered) ? std::optional(false) : std::nullopt;
}

/// A comment of the configuration, its lines broken as a sentence's are.
void print_comment(const Output& output, const std::string& text) {
  for (const auto& line : wrapped(text, output.columns() - std::string_view("# ").size())) {
    output.line("# " + line);
  }
}

/// As profiles of a configuration: one for a driver all of whose devices need the same, since nodes change their numbers.
void print_profiles(const Output& output, const std::vector<Found>& devices) {
  print_comment(output,
                "What sactl probe found. Profiles for sa.toml: with them sa::Registry::select() knows it without a probe.");
  const auto of_driver = [](const Found& one) { return [&one](const Found& other) { return other.driver == one.driver; }; };
  for (auto device = devices.begin(); device != devices.end(); ++device) {
    if (!device->contiguous) {
      output.line("");
      print_comment(output, fmt::format("{} ({}): whether it takes scattered memory is not known; sactl probe says why",
                                        device->node, device->driver));
      continue;
    }
    const bool of_all = std::all_of(devices.begin(), devices.end(), [&](const Found& other) {
      return other.driver != device->driver || other.contiguous == device->contiguous;
    });
    if (of_all && std::find_if(devices.begin(), device, of_driver(*device)) != device) {
      continue; // it has one
    }
    output.line(fmt::format("\n[[device]]\nmatch = {} # {}\nconstraints = \"{}\"",
                            Json(of_all ? "driver:" + device->driver : device->node).dump(),
                            of_all ? device->node : device->driver, *device->contiguous ? "contiguous" : "dma-buf"));
  }
}

class Probe final : public Command {
public:
  void add_options(CLI::App& app) override {
    app.add_option("--for", nodes_, "a device by its node; may be given several times; none: all there are")
        ->type_name("NODE")
        ->allow_extra_args(false);
    app.add_flag("--profile", profile_, "print the findings as profiles for sa.toml: programs then know them without a probe");
  }

  Status run(Output& output) override {
    auto& registry = sa::Registry::system();
    Json devices = Json::array();
    Table table({"DEVICE", "HEAP", "TAKEN", "SAID"});
    std::vector<Found> found;
    const bool all = nodes_.empty();
    const std::vector<std::string> nodes = all ? importer_nodes() : nodes_;
    std::size_t answered = 0;
    Progress progress;
    for (const auto& node : nodes) {
      progress.say(fmt::format("asking {}, {} of {}", node, 1 + (&node - nodes.data()), nodes.size()));
      sa::Device device;
      sa::Selection selection;
      Json entry{{"device", node}};
      try {
        device = sa::Device::open(node);
        selection = registry.select({}, {device}, {.probe = true});
      } catch (const sa::Error& error) {
        if (error.code() == std::errc::no_such_device && all) {
          continue; // a node for something else than images
        }
        if (!all) {
          throw;
        }
        found.push_back({node, "could not be asked", std::nullopt});
        entry["error"] = error.what();
        devices.push_back(entry);
        table.add({node, "-", Table::Cell("?", Style::Bad), error.what()});
        continue;
      }
      ++answered;
      entry["driver"] = device.info().driver;
      entry["iommu"] = device.info().iommu.empty() ? Json() : Json(device.info().iommu);
      found.push_back({node, device.info().driver, needs_contiguous(device, selection)});
      entry["contiguous"] = found.back().contiguous ? Json(*found.back().contiguous) : Json();
      entry["heaps"] = Json::array();
      const std::string shown = fmt::format("{} ({})", node, device.info().driver);
      const auto add = [&](const std::string& heap, const char* verdict, Style style, const std::string& said) {
        entry["heaps"].push_back({{"heap", heap}, {"verdict", verdict}, {"said", said}});
        table.add({shown, Table::Cell(heap, Style::Strong), Table::Cell(verdict, style), said});
      };
      for (const auto& choice : selection.choices) {
        const bool proven = choice.certainty == sa::Certainty::Proven;
        add(choice.heap->info().name, proven ? "yes" : "?", proven ? Style::Good : Style::Plain, choice.note);
      }
      for (const auto& refusal : selection.refusals) {
        add(refusal.heap, "no", Style::Bad, refusal.reason);
      }
      devices.push_back(std::move(entry));
    }
    progress.end();
    if (output.json()) {
      output.print({{"devices", std::move(devices)}});
    } else if (profile_) {
      print_profiles(output, found);
    } else if (table.empty()) {
      output.sentence("no device that imports buffers: there is no /dev/dri/card* and no /dev/video*");
    } else {
      table.print(output);
    }
    if (!found.empty() && answered == 0) {
      fmt::print(stderr, "sactl: {} of {} devices answered\n", answered, found.size());
      return Failed;
    }
    return Done;
  }

private:
  std::vector<std::string> nodes_;
  bool profile_ = false;
};

} // namespace

std::unique_ptr<Command> make_probe() {
  return std::make_unique<Probe>();
}

} // namespace sactl
