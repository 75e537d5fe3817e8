// SPDX-License-Identifier: MIT
/// @file layout.hpp
/// How a picture lies in one or several buffers, and what devices demand of that.
///
/// A LayoutRule is what one device demands for one format. merge() makes of several rules the one that satisfies them all, and
/// lay_out() makes of a rule and a size the ImageLayout: strides, offsets and sizes. Registry::select_image() does it all for
/// devices.
///
/// A layout is one line of text: the format, the visible size, then words in any order.
///
///     NV12 1920x1080 planes=0+0/1920*1080,0+2073600/1920*540 sizes=3110400
///
///     planes=BUFFER+OFFSET/STRIDE*ROWS,...   one for each plane of the format
///     sizes=BYTES,...                        one for each buffer
///     modifier=0xHEX                         left out where it is 0, linear
///     colour=PRIMARIES/TRANSFER/MATRIX/RANGE left out where nothing is said of it (2/2/2/0)
///
/// Numbers are decimal but for the modifier.
///
/// A rule is a list of words separated by commas, each at most once; the empty text demands nothing:
///
///     modifiers=0xHEX:0xHEX:...  one of these, and no other
///     stride=BYTES               a row of plane 0 takes exactly so many
///     stride-align=BYTES         a row takes a multiple
///     stride-prefer=BYTES        likewise where nobody forbids it, a power of two
///     stride-min=BYTES, stride-max=BYTES    of plane 0
///     offset-align=BYTES         a plane begins at a multiple
///     rows-align=N               plane 0 has a multiple of so many rows
///     rows-max=N                 and no more than so many: the next plane is looked for behind them
///     width-step=N, height-step=N  pixels; the picture is laid out as a multiple
///     size-min=BYTES             a buffer has so many at least
///     tail=BYTES                 so many lie behind the last plane of a buffer
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

inline constexpr unsigned max_planes = 4;              ///< of an image, and its buffers at most
inline constexpr std::uint32_t max_image_side = 65535; ///< pixels

/// Bytes of one buffer of an image at most: V4L2 and DRM count sizes and offsets in 32 bits, and drivers often in signed ones.
inline constexpr std::uint64_t max_image_size = 0x7fffffff;

/// What the numbers of the pixels mean, by the tables of ITU-T H.273; 2 is "not said" there.
struct Colour {
  std::uint8_t primaries = 2; ///< 1: BT.709, 9: BT.2020
  std::uint8_t transfer = 2;  ///< 1: BT.709, 13: sRGB, 16: PQ
  std::uint8_t matrix = 2;    ///< 0: RGB, 1: BT.709, 5: BT.601
  bool full_range = false;    ///< black and white are the ends of the range; else 16 to 235, or not said
  friend bool operator==(const Colour&, const Colour&) noexcept = default;
};

/// Where one plane lies.
struct PlaneLayout {
  std::uint8_t buffer = 0;  ///< which of the image's buffers, from 0
  std::uint32_t stride = 0; ///< bytes from one row to the next
  std::uint32_t rows = 0;   ///< that there is room for, padding included; the last may be without its padding
  std::uint64_t offset = 0; ///< bytes from the beginning of the buffer to the first row
  friend bool operator==(const PlaneLayout&, const PlaneLayout&) noexcept = default;
};

/// How a picture lies in its buffers. A value; check() says whether it is one that can be.
struct SA_API ImageLayout {
  Format format;
  std::uint64_t modifier = 0;                    ///< drm_fourcc.h; 0: linear (DRM_FORMAT_MOD_LINEAR)
  std::uint32_t width = 0;                       ///< pixels that are to be seen
  std::uint32_t height = 0;                      ///< pixels that are to be seen
  std::array<PlaneLayout, max_planes> planes{};  ///< those of the format; the others are as they were made
  std::array<std::uint64_t, max_planes> sizes{}; ///< bytes that each buffer has at least; 0: no such buffer
  Colour colour;

  [[nodiscard]] unsigned plane_count() const noexcept { return format.plane_count(); }
  [[nodiscard]] unsigned buffer_count() const noexcept;

  /// Bytes of one row of @p plane that are to be seen, without padding.
  [[nodiscard]] std::uint32_t row_bytes(unsigned plane) const noexcept;
  /// Rows of @p plane that are to be seen.
  [[nodiscard]] std::uint32_t visible_rows(unsigned plane) const noexcept;

  friend bool operator==(const ImageLayout&, const ImageLayout&) noexcept = default;
};

/// Whether a picture can lie so: each plane in its buffer, each row as long as what is to be seen of it.
/// @throws Error EINVAL: it cannot, and the sentence says which number is wrong
SA_API void check(const ImageLayout& layout);
SA_API void check(const ImageLayout& layout, std::error_code& ec) noexcept;

/// The line of text that is described above. parse_layout() reads the same value from it, where check() takes the layout.
/// @throws std::bad_alloc
[[nodiscard]] SA_API std::string to_string(const ImageLayout& layout);

/// Reads the line of text. What it returns, check() takes.
/// @throws Error EINVAL: names the word that is unknown, missing, twice there or out of its range
[[nodiscard]] SA_API ImageLayout parse_layout(std::string_view text);
[[nodiscard]] SA_API ImageLayout parse_layout(std::string_view text, std::error_code& ec) noexcept;

/// How the planes of an image are divided among buffers.
enum class Buffers : std::uint8_t {
  Any,
  One,      ///< all planes in one buffer
  Separate, ///< a buffer for each plane
};

/// What a device demands of the pictures of one format. The default demands nothing. A value.
struct LayoutRule {
  Format format;                          ///< none: of any format
  std::vector<std::uint64_t> modifiers{}; ///< drm_fourcc.h; one of these; empty: any
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
  bool tied = false;                  ///< other planes' strides follow from plane 0's; planes of one buffer adjoin
  bool known = true;                  ///< the device was asked, or its rule is documented; false: a guess that often serves
  std::vector<std::string> sources{}; ///< who says so, sorted, each once: "/dev/video0: VIDIOC_TRY_FMT"

  friend bool operator==(const LayoutRule&, const LayoutRule&) = default;
};

/// What satisfies both, and nothing more: associative, commutative and idempotent, with LayoutRule{} as the neutral one.
/// Several merged in any order give the same, or conflict in every order.
/// @throws Error EINVAL: no layout can satisfy both (the sentence names what conflicts, and the sources of each), or one of the
///         two alone is out of range or in conflict with itself.
[[nodiscard]] SA_API LayoutRule merge(const LayoutRule& a, const LayoutRule& b);
[[nodiscard]] SA_API LayoutRule merge(const LayoutRule& a, const LayoutRule& b, std::error_code& ec) noexcept;

/// The smallest layout of a picture that satisfies @p rule: strides no larger than they must be, planes one behind the other.
/// A picture whose size is no multiple of the format's steps is laid out as the next larger one, as V4L2 does.
/// @param rule with a format
/// @param width pixels that are to be seen, 1 to max_image_side; @param height likewise
/// @throws Error EINVAL: a size or a rule out of range; what cannot be laid out so, with the reason; a buffer over
///         max_image_size
[[nodiscard]] SA_API ImageLayout lay_out(const LayoutRule& rule, std::uint32_t width, std::uint32_t height);
[[nodiscard]] SA_API ImageLayout lay_out(const LayoutRule& rule, std::uint32_t width, std::uint32_t height,
                                         std::error_code& ec) noexcept;

/// Reads the words of a rule. Its format is none, its sources are empty.
/// @throws Error EINVAL: names the word that is unknown, twice there, without its value or out of its range
[[nodiscard]] SA_API LayoutRule parse_layout_rule(std::string_view text);
[[nodiscard]] SA_API LayoutRule parse_layout_rule(std::string_view text, std::error_code& ec) noexcept;

/// The words of a rule, without its format, its sources and what it does not demand.
/// @throws std::bad_alloc
[[nodiscard]] SA_API std::string to_string(const LayoutRule& rule);

}} // namespace sa::v0
