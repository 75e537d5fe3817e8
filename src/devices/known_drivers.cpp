// SPDX-License-Identifier: MIT
#include "devices/known_drivers.hpp"

#include <algorithm>
#include <bit>
#include <iterator>

#include <fmt/format.h>

namespace sa { inline namespace v0 { namespace detail {
namespace {

struct KnownDriver {
  std::string_view name;
  std::uint32_t stride_align; ///< bytes
  std::uint32_t offset_align; ///< bytes
  std::uint32_t rows_align;   ///< rows
  bool one_buffer;            ///< all planes in one
  std::string_view source;
};

// Paths are of the Linux sources; minigbm is ChromeOS' allocator, which these drivers' owners maintain.
constexpr KnownDriver drivers[] = {
    {"amdgpu", 256, 256, 1, true, "drivers/gpu/drm/amd/amdgpu/amdgpu_display.c, amdgpu_display_verify_plane()"},
    {"i915", 64, 1, 4, false, "minigbm i915.c"},
    {"xe", 64, 1, 4, false, "as i915"},
    {"msm", 64, 1, 1, false, "minigbm msm.c, get_pitch_alignment()"},
    {"mediatek", 64, 1, 1, false, "minigbm mediatek.c"},
    {"rockchip", 64, 1, 1, false, "drivers/gpu/drm/rockchip/rockchip_drm_gem.c, rockchip_gem_dumb_create()"},
    {"panfrost", 64, 1, 1, false, "rockchip_drm_gem.c: the Mali demands 64 bytes"},
    {"lima", 64, 1, 1, false, "rockchip_drm_gem.c: the Mali demands 64 bytes"},
    {"vc4", 64, 1, 1, false, "minigbm vc4.c: a cache line"},
    {"tegra", 64, 1, 1, false, "minigbm tegra.c"},
    {"vkms", 1, 1, 1, false, "drivers/gpu/drm/vkms/vkms_formats.c reads rows by their pitch"},
    {"vgem", 1, 1, 1, false, "drivers/gpu/drm/vgem has no pictures"},
};

} // namespace

LayoutRule rule_of_driver(std::string_view driver, const std::string& node, std::uint32_t dumb_pitch) {
  LayoutRule rule;
  const auto* const known =
      std::find_if(std::begin(drivers), std::end(drivers), [&](const KnownDriver& one) { return one.name == driver; });
  if (known != std::end(drivers)) {
    rule.stride_align = known->stride_align;
    rule.offset_align = known->offset_align;
    rule.rows_align = known->rows_align;
    rule.buffers = known->one_buffer ? Buffers::One : Buffers::Any;
    rule.sources = {fmt::format("{}: {} ({})", node, driver, known->source)};
    return rule;
  }
  rule.known = false;
  if (dumb_pitch != 0 && dumb_pitch <= max_image_size) {
    rule.stride_align = std::bit_floor(dumb_pitch);
    rule.sources = {fmt::format("{}: DRM_IOCTL_MODE_CREATE_DUMB, pitch of one pixel", node)};
    return rule;
  }
  constexpr std::uint32_t serves_strides = 256; // bytes
  constexpr std::uint32_t serves_rows = 16;
  rule.stride_align = serves_strides;
  rule.rows_align = serves_rows;
  rule.sources = {fmt::format("{}: {} is not known, and these serve the drivers that are", node, driver)};
  return rule;
}

}}} // namespace sa::v0::detail
