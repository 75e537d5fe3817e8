// SPDX-License-Identifier: MIT
#include "commands/images.hpp"

#include <algorithm>
#include <charconv>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "commands/nearest.hpp"

namespace sactl {
namespace {

/// The names of the table that are called nearly so; none when nothing is near.
std::vector<std::string> near(const std::string& name) {
  // Four letters say something else in DRM than in V4L2: both are offered, with whose they are.
  std::vector<std::string> found;
  for (const char* whose : {"drm:", "v4l2:"}) {
    if (const sa::Format format = sa::Format::find(whose + name); format) {
      found.push_back(fmt::format("{}{} ({})", whose, name, format.name()));
    }
  }
  if (!found.empty()) {
    return found;
  }
  std::vector<std::string> all;
  for (const sa::Format format : sa::Format::all()) {
    all.emplace_back(format.name());
    if (!format.info().gstreamer.empty()) {
      all.emplace_back(format.info().gstreamer);
    }
  }
  found = nearest(name, all, 2);
  constexpr std::size_t most_names = 6;
  found.resize(std::min(found.size(), most_names));
  return found;
}

} // namespace

sa::Format read_format(const std::string& name) {
  const sa::Format format = sa::Format::find(name);
  if (!format) {
    const auto names = near(name);
    throw CLI::ValidationError(fmt::format("no format \"{}\"; {}sactl formats lists all", name,
                                           names.empty() ? "" : fmt::format("near to it: {}; ", fmt::join(names, ", "))));
  }
  return format;
}

std::string name_of(sa::V4l2Fourcc code) {
  return code ? name_of(sa::DeviceFormat{.format = sa::Format::find(code), .drm = {}, .v4l2 = code}) : "";
}

std::string name_of(const sa::DeviceFormat& format) {
  if (format.format) {
    return std::string(format.format.name());
  }
  const std::string code = format.v4l2 ? to_string(format.v4l2) : to_string(format.drm);
  return sa::Format::find(code) ? (format.v4l2 ? "v4l2:" : "drm:") + code : code;
}

ImageSize read_size(const std::string& text) {
  ImageSize size;
  const char* const end = text.data() + text.size();
  const auto width = std::from_chars(text.data(), end, size.width);
  const bool cross = width.ec == std::errc() && width.ptr != end && *width.ptr == 'x';
  const auto height = cross ? std::from_chars(width.ptr + 1, end, size.height) : width;
  const auto in_range = [](std::uint32_t side) { return side >= 1 && side <= sa::max_image_side; };
  if (!cross || height.ec != std::errc() || height.ptr != end || !in_range(size.width) || !in_range(size.height)) {
    throw CLI::ValidationError(
        fmt::format("\"{}\" is no size; ask for WIDTHxHEIGHT, 1920x1080, each 1 to {} pixels", text, sa::max_image_side));
  }
  return size;
}

CLI::Option* add_devices(CLI::App& app, std::vector<std::string>& nodes, const std::string& about) {
  return app.add_option("--for", nodes, about)->type_name("NODE")->allow_extra_args(false);
}

std::vector<sa::Device> open_devices(const std::vector<std::string>& nodes) {
  std::vector<sa::Device> devices;
  devices.reserve(nodes.size());
  for (const auto& node : nodes) {
    devices.push_back(sa::Device::open(node));
  }
  return devices;
}

Json as_json(const sa::ImageLayout& layout, const std::vector<std::string>& sources) {
  Json planes = Json::array();
  for (unsigned i = 0; i < layout.plane_count(); ++i) {
    const sa::PlaneLayout& plane = layout.planes[i];
    planes.push_back({{"buffer", plane.buffer}, {"stride", plane.stride}, {"offset", plane.offset}, {"rows", plane.rows}});
  }
  Json sizes = Json::array();
  for (unsigned i = 0; i < layout.buffer_count(); ++i) {
    sizes.push_back(layout.sizes[i]);
  }
  return {{"format", layout.format.name()},
          {"width", layout.width},
          {"height", layout.height},
          {"modifier", fmt::format("{:#018x}", layout.modifier)},
          {"planes", std::move(planes)},
          {"sizes", std::move(sizes)},
          {"sources", sources}};
}

void print_layout(const Output& output, const sa::ImageLayout& layout, const std::vector<std::string>& sources) {
  Table planes({"PLANE", "BUFFER", "STRIDE", "OFFSET", "ROWS"});
  for (unsigned i = 0; i < layout.plane_count(); ++i) {
    const sa::PlaneLayout& plane = layout.planes[i];
    planes.add({std::to_string(i), std::to_string(plane.buffer), std::to_string(plane.stride), std::to_string(plane.offset),
                std::to_string(plane.rows)});
  }
  planes.print(output);
  Table rest({"", ""});
  for (unsigned i = 0; i < layout.buffer_count(); ++i) {
    rest.add({fmt::format("buffer {}", i), fmt::format("{} bytes ({})", layout.sizes[i], human_bytes(layout.sizes[i]))});
  }
  for (const auto& source : sources) {
    rest.add({"because of", source});
  }
  rest.print(output);
  output.line(to_string(layout)); // whole: it is there to be pasted
}

void Refusals::add(const std::string& refused, const std::string& sentence) {
  const bool named = !refused.empty() && sentence.starts_with(refused + ": "); // need not be said twice
  const std::string reason = named ? sentence.substr(refused.size() + 2) : sentence;
  const auto row = std::find_if(rows_.begin(), rows_.end(), [&](const Row& one) { return one.reason == reason; });
  if (row == rows_.end()) {
    rows_.push_back({reason, refused});
  } else {
    row->refused += ", " + refused;
  }
}

std::vector<std::string> Refusals::sentences() const {
  std::vector<std::string> all;
  for (const auto& row : rows_) {
    all.push_back(row.refused.empty() ? row.reason : row.refused + ": " + row.reason);
  }
  return all;
}

void Refusals::print(const Output& output) const {
  Table table({"", ""});
  for (const auto& sentence : sentences()) {
    table.add({Table::Cell("no", Style::Bad), sentence});
  }
  table.print(output);
}

} // namespace sactl
