// SPDX-License-Identifier: MIT
/// V4L2 nodes as consumers (Documentation/userspace-api/media/v4l, linux/videodev2.h).
#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <linux/videodev2.h>
#include <sys/ioctl.h>

#include <fmt/format.h>

#include <sa/glue/v4l2.hpp>

#include "core/base/device_node.hpp"
#include "core/base/failure.hpp"
#include "core/base/system_call.hpp"
#include "core/device/consumer.hpp"
#include "devices/consumer_kinds.hpp"
#include "devices/v4l2.hpp"

namespace sa { inline namespace v0 { namespace detail {

int v4l2_request(int fd, unsigned long code, void* argument) noexcept {
  return uninterrupted([&] { return ::ioctl(fd, code, argument); });
}

UniqueFd open_v4l2_node(const std::string& path) noexcept {
  return UniqueFd{uninterrupted([&] { return ::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC); })};
}

namespace {

using v4l2::multi_planar;

/// The queues that a device with these capabilities has.
std::vector<v4l2_buf_type> queues_of(std::uint32_t capabilities) {
  std::vector<v4l2_buf_type> queues;
  const auto add = [&](std::uint32_t any_of, v4l2_buf_type type) {
    if ((capabilities & any_of) != 0) {
      queues.push_back(type);
    }
  };
  add(V4L2_CAP_VIDEO_OUTPUT | V4L2_CAP_VIDEO_M2M, V4L2_BUF_TYPE_VIDEO_OUTPUT);
  add(V4L2_CAP_VIDEO_OUTPUT_MPLANE | V4L2_CAP_VIDEO_M2M_MPLANE, V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE);
  add(V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_VIDEO_M2M, V4L2_BUF_TYPE_VIDEO_CAPTURE);
  add(V4L2_CAP_VIDEO_CAPTURE_MPLANE | V4L2_CAP_VIDEO_M2M_MPLANE, V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE);
  return queues;
}

/// A format's numbers, single- or multi-planar.
struct SetFormat {
  V4l2Fourcc fourcc;
  std::uint32_t width = 0;  // pixels
  std::uint32_t height = 0; // pixels
  std::uint32_t pitch = 0;  // bytes, the first plane's
  std::uint32_t size = 0;   // bytes, the largest plane's
  std::uint32_t planes = 1;
};

SetFormat set_format_of(const v4l2_format& format) {
  if (!multi_planar(format.type)) {
    const v4l2_pix_format& pix = format.fmt.pix;
    return {{pix.pixelformat}, pix.width, pix.height, pix.bytesperline, pix.sizeimage, 1};
  }
  const v4l2_pix_format_mplane& pix = format.fmt.pix_mp;
  SetFormat image{{pix.pixelformat}, pix.width, pix.height, pix.plane_fmt[0].bytesperline, 0, pix.num_planes};
  for (std::uint32_t plane = 0; plane < std::min<std::uint32_t>(pix.num_planes, VIDEO_MAX_PLANES); ++plane) {
    image.size = std::max(image.size, pix.plane_fmt[plane].sizeimage);
  }
  return image;
}

class V4l2Device final : public Consumer {
public:
  V4l2Device(DeviceInfo info, std::shared_ptr<Verdicts> verdicts, std::vector<v4l2_buf_type> queues,
             std::vector<OfferedFormat> offered)
      : Consumer(std::move(info), std::move(verdicts)), queues_(std::move(queues)), offered_(std::move(offered)) {}

  [[nodiscard]] ImportAnswer import(const DmaBuf& buffer) const override {
    const UniqueFd device = open_v4l2_node(info().name);
    if (!device) {
      const int error = errno;
      return {{error == EBUSY ? ImportVerdict::Busy : ImportVerdict::Unknown, open_refused(info().name, error)}};
    }
    for (const v4l2_buf_type queue : queues_) {
      if (ImportAnswer result = import_into(device.get(), queue, buffer); result.verdict != ImportVerdict::Accepted) {
        return result;
      }
    }
    return {{ImportVerdict::Accepted, {}}};
  }

  /// The format that is set on a camera is its program's. A codec or a scaler has one for each descriptor, and there it is set.
  [[nodiscard]] ImportAnswer import(const Image& image) const override {
    const ImageLayout& layout = image.layout();
    const UniqueFd device = open_v4l2_node(info().name);
    if (!device) {
      const int error = errno;
      return {{error == EBUSY ? ImportVerdict::Busy : ImportVerdict::Unknown, open_refused(info().name, error)}};
    }
    bool offered = false;
    for (const OfferedFormat& one : offered_) {
      if (one.code != v4l2::fourcc_of(layout)) {
        continue;
      }
      offered = true;
      if (ImportAnswer result = import_into(device.get(), one.queue, image); result.verdict != ImportVerdict::Accepted) {
        return result;
      }
    }
    if (!offered) {
      return {{ImportVerdict::Refused, fmt::format("{} does not take {}", info().name, to_string(layout))}};
    }
    return {{ImportVerdict::Accepted, {}}};
  }

  /// EFAULT is what vb2_dc_map_dmabuf() says of memory in too many runs (drivers/media/common/videobuf2).
  [[nodiscard]] bool wants_one_run(const ImportAnswer& refusal) const override { return refusal.error == EFAULT; }

  [[nodiscard]] std::size_t probe_size() const noexcept override { return info().image_size; }

protected:
  [[nodiscard]] std::vector<LayoutRule> ask(Format format, std::uint32_t width, std::uint32_t height,
                                            std::error_code& ec) const override {
    std::vector<LayoutRule> alternatives;
    UniqueFd device;
    const auto [one_buffer, split] = std::pair(format.info().v4l2, format.info().v4l2_split);
    for (const V4l2Fourcc code : {one_buffer, split}) {
      std::optional<LayoutRule> all; // of every queue that has it: a picture may go through both of them
      std::error_code refused;
      for (const OfferedFormat& offered : offered_) {
        if (!code || offered.code != code || refused) {
          continue;
        }
        if (!device) {
          device = open_v4l2_node(info().name);
        }
        if (!device) {
          const int error = errno;
          fail(ec, error, [&] { return open_refused(info().name, error); });
          return {};
        }
        LayoutRule rule = ask_v4l2_queue(device.get(), info().name, offered, format, width, height, refused);
        all = refused ? std::nullopt : std::optional(all ? merge(*all, rule, refused) : std::move(rule));
      }
      if (all && !refused) {
        alternatives.push_back(std::move(*all));
      }
      ec = refused ? refused : ec;
    }
    if (!alternatives.empty()) {
      ec.clear();
    } else if (!ec) {
      fail(ec, EOPNOTSUPP, [&] { return fmt::format("{} does not take {} (VIDIOC_ENUM_FMT)", info().name, format.name()); });
    } else if (ec == std::errc::invalid_argument) { // its queues exclude each other
      ec = from_errno(EOPNOTSUPP);
    }
    return alternatives;
  }

  [[nodiscard]] ImageLayout ask(const ImageLayout& layout, std::error_code& ec) const override {
    ImageLayout answered = layout;
    const UniqueFd device = open_v4l2_node(info().name);
    if (!device) {
      const int error = errno;
      fail(ec, error, [&] { return open_refused(info().name, error); });
      return answered;
    }
    for (const OfferedFormat& offered : offered_) {
      if (!ec && offered.code == v4l2::fourcc_of(layout)) {
        answered = confirm_v4l2_layout(device.get(), info().name, offered.queue, answered, ec);
      }
    }
    return answered;
  }

private:
  [[nodiscard]] ImportAnswer import_into(int device, v4l2_buf_type queue, const Image& image) const {
    v4l2_format format{};
    format.type = queue;
    if (v4l2_request(device, VIDIOC_G_FMT, &format) != 0) {
      return import_refused("VIDIOC_G_FMT", errno);
    }
    const ImageLayout& layout = image.layout();
    if (!v4l2::holds(layout, format)) {
      const bool own = info().role == DeviceRole::MemToMem;
      format = v4l2::format_of(layout, queue);
      if (v4l2_request(device, own ? VIDIOC_S_FMT : VIDIOC_TRY_FMT, &format) != 0) {
        return import_refused(own ? "VIDIOC_S_FMT" : "VIDIOC_TRY_FMT", errno);
      }
      if (!v4l2::holds(layout, format)) {
        return {{ImportVerdict::Refused, fmt::format("{} makes another layout of {}", info().name, to_string(layout))}};
      }
      if (!own) { // the buffers as the format that is set takes them
        for (const DmaBuf& buffer : image.buffers()) {
          if (ImportAnswer result = import_into(device, queue, buffer); result.verdict != ImportVerdict::Accepted) {
            return result;
          }
        }
        return {{ImportVerdict::Accepted, {}}};
      }
    }
    v4l2::Buffer queued(image, queue, 0);
    return queue_once(device, queued.buffer());
  }

  /// In the format that is set. Queued, not streamed: the driver maps it for its device then (videobuf2).
  static ImportAnswer import_into(int device, v4l2_buf_type queue, const DmaBuf& buffer) {
    v4l2_format format{};
    format.type = queue;
    if (v4l2_request(device, VIDIOC_G_FMT, &format) != 0) {
      return import_refused("VIDIOC_G_FMT", errno);
    }
    const SetFormat image = set_format_of(format);
    if (buffer.size() < image.size) {
      return {{ImportVerdict::Unknown,
               fmt::format("the buffer has {} bytes, an image of the format that is set {}", buffer.size(), image.size)}};
    }
    std::array<v4l2_plane, VIDEO_MAX_PLANES> planes{};
    v4l2_buffer queued{};
    queued.type = queue;
    queued.memory = V4L2_MEMORY_DMABUF;
    queued.field = V4L2_FIELD_NONE; // asked of output queues
    const auto length = static_cast<std::uint32_t>(std::min<std::size_t>(buffer.size(), UINT32_MAX));
    const auto used = static_cast<std::uint32_t>(image.size); // of output queues; more than the image is EINVAL
    if (multi_planar(queue)) {
      for (v4l2_plane& plane : planes) {
        plane.m.fd = buffer.fd();
        plane.length = length;
        plane.bytesused = used;
      }
      queued.m.planes = planes.data();
      queued.length = std::min<std::uint32_t>(image.planes, VIDEO_MAX_PLANES);
    } else {
      queued.m.fd = buffer.fd();
      queued.length = length;
      queued.bytesused = used;
    }
    return queue_once(device, queued);
  }

  /// Has @p queued imported, and let go of again.
  static ImportAnswer queue_once(int device, v4l2_buffer& queued) {
    v4l2_requestbuffers buffers{};
    buffers.type = queued.type;
    buffers.memory = V4L2_MEMORY_DMABUF;
    buffers.count = 1;
    if (v4l2_request(device, VIDIOC_REQBUFS, &buffers) != 0) {
      return import_refused("VIDIOC_REQBUFS", errno); // EBUSY: somebody else's queue
    }
    const int error = v4l2_request(device, VIDIOC_QBUF, &queued) == 0 ? 0 : errno;
    buffers.count = 0;
    v4l2_request(device, VIDIOC_REQBUFS, &buffers); // closing the node would do the same
    return error == 0 ? ImportAnswer{{ImportVerdict::Accepted, {}}} : import_refused("VIDIOC_QBUF", error);
  }

  std::vector<v4l2_buf_type> queues_;
  std::vector<OfferedFormat> offered_;
};

/// V4L2_BUF_CAP_*; 0 and @p error when the driver does not tell. With a count of 0 nothing is created, and a queue in use
/// is left alone.
std::uint32_t buffer_capabilities(int device, const v4l2_format& format, int& error) {
  v4l2_create_buffers create{};
  create.memory = V4L2_MEMORY_DMABUF;
  create.format = format;
  if (v4l2_request(device, VIDIOC_CREATE_BUFS, &create) == 0 && create.capabilities != 0) {
    return create.capabilities;
  }
  v4l2_requestbuffers none{}; // for drivers without VIDIOC_CREATE_BUFS
  none.type = format.type;
  none.memory = V4L2_MEMORY_DMABUF;
  if (v4l2_request(device, VIDIOC_REQBUFS, &none) == 0) {
    return none.capabilities != 0 ? none.capabilities : V4L2_BUF_CAP_SUPPORTS_DMABUF; // it was accepted
  }
  error = errno;
  return 0;
}

void list_formats(int device, v4l2_buf_type queue, std::vector<DeviceFormat>& formats, std::vector<OfferedFormat>& offered) {
  for (std::uint32_t index = 0;; ++index) {
    v4l2_fmtdesc description{};
    description.type = queue;
    description.index = index;
    if (v4l2_request(device, VIDIOC_ENUM_FMT, &description) != 0) {
      return;
    }
    const V4l2Fourcc code{description.pixelformat};
    offered.push_back({queue, code});
    if (std::none_of(formats.begin(), formats.end(), [&](const DeviceFormat& one) { return one.v4l2 == code; })) {
      formats.push_back({.format = Format::find(code), .drm = {}, .v4l2 = code, .modifiers = {0}});
    }
  }
}

DeviceRole role_of(std::uint32_t capabilities) noexcept {
  if ((capabilities & (V4L2_CAP_VIDEO_M2M | V4L2_CAP_VIDEO_M2M_MPLANE)) != 0) {
    return DeviceRole::MemToMem;
  }
  const bool writes = (capabilities & (V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_VIDEO_CAPTURE_MPLANE)) != 0;
  const bool reads = (capabilities & (V4L2_CAP_VIDEO_OUTPUT | V4L2_CAP_VIDEO_OUTPUT_MPLANE)) != 0;
  // Some old drivers of scalers say both and not that they are such.
  return writes && reads ? DeviceRole::MemToMem : reads ? DeviceRole::Output : DeviceRole::Capture;
}

} // namespace

std::shared_ptr<const Consumer> open_v4l2_device(DeviceInfo info, std::shared_ptr<Verdicts> verdicts, std::error_code& ec) {
  info.kind = DeviceKind::V4l2;
  const UniqueFd device = open_v4l2_node(info.name);
  if (!device) {
    const int error = errno;
    fail(ec, error, [&] { return open_refused(info.name, error); });
    return nullptr;
  }
  v4l2_capability capability{};
  std::vector<v4l2_buf_type> queues;
  if (v4l2_request(device.get(), VIDIOC_QUERYCAP, &capability) == 0) {
    const auto* const driver = reinterpret_cast<const char*>(capability.driver);
    info.driver.assign(driver, ::strnlen(driver, sizeof capability.driver));
    const bool own = (capability.capabilities & V4L2_CAP_DEVICE_CAPS) != 0;
    const std::uint32_t capabilities = own ? capability.device_caps : capability.capabilities;
    if ((capabilities & V4L2_CAP_STREAMING) != 0) {
      queues = queues_of(capabilities);
    }
    info.role = role_of(capabilities);
  }
  if (queues.empty()) {
    fail(ec, ENODEV, [&] { return fmt::format("{} streams no video; name the node that does", info.name); });
    return nullptr;
  }
  std::vector<OfferedFormat> offered;
  info.imports = true;
  info.cache_hints = true;
  for (const v4l2_buf_type queue : queues) {
    v4l2_format format{};
    format.type = queue;
    if (v4l2_request(device.get(), VIDIOC_G_FMT, &format) != 0) {
      const int error = errno;
      info.imports = false;
      info.reason = kernel_said("VIDIOC_G_FMT", error);
      break;
    }
    int error = 0;
    const std::uint32_t can = buffer_capabilities(device.get(), format, error);
    if ((can & V4L2_BUF_CAP_SUPPORTS_DMABUF) == 0) {
      info.imports = false;
      info.busy = error == EBUSY;
      info.reason = info.busy ? "it is busy: another program streams from it, and whether it imports dma-bufs is not known"
                              : fmt::format("its driver {} imports no dma-bufs (V4L2_BUF_CAP_SUPPORTS_DMABUF)", info.driver);
    }
    info.cache_hints = info.cache_hints && (can & V4L2_BUF_CAP_SUPPORTS_MMAP_CACHE_HINTS) != 0;
    const SetFormat image = set_format_of(format);
    if (image.size >= info.image_size) {
      info.width = image.width;
      info.height = image.height;
      info.fourcc = image.fourcc;
      info.pitch = image.pitch;
      info.image_size = image.size;
    }
    list_formats(device.get(), queue, info.formats, offered);
  }
  return std::make_shared<V4l2Device>(std::move(info), std::move(verdicts), std::move(queues), std::move(offered));
}

}}} // namespace sa::v0::detail
