// SPDX-License-Identifier: MIT
/// sactl layout
#include <stdexcept>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "commands/command.hpp"
#include "commands/images.hpp"

namespace sactl {
namespace {

class Layout final : public Command {
public:
  void add_options(CLI::App& app) override {
    app.add_option("format", format_, "a name of the table, NV12; GStreamer's; or a code with whose it is, drm:RG16, v4l2:RG16")
        ->required()
        ->type_name("FORMAT")
        ->check(taken_by(read_format));
    app.add_option("size", size_, "pixels that are to be seen, 1920x1080")
        ->required()
        ->type_name("WIDTHxHEIGHT")
        ->check(taken_by(read_size));
    add_devices(app, nodes_, "a device by its node, which the layout must suit; may be given several times");
  }

  Status run(Output& output) override {
    const sa::Format format = read_format(format_);
    const ImageSize size = read_size(size_);
    sa::ImageLayout layout;
    std::vector<std::string> sources;
    if (nodes_.empty()) {
      sa::LayoutRule nothing;
      nothing.format = format;
      layout = sa::lay_out(nothing, size.width, size.height);
    } else {
      const sa::ImageSelection selection = sa::Registry::system().select_image(
          open_devices(nodes_), sa::ImageRequest{.width = size.width, .height = size.height, .formats = {format}});
      if (selection.choices.empty()) {
        throw std::runtime_error(refused(selection));
      }
      layout = selection.choices.front().layout;
      sources = selection.choices.front().sources;
    }
    if (output.json()) {
      output.print(as_json(layout, sources));
    } else {
      print_layout(output, layout, sources);
    }
    return Done;
  }

private:
  /// The reasons why there is none: of the devices against the format; where they take it, against the heaps.
  [[nodiscard]] std::string refused(const sa::ImageSelection& selection) const {
    Refusals of_format;
    Refusals of_heaps;
    for (const auto& refusal : selection.refusals) {
      (refusal.heap.empty() ? of_format : of_heaps).add(refusal.heap, refusal.reason);
    }
    return fmt::format("no layout of {} {} suits {}: {}", format_, size_, fmt::join(nodes_, ", "),
                       fmt::join((of_format.empty() ? of_heaps : of_format).sentences(), "; "));
  }

  std::string format_;
  std::string size_;
  std::vector<std::string> nodes_;
};

} // namespace

std::unique_ptr<Command> make_layout() {
  return std::make_unique<Layout>();
}

} // namespace sactl
