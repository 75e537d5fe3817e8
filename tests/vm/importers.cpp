// SPDX-License-Identifier: MIT
#include "vm/importers.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include <drm_fourcc.h>
#include <fcntl.h>
#include <linux/udmabuf.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xf86drm.h>
#include <xf86drmMode.h>

namespace importers {

namespace {

/// The node of vivid with that capability, V4L2_CAP_*; empty when there is none.
std::string vivid_node(std::uint32_t capability_bit) {
  for (int number = 0; number < 16; ++number) {
    const std::string node = "/dev/video" + std::to_string(number);
    const sa::UniqueFd fd{::open(node.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC)};
    v4l2_capability capability{};
    if (fd && ::ioctl(fd.get(), VIDIOC_QUERYCAP, &capability) == 0 &&
        std::strcmp(reinterpret_cast<const char*>(capability.driver), "vivid") == 0 &&
        (capability.device_caps & capability_bit) != 0 && (capability.device_caps & V4L2_CAP_STREAMING) != 0) {
      return node;
    }
  }
  return {};
}

} // namespace

std::string camera_node() {
  return vivid_node(V4L2_CAP_VIDEO_CAPTURE);
}

std::string output_node() {
  return vivid_node(V4L2_CAP_VIDEO_OUTPUT);
}

Camera::Camera() : fd_(::open(camera_node().c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC)) {
  REQUIRE(fd_ >= 0);
  v4l2_format format{};
  format.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  format.fmt.pix.width = width;
  format.fmt.pix.height = height;
  format.fmt.pix.pixelformat = V4L2_PIX_FMT_RGB24;
  format.fmt.pix.field = V4L2_FIELD_NONE;
  REQUIRE(::ioctl(fd_, VIDIOC_S_FMT, &format) == 0);
  REQUIRE(format.fmt.pix.width == width);
  REQUIRE(format.fmt.pix.height == height);
  REQUIRE(format.fmt.pix.pixelformat == V4L2_PIX_FMT_RGB24);
  frame_size_ = format.fmt.pix.sizeimage;
  stride_ = format.fmt.pix.bytesperline;
}

Camera::~Camera() {
  ::close(fd_);
}

int Camera::capture(const sa::DmaBuf& buffer) {
  v4l2_requestbuffers request{};
  request.count = 1;
  request.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  request.memory = V4L2_MEMORY_DMABUF;
  REQUIRE(::ioctl(fd_, VIDIOC_REQBUFS, &request) == 0);
  v4l2_buffer queued{};
  queued.type = request.type;
  queued.memory = request.memory;
  queued.m.fd = buffer.fd();
  queued.length = static_cast<__u32>(buffer.size());
  int error = 0;
  for (; error == 0 && queued.index < request.count; ++queued.index) { // before 6.8 vivid starts with two
    error = ::ioctl(fd_, VIDIOC_QBUF, &queued) == 0 ? 0 : errno;
  }
  if (error == 0) {
    int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    error = ::ioctl(fd_, VIDIOC_STREAMON, &type) == 0 ? 0 : errno;
    pollfd ready{fd_, POLLIN, 0};
    if (error == 0 && ::poll(&ready, 1, 20000) != 1) {
      error = ETIMEDOUT;
    }
    if (error == 0) {
      v4l2_buffer done{};
      done.type = request.type;
      done.memory = request.memory;
      error = ::ioctl(fd_, VIDIOC_DQBUF, &done) == 0 ? ((done.flags & V4L2_BUF_FLAG_ERROR) != 0 ? EIO : 0) : errno;
    }
    ::ioctl(fd_, VIDIOC_STREAMOFF, &type);
  }
  request.count = 0;
  REQUIRE(::ioctl(fd_, VIDIOC_REQBUFS, &request) == 0);
  return error;
}

Stream::Stream(const Camera& camera, unsigned slots) : fd_(camera.fd_) {
  v4l2_requestbuffers request{};
  request.count = slots;
  request.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  request.memory = V4L2_MEMORY_DMABUF;
  REQUIRE(::ioctl(fd_, VIDIOC_REQBUFS, &request) == 0);
  REQUIRE(request.count == slots);
  v4l2_streamparm fastest{};
  fastest.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  fastest.parm.capture.timeperframe = {1, 60}; // what the size allows of it
  ::ioctl(fd_, VIDIOC_S_PARM, &fastest);
}

Stream::~Stream() {
  int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  ::ioctl(fd_, VIDIOC_STREAMOFF, &type);
  v4l2_requestbuffers request{};
  request.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  request.memory = V4L2_MEMORY_DMABUF;
  ::ioctl(fd_, VIDIOC_REQBUFS, &request);
}

void Stream::queue(unsigned slot, const sa::DmaBuf& buffer) {
  v4l2_buffer queued{};
  queued.index = slot;
  queued.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  queued.memory = V4L2_MEMORY_DMABUF;
  queued.m.fd = buffer.fd();
  queued.length = static_cast<__u32>(buffer.size());
  REQUIRE(::ioctl(fd_, VIDIOC_QBUF, &queued) == 0);
}

unsigned Stream::dequeue() {
  if (!runs_) {
    int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    REQUIRE(::ioctl(fd_, VIDIOC_STREAMON, &type) == 0);
    runs_ = true;
  }
  pollfd ready{fd_, POLLIN, 0};
  REQUIRE(::poll(&ready, 1, 20000) == 1);
  v4l2_buffer done{};
  done.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  done.memory = V4L2_MEMORY_DMABUF;
  REQUIRE(::ioctl(fd_, VIDIOC_DQBUF, &done) == 0);
  return done.index;
}

bool Camera::shows_colour_bars(std::span<const std::byte> picture) const {
  // White, yellow, cyan, green, magenta, red, blue, black: red, green and blue on or off.
  constexpr bool bars[8][3] = {{true, true, true},  {true, true, false},  {false, true, true},  {false, true, false},
                               {true, false, true}, {true, false, false}, {false, false, true}, {false, false, false}};
  for (unsigned row = height / 2; row < height; ++row) {
    for (unsigned bar = 0; bar < 8; ++bar) {
      const std::size_t pixel = row * stride_ + (width * (2 * bar + 1) / 16) * 3;
      for (unsigned colour = 0; colour < 3; ++colour) {
        if ((std::to_integer<int>(picture[pixel + colour]) > 96) != bars[bar][colour]) {
          MESSAGE("row ", row, " bar ", bar, ": ", std::to_integer<int>(picture[pixel]), " ",
                  std::to_integer<int>(picture[pixel + 1]), " ", std::to_integer<int>(picture[pixel + 2]));
          return false;
        }
      }
    }
  }
  return true;
}

std::string card_driver(const std::string& card) {
  const sa::UniqueFd fd{::open(("/dev/dri/" + card).c_str(), O_RDWR | O_CLOEXEC)};
  drmVersionPtr version = fd ? ::drmGetVersion(fd.get()) : nullptr;
  std::string name = version == nullptr ? "" : version->name;
  ::drmFreeVersion(version);
  return name;
}

int import_into_card(const std::string& card, int fd, bool framebuffer) {
  const sa::UniqueFd device{::open(("/dev/dri/" + card).c_str(), O_RDWR | O_CLOEXEC)};
  REQUIRE(device);
  std::uint32_t handle = 0;
  if (::drmPrimeFDToHandle(device.get(), fd, &handle) != 0) {
    return errno;
  }
  int error = 0;
  if (framebuffer) {
    const std::uint32_t handles[4] = {handle};
    const std::uint32_t pitches[4] = {640 * 4};
    const std::uint32_t offsets[4] = {};
    std::uint32_t id = 0;
    error = -::drmModeAddFB2(device.get(), 640, 480, DRM_FORMAT_XRGB8888, handles, pitches, offsets, &id, 0);
    if (error == 0) {
      ::drmModeRmFB(device.get(), id);
    }
  }
  ::drmCloseBufferHandle(device.get(), handle);
  return error;
}

sa::UniqueFd scattered_dma_buf(std::size_t pages) {
  constexpr std::size_t page = 4096;
  const sa::UniqueFd memory{::memfd_create("scattered", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
  REQUIRE(::ftruncate(memory.get(), static_cast<off_t>(pages * page)) == 0);
  REQUIRE(::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK) == 0);
  // Later pages first, as they lie in the machine's memory: no page follows the one before it.
  auto* const mapped =
      static_cast<unsigned char*>(::mmap(nullptr, pages * page, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0));
  REQUIRE(mapped != MAP_FAILED);
  const sa::UniqueFd map{::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)};
  std::vector<std::pair<std::uint64_t, std::size_t>> frames; // with the offsets
  for (std::size_t i = 0; i < pages; ++i) {
    mapped[i * page] = 1;
    std::uint64_t entry = 0;
    const auto at = static_cast<off_t>((reinterpret_cast<std::uintptr_t>(mapped) / page + i) * sizeof entry);
    REQUIRE(::pread(map.get(), &entry, sizeof entry, at) == sizeof entry);
    frames.emplace_back(entry & ((std::uint64_t{1} << 55U) - 1), i * page);
  }
  ::munmap(mapped, pages * page);
  REQUIRE(frames.front().first != 0);
  std::sort(frames.rbegin(), frames.rend());
  std::vector<unsigned char> storage(sizeof(udmabuf_create_list) + pages * sizeof(udmabuf_create_item));
  auto* list = reinterpret_cast<udmabuf_create_list*>(storage.data());
  list->flags = UDMABUF_FLAGS_CLOEXEC;
  list->count = static_cast<__u32>(pages);
  for (std::size_t i = 0; i < pages; ++i) {
    list->list[i].memfd = static_cast<__u32>(memory.get());
    list->list[i].offset = frames[i].second;
    list->list[i].size = page;
  }
  const sa::UniqueFd device{::open("/dev/udmabuf", O_RDWR | O_CLOEXEC)};
  sa::UniqueFd fd{::ioctl(device.get(), UDMABUF_CREATE_LIST, list)};
  REQUIRE(fd);
  return fd;
}

} // namespace importers
