// SPDX-License-Identifier: MIT
/// Any bytes as a message, with any number of descriptors, to a receiver of images or of buffers: what is received is whole, what
/// is refused leaves no descriptor, and on a stream nothing is left over of it unless it said that it was shorter.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz/require.hpp"
#include "support/post.hpp"

#include <sa/ipc.hpp>
#include <sa/registry.hpp>

using fuzz::require;

namespace {

constexpr std::size_t memory_size = 8192; // bytes

/// A sealed memfd, made once.
int memory() {
  static const int fd = [] {
    const int made = ::memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    require(made >= 0 && ::ftruncate(made, memory_size) == 0 && ::fcntl(made, F_ADD_SEALS, F_SEAL_SHRINK) == 0,
            "a memfd is made");
    return made;
  }();
  return fd;
}

/// The number that the next descriptor would have.
int next_descriptor() {
  const int fd = ::fcntl(memory(), F_DUPFD_CLOEXEC, 0);
  ::close(fd);
  return fd;
}

void look_at(const sa::Image& image) {
  std::error_code ec;
  sa::check(image.layout(), ec);
  require(!ec, "a received layout is one");
  const sa::ImageAccess cpu = image.access(sa::Access::ReadWrite, ec);
  require(!ec, "a received image is touched");
  for (unsigned plane = 0; plane < image.layout().plane_count(); ++plane) {
    for (const auto row : cpu.plane(plane)) { // outside of the buffer this is SIGSEGV or, by ASan's shadow, a report
      row.front() = row.back();
      break;
    }
    const sa::PlaneRows rows = cpu.plane(plane);
    rows[rows.size() - 1].back() = std::byte{1};
  }
}

} // namespace

/// The first byte: bits 0 to 2 the descriptors, bit 3 a stream, bit 4 the receiver of buffers.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) {
    return 0;
  }
  const unsigned how = data[0];
  const bool stream = (how & 8) != 0;
  const int before = next_descriptor();
  {
    std::array<int, 2> pair{};
    require(::socketpair(AF_UNIX, (stream ? SOCK_STREAM : SOCK_SEQPACKET) | SOCK_CLOEXEC, 0, pair.data()) == 0, "a socket pair");
    const sa::UniqueFd sender{pair[0]};
    const sa::UniqueFd receiver{pair[1]};
    std::array<int, 7> fds{};
    fds.fill(memory());
    require(support::post(sender.get(), {data + 1, size - 1}, std::span(fds).first(how & 7)), "the message is sent");
    ::shutdown(sender.get(), SHUT_WR);
    std::error_code ec;
    if ((how & 16) != 0) {
      const sa::DmaBuf buffer = sa::receive(receiver.get(), ec);
      require(static_cast<bool>(buffer) == !ec, "a buffer or an error");
      require(!buffer || (buffer.size() == memory_size && (how & 7) == 1), "a buffer is what its descriptor is");
    } else {
      const sa::ReceivedImage received = sa::receive_image(receiver.get(), ec);
      require(static_cast<bool>(received.image) == !ec, "an image or an error");
      if (received.image) {
        require(received.image.buffers().size() == (how & 7), "an image has the buffers that came");
        look_at(received.image);
      }
    }
  }
  require(next_descriptor() == before, "no descriptor stays");
  return 0;
}
