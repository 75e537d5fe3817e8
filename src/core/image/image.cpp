// SPDX-License-Identifier: MIT
#include <sa/image.hpp>

#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include "core/base/failure.hpp"

namespace sa { inline namespace v0 {

using detail::fail;

PlaneRows ImageAccess::plane(unsigned plane) const& noexcept {
  if (!*this || plane >= layout_.plane_count()) {
    return {};
  }
  const PlaneLayout& where = layout_.planes[plane];
  return {buffers_[where.buffer].bytes().data() + where.offset, layout_.row_bytes(plane), where.stride,
          layout_.visible_rows(plane)};
}

void ImageAccess::end() {
  detail::or_throw(
      "", [] { return std::string("end the CPU's access to an image"); }, [&](std::error_code& ec) { end(ec); });
}

void ImageAccess::end(std::error_code& ec) noexcept {
  ec = *this ? std::error_code{} : detail::from_errno(EBADF);
  for (CpuAccess& buffer : buffers_) {
    if (buffer) {
      std::error_code one;
      buffer.end(one);
      ec = ec ? ec : one;
    }
  }
}

namespace {

/// Whether @p layout is one, and each of its buffers is in @p buffers and large enough.
bool lies_in(const ImageLayout& layout, std::span<const DmaBuf> buffers, std::error_code& ec) {
  check(layout, ec);
  if (ec) {
    return false;
  }
  if (buffers.size() != layout.buffer_count()) {
    fail(ec, EINVAL,
         [&] { return fmt::format("{} buffers are given, and the layout has {}", buffers.size(), layout.buffer_count()); });
    return false;
  }
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    if (buffers[i].size() < layout.sizes[i]) { // an empty one has 0
      fail(ec, EINVAL,
           [&] { return fmt::format("buffer {} has {} bytes, and the layout needs {}", i, buffers[i].size(), layout.sizes[i]); });
      return false;
    }
  }
  return true;
}

} // namespace

Image Image::import(const ImageLayout& layout, std::vector<DmaBuf> buffers) {
  return detail::or_throw(
      "", [] { return std::string("import an image"); },
      [&](std::error_code& ec) { return import(layout, std::move(buffers), ec); });
}

Image Image::import(const ImageLayout& layout, std::vector<DmaBuf> buffers, std::error_code& ec) noexcept {
  return detail::or_code(ec, [&]() -> Image {
    if (!lies_in(layout, buffers, ec)) {
      return {};
    }
    Image image;
    image.layout_ = layout;
    image.buffers_ = std::move(buffers);
    return image;
  });
}

void Image::set_layout(const ImageLayout& layout) {
  detail::or_throw(
      "", [] { return std::string("change an image's layout"); }, [&](std::error_code& ec) { set_layout(layout, ec); });
}

void Image::set_layout(const ImageLayout& layout, std::error_code& ec) noexcept {
  detail::or_code(ec, [&] {
    if (buffers_.empty()) {
      fail(ec, EBADF, [] { return std::string("the image is empty"); });
    } else if (lies_in(layout, buffers_, ec)) {
      layout_ = layout;
    }
  });
}

ImageAccess Image::access(Access access) const {
  return detail::or_throw(
      "", [] { return std::string("touch an image"); }, [&](std::error_code& ec) { return this->access(access, ec); });
}

ImageAccess Image::access(Access access, std::error_code& ec) const noexcept {
  return detail::or_code(ec, [&]() -> ImageAccess {
    ImageAccess all;
    if (buffers_.empty()) {
      fail(ec, EBADF, [] { return std::string("the image is empty"); });
      return all;
    }
    all.layout_ = layout_;
    for (std::size_t i = 0; i < buffers_.size(); ++i) {
      all.buffers_[i] = buffers_[i].access(access, ec);
      if (ec) {
        return {};
      }
    }
    return all;
  });
}

std::vector<DmaBuf> Image::release() noexcept {
  layout_ = {};
  return std::exchange(buffers_, {});
}

}} // namespace sa::v0
