// SPDX-License-Identifier: MIT
#include "vm/writeback.hpp"

#include <cerrno>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include <drm_fourcc.h>
#include <drm_mode.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xf86drm.h>
#include <xf86drmMode.h>

namespace writeback {

namespace {

void require(bool done, const char* what) {
  if (!done) {
    throw std::runtime_error(std::string(what) + ": " + std::strerror(errno));
  }
}

template <typename Object>
std::unique_ptr<Object, void (*)(Object*)> own(Object* object, void (*free)(Object*), const char* what) {
  require(object != nullptr, what);
  return {object, free};
}

/// A framebuffer of the card's own memory, apart from anything of the library.
class Target {
public:
  Target(int card, unsigned width, unsigned height) : card_(card), width_(width), height_(height) {
    drm_mode_create_dumb dumb{};
    dumb.width = width;
    dumb.height = height;
    dumb.bpp = 32;
    require(::drmIoctl(card, DRM_IOCTL_MODE_CREATE_DUMB, &dumb) == 0, "DRM_IOCTL_MODE_CREATE_DUMB");
    handle_ = dumb.handle;
    pitch_ = dumb.pitch;
    size_ = dumb.size;
    const std::uint32_t handles[4] = {dumb.handle};
    const std::uint32_t pitches[4] = {dumb.pitch};
    const std::uint32_t offsets[4] = {};
    require(::drmModeAddFB2(card, width, height, DRM_FORMAT_XRGB8888, handles, pitches, offsets, &id_, 0) == 0, "drmModeAddFB2");
  }
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;
  ~Target() {
    ::drmModeRmFB(card_, id_);
    drm_mode_destroy_dumb dumb{handle_};
    ::drmIoctl(card_, DRM_IOCTL_MODE_DESTROY_DUMB, &dumb);
  }

  [[nodiscard]] std::uint32_t id() const { return id_; }

  [[nodiscard]] Screen copy() const {
    drm_mode_map_dumb map{};
    map.handle = handle_;
    require(::drmIoctl(card_, DRM_IOCTL_MODE_MAP_DUMB, &map) == 0, "DRM_IOCTL_MODE_MAP_DUMB");
    void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, card_, static_cast<off_t>(map.offset));
    require(mapped != MAP_FAILED, "mmap of a dumb buffer");
    Screen screen{width_, height_, {}};
    screen.rgb.reserve(std::size_t{width_} * height_ * 3);
    for (unsigned y = 0; y < height_; ++y) {
      const auto* row = static_cast<const std::uint8_t*>(mapped) + std::size_t{y} * pitch_;
      for (unsigned x = 0; x < width_; ++x) {
        screen.rgb.insert(screen.rgb.end(), {row[x * 4 + 2], row[x * 4 + 1], row[x * 4]});
      }
    }
    ::munmap(mapped, size_);
    return screen;
  }

private:
  int card_;
  unsigned width_;
  unsigned height_;
  std::uint32_t handle_ = 0;
  std::uint32_t pitch_ = 0;
  std::uint64_t size_ = 0;
  std::uint32_t id_ = 0;
};

/// A property of an object: its number, and its value now.
std::pair<std::uint32_t, std::uint64_t> property(int card, std::uint32_t connector, const std::string& name) {
  const auto all = own(::drmModeObjectGetProperties(card, connector, DRM_MODE_OBJECT_CONNECTOR), ::drmModeFreeObjectProperties,
                       "drmModeObjectGetProperties");
  for (std::uint32_t i = 0; i < all->count_props; ++i) {
    const auto one = own(::drmModeGetProperty(card, all->props[i]), ::drmModeFreeProperty, "drmModeGetProperty");
    if (name == one->name) {
      return {one->prop_id, all->prop_values[i]};
    }
  }
  throw std::runtime_error("the connector has no property " + name);
}

/// The connectors of a CRTC, and the one that writes back.
struct Connectors {
  Connectors(int card, std::uint32_t crtc) {
    const auto all = own(::drmModeGetResources(card), ::drmModeFreeResources, "drmModeGetResources");
    for (int i = 0; i < all->count_connectors; ++i) {
      const auto one = own(::drmModeGetConnectorCurrent(card, all->connectors[i]), ::drmModeFreeConnector, "drmModeGetConnector");
      if (one->connector_type == DRM_MODE_CONNECTOR_WRITEBACK) {
        writeback = one->connector_id;
      } else if (property(card, one->connector_id, "CRTC_ID").second == crtc) {
        screens.push_back(one->connector_id);
      }
    }
    if (writeback == 0) {
      throw std::runtime_error("the card has no writeback connector");
    }
  }
  std::uint32_t writeback = 0;
  std::vector<std::uint32_t> screens;
};

/// One commit of connectors' properties.
class Commit {
public:
  explicit Commit(int card) : card_(card) {}
  void set(std::uint32_t connector, const char* name, std::uint64_t value) {
    require(::drmModeAtomicAddProperty(request_.get(), connector, property(card_, connector, name).first, value) >= 0, name);
  }
  void send() {
    require(::drmModeAtomicCommit(card_, request_.get(), DRM_MODE_ATOMIC_ALLOW_MODESET, nullptr) == 0, "an atomic commit");
  }

private:
  int card_;
  std::unique_ptr<drmModeAtomicReq, void (*)(drmModeAtomicReq*)> request_ =
      own(::drmModeAtomicAlloc(), ::drmModeAtomicFree, "drmModeAtomicAlloc");
};

} // namespace

Screen read(int card, std::uint32_t crtc) {
  require(::drmSetClientCap(card, DRM_CLIENT_CAP_ATOMIC, 1) == 0, "DRM_CLIENT_CAP_ATOMIC");
  require(::drmSetClientCap(card, DRM_CLIENT_CAP_WRITEBACK_CONNECTORS, 1) == 0, "DRM_CLIENT_CAP_WRITEBACK_CONNECTORS");
  const auto mode = own(::drmModeGetCrtc(card, crtc), ::drmModeFreeCrtc, "drmModeGetCrtc");
  const Connectors connectors(card, crtc);
  const Target target(card, mode->mode.hdisplay, mode->mode.vdisplay);
  int fence = -1;
  // In the screen's place: Linux 6.12 checks whether a CRTC may have two encoders, and vkms says of none that it may.
  Commit job(card);
  for (const std::uint32_t screen : connectors.screens) {
    job.set(screen, "CRTC_ID", 0);
  }
  job.set(connectors.writeback, "CRTC_ID", crtc);
  job.set(connectors.writeback, "WRITEBACK_FB_ID", target.id());
  job.set(connectors.writeback, "WRITEBACK_OUT_FENCE_PTR", reinterpret_cast<std::uintptr_t>(&fence));
  job.send();
  pollfd ready{fence, POLLIN, 0};
  const bool written = ::poll(&ready, 1, 20000) == 1;
  ::close(fence);
  Commit end(card);
  end.set(connectors.writeback, "CRTC_ID", 0);
  for (const std::uint32_t screen : connectors.screens) {
    end.set(screen, "CRTC_ID", crtc);
  }
  end.send();
  if (!written) {
    throw std::runtime_error("the writeback did not end within 20 seconds");
  }
  return target.copy();
}

} // namespace writeback
