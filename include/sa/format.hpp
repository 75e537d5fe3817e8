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

/// Makes a format code of four characters, the first one in the lowest byte, as fourcc_code() (drm_fourcc.h) and
/// v4l2_fourcc() (linux/videodev2.h) do. Fewer characters are filled up with spaces; characters after the fourth are
/// ignored.
[[nodiscard]] constexpr std::uint32_t fourcc(std::string_view characters) noexcept {
  std::uint32_t code = 0;
  for (unsigned i = 0; i < 4; ++i) {
    code |= std::uint32_t{static_cast<unsigned char>(i < characters.size() ? characters[i] : ' ')} << (8 * i);
  }
  return code;
}

/// A format's code in drm_fourcc.h. Wayland, EGL, Vulkan and FFmpeg's DRM frames use the same codes. 0: none.
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

/// The code as text: "NV12", without spaces at its end; "0x0000007f" if a character is not printable; "-" for none.
/// V4L2's bit for big-endian pixels (v4l2_fourcc_be() in linux/videodev2.h) is written as "-BE" behind the characters.
/// @throws std::bad_alloc
[[nodiscard]] SA_API std::string to_string(DrmFourcc code);
[[nodiscard]] SA_API std::string to_string(V4l2Fourcc code);

/// How the pixels of one plane lie in a row.
struct FormatPlane {
  std::uint8_t bytes = 0;  ///< size of one group of samples, bytes
  std::uint8_t pixels = 1; ///< samples of this plane, side by side, in one group
  std::uint8_t hsub = 1;   ///< pixels of the picture, side by side, that share one sample of this plane
  std::uint8_t vsub = 1;   ///< the same, one above the other
};

/// A row of the table of formats.
struct FormatInfo {
  std::string_view name;        ///< unique; DRM's where DRM has the format ("NV12", "XRGB8888"), else V4L2's ("SRGGB8")
  std::string_view gstreamer;   ///< GstVideoFormat's name; empty: there is none
  DrmFourcc drm;                ///< Bayer and MIPI-packed formats have none
  V4l2Fourcc v4l2;              ///< the code for all planes in one buffer, one behind the other
  V4l2Fourcc v4l2_split;        ///< the code for a buffer for each plane ("NM12"); formats of one plane have none
  std::uint8_t width_step = 1;  ///< pixels; a width is laid out as the next multiple
  std::uint8_t height_step = 1; ///< pixels; a height is laid out as the next multiple
  std::uint8_t plane_count = 0; ///< 1 to 4; 0: no format
  std::array<FormatPlane, 4> planes{};
};

/// A pixel format of the table, or none. A value of one word.
class SA_API Format {
public:
  /// None: name() is empty.
  constexpr Format() noexcept = default;

  /// Finds a format by a name: FormatInfo::name, GStreamer's name, or a code behind "drm:" or "v4l2:" ("drm:RG16",
  /// "v4l2:RG16"). None when the table has no such format.
  [[nodiscard]] static Format find(std::string_view name) noexcept;
  /// Finds a format by its DRM code; none when the table has no such format.
  [[nodiscard]] static Format find(DrmFourcc code) noexcept;
  /// Finds a format by its V4L2 code.
  /// @param code for one buffer ("NV12") or for a buffer for each plane ("NM12"): both are the format NV12
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
