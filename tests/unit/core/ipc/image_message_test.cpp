// SPDX-License-Identifier: MIT
/// Messages with images, right ones and wrong ones. The layout of the message is written down here once more, by hand.
#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include <sys/socket.h>

#include "support/counters.hpp"
#include "support/post.hpp"
#include "support/process.hpp"
#include "unit/test_heap.hpp"

using support::SocketPair;

namespace {

const char* const split_layout = "YUV420 64x64 planes=0+0/64*64,1+0/32*32,2+0/32*32 sizes=4096,1024,1024 colour=1/13/5/1";
const char* const whole_layout = "NV12 64x64 planes=0+0/64*64,0+4096/64*32 sizes=6144";

sa::Image image_of(const char* layout) {
  const sa::ImageLayout parsed = sa::parse_layout(layout);
  std::vector<sa::DmaBuf> buffers;
  for (unsigned i = 0; i < parsed.buffer_count(); ++i) {
    buffers.push_back(sa::Registry::system().allocate(
        "memfd:4k", {.size = static_cast<std::size_t>(parsed.sizes[i]), .name = "plane" + std::to_string(i)}));
  }
  return sa::Image::import(parsed, std::move(buffers));
}

/// Little-endian: magic "SABF", version 2, count, number, layout[384], then four times a buffer's message of 152 bytes: magic,
/// version 1, kind, size, offset, heap[96], name[32].
std::vector<unsigned char> message(std::uint16_t count, const std::string& layout, std::uint64_t size) {
  std::vector<unsigned char> bytes(1008, 0);
  std::memcpy(bytes.data(), "SABF", 4);
  bytes[4] = 2;
  bytes[6] = static_cast<unsigned char>(count);
  bytes[7] = static_cast<unsigned char>(count >> 8);
  bytes[8] = 7;
  std::memcpy(&bytes[16], layout.data(), layout.size());
  for (std::size_t i = 0; i < 4; ++i) {
    unsigned char* const buffer = &bytes[400 + 152 * i];
    std::memcpy(buffer, "SABF", 4);
    buffer[4] = 1;
    for (unsigned byte = 0; byte < 8; ++byte) {
      buffer[8 + byte] = static_cast<unsigned char>(size >> (8 * byte));
    }
    std::memcpy(buffer + 24, "memfd:4k", 8);
  }
  return bytes;
}

void post(int socket, const std::vector<unsigned char>& bytes, const std::vector<int>& fds) {
  REQUIRE(support::post(socket, bytes, fds));
}

} // namespace

TEST_CASE("an image arrives with its layout, its buffers and the sender's number, over either kind of socket") {
  for (const int type : {SOCK_SEQPACKET, SOCK_STREAM}) {
    for (const char* layout : {split_layout, whole_layout}) {
      CAPTURE(type);
      CAPTURE(std::string(layout));
      const support::Counts before = support::count();
      {
        const SocketPair pair(type);
        const sa::Image image = image_of(layout);
        {
          const sa::ImageAccess cpu = image.access(sa::Access::Write);
          cpu.plane(1)[7][3] = std::byte{42};
        }
        sa::send(pair.a, image, 0x123456789abcdef0);
        sa::send(pair.a, image);
        const sa::ReceivedImage received = sa::receive_image(pair.b);
        CHECK(received.number == 0x123456789abcdef0);
        CHECK(received.image.layout() == image.layout());
        CHECK(received.image.access(sa::Access::Read));
        const sa::ImageAccess cpu = received.image.access(sa::Access::Read);
        CHECK(cpu.plane(1)[7][3] == std::byte{42});
        const sa::ReceivedImage again = sa::receive_image(pair.b);
        CHECK(again.number == 0);
        for (unsigned i = 0; i < image.buffers().size(); ++i) { // a buffer that was seen before is known again
          CHECK(received.image.buffer(i).id() == image.buffer(i).id());
          CHECK(again.image.buffer(i).id() == received.image.buffer(i).id());
          CHECK(received.image.buffer(i).name() == "plane" + std::to_string(i));
          CHECK(received.image.buffer(i).claimed_heap() == "memfd:4k");
        }
      }
      CHECK(support::leaked_since(before) == "");
    }
  }
}

TEST_CASE("a buffer in place of an image is refused, and an image in place of a buffer, and the next message is received") {
  for (const int type : {SOCK_SEQPACKET, SOCK_STREAM}) {
    CAPTURE(type);
    const support::Counts before = support::count();
    {
      const SocketPair pair(type);
      const sa::Image image = image_of(split_layout);
      const sa::DmaBuf buffer = unit::real_buffer(8192);
      std::error_code ec;
      sa::send(pair.a, buffer);
      sa::send(pair.a, image, 1);
      CHECK_FALSE(sa::receive_image(pair.b, ec).image);
      CHECK(ec == std::errc::bad_message);
      CHECK(sa::receive_image(pair.b).number == 1);
      sa::send(pair.a, image, 2);
      sa::send(pair.a, buffer);
      CHECK_FALSE(sa::receive(pair.b, ec));
      CHECK(ec == std::errc::bad_message);
      CHECK(sa::receive(pair.b).id() == buffer.id());
    }
    CHECK(support::leaked_since(before) == "");
  }
}

TEST_CASE("wrong messages with images are refused, and no descriptor leaks when they are") {
  for (const int type : {SOCK_SEQPACKET, SOCK_STREAM}) {
    CAPTURE(type);
    const int before = support::open_descriptors();
    {
      const sa::DmaBuf buffer = unit::real_buffer(unit::page);
      const int fd = buffer.fd();
      const std::string one = "R8 64x64 planes=0+0/64*64 sizes=4096";
      const std::string two = "NV12 64x64 planes=0+0/64*64,1+0/64*32 sizes=4096,2048";
      const std::string rows = std::to_string(unit::page / 64 + 1); // one more than a page has
      const std::string large = "R8 64x" + rows + " planes=0+0/64*" + rows + " sizes=" + std::to_string(unit::page + 64);
      int number = 0;
      const auto answer = [&](const std::vector<unsigned char>& bytes, const std::vector<int>& fds) {
        CAPTURE(++number);
        const SocketPair pair(type);
        post(pair.a, bytes, fds);
        std::error_code ec;
        const sa::ReceivedImage received = sa::receive_image(pair.b, ec);
        CHECK(static_cast<bool>(received.image) == !ec);
        return ec.value();
      };
      using Change = std::function<void(std::vector<unsigned char>&)>;
      const auto changed = [&](const Change& change) {
        std::vector<unsigned char> bytes = message(2, two, unit::page);
        change(bytes);
        return answer(bytes, {fd, fd});
      };
      CHECK(answer(message(1, one, unit::page), {fd}) == 0);
      CHECK(answer(message(2, two, unit::page), {fd, fd}) == 0);
      CHECK(answer(message(2, two, unit::page), {fd}) == EBADMSG);
      CHECK(answer(message(2, two, unit::page), {fd, fd, fd}) == EBADMSG);
      CHECK(answer(message(2, two, unit::page), {}) == EBADMSG);
      CHECK(answer(message(1, two, unit::page), {fd}) == EBADMSG);
      CHECK(answer(message(2, one, unit::page), {fd, fd}) == EBADMSG);
      CHECK(answer(message(0, one, unit::page), {}) == EBADMSG);
      CHECK(answer(message(0, one, unit::page), {fd}) == EBADMSG);
      CHECK(answer(message(5, two, unit::page), {fd, fd, fd, fd, fd}) == EBADMSG);
      CHECK(answer(message(5, one, unit::page), {fd}) == EBADMSG);
      CHECK(answer(message(65535, one, unit::page), {fd}) == EBADMSG);
      CHECK(answer(message(1, "", unit::page), {fd}) == EBADMSG);
      CHECK(answer(message(1, "R8 64x64", unit::page), {fd}) == EBADMSG);
      CHECK(answer(message(1, std::string(384, 'R'), unit::page), {fd}) == EBADMSG);
      CHECK(answer(message(1, large, unit::page), {fd}) == EBADMSG);
      CHECK(answer(message(1, one, 2 * unit::page), {fd}) == EBADMSG); // more than the descriptor has
      CHECK(changed([](auto& bytes) { bytes[0] = 'X'; }) == EBADMSG);
      CHECK(changed([](auto& bytes) { bytes[4] = 3; }) == EPROTONOSUPPORT);
      CHECK(changed([](auto& bytes) { bytes[400] = 'X'; }) == EBADMSG);
      CHECK(changed([](auto& bytes) { bytes[552 + 4] = 2; }) == EPROTONOSUPPORT);
      CHECK(changed([](auto& bytes) { bytes[552 + 6] = 2; }) == EBADMSG);
      CHECK(changed([](auto& bytes) { bytes[552 + 16] = 1; }) == EBADMSG);
      CHECK(changed([](auto& bytes) { bytes[552 + 24] = '/'; }) == EBADMSG);
      const SocketPair other(SOCK_STREAM);
      CHECK(answer(message(2, two, unit::page), {fd, other.a}) == EINVAL); // a socket is no memory
    }
    CHECK(support::open_descriptors() == before);
  }
}

TEST_CASE("an image's message that is too short or too long is refused") {
  const sa::DmaBuf buffer = unit::real_buffer(unit::page);
  const std::vector<unsigned char> whole = message(1, "R8 64x64 planes=0+0/64*64 sizes=4096", unit::page);
  for (const std::size_t size : {std::size_t{1}, std::size_t{8}, std::size_t{152}, std::size_t{1007}, std::size_t{1009}}) {
    CAPTURE(size);
    const SocketPair pair(SOCK_SEQPACKET);
    std::vector<unsigned char> bytes = whole;
    bytes.resize(size);
    post(pair.a, bytes, {buffer.fd()});
    std::error_code ec;
    CHECK_FALSE(sa::receive_image(pair.b, ec).image);
    CHECK(ec == std::errc::bad_message);
  }
  SocketPair pair(SOCK_STREAM); // in pieces, of which the last does not come
  post(pair.a, {whole.begin(), whole.begin() + 500}, {buffer.fd()});
  ::shutdown(pair.a, SHUT_WR);
  std::error_code ec;
  CHECK_FALSE(sa::receive_image(pair.b, ec).image);
  CHECK(ec == std::errc::bad_message);
}

TEST_CASE("an empty image is not sent") {
  const SocketPair pair(SOCK_SEQPACKET);
  std::error_code ec;
  sa::send(pair.a, sa::Image{}, 0, ec);
  CHECK(ec == std::errc::bad_file_descriptor);
}
