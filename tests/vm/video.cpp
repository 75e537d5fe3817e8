// SPDX-License-Identifier: MIT
#include "vm/video.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>

namespace video {

std::vector<std::string> nodes(const std::string& driver, std::uint32_t capability) {
  std::vector<std::string> found;
  for (int number = 0; number < 32; ++number) {
    const std::string node = "/dev/video" + std::to_string(number);
    const sa::UniqueFd fd{::open(node.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC)};
    v4l2_capability about{};
    if (fd && ::ioctl(fd.get(), VIDIOC_QUERYCAP, &about) == 0 && driver == reinterpret_cast<const char*>(about.driver) &&
        (about.device_caps & capability) != 0 && (about.device_caps & V4L2_CAP_STREAMING) != 0) {
      found.push_back(node);
    }
  }
  return found;
}

sa::UniqueFd open(const std::string& node) {
  sa::UniqueFd fd{::open(node.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC)};
  REQUIRE(fd);
  return fd;
}

Queue::~Queue() {
  ::ioctl(fd_, VIDIOC_STREAMOFF, &type_);
  v4l2_requestbuffers none{};
  none.type = type_;
  none.memory = V4L2_MEMORY_DMABUF;
  ::ioctl(fd_, VIDIOC_REQBUFS, &none);
}

std::vector<sa::V4l2Fourcc> Queue::formats() const {
  std::vector<sa::V4l2Fourcc> codes;
  v4l2_fmtdesc one{};
  for (one.type = type_; ::ioctl(fd_, VIDIOC_ENUM_FMT, &one) == 0; ++one.index) {
    codes.push_back({one.pixelformat});
  }
  return codes;
}

std::optional<v4l2_format> Queue::tried(v4l2_format format) const {
  return ::ioctl(fd_, VIDIOC_TRY_FMT, &format) == 0 ? std::optional(format) : std::nullopt;
}

std::optional<v4l2_format> Queue::tried(sa::V4l2Fourcc code, std::uint32_t width, std::uint32_t height) const {
  v4l2_format format{};
  format.type = type_;
  if (sa::v4l2::multi_planar(type_)) {
    format.fmt.pix_mp.pixelformat = code.code;
    format.fmt.pix_mp.width = width;
    format.fmt.pix_mp.height = height;
    format.fmt.pix_mp.field = V4L2_FIELD_NONE;
  } else {
    format.fmt.pix.pixelformat = code.code;
    format.fmt.pix.width = width;
    format.fmt.pix.height = height;
    format.fmt.pix.field = V4L2_FIELD_NONE;
  }
  return tried(format);
}

void Queue::set(const sa::ImageLayout& layout) {
  v4l2_format format = sa::v4l2::format_of(layout, type_);
  REQUIRE(::ioctl(fd_, VIDIOC_S_FMT, &format) == 0);
  REQUIRE(sa::v4l2::holds(layout, format));
  layout_ = layout;
}

void Queue::start(const std::vector<sa::Image>& images) {
  // vivid's thread computes how long it waits twice, and the kernel warns of a negative time when a frame took nearly the whole
  // interval (vivid_thread_vid_cap()): no faster than a slow machine draws.
  v4l2_streamparm rate{};
  rate.type = type_;
  rate.parm.capture.timeperframe = {1, 25}; // at the same place in what an output has
  ::ioctl(fd_, VIDIOC_S_PARM, &rate);
  v4l2_requestbuffers request{};
  request.count = static_cast<std::uint32_t>(images.size());
  request.type = type_;
  request.memory = V4L2_MEMORY_DMABUF;
  REQUIRE(::ioctl(fd_, VIDIOC_REQBUFS, &request) == 0);
  REQUIRE(request.count >= images.size());
  for (std::uint32_t i = 0; i < images.size(); ++i) {
    queue(images[i], i);
  }
  REQUIRE(::ioctl(fd_, VIDIOC_STREAMON, &type_) == 0);
}

void Queue::queue(const sa::Image& image, std::uint32_t index) {
  sa::v4l2::Buffer slot(image, type_, index);
  const int error = ::ioctl(fd_, VIDIOC_QBUF, &slot.buffer()) == 0 ? 0 : errno;
  INFO("VIDIOC_QBUF: ", std::string(std::strerror(error)));
  REQUIRE(error == 0);
}

Done Queue::dequeue() {
  pollfd ready{fd_, static_cast<short>(V4L2_TYPE_IS_OUTPUT(type_) ? POLLOUT : POLLIN), 0};
  REQUIRE(::poll(&ready, 1, 20000) == 1);
  sa::v4l2::Buffer slot(type_);
  REQUIRE(::ioctl(fd_, VIDIOC_DQBUF, &slot.buffer()) == 0);
  REQUIRE((slot.buffer().flags & V4L2_BUF_FLAG_ERROR) == 0);
  return {slot.buffer().index, slot.buffer().sequence, slot.filled(layout_)};
}

} // namespace video
