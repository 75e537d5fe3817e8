// SPDX-License-Identifier: MIT
/// The colours of pixels in any format, written apart from the library's table: what a format's name says, byte by byte.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include <sa/sa.hpp>

namespace pixels {

struct Rgb {
  int red = 0;   ///< 0 to 255, as the others
  int green = 0; ///< of a format without colours all three are the luma
  int blue = 0;
  friend bool operator==(const Rgb&, const Rgb&) = default;
};

std::string to_string(const Rgb& colour);

/// Whether no channel differs by more than @p tolerance.
bool close(const Rgb& a, const Rgb& b, int tolerance);

/// The planes of a picture that the CPU may touch.
class Picture {
public:
  /// @param access outlives the object
  Picture(const sa::ImageAccess& access, const sa::ImageLayout& layout);

  /// The colour at (x, y). Of a Bayer pattern both are even, and it is that of the two by two pixels. YUV is BT.601 with limited
  /// range.
  [[nodiscard]] Rgb at(unsigned x, unsigned y) const;

  /// Writes a pixel of a packed RGB format, opaque.
  void set(unsigned x, unsigned y, const Rgb& colour);

private:
  [[nodiscard]] unsigned number(unsigned plane, unsigned at, unsigned y, unsigned bytes) const;

  std::string name_;
  std::array<sa::PlaneRows, sa::max_planes> planes_;
};

/// Whether a format has no colours.
bool is_grey(sa::Format format);

/// The colour of bar @p bar of vivid's eight, 75 %: white, yellow, cyan, green, magenta, red, blue, black. Grey ones are the
/// luma of BT.709 in full range (v4l2-tpg-core.c, precalculate_color()).
Rgb bar_of_vivid(unsigned bar, bool grey);

/// What is wrong with a picture of vivid's colour bars, of all its pixels below the text and off the borders of the bars: the
/// first pixel of another colour. Empty: nothing.
std::string wrong_in_bars(const Picture& picture, const sa::ImageLayout& layout, unsigned first_row, unsigned row_step);

} // namespace pixels
