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
///
/// Threads: distinct Image and ImageAccess objects are independent; one object needs outside synchronisation.
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

/// What is asked of Registry::select_image() and Registry::allocate() for a picture.
struct ImageRequest {
  std::uint32_t width = 0;       ///< pixels that are to be seen, 1 to max_image_side
  std::uint32_t height = 0;      ///< pixels that are to be seen, likewise
  std::vector<Format> formats{}; ///< by preference; empty: any that all devices share, in the table's order
  Colour colour{};
  /// What else the memory must be, and its name. Its size is a least number of bytes for each buffer; 0: as the layout says.
  AllocRequest memory{};
};

/// The rows of one plane, to be gone through from first to last or asked for by number. Valid as long as the ImageAccess that
/// it is from; a value.
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
  /// @param first where the first row begins; @param bytes of a row that are to be seen; @param stride bytes from one row to
  /// the next; @param rows how many there are to be seen
  PlaneRows(std::byte* first, std::size_t bytes, std::size_t stride, std::uint32_t rows) noexcept
      : first_(first), bytes_(bytes), stride_(stride), rows_(rows) {}

  [[nodiscard]] std::uint32_t size() const noexcept { return rows_; }     ///< rows
  [[nodiscard]] std::size_t row_bytes() const noexcept { return bytes_; } ///< bytes of each, without padding
  [[nodiscard]] std::size_t stride() const noexcept { return stride_; }   ///< bytes from one to the next
  [[nodiscard]] std::byte* data() const noexcept { return first_; }       ///< where the first row begins
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

/// A stretch of time in which the CPU may touch all buffers of an image: a CpuAccess of each.
class SA_API ImageAccess {
public:
  /// Empty: plane() has no rows.
  ImageAccess() noexcept = default;

  /// Whether an access lasts.
  explicit operator bool() const noexcept { return static_cast<bool>(buffers_[0]); }

  /// The rows of @p plane while the access lasts; none for a plane that the format does not have. Not to be had of a
  /// temporary, whose access ends with the statement.
  [[nodiscard]] PlaneRows plane(unsigned plane) const& noexcept;
  PlaneRows plane(unsigned plane) const&& = delete;

  /// Ends the access now. The object is empty afterwards, also on failure; each buffer's access is ended.
  /// @throws Error EBADF on an empty object; what DMA_BUF_IOCTL_SYNC reports, the first of several
  void end();
  void end(std::error_code& ec) noexcept;

private:
  friend class Image;
  std::array<CpuAccess, max_planes> buffers_;
  ImageLayout layout_;
};

/// Owns the buffers of a picture. Default-made and moved-from objects are empty.
class SA_API Image final {
public:
  Image() noexcept = default;

  /// Puts buffers and a layout together.
  /// @param layout where each plane lies in them
  /// @param buffers as many as the layout has; owned from here on, let go of when the import is refused
  /// @throws Error EINVAL: check() refuses the layout; there are more or fewer buffers; a buffer is empty, or smaller than the
  ///         layout says
  [[nodiscard]] static Image import(const ImageLayout& layout, std::vector<DmaBuf> buffers);
  [[nodiscard]] static Image import(const ImageLayout& layout, std::vector<DmaBuf> buffers, std::error_code& ec) noexcept;

  /// Whether it holds buffers.
  explicit operator bool() const noexcept { return !buffers_.empty(); }

  [[nodiscard]] const ImageLayout& layout() const noexcept { return layout_; }

  /// Says that the picture lies otherwise in the same buffers: a driver that begins its pixels later (v4l2_plane::data_offset), a
  /// decoder whose stream changed. An access that lasts keeps the layout it began with.
  /// @throws Error EINVAL: as import(); EBADF: an empty image. The layout stays as it was.
  void set_layout(const ImageLayout& layout);
  void set_layout(const ImageLayout& layout, std::error_code& ec) noexcept;

  [[nodiscard]] std::span<const DmaBuf> buffers() const noexcept { return buffers_; }
  [[nodiscard]] const DmaBuf& buffer(unsigned index) const noexcept { return buffers_[index]; }

  /// The buffer in which @p plane of the format lies.
  [[nodiscard]] const DmaBuf& buffer_of(unsigned plane) const noexcept { return buffers_[layout_.planes[plane].buffer]; }

  /// Maps (once) and begins CPU access to all buffers; see DmaBuf::access().
  /// @throws Error EBADF: an empty image. What DmaBuf::access() reports; no access lasts then.
  [[nodiscard]] ImageAccess access(Access access) const;
  [[nodiscard]] ImageAccess access(Access access, std::error_code& ec) const noexcept;

  /// Gives the buffers away; the object is empty.
  [[nodiscard]] std::vector<DmaBuf> release() noexcept;

private:
  ImageLayout layout_;
  std::vector<DmaBuf> buffers_;
};

}} // namespace sa::v0
