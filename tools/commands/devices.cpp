// SPDX-License-Identifier: MIT
/// sactl devices
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "commands/command.hpp"
#include "commands/images.hpp"
#include "system/device_nodes.hpp"

namespace sactl {
namespace {

/// A node that cannot be used.
struct Unusable {
  std::string node;
  std::string reason;
};

/// As one reason for several nodes when they differ in nothing else.
void print_unusable(const Output& output, const std::vector<Unusable>& all) {
  const auto without_name = [](const Unusable& one) {
    const std::string name = one.node + ": "; // comes before in any case
    std::string reason = one.reason.starts_with(name) ? one.reason.substr(name.size()) : one.reason;
    for (std::size_t at = 0; (at = reason.find(one.node, at)) != std::string::npos;) {
      reason.replace(at, one.node.size(), "NODE");
    }
    return reason;
  };
  Refusals refusals;
  for (const auto& one : all) {
    const std::string reason = without_name(one);
    const bool alone =
        std::count_if(all.begin(), all.end(), [&](const auto& other) { return without_name(other) == reason; }) == 1;
    refusals.add(one.node, alone ? one.reason : reason);
  }
  refusals.print(output);
}

class Devices final : public Command {
public:
  void add_options(CLI::App&) override {}

  Status run(Output& output) override {
    Json devices = Json::array();
    Json refusals = Json::array();
    Table table({"NODE", "ROLE", "DRIVER", "FORMAT", "SIZE", "DISPLAY"});
    std::vector<Unusable> unusable;
    const auto refuse = [&](const std::string& node, const std::string& reason) {
      unusable.push_back({node, reason});
      refusals.push_back({{"node", node}, {"reason", reason}});
    };
    for (const auto& node : device_nodes()) {
      sa::Device device;
      try {
        device = sa::Device::open(node);
      } catch (const sa::Error& error) {
        const std::string sentence = error.what();
        const std::string asked = error.operation() + ": "; // is clear here
        refuse(node, sentence.starts_with(asked) ? sentence.substr(asked.size()) : sentence);
        continue;
      }
      const sa::DeviceInfo& info = device.info();
      if (!info.imports) {
        refuse(node, info.reason);
      }
      const std::string format = name_of(info.fourcc);
      const bool sized = info.width != 0;
      const bool display = info.role == sa::DeviceRole::Display;
      devices.push_back({{"node", node},
                         {"role", to_string(info.role)},
                         {"driver", info.driver},
                         {"format", format.empty() ? Json() : Json(format)},
                         {"width", sized ? Json(info.width) : Json()},
                         {"height", sized ? Json(info.height) : Json()},
                         {"display", display}});
      table.add({Table::Cell(node, Style::Strong), std::string(to_string(info.role)), info.driver, format.empty() ? "-" : format,
                 sized ? fmt::format("{}x{}", info.width, info.height) : "-", display ? "yes" : "no"});
    }
    if (output.json()) {
      output.print({{"devices", std::move(devices)}, {"refusals", std::move(refusals)}});
      return Done;
    }
    print_unusable(output, unusable);
    if (!table.empty()) {
      table.print(output);
    } else if (unusable.empty()) {
      output.sentence("no device: there is no /dev/dri/* and no /dev/video*");
    }
    return Done;
  }
};

} // namespace

std::unique_ptr<Command> make_devices() {
  return std::make_unique<Devices>();
}

} // namespace sactl
