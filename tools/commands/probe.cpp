// SPDX-License-Identifier: MIT
/// sactl probe
#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include <sa/sa.hpp>

#include "commands/command.hpp"
#include "system/device_nodes.hpp"

namespace sactl {
namespace {

/// What a device was found to need.
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

/// As profiles of a configuration: one for a driver all of whose devices need the same, since nodes change their numbers.
void print_profiles(const std::vector<Found>& devices) {
  fmt::print("# What sactl probe found. Profiles for sa.toml: with them sa::Registry::select() knows it without a probe.\n");
  const auto of_driver = [](const Found& one) { return [&one](const Found& other) { return other.driver == one.driver; }; };
  for (auto device = devices.begin(); device != devices.end(); ++device) {
    if (!device->contiguous) {
      fmt::print("\n# {} ({}): whether it takes scattered memory is not known; sactl probe says why\n", device->node,
                 device->driver);
      continue;
    }
    const bool of_all = std::all_of(devices.begin(), devices.end(), [&](const Found& other) {
      return other.driver != device->driver || other.contiguous == device->contiguous;
    });
    if (of_all && std::find_if(devices.begin(), device, of_driver(*device)) != device) {
      continue; // it has one
    }
    fmt::print("\n[[device]]\nmatch = {} # {}\nconstraints = \"{}\"\n",
               Json(of_all ? "driver:" + device->driver : device->node).dump(), of_all ? device->node : device->driver,
               *device->contiguous ? "contiguous" : "dma-buf");
  }
}

class Probe final : public Command {
public:
  void add_options(CLI::App& app) override {
    app.add_option("--for", nodes_, "a device by its node; may be given several times; none: all there are")
        ->type_name("NODE")
        ->allow_extra_args(false);
    app.add_flag("--profile", profile_, "print what was found as profiles for sa.toml, so that it is known without a probe");
  }

  Status run(Output& output) override {
    auto& registry = sa::Registry::system();
    Json devices = Json::array();
    Table table({"DEVICE", "HEAP", "", "SAID"});
    std::vector<Found> found;
    const bool all = nodes_.empty();
    for (const auto& node : all ? importer_nodes() : nodes_) {
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
    if (output.json()) {
      output.print({{"devices", std::move(devices)}});
    } else if (profile_) {
      print_profiles(found);
    } else if (table.empty()) {
      output.sentence("no device that imports buffers: there is no /dev/dri/card* and no /dev/video*");
    } else {
      table.print(output);
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
