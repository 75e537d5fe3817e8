// SPDX-License-Identifier: MIT
/// Images for the tests of the glue: of dma-bufs where this kernel makes them, else of memfds.
#pragma once

#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/resource.h>

#include <sa/image.hpp>
#include <sa/registry.hpp>

namespace glue {

/// NV12 whose rows are padded and whose chroma does not adjoin, in one buffer, and with a buffer for each plane.
inline constexpr std::string_view layouts[] = {
    "NV12 64x32 planes=0+256/128*32,0+8192/192*16 sizes=11264",
    "NV12 64x32 planes=0+0/128*32,1+512/192*16 sizes=4096,3584",
};

inline sa::Image image_of(std::string_view layout_text) {
  const sa::ImageLayout layout = sa::parse_layout(layout_text);
  std::vector<sa::DmaBuf> buffers;
  for (unsigned i = 0; i < layout.buffer_count(); ++i) {
    buffers.push_back(sa::Registry::system().allocate("system", {.size = static_cast<std::size_t>(layout.sizes[i])}));
  }
  return sa::Image::import(layout, std::move(buffers));
}

/// Different bytes in every row of every plane.
inline void draw(const sa::Image& image) {
  const sa::ImageAccess cpu = image.access(sa::Access::Write);
  for (unsigned plane = 0; plane < image.layout().plane_count(); ++plane) {
    unsigned row_number = 0;
    for (const auto row : cpu.plane(plane)) {
      for (std::size_t x = 0; x < row.size(); ++x) {
        row[x] = static_cast<std::byte>(plane * 100 + row_number * 3 + x);
      }
      ++row_number;
    }
  }
}

/// As long as it lives, this process gets no new descriptor.
class NoDescriptors {
public:
  NoDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit none = before_;
    none.rlim_cur = 1; // standard input has the only number
    ::setrlimit(RLIMIT_NOFILE, &none);
  }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;
  ~NoDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

private:
  rlimit before_{};
};

} // namespace glue
