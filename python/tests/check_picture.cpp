// SPDX-License-Identifier: MIT
/// Receives pictures over the Unix socket that is its argument, until the peer closes it, and looks at each pixel. The picture
/// that is expected is the one of test_pictures.py, draw(). For each it answers with one line.
#include <cstdio>
#include <cstdlib>
#include <string>

#include <unistd.h>

#include <sa/sa.hpp>

namespace {

/// Byte @p x of row @p y of plane @p plane.
unsigned expected(const std::string_view format, unsigned plane, unsigned x, unsigned y) {
  if (format == "XRGB8888") { // B, G, R, and an invisible byte
    const unsigned column = x / 4;
    const unsigned bytes[] = {column & 255U, y & 255U, (column ^ y) & 255U, 255U};
    return bytes[x % 4];
  }
  if (plane == 0) {
    return (x + y) & 255U;
  }
  return x % 2 == 0 ? (x / 2) & 255U : y & 255U; // NV12: U, V
}

std::string look_at(const sa::ReceivedImage& received) {
  const sa::ImageLayout& layout = received.image.layout();
  const sa::ImageAccess cpu = received.image.access(sa::Access::Read);
  unsigned long long seen = 0;
  for (unsigned plane = 0; plane < layout.plane_count(); ++plane) {
    unsigned y = 0;
    for (const std::span<std::byte> row : cpu.plane(plane)) {
      for (unsigned x = 0; x < row.size(); ++x, ++seen) {
        const unsigned is = std::to_integer<unsigned>(row[x]);
        if (const unsigned should = expected(layout.format.name(), plane, x, y); is != should) {
          return "plane " + std::to_string(plane) + ", row " + std::to_string(y) + ", byte " + std::to_string(x) + " is " +
                 std::to_string(is) + " and not " + std::to_string(should);
        }
      }
      ++y;
    }
  }
  return std::to_string(received.number) + ": " + std::to_string(seen) + " bytes of " + sa::to_string(layout) + " are right";
}

} // namespace

int main(int argc, char** argv) try {
  const int socket = argc > 1 ? std::atoi(argv[1]) : -1;
  while (true) {
    std::error_code ec;
    const sa::ReceivedImage received = sa::receive_image(socket, ec);
    if (ec == std::errc::connection_reset) {
      return 0;
    }
    if (ec) {
      throw std::system_error(ec);
    }
    std::printf("%s\n", look_at(received).c_str());
    std::fflush(stdout);
  }
} catch (const std::exception& error) {
  std::printf("%s\n", error.what());
  return 1;
}
