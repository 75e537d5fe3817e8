// SPDX-License-Identifier: MIT
/// Queues of V4L2 nodes that images go through.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <linux/videodev2.h>

#include <sa/glue/v4l2.hpp>
#include <sa/sa.hpp>

namespace video {

/// The nodes of @p driver with that capability, V4L2_CAP_*, by number.
std::vector<std::string> nodes(const std::string& driver, std::uint32_t capability);

/// An open node.
sa::UniqueFd open(const std::string& node);

/// What is behind a slot that the driver gave back.
struct Done {
  std::uint32_t index = 0;
  std::uint32_t sequence = 0;
  sa::ImageLayout layout; ///< where the driver put the picture
};

/// One queue of a node. What fails in it is a failure of the test.
class Queue {
public:
  /// @param fd borrowed
  /// @param type v4l2_buf_type
  Queue(int fd, std::uint32_t type) : fd_(fd), type_(type) {}
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;
  /// Stops it and frees its slots.
  ~Queue();

  /// The codes of VIDIOC_ENUM_FMT, in its order.
  [[nodiscard]] std::vector<sa::V4l2Fourcc> formats() const;

  /// What VIDIOC_TRY_FMT makes of a format, nothing: it fails.
  [[nodiscard]] std::optional<v4l2_format> tried(v4l2_format format) const;

  /// The answer to a code and a size alone.
  [[nodiscard]] std::optional<v4l2_format> tried(sa::V4l2Fourcc code, std::uint32_t width, std::uint32_t height) const;

  /// Sets the format to a layout, and sees that the driver keeps it.
  void set(const sa::ImageLayout& layout);

  /// As many slots as there are images, each image in one; 25 frames a second.
  void start(const std::vector<sa::Image>& images);
  void queue(const sa::Image& image, std::uint32_t index);
  [[nodiscard]] Done dequeue();

private:
  int fd_;
  std::uint32_t type_;
  sa::ImageLayout layout_; ///< that is set
};

} // namespace video
