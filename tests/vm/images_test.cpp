// SPDX-License-Identifier: MIT
/// Images in V4L2 drivers: vivid, a camera that says what it should have written, and vim2m, which copies.
#include <doctest/doctest.h>

#include <cstdio>
#include <string>
#include <vector>

#include <linux/videodev2.h>
#include <sys/ioctl.h>

#include <sa/glue/v4l2.hpp>
#include <sa/sa.hpp>

#include "vm/guest.hpp"
#include "vm/pixels.hpp"
#include "vm/video.hpp"

namespace {

constexpr std::uint32_t width = 640; // vivid's text ends above the middle of the picture
constexpr std::uint32_t height = 360;
constexpr std::uint32_t padding = 768; // bytes; no row of 640 pixels takes a multiple of it in any format

/// A queue of a driver, and the node it belongs to.
struct Place {
  std::string node;
  std::uint32_t type = 0;
  std::string name; ///< "vivid capture"
};

std::vector<Place> places(const std::string& driver, std::uint32_t capability, std::uint32_t type, const std::string& name) {
  std::vector<Place> found;
  for (const std::string& node : video::nodes(driver, capability)) {
    found.push_back({node, type, name});
  }
  return found;
}

void append(std::vector<Place>& places, const std::vector<Place>& more) {
  places.insert(places.end(), more.begin(), more.end());
}

std::vector<Place> cameras() {
  guest::load("vivid");
  auto found = places("vivid", V4L2_CAP_VIDEO_CAPTURE, V4L2_BUF_TYPE_VIDEO_CAPTURE, "vivid capture");
  append(found, places("vivid", V4L2_CAP_VIDEO_CAPTURE_MPLANE, V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE, "vivid capture"));
  REQUIRE(!found.empty());
  return found;
}

bool is_split(sa::V4l2Fourcc code, sa::Format format) {
  return code == format.info().v4l2_split;
}

/// Images that the camera fills; with @p stride_align, rows that a second device wants at such multiples.
std::vector<sa::Image> images_for(const sa::Device& camera, sa::V4l2Fourcc code, std::uint32_t stride_align) {
  const sa::Format format = sa::Format::find(code);
  std::vector devices{camera};
  if (stride_align > 1 || format.info().v4l2_split) { // a format of several planes is offered in both ways
    devices.push_back(sa::Device::described("the test", {},
                                            {{.format = format,
                                              .stride_align = stride_align,
                                              .buffers = is_split(code, format) ? sa::Buffers::Separate : sa::Buffers::One}}));
  }
  const sa::ImageRequest request{.width = width, .height = height, .formats = {format}};
  std::vector<sa::Image> images;
  while (images.size() < 3) {
    images.push_back(sa::Registry::system().allocate(devices, request));
  }
  return images;
}

/// Streams @p frames frames into @p images, and says what is wrong with the pixels; empty: nothing.
std::string stream(const Place& place, std::vector<sa::Image>& images, unsigned frames, std::string& begins) {
  const sa::UniqueFd fd = video::open(place.node);
  video::Queue queue(fd.get(), place.type);
  const sa::ImageLayout layout = images[0].layout();
  queue.set(layout);
  queue.start(images);
  for (unsigned frame = 0; frame < frames; ++frame) {
    const video::Done done = queue.dequeue();
    sa::Image& image = images[done.index];
    image.set_layout(done.layout);
    for (unsigned plane = 0; frame == 0 && plane < layout.plane_count(); ++plane) {
      if (const std::uint64_t more = done.layout.planes[plane].offset - layout.planes[plane].offset; more != 0) {
        begins += ", pixels of plane " + std::to_string(plane) + " begin " + std::to_string(more) + " bytes later";
      }
    }
    {
      const sa::ImageAccess access = image.access(sa::Access::Read);
      const bool whole = frame + 1 == frames;
      const auto wrong = pixels::wrong_in_bars({access, layout}, layout, height / 2, whole ? 2 : 44);
      if (!wrong.empty()) {
        return "frame " + std::to_string(frame) + ": " + wrong;
      }
    }
    queue.queue(image, done.index);
  }
  return {};
}

} // namespace

TEST_CASE("a picture of every format that vivid offers lies where its layout says") {
  for (const Place& place : cameras()) {
    const sa::Device camera = sa::Device::open(place.node);
    std::vector<sa::V4l2Fourcc> codes;
    {
      const sa::UniqueFd fd = video::open(place.node);
      codes = video::Queue(fd.get(), place.type).formats();
    }
    REQUIRE(!codes.empty());
    std::printf("== %s, %s\n", place.node.c_str(), sa::v4l2::multi_planar(place.type) ? "multi-planar" : "single-planar");
    // Whether it takes scattered memory is asked once; allocate() knows it from then on.
    (void)sa::Registry::system().select_image({camera}, {.width = width, .height = height}, {.probe = true});
    std::string others;
    unsigned right = 0;
    for (const sa::V4l2Fourcc code : codes) {
      if (!sa::Format::find(code)) {
        others += " " + to_string(code);
        continue;
      }
      for (const std::uint32_t stride_align : {1U, padding}) {
        std::string outcome, begins;
        try {
          std::vector<sa::Image> images = images_for(camera, code, stride_align);
          CHECK(images[0].layout().planes[0].stride % stride_align == 0);
          std::printf("%-7s %s, %s", to_string(code).c_str(), to_string(images[0].layout()).c_str(),
                      std::string(images[0].buffer(0).heap()).c_str());
          outcome = stream(place, images, stride_align == 1 ? 10 : 3, begins);
        } catch (const sa::Error& error) {
          outcome = error.what();
        }
        std::printf("%s: %s\n", begins.c_str(), outcome.empty() ? "right" : outcome.c_str());
        INFO(to_string(code));
        CHECK(outcome == "");
        right += outcome.empty() ? 1 : 0;
      }
    }
    std::printf("not in the table:%s\n", others.c_str());
    CHECK(right >= 80); // 40 formats, each in two layouts
  }
}

TEST_CASE("strides and sizes are those that the drivers compute") {
  std::vector<Place> all = cameras();
  append(all, places("vivid", V4L2_CAP_VIDEO_OUTPUT, V4L2_BUF_TYPE_VIDEO_OUTPUT, "vivid output"));
  append(all, places("vivid", V4L2_CAP_VIDEO_OUTPUT_MPLANE, V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE, "vivid output"));
  append(all, places("vim2m", V4L2_CAP_VIDEO_M2M, V4L2_BUF_TYPE_VIDEO_OUTPUT, "vim2m output"));
  append(all, places("vim2m", V4L2_CAP_VIDEO_M2M, V4L2_BUF_TYPE_VIDEO_CAPTURE, "vim2m capture"));
  for (const Place& place : all) {
    const sa::UniqueFd fd = video::open(place.node);
    const video::Queue queue(fd.get(), place.type);
    unsigned same = 0;
    std::string odd;
    for (const sa::V4l2Fourcc code : queue.formats()) {
      const sa::Format format = sa::Format::find(code);
      if (!format) {
        continue;
      }
      for (const auto& [asked_width, asked_height] : {std::pair(640U, 360U), std::pair(1920U, 1080U), std::pair(322U, 241U)}) {
        const auto answer = queue.tried(code, asked_width, asked_height);
        if (!answer) {
          std::printf("%s %s, %s: VIDIOC_TRY_FMT fails\n", place.name.c_str(), place.node.c_str(), to_string(code).c_str());
          continue;
        }
        const bool planar = sa::v4l2::multi_planar(place.type);
        const std::uint32_t real_width = planar ? answer->fmt.pix_mp.width : answer->fmt.pix.width;
        const std::uint32_t real_height = planar ? answer->fmt.pix_mp.height : answer->fmt.pix.height;
        const sa::ImageLayout layout = sa::lay_out(
            {.format = format, .buffers = is_split(code, format) ? sa::Buffers::Separate : sa::Buffers::One, .tied = true},
            real_width, real_height);
        if (place.name == "vivid output" && real_height % format.info().height_step != 0) {
          // It keeps an odd height, and computes half of it rounded down (vivid_try_fmt_vid_out()).
          CHECK(sa::v4l2::lines_of(*answer, layout.buffer_count() - 1).size < layout.sizes[layout.buffer_count() - 1]);
          odd += " " + to_string(code);
          continue;
        }
        for (unsigned buffer = 0; buffer < layout.buffer_count(); ++buffer) {
          const sa::v4l2::Lines lines = sa::v4l2::lines_of(*answer, buffer);
          // vivid's NM16 and NM61 have 128 bytes before the pixels, which only v4l2_plane::data_offset tells
          // (PLANE0_DATA_OFFSET).
          const bool before = place.name == "vivid capture" || place.name == "vivid output";
          const std::string name = to_string(code);
          const std::uint32_t extra = before && ((name == "NM16" && buffer == 0) || (name == "NM61" && buffer == 1)) ? 128 : 0;
          INFO(place.name, " ", name, " ", real_width, "x", real_height, " buffer ", buffer, ": the driver has ", lines.stride,
               ", ", lines.size, ", the layout ", layout.planes[buffer].stride, ", ", layout.sizes[buffer]);
          CHECK(lines.stride == layout.planes[buffer].stride);
          CHECK(lines.size == layout.sizes[buffer] + extra);
          if (extra != 0 && asked_width == 640) {
            std::printf("%s %s: buffer %u has %u bytes more than the pixels\n", place.name.c_str(), name.c_str(), buffer, extra);
          }
        }
        // And the way back: what the driver says, as a layout; and the layout, as what the driver is asked.
        const sa::ImageLayout read = sa::v4l2::layout_of(*answer);
        sa::check(read);
        CHECK(read.planes == layout.planes);
        const auto again = queue.tried(sa::v4l2::format_of(layout, place.type));
        REQUIRE(again);
        sa::ImageLayout room = layout;
        room.sizes = read.sizes;
        CHECK(sa::v4l2::holds(room, *again));
        ++same;
      }
    }
    std::printf("%s, %s: %u answers compared\n", place.name.c_str(), place.node.c_str(), same);
    if (!odd.empty()) {
      std::printf("%s, %s: has no room for the last of an odd number of rows:%s\n", place.name.c_str(), place.node.c_str(),
                  odd.c_str());
    }
    CHECK(same >= (place.name.starts_with("vim2m") ? 9 : 100));
  }
}

TEST_CASE("a picture passes through a device that reads one image and writes another") {
  const auto found = video::nodes("vim2m", V4L2_CAP_VIDEO_M2M);
  REQUIRE(!found.empty());
  const sa::Device device = sa::Device::open(found.front());
  CHECK(device.info().role == sa::DeviceRole::MemToMem);
  constexpr std::uint32_t wide = 640;
  constexpr std::uint32_t high = 480;
  const auto colour_at = [](unsigned x, unsigned y) {
    return pixels::Rgb{static_cast<int>(x * 255 / wide), static_cast<int>(y * 255 / high), static_cast<int>((x ^ y) & 255)};
  };
  for (const char* name : {"RGB565", "BGR888", "RGB888"}) {
    const sa::ImageRequest request{.width = wide, .height = high, .formats = {sa::Format::find(name)}};
    std::vector<sa::Image> from, to;
    from.push_back(sa::Registry::system().allocate({device}, request));
    to.push_back(sa::Registry::system().allocate({device}, request));
    const sa::ImageLayout& layout = from[0].layout();
    std::printf("vim2m: %s, %s\n", to_string(layout).c_str(), std::string(from[0].buffer(0).heap()).c_str());
    {
      const sa::ImageAccess cpu = from[0].access(sa::Access::Write);
      pixels::Picture picture(cpu, layout);
      for (unsigned y = 0; y < high; ++y) {
        for (unsigned x = 0; x < wide; ++x) {
          picture.set(x, y, colour_at(x, y));
        }
      }
    }
    const sa::UniqueFd fd = video::open(found.front());
    {
      video::Queue input(fd.get(), V4L2_BUF_TYPE_VIDEO_OUTPUT);
      video::Queue output(fd.get(), V4L2_BUF_TYPE_VIDEO_CAPTURE);
      input.set(layout);
      output.set(to[0].layout());
      input.start(from);
      output.start(to);
      (void)output.dequeue();
      (void)input.dequeue();
    }
    const sa::ImageAccess before = from[0].access(sa::Access::Read);
    const sa::ImageAccess after = to[0].access(sa::Access::Read);
    const pixels::Picture sent(before, layout);
    const pixels::Picture came(after, to[0].layout());
    const int tolerance = layout.format.name() == "RGB565" ? 9 : 0; // of the painting; the copy has none
    unsigned wrong = 0;
    for (unsigned y = 0; y < high; ++y) {
      for (unsigned x = 0; x < wide; ++x) {
        wrong += came.at(x, y) == sent.at(x, y) && pixels::close(came.at(x, y), colour_at(x, y), tolerance) ? 0 : 1;
      }
    }
    CHECK(wrong == 0);
  }
}
