// SPDX-License-Identifier: MIT
/// Shows what this machine has: its heaps, then one camera frame from each of them, drawn here, sent to a second process,
/// checked there. Writes the frame as a picture.
///   demo [PICTURE.png]
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <png.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sa/sa.hpp>

namespace {

// One frame of 1080p NV12: a plane of luma, then one of interleaved chroma at half the resolution.
constexpr std::size_t width = 1920;
constexpr std::size_t height = 1080;
constexpr std::size_t luma_size = width * height;
constexpr std::size_t frame_size = luma_size * 3 / 2;

struct Yuv {
  unsigned char y, u, v;
};

/// Eight colour bars (BT.601, 75 %) over a grey ramp.
constexpr std::array<Yuv, 8> bars{{{180, 128, 128},
                                   {162, 44, 142},
                                   {131, 156, 44},
                                   {112, 72, 58},
                                   {84, 184, 198},
                                   {65, 100, 212},
                                   {35, 212, 114},
                                   {16, 128, 128}}};

Yuv test_pattern(std::size_t x, std::size_t y) {
  return y < height * 3 / 4 ? bars[x * bars.size() / width] : Yuv{static_cast<unsigned char>(16 + x * 219 / width), 128, 128};
}

/// Calls @p store(offset, byte) for every byte of the frame.
template <typename Store>
void for_each_byte(Store&& store) {
  for (std::size_t y = 0; y < height; ++y) {
    for (std::size_t x = 0; x < width; ++x) {
      const Yuv pixel = test_pattern(x, y);
      store(y * width + x, pixel.y);
      if (y % 2 == 0) {
        store(luma_size + y / 2 * width + x, x % 2 == 0 ? pixel.u : test_pattern(x - 1, y).v);
      }
    }
  }
}

/// The frame as it should be, made once.
const std::vector<std::byte>& reference() {
  static const std::vector<std::byte> frame = [] {
    std::vector<std::byte> bytes(frame_size);
    for_each_byte([&](std::size_t at, unsigned char byte) { bytes[at] = std::byte{byte}; });
    return bytes;
  }();
  return frame;
}

double microseconds(const std::chrono::steady_clock::duration time) {
  return std::chrono::duration<double, std::micro>(time).count();
}

/// Allocates nothing, draws into @p buffer, and tells how long that took.
double draw(const sa::DmaBuf& buffer) {
  const auto start = std::chrono::steady_clock::now();
  {
    const sa::CpuAccess cpu = buffer.access(sa::Access::Write);
    std::ranges::copy(reference(), cpu.bytes().begin());
  }
  return microseconds(std::chrono::steady_clock::now() - start);
}

/// The second process: receives frames until there are no more, answers each with whether it is right.
int check_frames(int socket) {
  for (;;) {
    std::error_code ec;
    const sa::DmaBuf buffer = sa::receive(socket, ec);
    if (ec == std::errc::connection_reset) {
      return 0;
    }
    char right = 0;
    if (!ec) {
      const sa::CpuAccess cpu = buffer.access(sa::Access::Read);
      right = std::ranges::equal(cpu.bytes().first(frame_size), reference()) ? 1 : 0;
    }
    if (::send(socket, &right, 1, MSG_NOSIGNAL) != 1) {
      return 1;
    }
  }
}

bool write_picture(const char* path, std::span<const std::byte> frame) {
  std::vector<unsigned char> rgb(luma_size * 3);
  const auto at = [&](std::size_t offset) { return std::to_integer<int>(frame[offset]); };
  for (std::size_t y = 0; y < height; ++y) {
    for (std::size_t x = 0; x < width; ++x) {
      const double luma = 1.164 * (at(y * width + x) - 16);
      const std::size_t chroma = luma_size + y / 2 * width + x / 2 * 2;
      const double u = at(chroma) - 128;
      const double v = at(chroma + 1) - 128;
      const std::array<double, 3> colours{luma + 1.596 * v, luma - 0.392 * u - 0.813 * v, luma + 2.017 * u};
      for (std::size_t i = 0; i < 3; ++i) {
        rgb[(y * width + x) * 3 + i] = static_cast<unsigned char>(std::clamp(colours[i], 0.0, 255.0));
      }
    }
  }
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = width;
  image.height = height;
  image.format = PNG_FORMAT_RGB;
  return png_image_write_to_file(&image, path, 0, rgb.data(), 0, nullptr) != 0;
}

void list_heaps(const std::vector<sa::HeapInfo>& heaps) {
  fmt::print("The heaps of this machine:\n");
  for (const auto& heap : heaps) {
    fmt::print("  {:<24} {}\n", heap.name, heap.usable ? to_string(heap.traits) : "not usable: " + heap.reason);
  }
}

/// One row of the table: a frame from @p heap, drawn twice, sent and checked.
bool show(sa::Registry& registry, const sa::HeapInfo& heap, int socket, const char*& picture) {
  const auto yes_no = [](bool yes) { return yes ? "yes" : "no"; };
  try {
    const auto start = std::chrono::steady_clock::now();
    const sa::DmaBuf buffer = registry.allocate(heap.name, {.size = frame_size, .name = "demo frame"});
    const double get = microseconds(std::chrono::steady_clock::now() - start);
    const double cold = get + draw(buffer);
    const double warm = draw(buffer);
    sa::send(socket, buffer);
    char right = 0;
    const bool verified = ::recv(socket, &right, 1, 0) == 1 && right == 1;
    fmt::print("  {:<24} {:>8} {:>11} {:>10.0f} {:>10.0f} {:>9}\n", heap.name,
               yes_no(buffer.traits().contains(sa::Trait::DmaBuf)), yes_no(buffer.traits().contains(sa::Trait::Contiguous)), cold,
               warm, yes_no(verified));
    if (picture != nullptr && verified) {
      const sa::CpuAccess cpu = buffer.access(sa::Access::Read);
      picture = write_picture(picture, cpu.bytes()) ? nullptr : picture;
    }
    return verified;
  } catch (const sa::Error& error) {
    fmt::print("  {:<24} {}\n", heap.name, error.what());
    return false;
  }
}

} // namespace

int main(int argc, char** argv) {
  const char* const path = argc > 1 ? argv[1] : nullptr;
  std::setvbuf(stdout, nullptr, _IOLBF, 0); // each row at once, also through a pipe
  std::array<int, 2> sockets{-1, -1};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets.data()) != 0) {
    std::perror("socketpair");
    return 1;
  }
  const pid_t checker = ::fork();
  if (checker == 0) {
    ::close(sockets[0]);
    ::_exit(check_frames(sockets[1]));
  }
  ::close(sockets[1]);

  sa::Registry& registry = sa::Registry::system();
  const auto heaps = registry.heaps();
  list_heaps(heaps);

  fmt::print("\nA 1080p NV12 frame from each: drawn, sent to a second process, checked there (cold: allocate and first write)\n");
  fmt::print("  {:<24} {:>8} {:>11} {:>10} {:>10} {:>9}\n", "heap", "dma-buf", "contiguous", "cold us", "warm us", "verified");
  (void)reference(); // drawn before any clock runs
  const char* picture = path;
  bool all = true;
  for (const auto& heap : heaps) {
    if (heap.usable) {
      all = show(registry, heap, sockets[0], picture) && all;
    }
  }
  ::close(sockets[0]);
  int status = 0;
  all = ::waitpid(checker, &status, 0) == checker && status == 0 && all;

  if (path != nullptr) {
    fmt::print("\nThe frame as a picture: {}\n", picture == nullptr ? path : "could not be written");
    all = all && picture == nullptr;
  }
  if (::geteuid() != 0) {
    fmt::print("\nYou are not root. Members of the group video get the dma-heaps and udmabuf where the udev rule is installed\n"
               "(docs/permissions.md); carveouts through /dev/mem need root.\n");
  }
  return all ? 0 : 1;
}
