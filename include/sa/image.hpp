// SPDX-License-Identifier: MIT
/// @file image.hpp
/// A picture in buffers: one to four DmaBufs and the ImageLayout that says where each plane lies.
///
///     const sa::Device camera = sa::Device::open("/dev/video0");
///     const sa::Device display = sa::Device::open("/dev/dri/card0");
///     sa::Image frame = sa::Registry::system().allocate({camera, display}, sa::ImageRequest{.width = 1920, .height = 1080});
///     {
///       const sa::ImageAccess cpu = frame.access(sa::Access::Write);
///       for (const std::span<std::byte> row : cpu.plane(0)) {
///         std::ranges::fill(row, std::byte{16});
///       }
///     }
/// Threads: different threads may use distinct Image and ImageAccess objects at once. Threads that use the same object need
/// a lock of their own.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <system_error>
#include <vector>

#include <sa/dma_buf.hpp>
#include <sa/export.hpp>
#include <sa/layout.hpp>
#include <sa/types.hpp>

namespace sa { inline namespace v0 {

/// A request for a picture, for Registry::select_image() and Registry::allocate().
struct ImageRequest {
  std::uint32_t width = 0;       ///< visible pixels, 1 to max_image_side
  std::uint32_t height = 0;      ///< visible pixels, 1 to max_image_side
  std::vector<Format> formats{}; ///< preferred first; empty: any that all devices share, in the table's order
  Colour colour{};               ///< meaning of the pixels' values
  /// Further demands on the memory, and its name. memory.size is a minimum for each buffer, in bytes; 0: as the layout
  /// says.
  AllocRequest memory{};
};

/// The rows of one plane: a range that can be iterated or indexed. A value type, valid as long as the ImageAccess from
/// which it came.
class PlaneRows {
public:
  class Iterator {
  public:
    using value_type = std::span<std::byte>;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::forward_iterator_tag;
    Iterator() noexcept = default;
    Iterator(std::byte* row, std::size_t bytes, std::size_t stride, std::uint32_t left) noexcept
        : row_(row), bytes_(bytes), stride_(stride), left_(left) {}
    [[nodiscard]] std::span<std::byte> operator*() const noexcept { return {row_, bytes_}; }
    Iterator& operator++() noexcept {
      row_ += --left_ == 0 ? 0 : stride_; // no pointer leaves the buffer, whose last row may be without padding
      return *this;
    }
    Iterator operator++(int) noexcept {
      const Iterator before = *this;
      ++*this;
      return before;
    }
    friend bool operator==(const Iterator& a, const Iterator& b) noexcept { return a.left_ == b.left_; }

  private:
    std::byte* row_ = nullptr;
    std::size_t bytes_ = 0;
    std::size_t stride_ = 0;
    std::uint32_t left_ = 0;
  };

  /// No rows.
  PlaneRows() noexcept = default;
  /// @param first the beginning of the first row
  /// @param bytes visible bytes of a row
  /// @param stride bytes from one row to the next
  /// @param rows number of visible rows
  PlaneRows(std::byte* first, std::size_t bytes, std::size_t stride, std::uint32_t rows) noexcept
      : first_(first), bytes_(bytes), stride_(stride), rows_(rows) {}

  [[nodiscard]] std::uint32_t size() const noexcept { return rows_; }     ///< number of rows
  [[nodiscard]] std::size_t row_bytes() const noexcept { return bytes_; } ///< bytes of each row, without padding
  [[nodiscard]] std::size_t stride() const noexcept { return stride_; }   ///< bytes from one row to the next
  [[nodiscard]] std::byte* data() const noexcept { return first_; }       ///< the beginning of the first row
  [[nodiscard]] Iterator begin() const noexcept { return {first_, bytes_, stride_, rows_}; }
  [[nodiscard]] Iterator end() const noexcept { return {}; }

  /// Row @p y from the top, below size(), without padding.
  [[nodiscard]] std::span<std::byte> operator[](std::uint32_t y) const noexcept { return {first_ + stride_ * y, bytes_}; }

private:
  std::byte* first_ = nullptr;
  std::size_t bytes_ = 0;
  std::size_t stride_ = 0;
  std::uint32_t rows_ = 0;
};

/// A period in which the CPU may access all buffers of an image: a CpuAccess to each.
class SA_API ImageAccess {
public:
  /// Empty: plane() has no rows.
  ImageAccess() noexcept = default;

  /// Whether the access still lasts.
  explicit operator bool() const noexcept { return static_cast<bool>(buffers_[0]); }

  /// The rows of @p plane while the access lasts; none for a plane that the format does not have. A temporary has no
  /// plane(), since its access ends with the statement: give the access a name.
  [[nodiscard]] PlaneRows plane(unsigned plane) const& noexcept;
  PlaneRows plane(unsigned plane) const&& = delete;

  /// Ends the access to each buffer now. The object is empty afterwards, also on failure.
  /// @throws Error EBADF: the object is empty. Any other code: the first DMA_BUF_IOCTL_SYNC that failed.
  void end();
  void end(std::error_code& ec) noexcept;

private:
  friend class Image;
  std::array<CpuAccess, max_planes> buffers_;
  ImageLayout layout_;
};

/// Owns the buffers of a picture. Default-constructed and moved-from objects are empty.
class SA_API Image final {
public:
  Image() noexcept = default;

  /// Makes an image of existing buffers and a layout.
  /// @param layout where each plane lies in them
  /// @param buffers as many as the layout has. The image owns them from here on; they are given back when the import is refused
  /// @throws Error EINVAL: check() refuses the layout; the number of buffers is wrong; or a buffer is empty, or smaller
  ///         than in the layout
  [[nodiscard]] static Image import(const ImageLayout& layout, std::vector<DmaBuf> buffers);
  [[nodiscard]] static Image import(const ImageLayout& layout, std::vector<DmaBuf> buffers, std::error_code& ec) noexcept;

  /// Whether the image holds buffers.
  explicit operator bool() const noexcept { return !buffers_.empty(); }

  /// The layout of the picture in its buffers.
  [[nodiscard]] const ImageLayout& layout() const noexcept { return layout_; }

  /// Changes the layout of the picture in the same buffers, because a driver puts the pixels behind data of its own
  /// (v4l2_plane::data_offset), or a decoder's stream has changed. An access that lasts keeps the layout with which it
  /// began.
  /// @throws Error EINVAL: as import(); EBADF: an empty image. The layout stays as it was.
  void set_layout(const ImageLayout& layout);
  void set_layout(const ImageLayout& layout, std::error_code& ec) noexcept;

  /// All buffers of the image, borrowed.
  [[nodiscard]] std::span<const DmaBuf> buffers() const noexcept { return buffers_; }
  /// One buffer of the image, borrowed. @p index must be below layout().buffer_count().
  [[nodiscard]] const DmaBuf& buffer(unsigned index) const noexcept { return buffers_[index]; }

  /// The buffer in which @p plane lies, borrowed. @p plane must be below layout().plane_count().
  [[nodiscard]] const DmaBuf& buffer_of(unsigned plane) const noexcept { return buffers_[layout_.planes[plane].buffer]; }

  /// Maps all buffers of the image (once) and begins CPU access to them; see DmaBuf::access().
  /// @throws Error EBADF: an empty image. Else as DmaBuf::access(). On failure no access lasts.
  [[nodiscard]] ImageAccess access(Access access) const;
  [[nodiscard]] ImageAccess access(Access access, std::error_code& ec) const noexcept;

  /// Gives the buffers to the caller. The object is empty afterwards.
  [[nodiscard]] std::vector<DmaBuf> release() noexcept;

private:
  ImageLayout layout_;
  std::vector<DmaBuf> buffers_;
};

}} // namespace sa::v0
