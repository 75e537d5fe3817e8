// SPDX-License-Identifier: MIT
/// Shared by the commands about devices and images: formats, sizes and devices on the command line; layouts and refusals in
/// the answer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include <sa/sa.hpp>

#include "terminal/output.hpp"

namespace sactl {

/// Pixels that are to be seen.
struct ImageSize {
  std::uint32_t width = 0;
  std::uint32_t height = 0;
};

/// The format that Format::find() knows by @p name.
/// @throws CLI::ValidationError names the formats that are called nearly so
[[nodiscard]] sa::Format read_format(const std::string& name);

/// A format by its name; one that the table lacks by the code that a device says, "MJPG", with whose it is where a format of the
/// table is called so: "v4l2:Y444" is not GStreamer's Y444. Empty for none.
[[nodiscard]] std::string name_of(sa::V4l2Fourcc code);
[[nodiscard]] std::string name_of(const sa::DeviceFormat& format);

/// Reads "1920x1080".
/// @throws CLI::ValidationError it is something else, or a side is not 1 to max_image_side
[[nodiscard]] ImageSize read_size(const std::string& text);

/// An option's check: @p read takes its text without an exception. The user gets the sentence of the exception.
template <typename Read>
[[nodiscard]] CLI::Validator taken_by(Read read) {
  return CLI::Validator(
      [read](const std::string& text) {
        try {
          (void)read(text);
          return std::string();
        } catch (const std::exception& error) {
          return std::string(error.what());
        }
      },
      "");
}

/// The option --for, which may be given several times.
CLI::Option* add_devices(CLI::App& app, std::vector<std::string>& nodes, const std::string& about);

/// @throws sa::Error as Device::open()
[[nodiscard]] std::vector<sa::Device> open_devices(const std::vector<std::string>& nodes);

/// {"format", "width", "height", "modifier", "planes", "sizes", "sources"}, see docs/sactl.md.
[[nodiscard]] Json as_json(const sa::ImageLayout& layout, const std::vector<std::string>& sources);

/// Prints planes, buffers and sources, and as the last line the layout's own text.
void print_layout(const Output& output, const sa::ImageLayout& layout, const std::vector<std::string>& sources);

/// Refusals with their reasons. Each reason is said once, behind the names of all that it refuses.
class Refusals {
public:
  /// @param refused may be empty: everything
  void add(const std::string& refused, const std::string& sentence);
  [[nodiscard]] bool empty() const noexcept { return rows_.empty(); }
  /// "NV12, YUYV: not a format of /dev/dri/card0"
  [[nodiscard]] std::vector<std::string> sentences() const;
  void print(const Output& output) const;

private:
  struct Row {
    std::string reason;
    std::string refused; ///< separated by commas
  };
  std::vector<Row> rows_;
};

} // namespace sactl
