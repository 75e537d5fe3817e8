// SPDX-License-Identifier: MIT
/// sactl formats
#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "commands/command.hpp"
#include "commands/images.hpp"

namespace sactl {
namespace {

bool has(const sa::Device& device, sa::Format format) {
  if (device.info().role == sa::DeviceRole::Render) { // does not list any, and takes what DRM has a code for
    return static_cast<bool>(format.info().drm);
  }
  const auto& formats = device.info().formats;
  return std::any_of(formats.begin(), formats.end(), [&](const sa::DeviceFormat& one) { return one.format == format; });
}

class Formats final : public Command {
public:
  void add_options(CLI::App& app) override {
    add_devices(app, nodes_, "a device by its node, all of whose formats the others must have; may be given several times");
    app.add_flag("--names", names_, "print the names alone, one in a line")->excludes(app.get_option("--json"));
  }

  Status run(Output& output) override {
    compare(open_devices(nodes_));
    const Status status = formats_.empty() ? Failed : Done;
    if (names_) {
      for (const sa::Format format : formats_) {
        output.line(format.name());
      }
      return status;
    }
    if (output.json()) {
      output.print(list_as_json());
      return status;
    }
    Refusals refusals;
    for (const auto& [format, reason] : refused_) {
      refusals.add(format, reason);
    }
    refusals.print(output);
    Table table({"NAME", "DRM", "V4L2", "V4L2 SPLIT", "GSTREAMER"});
    for (const sa::Format format : formats_) {
      const sa::FormatInfo& info = format.info();
      table.add({Table::Cell(std::string(info.name), Style::Strong), to_string(info.drm), to_string(info.v4l2),
                 to_string(info.v4l2_split), info.gstreamer.empty() ? "-" : std::string(info.gstreamer)});
    }
    if (table.empty()) {
      output.sentence("there is no format that all of them have");
    } else {
      table.print(output);
    }
    return status;
  }

private:
  /// Finds the formats that all devices have, in the table's order, and for the others the reason.
  void compare(const std::vector<sa::Device>& devices) {
    std::vector<std::string> strangers; // that the table lacks
    for (const auto& device : devices) {
      for (const sa::DeviceFormat& one : device.info().formats) {
        if (!one.format && std::find(strangers.begin(), strangers.end(), name_of(one)) == strangers.end()) {
          strangers.push_back(name_of(one));
        }
      }
    }
    for (const sa::Format format : sa::Format::all()) {
      std::vector<std::string> without;
      for (const auto& device : devices) {
        if (!has(device, format)) {
          without.push_back(device.info().name);
        }
      }
      if (without.empty()) {
        formats_.push_back(format);
      } else if (without.size() < devices.size()) {
        refused_.emplace_back(format.name(), fmt::format("not a format of {}", fmt::join(without, ", ")));
      }
    }
    for (const auto& name : strangers) {
      refused_.emplace_back(name, "not in the table of formats: how its pixels lie is not known");
    }
  }

  [[nodiscard]] Json list_as_json() const {
    const auto code = [](auto one) { return one ? Json(to_string(one)) : Json(); };
    Json list = Json::array();
    for (const sa::Format format : formats_) {
      const sa::FormatInfo& info = format.info();
      list.push_back({{"name", info.name},
                      {"drm", code(info.drm)},
                      {"v4l2", code(info.v4l2)},
                      {"v4l2_split", code(info.v4l2_split)},
                      {"gstreamer", info.gstreamer.empty() ? Json() : Json(info.gstreamer)}});
    }
    Json refusals = Json::array();
    for (const auto& [format, reason] : refused_) {
      refusals.push_back({{"format", format}, {"reason", reason}});
    }
    return {{"formats", std::move(list)}, {"refusals", std::move(refusals)}};
  }

  std::vector<std::string> nodes_;
  bool names_ = false;
  std::vector<sa::Format> formats_;
  std::vector<std::pair<std::string, std::string>> refused_; ///< and the reason
};

} // namespace

std::unique_ptr<Command> make_formats() {
  return std::make_unique<Formats>();
}

} // namespace sactl
