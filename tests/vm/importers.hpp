// SPDX-License-Identifier: MIT
/// Devices of a test kernel that take buffers: vivid, a camera, and DRM cards.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <sa/sa.hpp>

namespace importers {

/// The node of the vivid camera; empty when there is none.
std::string camera_node();

/// The node to which video is written in vivid; empty when there is none.
std::string output_node();

/// The vivid camera, streaming RGB24 into buffers of ours.
class Camera {
public:
  static constexpr unsigned width = 1280;
  static constexpr unsigned height = 720;

  /// Finds it; REQUIREs that there is one.
  Camera();
  Camera(const Camera&) = delete;
  Camera& operator=(const Camera&) = delete;
  ~Camera();

  /// Bytes of one frame.
  [[nodiscard]] std::size_t frame_size() const { return frame_size_; }

  /// Captures a frame into @p buffer. 0, or the errno with which the driver refused it.
  int capture(const sa::DmaBuf& buffer);

  /// Whether the picture is vivid's colour bars, looked at in every row below its text.
  [[nodiscard]] bool shows_colour_bars(std::span<const std::byte> picture) const;

private:
  friend class Stream;
  int fd_ = -1;
  std::size_t frame_size_ = 0;
  std::size_t stride_ = 0;
};

/// The queue of a camera that runs.
class Stream {
public:
  /// REQUIREs that the driver has so many slots.
  Stream(const Camera& camera, unsigned slots);
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream();

  /// Queues @p buffer in @p slot; the driver lets go of the one that was there before.
  void queue(unsigned slot, const sa::DmaBuf& buffer);
  /// Starts the camera when it is called first; waits for a frame and says in which slot it is.
  unsigned dequeue();

private:
  int fd_;
  bool runs_ = false;
};

/// Imports @p fd into a DRM card through PRIME and lets it go again: 0, or the errno of the refusal. With @p framebuffer
/// the card also makes a 640x480 XRGB8888 framebuffer of it.
int import_into_card(const std::string& card, int fd, bool framebuffer);

/// The driver of a DRM card, "vgem".
std::string card_driver(const std::string& card);

/// A dma-buf whose pages lie in reverse order in memory, so never in one run: @p pages pages of a memfd through
/// UDMABUF_CREATE_LIST.
sa::UniqueFd scattered_dma_buf(std::size_t pages);

} // namespace importers
