// SPDX-License-Identifier: MIT
/// Formats, layouts and pictures.
#include <cstdio>

#include "inside.hpp"

namespace sa { inline namespace v0 { namespace c {
namespace {

/// Texts of the table of formats are literals, which end with a zero; an empty one may have no place.
const char* literal(std::string_view text) noexcept {
  return text.empty() ? "" : text.data();
}

sa_format in_c(const FormatInfo& info) noexcept {
  sa_format format = SA_FORMAT_INIT;
  format.name = literal(info.name);
  format.gstreamer = literal(info.gstreamer);
  format.drm = info.drm.code;
  format.v4l2 = info.v4l2.code;
  format.v4l2_split = info.v4l2_split.code;
  format.plane_count = info.plane_count;
  for (unsigned i = 0; i < info.plane_count; ++i) {
    const FormatPlane& plane = info.planes[i];
    format.planes[i] = {plane.bytes, plane.pixels, plane.hsub, plane.vsub};
  }
  return format;
}

int answer(Format format, sa_format* out) {
  if (!format) {
    refuse(ENOENT, "the table has no such format; sactl formats lists those there are");
  }
  write(in_c(format.info()), out, "sa_format");
  return 0;
}

std::vector<Format> formats_of(const char* names) {
  std::vector<Format> formats;
  for (std::string_view left = text(names); !left.empty();) {
    const std::size_t end = std::min(left.find('|'), left.size());
    formats.push_back(format_of(left.substr(0, end)));
    left.remove_prefix(std::min(end + 1, left.size()));
  }
  return formats;
}

} // namespace

Format format_of(std::string_view name) {
  const Format format = Format::find(name);
  if (!format) {
    refuse(ENOENT,
           "there is no format \"" + std::string(name.substr(0, 32)) + "\"; " +
               (name.find(',') != std::string_view::npos ? "write | between several" : "sactl formats lists those there are"));
  }
  return format;
}

ImageLayout layout_of(const sa_layout* given) {
  const sa_layout from = read(given, "sa_layout");
  const auto reserved = [](std::uint32_t value) { return value != 0; };
  if (std::any_of(std::begin(from.reserved), std::end(from.reserved), reserved) ||
      std::any_of(std::begin(from.planes), std::end(from.planes),
                  [&](const sa_plane& plane) { return reserved(plane.reserved); })) {
    refuse_unknown("sa_layout");
  }
  ImageLayout layout;
  layout.format = format_of(text(from.format));
  layout.modifier = from.modifier;
  layout.width = from.width;
  layout.height = from.height;
  layout.colour = {from.primaries, from.transfer, from.matrix, from.full_range != 0};
  for (unsigned i = 0; i < layout.plane_count(); ++i) {
    const sa_plane& plane = from.planes[i];
    if (plane.buffer >= max_planes) {
      refuse(EINVAL,
             "plane " + std::to_string(i) + " is in buffer " + std::to_string(plane.buffer) + ", and a picture has 4 at most");
    }
    layout.planes[i] = {static_cast<std::uint8_t>(plane.buffer), plane.stride, plane.rows, plane.offset};
  }
  std::copy(std::begin(from.sizes), std::end(from.sizes), layout.sizes.begin());
  check(layout);
  return layout;
}

sa_layout layout_of(const ImageLayout& from) noexcept {
  sa_layout layout = SA_LAYOUT_INIT;
  layout.format = literal(from.format.name());
  layout.width = from.width;
  layout.height = from.height;
  layout.modifier = from.modifier;
  layout.plane_count = from.plane_count();
  layout.buffer_count = from.buffer_count();
  for (unsigned i = 0; i < layout.plane_count; ++i) {
    const PlaneLayout& plane = from.planes[i];
    layout.planes[i] = {plane.buffer, plane.stride, plane.rows, from.row_bytes(i), from.visible_rows(i), 0, plane.offset};
  }
  std::copy(from.sizes.begin(), from.sizes.end(), std::begin(layout.sizes));
  layout.primaries = from.colour.primaries;
  layout.transfer = from.colour.transfer;
  layout.matrix = from.colour.matrix;
  layout.full_range = from.colour.full_range ? 1 : 0;
  return layout;
}

Image& image_of(sa_image* handle) {
  if (handle == nullptr) {
    refuse(EBADF, "the image is NULL");
  }
  return handle->image;
}

const Image& image_of(const sa_image* handle) {
  return image_of(const_cast<sa_image*>(handle));
}

sa_image* handle_of(Image image) {
  auto handle = std::make_unique<sa_image>();
  handle->image = std::move(image);
  return handle.release();
}

}}} // namespace sa::v0::c

using namespace sa::c;

extern "C" {

int sa_format_find(const char* name, sa_format* out) {
  return guarded([&] { return answer(format_of(text(name)), out); });
}

int sa_format_find_drm(uint32_t code, sa_format* out) {
  return guarded([&] { return answer(sa::Format::find(sa::DrmFourcc{code}), out); });
}

int sa_format_find_v4l2(uint32_t code, sa_format* out) {
  return guarded([&] { return answer(sa::Format::find(sa::V4l2Fourcc{code}), out); });
}

int sa_format_list(int (*each)(void* data, const sa_format* format), void* data) {
  return guarded([&] {
    if (each == nullptr) {
      refuse(EINVAL, "no function to call for each format; it is NULL");
    }
    int status = 0;
    for (const sa::Format format : sa::Format::all()) {
      const sa_format one = in_c(format.info());
      status = each(data, &one);
      if (status != 0) {
        break;
      }
    }
    return status;
  });
}

int sa_layout_make(const char* format, uint32_t width, uint32_t height, const char* rule, sa_layout* out) {
  return guarded([&] {
    sa::LayoutRule rules = sa::parse_layout_rule(text(rule));
    rules.format = format_of(text(format));
    write(layout_of(sa::lay_out(rules, width, height)), out, "sa_layout");
    return 0;
  });
}

int sa_layout_parse(const char* text_of_it, sa_layout* out) {
  return guarded([&] {
    write(layout_of(sa::parse_layout(text(text_of_it))), out, "sa_layout");
    return 0;
  });
}

int sa_layout_text(const sa_layout* layout, char* text_of_it, size_t size) {
  return guarded([&] {
    if (text_of_it == nullptr && size != 0) {
      refuse(EINVAL, "no place for the text; it is NULL");
    }
    return std::snprintf(text_of_it, size, "%s", to_string(layout_of(layout)).c_str());
  });
}

int sa_image_choose(const char* const* nodes, size_t count, const sa_image_request* request, sa_layout* layout, sa_heap** heap) {
  return guarded(heap, [&] {
    const sa_image_request wanted = read(request, "sa_image_request");
    check_size(layout, "sa_layout");
    check_flags(wanted.flags, SA_PROBE);
    sa::ImageRequest image{.width = wanted.width, .height = wanted.height, .formats = formats_of(wanted.formats)};
    image.memory.constraints = constraints_of(wanted.constraints);
    image.memory.require = traits_of(wanted.require);
    const sa::ImageSelection selection =
        sa::Registry::system().select_image(devices_of(nodes, count), image, {.probe = (wanted.flags & SA_PROBE) != 0});
    sa_heap* const chosen = handle_of(sa::make_heap(selection));
    write(layout_of(selection.choices.front().layout), layout, "sa_layout");
    return chosen;
  });
}

int sa_image_alloc(sa_heap* heap, const sa_layout* layout, const char* name, sa_image** out) {
  return guarded(out, [&] { return handle_of(heap_of(heap).allocate(layout_of(layout), {.name = text(name)})); });
}

int sa_image_import(const sa_layout* layout, sa_dmabuf* const* buffers, size_t count, sa_image** out) {
  return guarded(out, [&] {
    const sa::ImageLayout lies = layout_of(layout);
    std::vector<sa::DmaBuf> held;
    for (std::size_t i = 0; i < count; ++i) {
      if (buffers == nullptr || buffers[i] == nullptr) {
        refuse(EBADF, "buffer " + std::to_string(i) + " is NULL");
      }
      if (i == sa::max_planes) {
        refuse(EINVAL, "a picture has 4 buffers at most");
      }
      held.push_back(sa::Handover::wrap(*reinterpret_cast<sa::detail::Buffer*>(sa_dmabuf_ref(buffers[i]))));
    }
    return handle_of(sa::Image::import(lies, std::move(held)));
  });
}

sa_image* sa_image_ref(sa_image* image) {
  if (image != nullptr) {
    image->references.fetch_add(1, std::memory_order_relaxed);
  }
  return image;
}

void sa_image_unref(sa_image* image) {
  if (image != nullptr && image->references.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    delete image;
  }
}

int sa_image_get_layout(const sa_image* image, sa_layout* out) {
  return guarded([&] {
    write(layout_of(image_of(image).layout()), out, "sa_layout");
    return 0;
  });
}

int sa_image_set_layout(sa_image* image, const sa_layout* layout) {
  return guarded([&] {
    image_of(image).set_layout(layout_of(layout));
    return 0;
  });
}

sa_dmabuf* sa_image_buffer(const sa_image* image, unsigned index) {
  if (image == nullptr || index >= image->image.buffers().size()) {
    return nullptr;
  }
  return reinterpret_cast<sa_dmabuf*>(sa::Handover::buffer(image->image.buffer(index)));
}

int sa_image_begin(sa_image* image, int access, void* planes[4]) {
  return guarded([&] {
    const sa::Image& of = image_of(image);
    if (planes == nullptr) {
      refuse(EINVAL, "no place for the planes; the pointer is NULL");
    }
    std::fill_n(planes, sa::max_planes, nullptr);
    std::byte* first[sa::max_planes] = {};
    std::size_t begun = 0;
    try {
      for (const sa::DmaBuf& buffer : of.buffers()) {
        first[begun] = buffer.map_unsynchronized(access_of(access)).bytes().data();
        buffer.begin_cpu_access(access_of(access));
        ++begun;
      }
    } catch (...) {
      for (const sa::DmaBuf& buffer : of.buffers().first(begun)) {
        std::error_code ignored;
        buffer.end_cpu_access(access_of(access), ignored);
      }
      throw;
    }
    const sa::ImageLayout& layout = of.layout();
    for (unsigned i = 0; i < layout.plane_count(); ++i) {
      planes[i] = first[layout.planes[i].buffer] + layout.planes[i].offset;
    }
    return 0;
  });
}

int sa_image_end(sa_image* image, int access) {
  return guarded([&] {
    int status = 0;
    for (const sa::DmaBuf& buffer : image_of(image).buffers()) {
      const int one = guarded([&] {
        buffer.end_cpu_access(access_of(access));
        return 0;
      });
      status = status == 0 ? one : status;
    }
    return status;
  });
}

int sa_image_send(int socket, const sa_image* image, uint64_t number) {
  return guarded([&] {
    sa::send(socket, image_of(image), number);
    return 0;
  });
}

int sa_image_receive(int socket, sa_image** out, uint64_t* number) {
  return guarded(out, [&] {
    sa::ReceivedImage received = sa::receive_image(socket);
    if (number != nullptr) {
      *number = received.number;
    }
    return handle_of(std::move(received.image));
  });
}

} // extern "C"
