// SPDX-License-Identifier: MIT
/// sactl probe
#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include <sa/sa.hpp>

#include "command.hpp"

namespace sactl {
namespace {

/// Nodes that may be devices: those of DRM cards and of V4L2.
std::vector<std::string> nodes() {
  std::vector<std::string> found;
  std::error_code ec;
  for (const auto& [folder, prefix] : {std::pair{"/dev/dri", "card"}, {"/dev", "video"}}) {
    for (std::filesystem::directory_iterator entry(folder, ec), end; !ec && entry != end; entry.increment(ec)) {
      const std::string name = entry->path().filename();
      const std::string digits = name.starts_with(prefix) ? name.substr(std::string_view(prefix).size()) : "";
      if (!digits.empty() && digits.find_first_not_of("0123456789") == std::string::npos) {
        found.push_back(entry->path());
      }
    }
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
    return a.size() != b.size() ? a.size() < b.size() : a < b; // video2 before video10
  });
  return found;
}

class Probe final : public Command {
public:
  void add_options(CLI::App& app) override {
    app.add_option("--for", nodes_, "a device by its node; may be given several times; none: all there are")
        ->type_name("NODE")
        ->allow_extra_args(false);
  }

  Status run(Output& output) override {
    auto& registry = sa::Registry::system();
    Json devices = Json::array();
    Table table({"DEVICE", "HEAP", "", "SAID"});
    const bool all = nodes_.empty();
    for (const auto& node : all ? nodes() : nodes_) {
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
        entry["error"] = error.what();
        devices.push_back(entry);
        table.add({node, "-", Table::Cell("?", Style::Bad), error.what()});
        continue;
      }
      entry["driver"] = device.info().driver;
      entry["iommu"] = device.info().iommu.empty() ? Json() : Json(device.info().iommu);
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
    } else if (table.empty()) {
      output.sentence("no device that imports buffers: there is no /dev/dri/card* and no /dev/video*");
    } else {
      table.print(output);
    }
    return Done;
  }

private:
  std::vector<std::string> nodes_;
};

} // namespace

std::unique_ptr<Command> make_probe() {
  return std::make_unique<Probe>();
}

} // namespace sactl
