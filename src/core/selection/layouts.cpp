// SPDX-License-Identifier: MIT
#include "core/selection/layouts.hpp"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "core/base/failure.hpp"
#include "core/device/consumer.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

/// To choose one of.
using Rules = std::shared_ptr<const std::vector<LayoutRule>>;

/// The rules of the devices, and after each device the rules of its profiles. False, with @p why: a device does not take that.
bool ask(const std::vector<Device>& devices, Format format, std::uint32_t width, std::uint32_t height, const Wishes& wishes,
         std::vector<Rules>& all, std::string& why) {
  for (const Device& device : devices) {
    const Explanation refused;
    std::error_code ec;
    all.push_back(device.consumer()->rules(format, width, height, ec));
    if (ec) {
      why = refused.text().empty() ? ec.message() : refused.text();
      return false;
    }
    for (const DeviceProfile& profile : wishes.profiles) {
      if (profile.layout != LayoutRule{} && matches(profile, device.info())) {
        LayoutRule wanted = profile.layout;
        wanted.sources = {"profile of " + profile.match};
        all.push_back(std::make_shared<const std::vector<LayoutRule>>(1, std::move(wanted)));
      }
    }
  }
  return true;
}

/// One rule of each device, merged; the first such choice that can be laid out.
class Chooser {
public:
  Chooser(std::span<const Rules> devices, std::uint32_t width, std::uint32_t height)
      : devices_(devices), width_(width), height_(height) {}

  /// Nothing, with said(), when there is none.
  std::optional<std::pair<LayoutRule, ImageLayout>> choose() {
    LayoutRule nothing;
    return choose(0, nothing);
  }
  [[nodiscard]] std::string& said() { return said_; }

private:
  std::optional<std::pair<LayoutRule, ImageLayout>> choose(std::size_t device, const LayoutRule& so_far) {
    const Explanation said;
    std::error_code ec;
    if (device == devices_.size()) {
      const ImageLayout layout = lay_out(so_far, width_, height_, ec);
      if (!ec) {
        return std::pair(so_far, layout);
      }
      keep(device, said.text());
      return std::nullopt;
    }
    for (const LayoutRule& rule : *devices_[device]) {
      ec.clear();
      const LayoutRule merged = device == 0 ? rule : merge(so_far, rule, ec);
      if (ec) {
        keep(device, pair_in_conflict(device, so_far, rule));
      } else if (auto found = choose(device + 1, merged)) {
        return found;
      }
    }
    return std::nullopt;
  }

  /// The sentence about @p rule and the one of another device that it cannot go with, so that it names these two alone.
  std::string pair_in_conflict(std::size_t device, const LayoutRule& so_far, const LayoutRule& rule) {
    for (std::size_t other = 0; other < device; ++other) {
      std::string sentence;
      const bool excluded = std::all_of(devices_[other]->begin(), devices_[other]->end(), [&](const LayoutRule& one) {
        const Explanation said;
        std::error_code ec;
        (void)merge(one, rule, ec);
        sentence = said.text();
        return static_cast<bool>(ec);
      });
      if (excluded) {
        return sentence;
      }
    }
    const Explanation said; // no two exclude each other, but several together do
    std::error_code ec;
    (void)merge(so_far, rule, ec);
    return said.text();
  }

  /// The sentence of the choice that came furthest is told.
  void keep(std::size_t device, const std::string& sentence) {
    if (said_.empty() || device > furthest_) {
      said_ = sentence;
      furthest_ = device;
    }
  }

  std::span<const Rules> devices_;
  std::uint32_t width_;
  std::uint32_t height_;
  std::string said_;
  std::size_t furthest_ = 0; ///< the device at which that was
};

/// A larger width at which nothing excludes each other: where rows may have one length only, the picture itself must fill what
/// the others demand. 0: none is known.
std::uint32_t width_that_fits(Format format, std::uint32_t width, std::uint32_t height, const std::vector<Device>& devices,
                              const Wishes& wishes, std::span<const Rules> found) {
  std::uint64_t bytes = 1;  // that rows are a multiple of
  std::uint64_t pixels = 1; // likewise
  for (const Rules& rules : found) {
    for (const LayoutRule& rule : *rules) {
      const std::uint64_t both = std::lcm(bytes, std::uint64_t{rule.stride_align});
      const std::uint64_t step = std::lcm(pixels, std::uint64_t{rule.width_step});
      bytes = both <= max_image_side * std::uint64_t{16} ? both : bytes;
      pixels = step <= max_image_side ? step : pixels;
    }
  }
  // The smallest number of pixels whose row is a multiple of so many bytes.
  const FormatPlane& plane = format.info().planes[0];
  const std::uint64_t group = std::max<std::uint64_t>(plane.bytes, 1);
  const std::uint64_t groups = std::lcm(bytes, group) / group;
  const std::uint64_t step =
      std::max<std::uint64_t>(std::lcm(std::lcm(groups * plane.pixels, pixels), std::uint64_t{format.info().width_step}), 1);
  const std::uint64_t wider = (width / step + 1) * step;
  if (wider > max_image_side) {
    return 0;
  }
  std::vector<Rules> all;
  std::string why;
  if (!ask(devices, format, static_cast<std::uint32_t>(wider), height, wishes, all, why)) {
    return 0;
  }
  return Chooser(all, static_cast<std::uint32_t>(wider), height).choose() ? static_cast<std::uint32_t>(wider) : 0;
}

} // namespace

bool lists(const Device& device, Format format) {
  const auto& formats = device.info().formats;
  return formats.empty() ||
         std::any_of(formats.begin(), formats.end(), [&](const DeviceFormat& one) { return one.format == format; });
}

FormatAnswer layout_for(Format format, std::uint32_t width, std::uint32_t height, const Colour& colour,
                        const std::vector<Device>& devices, const Wishes& wishes) {
  FormatAnswer answer;
  std::vector<Rules> all;
  all.reserve(devices.size() + 1);
  LayoutRule any;
  any.format = format;
  all.push_back(std::make_shared<const std::vector<LayoutRule>>(1, std::move(any)));
  if (!ask(devices, format, width, height, wishes, all, answer.why)) {
    return answer;
  }
  Chooser chooser(all, width, height);
  auto chosen = chooser.choose();
  if (!chosen) {
    answer.why = std::move(chooser.said());
    answer.width_that_fits = width_that_fits(format, width, height, devices, wishes, all);
    if (answer.width_that_fits != 0) {
      answer.why += fmt::format("; a width of {} serves all", answer.width_that_fits);
    }
    return answer;
  }
  answer.layout = chosen->second;
  answer.layout.colour = colour;
  answer.known = chosen->first.known;
  answer.sources = std::move(chosen->first.sources);
  for (const Device& device : devices) {
    const Explanation refused;
    std::error_code ec;
    answer.layout = device.consumer()->confirm(answer.layout, ec);
    if (ec) {
      answer.why = refused.text().empty() ? ec.message() : refused.text();
      return answer;
    }
  }
  answer.serves = true;
  return answer;
}

}}} // namespace sa::v0::detail
