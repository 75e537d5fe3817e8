// SPDX-License-Identifier: MIT
/// V4L2 nodes as consumers (Documentation/userspace-api/media/v4l, linux/videodev2.h).
#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <linux/videodev2.h>
#include <sys/ioctl.h>

#include <fmt/format.h>

#include "core/base/device_node.hpp"
#include "core/base/failure.hpp"
#include "core/base/system_call.hpp"
#include "core/device/consumer.hpp"
#include "devices/consumer_kinds.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

int request(int fd, unsigned long code, void* argument) noexcept {
  return uninterrupted([&] { return ::ioctl(fd, code, argument); });
}

/// Non-blocking: opening must not wait for a device, nor its ioctls.
UniqueFd open_node(const std::string& path) noexcept {
  return UniqueFd{uninterrupted([&] { return ::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC); })};
}

bool multi_planar(v4l2_buf_type type) noexcept {
  return type == V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE || type == V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE;
}

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
struct Image {
  std::uint32_t fourcc = 0;
  std::uint32_t width = 0;  // pixels
  std::uint32_t height = 0; // pixels
  std::uint32_t pitch = 0;  // bytes, the first plane's
  std::uint32_t size = 0;   // bytes, the largest plane's
  std::uint32_t planes = 1;
};

Image image_of(const v4l2_format& format) {
  if (!multi_planar(static_cast<v4l2_buf_type>(format.type))) {
    const v4l2_pix_format& pix = format.fmt.pix;
    return {pix.pixelformat, pix.width, pix.height, pix.bytesperline, pix.sizeimage, 1};
  }
  const v4l2_pix_format_mplane& pix = format.fmt.pix_mp;
  Image image{pix.pixelformat, pix.width, pix.height, pix.plane_fmt[0].bytesperline, 0, pix.num_planes};
  for (std::uint32_t plane = 0; plane < std::min<std::uint32_t>(pix.num_planes, VIDEO_MAX_PLANES); ++plane) {
    image.size = std::max(image.size, pix.plane_fmt[plane].sizeimage);
  }
  return image;
}

class V4l2Device final : public Consumer {
public:
  V4l2Device(DeviceInfo info, std::shared_ptr<Verdicts> verdicts, std::vector<v4l2_buf_type> queues)
      : Consumer(std::move(info), std::move(verdicts)), queues_(std::move(queues)) {}

  [[nodiscard]] ImportAnswer import(const DmaBuf& buffer) const override {
    const UniqueFd device = open_node(info().name);
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

  /// EFAULT is what vb2_dc_map_dmabuf() says of memory in too many runs (drivers/media/common/videobuf2).
  [[nodiscard]] bool wants_one_run(const ImportAnswer& refusal) const override { return refusal.error == EFAULT; }

  [[nodiscard]] std::size_t probe_size() const noexcept override { return info().image_size; }

private:
  /// In the format that is set. Queued, not streamed: the driver maps it for its device then (videobuf2).
  static ImportAnswer import_into(int device, v4l2_buf_type queue, const DmaBuf& buffer) {
    v4l2_format format{};
    format.type = queue;
    if (request(device, VIDIOC_G_FMT, &format) != 0) {
      return import_refused("VIDIOC_G_FMT", errno);
    }
    const Image image = image_of(format);
    if (buffer.size() < image.size) {
      return {{ImportVerdict::Unknown,
               fmt::format("the buffer has {} bytes, an image of the format that is set {}", buffer.size(), image.size)}};
    }
    v4l2_requestbuffers buffers{};
    buffers.type = queue;
    buffers.memory = V4L2_MEMORY_DMABUF;
    buffers.count = 1;
    if (request(device, VIDIOC_REQBUFS, &buffers) != 0) {
      return import_refused("VIDIOC_REQBUFS", errno); // EBUSY: somebody else's queue
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
    const int error = request(device, VIDIOC_QBUF, &queued) == 0 ? 0 : errno;
    buffers.count = 0;
    request(device, VIDIOC_REQBUFS, &buffers); // closing the node would do the same
    return error == 0 ? ImportAnswer{{ImportVerdict::Accepted, {}}} : import_refused("VIDIOC_QBUF", error);
  }

  std::vector<v4l2_buf_type> queues_;
};

/// V4L2_BUF_CAP_*; 0 and @p error when the driver does not tell. With a count of 0 nothing is created, and a queue in use
/// is left alone.
std::uint32_t buffer_capabilities(int device, const v4l2_format& format, int& error) {
  v4l2_create_buffers create{};
  create.memory = V4L2_MEMORY_DMABUF;
  create.format = format;
  if (request(device, VIDIOC_CREATE_BUFS, &create) == 0 && create.capabilities != 0) {
    return create.capabilities;
  }
  v4l2_requestbuffers none{}; // for drivers without VIDIOC_CREATE_BUFS
  none.type = format.type;
  none.memory = V4L2_MEMORY_DMABUF;
  if (request(device, VIDIOC_REQBUFS, &none) == 0) {
    return none.capabilities != 0 ? none.capabilities : V4L2_BUF_CAP_SUPPORTS_DMABUF; // it was accepted
  }
  error = errno;
  return 0;
}

void list_formats(int device, v4l2_buf_type queue, const v4l2_format& current, std::vector<PixelFormat>& formats) {
  for (std::uint32_t index = 0;; ++index) {
    v4l2_fmtdesc description{};
    description.type = queue;
    description.index = index;
    if (request(device, VIDIOC_ENUM_FMT, &description) != 0) {
      return;
    }
    if (std::any_of(formats.begin(), formats.end(), [&](const auto& one) { return one.fourcc == description.pixelformat; })) {
      continue;
    }
    PixelFormat& one = formats.emplace_back(PixelFormat{.fourcc = description.pixelformat});
    v4l2_format tried = current;
    if (multi_planar(queue)) {
      tried.fmt.pix_mp.pixelformat = description.pixelformat;
      std::memset(tried.fmt.pix_mp.plane_fmt, 0, sizeof tried.fmt.pix_mp.plane_fmt);
    } else {
      tried.fmt.pix.pixelformat = description.pixelformat;
      tried.fmt.pix.bytesperline = 0;
      tried.fmt.pix.sizeimage = 0;
    }
    if (request(device, VIDIOC_TRY_FMT, &tried) == 0 && image_of(tried).fourcc == description.pixelformat) {
      one.pitch = image_of(tried).pitch;
      one.size = image_of(tried).size;
    }
  }
}

} // namespace

std::shared_ptr<const Consumer> open_v4l2_device(DeviceInfo info, std::shared_ptr<Verdicts> verdicts, std::error_code& ec) {
  info.kind = DeviceKind::V4l2;
  const UniqueFd device = open_node(info.name);
  if (!device) {
    const int error = errno;
    fail(ec, error, [&] { return open_refused(info.name, error); });
    return nullptr;
  }
  v4l2_capability capability{};
  std::vector<v4l2_buf_type> queues;
  if (request(device.get(), VIDIOC_QUERYCAP, &capability) == 0) {
    const auto* const driver = reinterpret_cast<const char*>(capability.driver);
    info.driver.assign(driver, ::strnlen(driver, sizeof capability.driver));
    const bool own = (capability.capabilities & V4L2_CAP_DEVICE_CAPS) != 0;
    const std::uint32_t capabilities = own ? capability.device_caps : capability.capabilities;
    if ((capabilities & V4L2_CAP_STREAMING) != 0) {
      queues = queues_of(capabilities);
    }
  }
  if (queues.empty()) {
    fail(ec, ENODEV, [&] { return fmt::format("{} streams no video; name the node that does", info.name); });
    return nullptr;
  }
  info.imports = true;
  info.cache_hints = true;
  for (const v4l2_buf_type queue : queues) {
    v4l2_format format{};
    format.type = queue;
    if (request(device.get(), VIDIOC_G_FMT, &format) != 0) {
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
    const Image image = image_of(format);
    if (image.size >= info.image_size) {
      info.width = image.width;
      info.height = image.height;
      info.fourcc = image.fourcc;
      info.pitch = image.pitch;
      info.image_size = image.size;
    }
    list_formats(device.get(), queue, format, info.formats);
  }
  return std::make_shared<V4l2Device>(std::move(info), std::move(verdicts), std::move(queues));
}

}}} // namespace sa::v0::detail
