// SPDX-License-Identifier: MIT
/// @file layout.hpp
/// Layouts: how a picture lies in one or several buffers, and the rules of devices for that.
///
/// A LayoutRule has the demands of one device for one format. merge() combines several rules into one that satisfies
/// them all. lay_out() makes the ImageLayout (strides, offsets and sizes) for a rule and a size.
/// Registry::select_image() does all of this for a list of devices.
///
/// A layout is one line of text: the format, the visible size, then words in any order.
///
///     NV12 1920x1080 planes=0+0/1920*1080,0+2073600/1920*540 sizes=3110400
///
///     planes=BUFFER+OFFSET/STRIDE*ROWS,...   one for each plane of the format
///     sizes=BYTES,...                        one for each buffer
///     modifier=0xHEX                         left out if it is 0, linear
///     colour=PRIMARIES/TRANSFER/MATRIX/RANGE left out if it is not specified (2/2/2/0)
///
/// Numbers are decimal, except the modifier.
///
/// A rule is a list of words separated by commas, each at most once; the empty text demands nothing:
/// modifiers=0xHEX:0xHEX:...  the modifier is one of these
///     stride=BYTES               the stride of plane 0 is exactly this
///     stride-align=BYTES         every stride is a multiple of this
///     stride-prefer=BYTES        every stride is a multiple of this, a power of two, where no other rule forbids it
///     stride-min=BYTES, stride-max=BYTES    limits of the stride of plane 0
///     offset-align=BYTES         every plane begins at a multiple of this
///     rows-align=N               the number of rows of plane 0, padding included, is a multiple of this
///     rows-max=N                 plane 0 has at most this number of rows: the device expects the next plane behind them
///     width-step=N, height-step=N  pixels; the picture is laid out with a multiple of this
///     size-min=BYTES             every buffer has at least this size
///     tail=BYTES                 this many bytes lie behind the last plane of a buffer
///     tied                       strides of the other planes follow from plane 0's, and planes adjoin (V4L2)
///     buffers=one, buffers=separate    all planes in one buffer, or a buffer for each
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <sa/export.hpp>
#include <sa/format.hpp>

namespace sa { inline namespace v0 {

inline constexpr unsigned max_planes = 4;              ///< largest number of planes, and of buffers, of an image
inline constexpr std::uint32_t max_image_side = 65535; ///< largest width and height of an image, pixels

/// The largest size of one buffer of an image, in bytes: V4L2 and DRM count sizes and offsets in 32 bits, and drivers
/// often in signed ones.
inline constexpr std::uint64_t max_image_size = 0x7fffffff;

/// The meaning of the pixels' values, as code points of ITU-T H.273; 2 is "unspecified" there.
struct Colour {
  std::uint8_t primaries = 2; ///< 1: BT.709, 9: BT.2020
  std::uint8_t transfer = 2;  ///< 1: BT.709, 13: sRGB, 16: PQ
  std::uint8_t matrix = 2;    ///< 0: RGB, 1: BT.709, 5: BT.601
  bool full_range = false;    ///< true: black and white are the ends of the range; false: 16 to 235, or unspecified
  friend bool operator==(const Colour&, const Colour&) noexcept = default;
};

/// Where one plane lies.
struct PlaneLayout {
  std::uint8_t buffer = 0;  ///< which of the image's buffers, from 0
  std::uint32_t stride = 0; ///< bytes from one row to the next
  std::uint32_t rows = 0;   ///< rows for which there is room, padding rows included; the last row may lack the padding at its end
  std::uint64_t offset = 0; ///< bytes from the beginning of the buffer to the first row
  friend bool operator==(const PlaneLayout&, const PlaneLayout&) noexcept = default;
};

/// How a picture lies in its buffers. A value type; check() tells whether such a layout is possible.
struct SA_API ImageLayout {
  Format format;
  std::uint64_t modifier = 0;                    ///< drm_fourcc.h; 0: linear (DRM_FORMAT_MOD_LINEAR)
  std::uint32_t width = 0;                       ///< visible pixels
  std::uint32_t height = 0;                      ///< visible pixels
  std::array<PlaneLayout, max_planes> planes{};  ///< the planes of the format; the others are as PlaneLayout{}
  std::array<std::uint64_t, max_planes> sizes{}; ///< minimum size of each buffer, bytes; 0: no such buffer
  Colour colour;

  [[nodiscard]] unsigned plane_count() const noexcept { return format.plane_count(); }
  [[nodiscard]] unsigned buffer_count() const noexcept;

  /// Visible bytes of one row of @p plane, without padding.
  [[nodiscard]] std::uint32_t row_bytes(unsigned plane) const noexcept;
  /// Visible rows of @p plane.
  [[nodiscard]] std::uint32_t visible_rows(unsigned plane) const noexcept;

  friend bool operator==(const ImageLayout&, const ImageLayout&) noexcept = default;
};

/// Checks that a layout is possible: each plane lies in its buffer, and each row has room for its visible bytes.
/// @throws Error EINVAL: the layout is not possible; the sentence names the wrong number
SA_API void check(const ImageLayout& layout);
SA_API void check(const ImageLayout& layout, std::error_code& ec) noexcept;

/// Writes a layout as the line of text that is described at the top of this file. parse_layout() reads the same value
/// from it, if check() accepts the layout.
/// @throws std::bad_alloc
[[nodiscard]] SA_API std::string to_string(const ImageLayout& layout);

/// Reads a layout from its line of text. check() accepts every result.
/// @throws Error EINVAL: a word is unknown, missing, repeated or out of range; the sentence names the word
[[nodiscard]] SA_API ImageLayout parse_layout(std::string_view text);
[[nodiscard]] SA_API ImageLayout parse_layout(std::string_view text, std::error_code& ec) noexcept;

/// How the planes of an image are divided among buffers.
enum class Buffers : std::uint8_t {
  Any,      ///< any of the others
  One,      ///< all planes in one buffer
  Separate, ///< a buffer for each plane
};

/// The demands of a device on pictures of one format. The default demands nothing. A value type.
struct LayoutRule {
  Format format;                          ///< none: the rule is for every format
  std::vector<std::uint64_t> modifiers{}; ///< allowed modifiers, drm_fourcc.h; empty: any
  std::uint32_t stride_align = 1;         ///< bytes, above 0; of each plane
  std::uint32_t stride_prefer = 1;        ///< bytes, a power of two; yields to stride_max and to max_image_size
  std::uint32_t stride_min = 0;           ///< bytes, of plane 0
  std::uint32_t stride_max = 0;           ///< bytes, of plane 0; 0: any
  std::uint32_t offset_align = 1;         ///< bytes, above 0; of each plane
  std::uint32_t rows_align = 1;           ///< rows, above 0; of plane 0
  std::uint32_t rows_max = 0;             ///< rows, of plane 0, padding included; 0: any number
  std::uint32_t width_step = 1;           ///< pixels, above 0
  std::uint32_t height_step = 1;          ///< pixels, above 0
  std::uint64_t size_min = 0;             ///< bytes, of each buffer
  std::uint64_t tail = 0;                 ///< bytes behind the last plane of each buffer
  Buffers buffers = Buffers::Any;
  bool tied = false;                  ///< the strides of other planes follow from plane 0's; planes of one buffer adjoin
  bool known = true;                  ///< true: the device gave the rule, or it is documented; false: a guess that often works
  std::vector<std::string> sources{}; ///< sources of the rule, sorted, each once: "/dev/video0: VIDIOC_TRY_FMT"

  friend bool operator==(const LayoutRule&, const LayoutRule&) = default;
};

/// Merges two rules into the weakest one that satisfies both. The operation is associative, commutative and idempotent,
/// and LayoutRule{} is its neutral element: several rules give the same result in any order, or conflict in every
/// order.
/// @throws Error EINVAL: no layout can satisfy both (the sentence names the conflict, and the sources of both rules),
///         or one argument alone is out of range or contradicts itself.
[[nodiscard]] SA_API LayoutRule merge(const LayoutRule& a, const LayoutRule& b);
[[nodiscard]] SA_API LayoutRule merge(const LayoutRule& a, const LayoutRule& b, std::error_code& ec) noexcept;

/// Makes the smallest layout of a picture that satisfies @p rule: the smallest strides, and planes one behind the
/// other. If the size is not a multiple of the format's steps, the layout is that of the next larger picture, as in
/// V4L2.
/// @param rule with a format
/// @param width visible pixels, 1 to max_image_side
/// @param height visible pixels, 1 to max_image_side
/// @throws Error EINVAL: a size or a rule out of range, a rule that no layout can satisfy, or a buffer over
///         max_image_size
[[nodiscard]] SA_API ImageLayout lay_out(const LayoutRule& rule, std::uint32_t width, std::uint32_t height);
[[nodiscard]] SA_API ImageLayout lay_out(const LayoutRule& rule, std::uint32_t width, std::uint32_t height,
                                         std::error_code& ec) noexcept;

/// Reads a rule from its words. The result has no format and no sources.
/// @throws Error EINVAL: a word is unknown, repeated, without its value or out of range; the sentence names the word
[[nodiscard]] SA_API LayoutRule parse_layout_rule(std::string_view text);
[[nodiscard]] SA_API LayoutRule parse_layout_rule(std::string_view text, std::error_code& ec) noexcept;

/// Writes the words of a rule. The text does not have the format, the sources, or members that demand nothing.
/// @throws std::bad_alloc
[[nodiscard]] SA_API std::string to_string(const LayoutRule& rule);

}} // namespace sa::v0
