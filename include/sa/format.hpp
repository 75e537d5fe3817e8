// SPDX-License-Identifier: MIT
/// @file format.hpp
/// Pixel formats: one table of their names in DRM, V4L2 and GStreamer and of how their pixels lie in planes.
///
/// DRM and V4L2 give the same four letters to different formats: RG16 is RGB565 in drm_fourcc.h and the Bayer format
/// SRGGB16 in linux/videodev2.h. Their codes therefore have two types here, which do not convert into each other.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <sa/export.hpp>

namespace sa { inline namespace v0 {

/// Four characters as a number, the first one lowest, as fourcc_code() and v4l2_fourcc() count them. Fewer characters are
/// filled up with spaces, more than four are cut off.
[[nodiscard]] constexpr std::uint32_t fourcc(std::string_view characters) noexcept {
  std::uint32_t code = 0;
  for (unsigned i = 0; i < 4; ++i) {
    code |= std::uint32_t{static_cast<unsigned char>(i < characters.size() ? characters[i] : ' ')} << (8 * i);
  }
  return code;
}

/// A format's code in drm_fourcc.h; Wayland, EGL, Vulkan and FFmpeg's DRM frames have the same. 0: none.
struct DrmFourcc {
  std::uint32_t code = 0;
  explicit constexpr operator bool() const noexcept { return code != 0; }
  friend constexpr auto operator<=>(DrmFourcc, DrmFourcc) noexcept = default;
};

/// A format's code in linux/videodev2.h. 0: none.
struct V4l2Fourcc {
  std::uint32_t code = 0;
  explicit constexpr operator bool() const noexcept { return code != 0; }
  friend constexpr auto operator<=>(V4l2Fourcc, V4l2Fourcc) noexcept = default;
};

/// The code as text, "NV12", without spaces at its end; "0x0000007f" where a character is not printable, "-" for none.
/// V4L2's bit for big-endian pixels (V4L2_PIX_FMT_FLAG_BE) is written as "-BE" behind the characters.
/// @throws std::bad_alloc
[[nodiscard]] SA_API std::string to_string(DrmFourcc code);
[[nodiscard]] SA_API std::string to_string(V4l2Fourcc code);

/// How the pixels of one plane lie in a row.
struct FormatPlane {
  std::uint8_t bytes = 0;  ///< that one group takes
  std::uint8_t pixels = 1; ///< samples of this plane, side by side, that make a group
  std::uint8_t hsub = 1;   ///< pixels of the picture, side by side, that share one sample of this plane
  std::uint8_t vsub = 1;   ///< the same, one above the other
};

/// A row of the table.
struct FormatInfo {
  std::string_view name;        ///< unique; DRM's where DRM has the format ("NV12", "XRGB8888"), else V4L2's ("SRGGB8")
  std::string_view gstreamer;   ///< GstVideoFormat's name; empty: there is none
  DrmFourcc drm;                ///< none of Bayer and MIPI-packed formats
  V4l2Fourcc v4l2;              ///< all planes in one buffer, one behind the other
  V4l2Fourcc v4l2_split;        ///< a buffer for each plane ("NM12"); none for formats of one plane
  std::uint8_t width_step = 1;  ///< pixels; a width that is no multiple is laid out as the next one
  std::uint8_t height_step = 1; ///< pixels, likewise
  std::uint8_t plane_count = 0;
  std::array<FormatPlane, 4> planes{};
};

/// A pixel format of the table, or none. A value of one word.
class SA_API Format {
public:
  /// None: name() is empty.
  constexpr Format() noexcept = default;

  /// The format that somebody calls @p name; none when the table has no such name. Taken are FormatInfo::name, GStreamer's
  /// name, and a code with whose it is: "drm:RG16", "v4l2:RG16".
  [[nodiscard]] static Format find(std::string_view name) noexcept;
  [[nodiscard]] static Format find(DrmFourcc code) noexcept;
  /// @param code of one buffer ("NV12") or of a buffer for each plane ("NM12"): both are the format NV12
  [[nodiscard]] static Format find(V4l2Fourcc code) noexcept;

  /// Every format of the table, in its order.
  [[nodiscard]] static std::span<const Format> all() noexcept;

  explicit constexpr operator bool() const noexcept { return info_ != nullptr; }
  [[nodiscard]] const FormatInfo& info() const noexcept;
  [[nodiscard]] std::string_view name() const noexcept { return info().name; }
  [[nodiscard]] unsigned plane_count() const noexcept { return info().plane_count; }

  friend constexpr bool operator==(Format, Format) noexcept = default;

private:
  explicit constexpr Format(const FormatInfo* info) noexcept : info_(info) {}
  const FormatInfo* info_ = nullptr; // a row of the library's table
};

}} // namespace sa::v0
