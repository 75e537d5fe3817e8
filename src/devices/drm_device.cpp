// SPDX-License-Identifier: MIT
/// DRM cards and render nodes as consumers (drm(7), drm-kms(7), linux/drm_mode.h).
#include <algorithm>
#include <array>
#include <memory>

#include <drm_fourcc.h>
#include <fcntl.h>
#include <xf86drm.h>
#include <xf86drmMode.h>

#include <fmt/format.h>

#include <sa/glue/drm.hpp>

#include "core/base/device_node.hpp"
#include "core/base/failure.hpp"
#include "core/base/system_call.hpp"
#include "core/device/consumer.hpp"
#include "core/device/scattered.hpp"
#include "devices/consumer_kinds.hpp"
#include "devices/known_drivers.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

constexpr std::uint32_t pixel = 4; // bytes, of DRM_FORMAT_XRGB8888

/// A framebuffer to ask with, pixels.
struct Extent {
  std::uint32_t width = 0; ///< 0: nothing shows one
  std::uint32_t least_height = 0;
  std::uint32_t height = 0;
};

template <auto Free>
struct Freed {
  template <typename T>
  void operator()(T* one) const noexcept {
    Free(one);
  }
};
template <typename T, auto Free>
using Owned = std::unique_ptr<T, Freed<Free>>;

/// Opens a node without becoming DRM master: its first opener does, which would lock a compositor out.
UniqueFd open_node(const std::string& path, std::error_code& ec) {
  UniqueFd fd{uninterrupted([&] { return ::open(path.c_str(), O_RDWR | O_CLOEXEC); })};
  if (!fd) {
    const int error = errno;
    fail(ec, error, [&] { return open_refused(path, error); });
  } else if (::drmGetNodeTypeFromFd(fd.get()) == DRM_NODE_PRIMARY && ::drmIsMaster(fd.get()) != 0) {
    ::drmDropMaster(fd.get());
  }
  return fd;
}

class DrmDevice final : public Consumer {
public:
  DrmDevice(DeviceInfo info, std::shared_ptr<Verdicts> verdicts, Extent extent, std::uint32_t dumb_pitch)
      : Consumer(std::move(info), std::move(verdicts)), extent_(extent), dumb_pitch_(dumb_pitch) {}

  [[nodiscard]] ImportAnswer import(const DmaBuf& buffer) const override {
    std::error_code ec;
    const Explanation refused;
    const UniqueFd card = open_node(info().name, ec);
    if (ec) {
      return {{ec.value() == EBUSY ? ImportVerdict::Busy : ImportVerdict::Unknown, refused.text()}};
    }
    std::uint32_t handle = 0;
    if (::drmPrimeFDToHandle(card.get(), buffer.fd(), &handle) != 0) {
      return import_refused("DRM_IOCTL_PRIME_FD_TO_HANDLE", errno);
    }
    ImportAnswer result{{ImportVerdict::Accepted, {}}};
    const std::uint32_t pitch = extent_.width * pixel; // bytes
    const auto height = pitch == 0 ? 0 : static_cast<std::uint32_t>(std::min<std::size_t>(buffer.size() / pitch, extent_.height));
    if (height < extent_.least_height) {
      result = {{ImportVerdict::Unknown, fmt::format("the buffer has {} bytes, the smallest framebuffer {}", buffer.size(),
                                                     std::size_t{pitch} * extent_.least_height)}};
    } else if (extent_.width != 0) {
      const std::array<std::uint32_t, 4> handles{handle};
      const std::array<std::uint32_t, 4> pitches{pitch};
      const std::array<std::uint32_t, 4> offsets{};
      std::uint32_t id = 0;
      const int error = -::drmModeAddFB2(card.get(), extent_.width, height, DRM_FORMAT_XRGB8888, handles.data(), pitches.data(),
                                         offsets.data(), &id, 0);
      if (error == 0) {
        ::drmModeRmFB(card.get(), id);
      } else {
        result = import_refused("DRM_IOCTL_MODE_ADDFB2", error);
      }
    }
    ::drmCloseBufferHandle(card.get(), handle);
    return result;
  }

  [[nodiscard]] ImportAnswer import(const Image& image) const override {
    std::error_code ec;
    const Explanation refused;
    const UniqueFd card = open_node(info().name, ec);
    if (ec) {
      return {{ec.value() == EBUSY ? ImportVerdict::Busy : ImportVerdict::Unknown, refused.text()}};
    }
    for (const DmaBuf& buffer : image.buffers()) {
      std::uint32_t handle = 0;
      if (::drmPrimeFDToHandle(card.get(), buffer.fd(), &handle) != 0) {
        return import_refused("DRM_IOCTL_PRIME_FD_TO_HANDLE", errno);
      }
      ::drmCloseBufferHandle(card.get(), handle);
    }
    if (extent_.width != 0) {
      const drm::Framebuffer shown = drm::Framebuffer::make(card.get(), image, ec);
      if (ec) {
        return import_refused("DRM_IOCTL_MODE_ADDFB2", ec.value());
      }
    }
    return {{ImportVerdict::Accepted, {}}};
  }

  /// A driver that imports nothing at all says EINVAL too, and all drivers claim PRIME since Linux 6.6: a single page, which is
  /// one run, tells them apart.
  [[nodiscard]] bool wants_one_run(const ImportAnswer&) const override {
    std::error_code ec;
    const DmaBuf page = make_one_page(ec);
    return !ec && import(page).verdict != ImportVerdict::Refused;
  }

  [[nodiscard]] std::size_t probe_size() const noexcept override {
    constexpr std::size_t without_display = std::size_t{1} << 20; // bytes
    return !info().imports ? 0 : extent_.width == 0 ? without_display : std::size_t{extent_.width} * pixel * extent_.height;
  }

protected:
  [[nodiscard]] std::vector<LayoutRule> ask(Format format, std::uint32_t width, std::uint32_t height,
                                            std::error_code& ec) const override {
    const auto found = std::find_if(info().formats.begin(), info().formats.end(),
                                    [&](const DeviceFormat& one) { return one.drm == format.info().drm && one.drm; });
    const bool shows = extent_.width != 0;
    if (!format.info().drm || (shows && found == info().formats.end())) {
      fail(ec, EOPNOTSUPP, [&] { return fmt::format("{} shows no {} (the formats of its planes)", info().name, format.name()); });
      return {};
    }
    if (shows && (width > info().max_width || height > info().max_height)) {
      fail(ec, EOPNOTSUPP, [&] {
        return fmt::format("{} shows {}x{} at most (drmModeGetResources)", info().name, info().max_width, info().max_height);
      });
      return {};
    }
    LayoutRule rule = rule_of_driver(info().driver, info().name, shows ? dumb_pitch_ : 0);
    rule.format = format;
    rule.modifiers = {DRM_FORMAT_MOD_LINEAR}; // what a driver that tells of no modifiers takes of others' buffers
    if (shows && !found->modifiers.empty()) {
      rule.modifiers = found->modifiers;
      rule.sources.push_back(info().name + ": IN_FORMATS");
      std::sort(rule.modifiers.begin(), rule.modifiers.end());
      std::sort(rule.sources.begin(), rule.sources.end());
    }
    return {std::move(rule)};
  }

private:
  Extent extent_;
  std::uint32_t dumb_pitch_; ///< bytes, of a dumb buffer of one pixel; 0: none was made
};

/// The pitch that the driver gives a dumb buffer of one pixel of 32 bits: it hints at the alignment that the driver likes.
/// It takes a page for a moment. 0: there are no dumb buffers.
std::uint32_t pitch_of_dumb(int card) noexcept {
  drm_mode_create_dumb create{};
  create.width = 1;
  create.height = 1;
  create.bpp = 32;
  if (::drmIoctl(card, DRM_IOCTL_MODE_CREATE_DUMB, &create) != 0) {
    return 0;
  }
  drm_mode_destroy_dumb destroy{};
  destroy.handle = create.handle;
  ::drmIoctl(card, DRM_IOCTL_MODE_DESTROY_DUMB, &destroy);
  return create.pitch;
}

/// The formats of @p plane that @p formats lacks, with their modifiers.
void add_formats(int card, std::uint32_t plane, std::vector<DeviceFormat>& formats) {
  const auto entry = [&](std::uint32_t code) -> DeviceFormat& {
    for (auto& one : formats) {
      if (one.drm.code == code) {
        return one;
      }
    }
    return formats.emplace_back(DeviceFormat{.format = Format::find(DrmFourcc{code}), .drm = {code}, .v4l2 = {}});
  };
  if (const Owned<drmModePlane, ::drmModeFreePlane> found{::drmModeGetPlane(card, plane)}; found != nullptr) {
    for (std::uint32_t i = 0; i < found->count_formats; ++i) {
      entry(found->formats[i]);
    }
  }
  const Owned<drmModeObjectProperties, ::drmModeFreeObjectProperties> properties{
      ::drmModeObjectGetProperties(card, plane, DRM_MODE_OBJECT_PLANE)};
  for (std::uint32_t i = 0; properties != nullptr && i < properties->count_props; ++i) {
    const Owned<drmModePropertyRes, ::drmModeFreeProperty> property{::drmModeGetProperty(card, properties->props[i])};
    if (property == nullptr || std::string_view(property->name) != "IN_FORMATS") {
      continue;
    }
    const Owned<drmModePropertyBlobRes, ::drmModeFreePropertyBlob> blob{
        ::drmModeGetPropertyBlob(card, static_cast<std::uint32_t>(properties->prop_values[i]))};
    drmModeFormatModifierIterator at{};
    while (blob != nullptr && ::drmModeFormatModifierBlobIterNext(blob.get(), &at)) {
      auto& modifiers = entry(at.fmt).modifiers;
      if (std::find(modifiers.begin(), modifiers.end(), at.mod) == modifiers.end()) {
        modifiers.push_back(at.mod);
      }
    }
  }
}

} // namespace

std::shared_ptr<const Consumer> open_drm_device(DeviceInfo info, std::shared_ptr<Verdicts> verdicts, std::error_code& ec) {
  info.kind = DeviceKind::Drm;
  const UniqueFd card = open_node(info.name, ec);
  if (ec) {
    return nullptr;
  }
  if (const Owned<drmVersion, ::drmFreeVersion> version{::drmGetVersion(card.get())}; version != nullptr) {
    info.driver.assign(version->name, static_cast<std::size_t>(version->name_len));
  }
  std::uint64_t prime = 0;
  info.imports = ::drmGetCap(card.get(), DRM_CAP_PRIME, &prime) == 0 && (prime & DRM_PRIME_CAP_IMPORT) != 0;
  if (!info.imports) {
    info.reason = fmt::format("its driver {} imports no dma-bufs (DRM_CAP_PRIME)", info.driver);
  }
  info.role = DeviceRole::Render;
  Extent extent;
  if (const Owned<drmModeRes, ::drmModeFreeResources> resources{::drmModeGetResources(card.get())}; resources != nullptr) {
    if (resources->count_crtcs > 0) { // 640x480 where that is allowed
      extent.width = std::clamp(640U, resources->min_width, std::max(resources->min_width, resources->max_width));
      extent.height = std::clamp(480U, resources->min_height, std::max(resources->min_height, resources->max_height));
      extent.least_height = std::max(resources->min_height, 1U);
    }
    info.max_width = resources->max_width;
    info.max_height = resources->max_height;
  }
  std::uint32_t dumb_pitch = 0; // bytes
  if (extent.width != 0) {
    info.role = DeviceRole::Display;
    dumb_pitch = pitch_of_dumb(card.get());
    ::drmSetClientCap(card.get(), DRM_CLIENT_CAP_UNIVERSAL_PLANES, 1); // of this descriptor alone
    const Owned<drmModePlaneRes, ::drmModeFreePlaneResources> planes{::drmModeGetPlaneResources(card.get())};
    for (std::uint32_t i = 0; planes != nullptr && i < planes->count_planes; ++i) {
      add_formats(card.get(), planes->planes[i], info.formats);
    }
  }
  return std::make_shared<DrmDevice>(std::move(info), std::move(verdicts), extent, dumb_pitch);
}

}}} // namespace sa::v0::detail
