// SPDX-License-Identifier: MIT
/// Layouts without padding beside those of GStreamer, of FFmpeg and of the kernel's helper. Each difference has an explanation
/// here that turns our layout into theirs; one that nothing explains is a failure, and so is an explanation without a need.
///   layouts [OPTIONS OF DOCTEST]
///   layouts --table    prints docs/images.md's table
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "oracles/told.hpp"

#include <sa/layout.hpp>

using oracles::Told;
using sa::Format;
using sa::FormatInfo;
using sa::ImageLayout;

namespace {

constexpr std::pair<std::uint32_t, std::uint32_t> sizes[] = {{1920, 1080}, {322, 240}, {641, 481}, {1442, 2}, {3282, 1}};

ImageLayout ours(Format format, std::uint32_t width, std::uint32_t height) {
  sa::LayoutRule rule;
  rule.format = format;
  return sa::lay_out(rule, width, height);
}

Told told(const ImageLayout& layout) {
  Told all;
  for (unsigned i = 0; i < layout.plane_count(); ++i) {
    all.planes.push_back({layout.planes[i].offset, layout.planes[i].stride, layout.planes[i].rows});
  }
  all.size = layout.sizes[0];
  return all;
}

/// Puts the planes one behind the other again after their strides and rows have changed.
void adjoin(Told& told) {
  told.size = 0;
  for (oracles::Plane& plane : told.planes) {
    plane.offset = std::exchange(told.size, told.size + plane.stride * plane.rows);
  }
}

/// Why somebody else's layout is another one, and how it comes of ours.
struct Explanation {
  std::string_view word; // in the table
  std::string_view sentence;
  bool (*concerns)(const FormatInfo& info);
  void (*apply)(Told& told, const ImageLayout& layout);
};

bool any_format(const FormatInfo& /*info*/) {
  return true;
}

void keep_width(Told& told, const ImageLayout& layout) {
  for (unsigned i = 0; i < told.planes.size(); ++i) {
    told.planes[i].stride = layout.row_bytes(i);
  }
}

void keep_height(Told& told, const ImageLayout& layout) {
  for (unsigned i = 0; i < told.planes.size(); ++i) {
    told.planes[i].rows = layout.visible_rows(i);
  }
}

const std::vector<Explanation> of_gstreamer{
    {"4 bytes", "GStreamer rounds strides up to 4 bytes (video-info.c, fill_planes())",
     [](const FormatInfo& info) { return info.name != "NV15"; }, // whole groups of 5 bytes
     [](Told& told, const ImageLayout& /*layout*/) {
       for (oracles::Plane& plane : told.planes) {
         plane.stride = (plane.stride + 3) / 4 * 4;
       }
     }},
};

const std::vector<Explanation> of_ffmpeg{
    {"odd width", "FFmpeg keeps an odd width; it rounds up chroma's alone (imgutils.c)", any_format, keep_width},
    {"odd height", "FFmpeg keeps an odd height; it rounds up chroma's alone (imgutils.c)", any_format, keep_height},
};

const std::vector<Explanation> of_kernel{
    {"odd width", "v4l2_fill_pixfmt() keeps an odd width; it rounds up chroma's alone", any_format, keep_width},
    {"odd height", "v4l2_fill_pixfmt() keeps an odd height; it rounds up chroma's alone", any_format, keep_height},
    {"begun group", "v4l2_fill_pixfmt() rounds a begun group of pixels down",
     [](const FormatInfo& info) { return info.planes[0].pixels > 1; },
     [](Told& told, const ImageLayout& layout) {
       const sa::FormatPlane& plane = layout.format.info().planes[0];
       told.planes[0].stride = std::uint64_t{layout.width} * plane.bytes / plane.pixels;
     }},
    {"P010", "v4l2_format_info() has P010's chroma in half the row and twice the rows", // {2, 2} bytes and a vdiv of 1
     [](const FormatInfo& info) { return info.name == "P010"; },
     [](Told& told, const ImageLayout& layout) {
       told.planes[1].stride /= 2;
       told.planes[1].rows = layout.height;
     }},
};

using Applied = std::vector<const Explanation*>;

Told explained(const ImageLayout& layout, const std::vector<Explanation>& explanations, const Explanation* without = nullptr) {
  Told all = told(layout);
  for (const Explanation& one : explanations) {
    if (&one != without && one.concerns(layout.format.info())) {
      one.apply(all, layout);
    }
  }
  adjoin(all);
  return all;
}

/// The explanations without which our layout does not become what @p same takes.
template <typename Same>
Applied needed(const ImageLayout& layout, const std::vector<Explanation>& explanations, Same&& same) {
  Applied all;
  for (const Explanation& one : explanations) {
    if (!same(explained(layout, explanations, &one))) {
      all.push_back(&one);
    }
  }
  return all;
}

/// "642*482, 642*241: 464166", strides times rows and the size.
std::string text_of(const Told& told) {
  std::string text;
  for (const oracles::Plane& plane : told.planes) {
    text += (text.empty() ? "" : ", ") + std::to_string(plane.stride) + "*" + std::to_string(plane.rows);
  }
  return text + ": " + std::to_string(told.size);
}

std::string size_of(std::uint32_t width, std::uint32_t height) {
  return std::to_string(width) + "x" + std::to_string(height);
}

using LayOut = std::function<std::optional<Told>(Format, std::uint32_t, std::uint32_t)>;

void compare(const LayOut& theirs, const std::vector<Explanation>& explanations, int formats_at_least) {
  std::map<const Explanation*, int> needs;
  int formats = 0;
  for (const Format format : Format::all()) {
    for (const auto& [width, height] : sizes) {
      const std::optional<Told> other = theirs(format, width, height);
      if (!other) {
        continue;
      }
      formats += width == sizes[0].first ? 1 : 0;
      const ImageLayout layout = ours(format, width, height);
      CAPTURE(to_string(layout));
      const Told expected = explained(layout, explanations);
      CHECK(text_of(*other) == text_of(expected));
      CHECK(*other == expected); // the offsets
      for (const Explanation* one : needed(layout, explanations, [&](const Told& all) { return all == *other; })) {
        ++needs[one];
      }
    }
  }
  for (const Explanation& one : explanations) {
    CAPTURE(one.sentence);
    CHECK(needs[&one] > 0);
  }
  CHECK(formats >= formats_at_least); // else little was compared
}

/// Computed from v4l2-common.c of Linux 6.12, v4l2_format_info() and v4l2_fill_pixfmt(); nothing ran. A later one makes the
/// stride of three planes in one buffer even.
const struct {
  std::string_view format;
  std::uint32_t width, height;
  std::vector<std::uint64_t> strides;
  std::uint64_t size;
} kernel_vectors[] = {
    {"NV12", 1920, 1080, {1920, 1920}, 3110400},
    {"YUV420", 1920, 1080, {1920, 960, 960}, 3110400},
    {"P010", 1920, 1080, {3840, 1920}, 6220800},
    {"YUYV", 1920, 1080, {3840}, 4147200},
    {"YUV420", 322, 240, {322, 161, 161}, 115920},
    {"NV12", 322, 240, {322, 322}, 115920},
    {"YUV420", 1282, 720, {1282, 641, 641}, 1384560},
    {"YUV420", 641, 481, {641, 321, 321}, 463043},
    {"NV12", 641, 481, {641, 642}, 463043},
    {"P010", 641, 481, {1282, 642}, 925444},
    {"YUYV", 641, 481, {1282}, 616642},
    {"SRGGB10P", 1442, 2, {1802}, 3604},
    {"SRGGB10P", 3282, 1, {4102}, 4102},
};

/// Markdown: where something differs a row, formats of one kind in one.
void print_table() {
  struct Row {
    std::string formats, cells;
  };
  std::vector<Row> rows;
  std::map<std::string, std::string> alike; // by size
  for (const auto& [width, height] : sizes) {
    const std::size_t first = rows.size();
    for (const Format format : Format::all()) {
      const ImageLayout layout = ours(format, width, height);
      const Told own = told(layout);
      std::string cells = size_of(width, height) + " | " + text_of(own);
      std::string why;
      bool differs = false, anybody = false;
      const auto add = [&](const std::optional<Told>& other, const std::vector<Explanation>& explanations) {
        anybody = anybody || other;
        differs = differs || (other && *other != own);
        cells += !other ? " | -" : *other == own ? " | =" : " | " + text_of(*other);
        if (other) {
          for (const Explanation* one : needed(layout, explanations, [&](const Told& all) { return all == *other; })) {
            why += (why.empty() ? "" : ", ") + std::string(one->word);
          }
        }
      };
      add(oracles::gstreamer::lay_out(format, width, height), of_gstreamer);
      add(oracles::ffmpeg::lay_out(format, width, height), of_ffmpeg);
      const std::string name(format.name());
      if (!differs) {
        std::string& names = alike[size_of(width, height)];
        names += !anybody ? "" : (names.empty() ? "" : ", ") + name;
        continue;
      }
      cells += " | " + why;
      const auto same = std::find_if(rows.begin() + static_cast<std::ptrdiff_t>(first), rows.end(),
                                     [&](const Row& row) { return row.cells == cells; });
      if (same == rows.end()) {
        rows.push_back({name, cells});
      } else {
        same->formats += ", " + name;
      }
    }
  }
  for (const std::vector<Explanation>& explanations : {of_gstreamer, of_ffmpeg}) {
    for (const Explanation& one : explanations) {
      std::printf("- **%s**: %s\n", one.word.data(), one.sentence.data());
    }
  }
  std::printf("\n| format | size | ours | GStreamer | FFmpeg | why different |\n|---|---|---|---|---|---|\n");
  for (const Row& row : rows) {
    std::printf("| %s | %s |\n", row.formats.c_str(), row.cells.c_str());
  }
  std::printf("\nThe same in all that have the format:\n\n| size | formats |\n|---|---|\n");
  for (const auto& [width, height] : sizes) {
    std::printf("| %s | %s |\n", size_of(width, height).c_str(), alike[size_of(width, height)].c_str());
  }
}

} // namespace

TEST_CASE("a layout is GStreamer's but for what is explained") {
  compare(oracles::gstreamer::lay_out, of_gstreamer, 27);
}

TEST_CASE("a layout is FFmpeg's but for what is explained") {
  compare(oracles::ffmpeg::lay_out, of_ffmpeg, 35);
}

TEST_CASE("a layout is that of the kernel's helper but for what is explained") {
  std::map<const Explanation*, int> needs;
  for (const auto& vector : kernel_vectors) {
    const ImageLayout layout = ours(Format::find(vector.format), vector.width, vector.height);
    CAPTURE(to_string(layout));
    const auto same = [&](const Told& all) {
      return all.size == vector.size && std::equal(all.planes.begin(), all.planes.end(), vector.strides.begin(),
                                                   vector.strides.end(), [](const auto& a, auto b) { return a.stride == b; });
    };
    const Told expected = explained(layout, of_kernel);
    CAPTURE(text_of(expected));
    CHECK(same(expected));
    for (const Explanation* one : needed(layout, of_kernel, same)) {
      ++needs[one];
    }
  }
  for (const Explanation& one : of_kernel) {
    CAPTURE(one.sentence);
    CHECK(needs[&one] > 0);
  }
}

TEST_CASE("the names of a format in GStreamer and FFmpeg mean the same bytes") {
  int compared = 0;
  for (const Format format : Format::all()) {
    const auto theirs = oracles::gstreamer::components(format);
    const auto others = oracles::ffmpeg::components(format);
    const bool single_bytes = format.name() != "RGB565" && format.name() != "P010"; // else each counts them in its own way
    if (theirs.empty() || others.empty() || !single_bytes) {
      continue;
    }
    CAPTURE(format.name());
    // FFmpeg counts no alpha where nothing is to be read of it.
    const auto count = static_cast<std::ptrdiff_t>(std::min(theirs.size(), others.size()));
    CHECK(std::equal(theirs.begin(), theirs.begin() + count, others.begin()));
    ++compared;
  }
  CHECK(compared > 20);
}

TEST_CASE("DRM names the bytes of a pixel from the highest on") {
  int compared = 0;
  for (const Format format : Format::all()) {
    const std::string_view name = format.name();
    const std::string_view letters = name.substr(0, name.find('8'));
    const auto components = oracles::gstreamer::components(format);
    if (letters.find_first_not_of("RGBAX") != std::string_view::npos || letters.size() < 3) {
      continue;
    }
    CAPTURE(name);
    REQUIRE(components.size() >= 3);
    for (unsigned i = 0; i < 3; ++i) {
      CHECK(components[i].byte == letters.size() - 1 - letters.find("RGB"[i]));
    }
    ++compared;
  }
  CHECK(compared == 10);
}

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--table") == 0) {
    print_table();
    return 0;
  }
  return doctest::Context(argc, argv).run();
}
