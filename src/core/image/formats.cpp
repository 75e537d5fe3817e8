// SPDX-License-Identifier: MIT
/// The table of formats. The codes stand here as letters: the headers of older distributions lack some of them.
#include <sa/format.hpp>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace sa { inline namespace v0 {
namespace {

constexpr DrmFourcc drm(std::string_view code) {
  return {code.empty() ? 0 : fourcc(code)};
}

constexpr V4l2Fourcc v4l2(std::string_view code) {
  return {code.empty() ? 0 : fourcc(code)};
}

/// Pixels of @p bytes each.
constexpr FormatInfo packed(std::string_view name, std::string_view drm_code, std::string_view v4l2_code,
                            std::string_view gstreamer, std::uint8_t bytes) {
  return {name, gstreamer, drm(drm_code), v4l2(v4l2_code), {}, 1, 1, 1, {{{bytes}}}};
}

/// Two pixels in four bytes, which share their chroma.
constexpr FormatInfo packed_yuv(std::string_view name, std::string_view gstreamer) {
  return {name, gstreamer, drm(name), v4l2(name), {}, 2, 1, 1, {{{4, 2}}}};
}

/// Luma, and both chroma samples side by side in a second plane.
constexpr FormatInfo semi_planar(std::string_view name, std::string_view code, std::string_view split, std::string_view gstreamer,
                                 FormatPlane luma, FormatPlane chroma) {
  return {name, gstreamer, drm(code), v4l2(code), v4l2(split), chroma.hsub, chroma.vsub, 2, {{luma, chroma}}};
}

/// Luma and two planes of chroma.
constexpr FormatInfo planar(std::string_view name, std::string_view drm_code, std::string_view v4l2_code, std::string_view split,
                            std::string_view gstreamer, FormatPlane chroma) {
  return {name, gstreamer, drm(drm_code), v4l2(v4l2_code), v4l2(split), chroma.hsub, chroma.vsub, 3, {{{1}, chroma, chroma}}};
}

/// One colour a pixel, in squares of two by two. A group of @p pixels takes @p bytes.
constexpr FormatInfo bayer(std::string_view name, std::string_view code, std::uint8_t bytes, std::uint8_t pixels = 1) {
  return {name, "", {}, v4l2(code), {}, 2, 2, 1, {{{bytes, pixels}}}};
}

// drm_fourcc.h, linux/videodev2.h (v4l2-common.c, v4l2_format_info()) and gst/video/video-format.h, video-info-dma.c.
constexpr std::array table{
    packed("XRGB8888", "XR24", "XR24", "BGRx", 4),
    packed("ARGB8888", "AR24", "AR24", "BGRA", 4),
    packed("XBGR8888", "XB24", "XB24", "RGBx", 4),
    packed("ABGR8888", "AB24", "AB24", "RGBA", 4),
    packed("RGBX8888", "RX24", "RX24", "xBGR", 4),
    packed("BGRX8888", "BX24", "BX24", "xRGB", 4),
    packed("RGBA8888", "RA24", "RA24", "ABGR", 4),
    packed("BGRA8888", "BA24", "BA24", "ARGB", 4),
    packed("RGB565", "RG16", "RGBP", "RGB16", 2),
    packed("RGB888", "RG24", "BGR3", "BGR", 3),
    packed("BGR888", "BG24", "RGB3", "RGB", 3),
    packed_yuv("YUYV", "YUY2"),
    packed_yuv("UYVY", "UYVY"),
    packed_yuv("YVYU", "YVYU"),
    packed_yuv("VYUY", "VYUY"),
    semi_planar("NV12", "NV12", "NM12", "NV12", {1}, {2, 1, 2, 2}),
    semi_planar("NV21", "NV21", "NM21", "NV21", {1}, {2, 1, 2, 2}),
    semi_planar("NV16", "NV16", "NM16", "NV16", {1}, {2, 1, 2, 1}),
    semi_planar("NV61", "NV61", "NM61", "NV61", {1}, {2, 1, 2, 1}),
    semi_planar("NV24", "NV24", "", "NV24", {1}, {2, 1, 1, 1}),
    semi_planar("NV42", "NV42", "", "", {1}, {2, 1, 1, 1}),
    semi_planar("P010", "P010", "", "P010_10LE", {2}, {4, 1, 2, 2}),
    semi_planar("NV15", "NV15", "", "NV12_10LE40", {5, 4}, {5, 2, 2, 2}),
    planar("YUV420", "YU12", "YU12", "YM12", "I420", {1, 1, 2, 2}),
    planar("YVU420", "YV12", "YV12", "YM21", "YV12", {1, 1, 2, 2}),
    planar("YUV422", "YU16", "422P", "YM16", "Y42B", {1, 1, 2, 1}),
    planar("YVU422", "YV16", "", "YM61", "", {1, 1, 2, 1}),
    planar("YUV444", "YU24", "", "YM24", "Y444", {1, 1, 1, 1}),
    planar("YVU444", "YV24", "", "YM42", "", {1, 1, 1, 1}),
    packed("R8", "R8", "GREY", "GRAY8", 1),
    packed("R10", "R10", "Y10", "", 2),
    packed("R12", "R12", "Y12", "", 2),
    packed("R16", "R16", "Y16", "GRAY16_LE", 2),
    FormatInfo{"Y10P", "", {}, v4l2("Y10P"), {}, 1, 1, 1, {{{5, 4}}}},
    bayer("SRGGB8", "RGGB", 1),
    bayer("SGRBG8", "GRBG", 1),
    bayer("SGBRG8", "GBRG", 1),
    bayer("SBGGR8", "BA81", 1),
    bayer("SRGGB10", "RG10", 2),
    bayer("SGRBG10", "BA10", 2),
    bayer("SGBRG10", "GB10", 2),
    bayer("SBGGR10", "BG10", 2),
    bayer("SRGGB10P", "pRAA", 5, 4),
    bayer("SGRBG10P", "pgAA", 5, 4),
    bayer("SGBRG10P", "pGAA", 5, 4),
    bayer("SBGGR10P", "pBAA", 5, 4),
    bayer("SRGGB12", "RG12", 2),
    bayer("SGRBG12", "BA12", 2),
    bayer("SGBRG12", "GB12", 2),
    bayer("SBGGR12", "BG12", 2),
    bayer("SRGGB12P", "pRCC", 3, 2),
    bayer("SGRBG12P", "pgCC", 3, 2),
    bayer("SGBRG12P", "pGCC", 3, 2),
    bayer("SBGGR12P", "pBCC", 3, 2),
    bayer("SRGGB16", "RG16", 2),
    bayer("SGRBG16", "GR16", 2),
    bayer("SGBRG16", "GB16", 2),
    bayer("SBGGR16", "BYR2", 2),
};

/// No name and no code stands for two formats.
constexpr bool unambiguous() {
  for (std::size_t i = 0; i < table.size(); ++i) {
    const FormatInfo& a = table[i];
    for (std::size_t j = 0; j < table.size(); ++j) {
      const FormatInfo& b = table[j];
      const bool same_row = i == j;
      if (!same_row && (a.name == b.name || a.name == b.gstreamer || (!a.gstreamer.empty() && a.gstreamer == b.gstreamer) ||
                        (a.drm && a.drm == b.drm) || (a.v4l2 && a.v4l2 == b.v4l2))) {
        return false;
      }
      if (a.v4l2_split && (a.v4l2_split == b.v4l2 || (!same_row && a.v4l2_split == b.v4l2_split))) {
        return false;
      }
    }
  }
  return true;
}
static_assert(unambiguous());

constexpr std::uint32_t big_endian = std::uint32_t{1} << 31; // V4L2_PIX_FMT_FLAG_BE, v4l2_fourcc_be()

std::string text_of(std::uint32_t code) {
  if (code == 0) {
    return "-";
  }
  std::string text;
  for (unsigned i = 0; i < 4; ++i) {
    const auto character = static_cast<char>(code >> (8 * i));
    if (character < ' ' || character > '~') {
      return fmt::format("{:#010x}", code);
    }
    text += character;
  }
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

} // namespace

std::string to_string(DrmFourcc code) {
  return text_of(code.code);
}

std::string to_string(V4l2Fourcc code) {
  return (code.code & big_endian) == 0 ? text_of(code.code) : text_of(code.code & ~big_endian) + "-BE";
}

Format Format::find(std::string_view name) noexcept {
  constexpr std::string_view of_drm = "drm:";
  constexpr std::string_view of_v4l2 = "v4l2:";
  const auto code = [&](std::string_view prefix) {
    const std::string_view letters = name.substr(prefix.size());
    return letters.empty() || letters.size() > 4 ? 0 : fourcc(letters);
  };
  if (name.starts_with(of_drm)) {
    return find(DrmFourcc{code(of_drm)});
  }
  if (name.starts_with(of_v4l2)) {
    return find(V4l2Fourcc{code(of_v4l2)});
  }
  const auto found =
      std::find_if(table.begin(), table.end(), [&](const FormatInfo& one) { return one.name == name || one.gstreamer == name; });
  return found == table.end() || name.empty() ? Format{} : Format{&*found};
}

Format Format::find(DrmFourcc code) noexcept {
  const auto found = std::find_if(table.begin(), table.end(), [&](const FormatInfo& one) { return one.drm == code; });
  return found == table.end() || !code ? Format{} : Format{&*found};
}

Format Format::find(V4l2Fourcc code) noexcept {
  const auto found =
      std::find_if(table.begin(), table.end(), [&](const FormatInfo& one) { return one.v4l2 == code || one.v4l2_split == code; });
  return found == table.end() || !code ? Format{} : Format{&*found};
}

std::span<const Format> Format::all() noexcept {
  static constexpr auto formats = []<std::size_t... Row>(std::index_sequence<Row...>) {
    return std::array{Format{&table[Row]}...};
  }
  (std::make_index_sequence<table.size()>());
  return formats;
}

const FormatInfo& Format::info() const noexcept {
  static constexpr FormatInfo none{};
  return info_ == nullptr ? none : *info_;
}

}} // namespace sa::v0
