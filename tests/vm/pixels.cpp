// SPDX-License-Identifier: MIT
#include "vm/pixels.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <stdexcept>

namespace pixels {

namespace {

int clamped(double value) {
  return std::clamp(static_cast<int>(std::lround(value)), 0, 255);
}

/// BT.601, limited range: what V4L2 means where nobody says otherwise (V4L2_MAP_YCBCR_ENC_DEFAULT).
Rgb from_yuv(unsigned y, unsigned u, unsigned v) {
  const double luma = 255.0 / 219 * (static_cast<int>(y) - 16);
  const double blue = 255.0 / 224 * (static_cast<int>(u) - 128);
  const double red = 255.0 / 224 * (static_cast<int>(v) - 128);
  return {clamped(luma + 1.402 * red), clamped(luma - 0.344136 * blue - 0.714136 * red), clamped(luma + 1.772 * blue)};
}

bool ends_with(const std::string& text, const char* end) {
  return text.ends_with(end);
}

/// The channel that a letter names.
int* channel(Rgb& colour, char letter) {
  switch (letter) {
  case 'R':
    return &colour.red;
  case 'G':
    return &colour.green;
  case 'B':
    return &colour.blue;
  default:
    return nullptr;
  }
}

} // namespace

std::string to_string(const Rgb& colour) {
  return std::to_string(colour.red) + "," + std::to_string(colour.green) + "," + std::to_string(colour.blue);
}

bool close(const Rgb& a, const Rgb& b, int tolerance) {
  return std::abs(a.red - b.red) <= tolerance && std::abs(a.green - b.green) <= tolerance &&
         std::abs(a.blue - b.blue) <= tolerance;
}

Picture::Picture(const sa::ImageAccess& access, const sa::ImageLayout& layout) : name_(layout.format.name()) {
  for (unsigned plane = 0; plane < layout.plane_count(); ++plane) {
    planes_[plane] = access.plane(plane);
  }
}

unsigned Picture::number(unsigned plane, unsigned at, unsigned y, unsigned bytes) const {
  const std::span<std::byte> row = planes_[plane][y];
  unsigned value = 0;
  for (unsigned i = 0; i < bytes; ++i) {
    value |= std::to_integer<unsigned>(row[at + i]) << (8 * i);
  }
  return value;
}

Rgb Picture::at(unsigned x, unsigned y) const {
  const bool packed = name_.size() == 8 && ends_with(name_, "8888");
  if (packed || ends_with(name_, "888")) { // "XRGB8888": the last letter is the lowest byte
    const unsigned bytes = packed ? 4 : 3;
    Rgb colour;
    for (unsigned i = 0; i < bytes; ++i) {
      if (int* value = channel(colour, name_[bytes - 1 - i])) {
        *value = static_cast<int>(number(0, x * bytes + i, y, 1));
      }
    }
    return colour;
  }
  if (name_ == "RGB565") {
    const unsigned pixel = number(0, x * 2, y, 2);
    return {clamped((pixel >> 11) * 255.0 / 31), clamped((pixel >> 5 & 63) * 255.0 / 63), clamped((pixel & 31) * 255.0 / 31)};
  }
  if (name_.size() == 4 && name_.find('Y') != name_.rfind('Y')) { // "YUYV": in that order
    const unsigned group = x / 2 * 4;
    const auto luma = static_cast<unsigned>(x % 2 == 0 ? name_.find('Y') : name_.rfind('Y'));
    return from_yuv(number(0, group + luma, y, 1), number(0, group + static_cast<unsigned>(name_.find('U')), y, 1),
                    number(0, group + static_cast<unsigned>(name_.find('V')), y, 1));
  }
  if (name_.starts_with("NV")) { // NV12, NV16, NV24: U first; NV21, NV61, NV42: V first
    const bool blue_first = name_[2] < name_[3];
    const unsigned across = name_.find('4') == std::string::npos ? 2 : 1;
    const unsigned down = name_ == "NV12" || name_ == "NV21" ? 2 : 1;
    const unsigned first = number(1, x / across * 2, y / down, 1);
    const unsigned second = number(1, x / across * 2 + 1, y / down, 1);
    return from_yuv(number(0, x, y, 1), blue_first ? first : second, blue_first ? second : first);
  }
  if (name_.starts_with("YUV4") || name_.starts_with("YVU4")) {
    const unsigned across = ends_with(name_, "444") ? 1 : 2;
    const unsigned down = ends_with(name_, "420") ? 2 : 1;
    const unsigned blue = name_[1] == 'U' ? 1 : 2;
    return from_yuv(number(0, x, y, 1), number(blue, x / across, y / down, 1), number(3 - blue, x / across, y / down, 1));
  }
  if (name_.starts_with("R1") || name_ == "R8") {
    const unsigned bits = static_cast<unsigned>(std::stoi(name_.substr(1)));
    const int luma = static_cast<int>(number(0, x * (bits > 8 ? 2 : 1), y, bits > 8 ? 2 : 1) >> (bits - 8));
    return {luma, luma, luma};
  }
  if (name_.starts_with("S") && !ends_with(name_, "P")) { // "SRGGB10": two rows of two
    const unsigned bits = static_cast<unsigned>(std::stoi(name_.substr(5)));
    const unsigned bytes = bits > 8 ? 2 : 1;
    Rgb colour;
    int green = 0;
    for (unsigned i = 0; i < 4; ++i) {
      const int value = static_cast<int>(number(0, (x + i % 2) * bytes, y + i / 2, bytes) >> (bits - 8));
      *channel(colour, name_[1 + i]) = value;
      green += name_[1 + i] == 'G' ? value : 0;
    }
    colour.green = green / 2;
    return colour;
  }
  throw std::runtime_error("no colours of " + name_ + " are known here");
}

void Picture::set(unsigned x, unsigned y, const Rgb& colour) {
  const auto put = [&](unsigned at, unsigned value) { planes_[0][y][at] = static_cast<std::byte>(value); };
  if (name_ == "RGB565") {
    const unsigned pixel = static_cast<unsigned>(colour.red >> 3) << 11 | static_cast<unsigned>(colour.green >> 2) << 5 |
                           static_cast<unsigned>(colour.blue >> 3);
    put(x * 2, pixel & 255);
    put(x * 2 + 1, pixel >> 8);
    return;
  }
  if (!ends_with(name_, "888")) {
    throw std::runtime_error("no pixel of " + name_ + " is written here");
  }
  const unsigned bytes = name_.size() == 8 ? 4 : 3;
  Rgb copy = colour;
  for (unsigned i = 0; i < bytes; ++i) {
    const int* value = channel(copy, name_[bytes - 1 - i]);
    put(x * bytes + i, value == nullptr ? 255U : static_cast<unsigned>(*value));
  }
}

bool is_grey(sa::Format format) {
  return format.name() == "R8" || format.name().starts_with("R1");
}

Rgb bar_of_vivid(unsigned bar, bool grey) {
  constexpr int on = 191; // 75 % of 255
  const Rgb colour{(bar & 2) == 0 ? on : 0, (bar & 4) == 0 ? on : 0, (bar & 1) == 0 ? on : 0};
  const int luma = clamped(0.2126 * colour.red + 0.7152 * colour.green + 0.0722 * colour.blue);
  return grey ? Rgb{luma, luma, luma} : colour;
}

std::string wrong_in_bars(const Picture& picture, const sa::ImageLayout& layout, unsigned first_row, unsigned row_step) {
  constexpr int tolerance = 9; // five bits of a channel
  constexpr unsigned border = 4;
  const bool grey = is_grey(layout.format);
  for (unsigned y = first_row; y + 1 < layout.height; y += row_step) {
    for (unsigned x = 0; x + 1 < layout.width; x += 2) {
      const unsigned bar = x * 8 / layout.width;
      if ((x + border) * 8 / layout.width != bar || (x >= border && (x - border) * 8 / layout.width != bar)) {
        continue;
      }
      const Rgb is = picture.at(x, y);
      const Rgb expected = bar_of_vivid(bar, grey);
      if (!close(is, expected, tolerance)) {
        return "pixel " + std::to_string(x) + "," + std::to_string(y) + " is " + to_string(is) + " and not " +
               to_string(expected);
      }
    }
  }
  return {};
}

} // namespace pixels
