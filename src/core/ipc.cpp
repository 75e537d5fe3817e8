// SPDX-License-Identifier: MIT
#include <sa/ipc.hpp>

#include <algorithm>
#include <array>
#include <cstring>

#include <sys/socket.h>
#include <sys/uio.h>

#include <fmt/format.h>

#include <sa/registry.hpp>

#include "core/buffer.hpp"
#include "core/failure.hpp"
#include "core/heap_name.hpp"
#include "core/import.hpp"
#include "core/system_call.hpp"

namespace sa::inline v0 {
namespace {

using detail::fail;

// The message: fixed, little-endian, the same for every heap. A field's offset is the sum of the widths before it.
constexpr std::uint32_t magic = 0x46424153; // "SABF"
constexpr std::uint16_t version = 1;
enum class Kind : std::uint16_t { Memory = 0, Handle = 1 }; // what the descriptor is: the memory, or a handle of its heap's
constexpr std::size_t heap_width = 96;                      // with a terminating zero
constexpr std::size_t name_width = 32;                      // with a terminating zero
constexpr std::size_t header_width = 4 + 2 + 2 + 8 + 8 + heap_width + name_width;
using Bytes = std::array<unsigned char, header_width>;

struct Header {
  std::uint32_t magic;
  std::uint16_t version;
  Kind kind;
  std::uint64_t size;    // bytes
  std::uint64_t offset;  // bytes; where in what the descriptor stands for the buffer begins
  std::string_view heap; // points into the message
  std::string_view name; // the same
};

class Writer {
public:
  explicit Writer(Bytes& bytes) : at_(bytes.data()) {}
  template <typename Number>
  void number(Number value) {
    for (std::size_t i = 0; i < sizeof(Number); ++i) {
      *at_++ = static_cast<unsigned char>(value >> (8 * i));
    }
  }
  void text(std::string_view value, std::size_t width) {
    std::copy(value.begin(), value.end(), at_);
    at_ += width;
  }

private:
  unsigned char* at_;
};

class Reader {
public:
  explicit Reader(const Bytes& bytes) : at_(bytes.data()) {}
  template <typename Number>
  Number number() {
    Number value = 0;
    for (std::size_t i = 0; i < sizeof(Number); ++i) {
      value = static_cast<Number>(value | (static_cast<Number>(*at_++) << (8 * i)));
    }
    return value;
  }
  std::string_view text(std::size_t width) {
    const std::string_view value(reinterpret_cast<const char*>(at_), width);
    at_ += width;
    return value.substr(0, value.find('\0')); // one without a zero is as long as its field, and refused
  }

private:
  const unsigned char* at_;
};

Header parse(const Bytes& bytes) {
  Reader reader(bytes);
  Header header{};
  header.magic = reader.number<std::uint32_t>();
  header.version = reader.number<std::uint16_t>();
  header.kind = Kind{reader.number<std::uint16_t>()};
  header.size = reader.number<std::uint64_t>();
  header.offset = reader.number<std::uint64_t>();
  header.heap = reader.text(heap_width);
  header.name = reader.text(name_width);
  return header;
}

void refuse(std::error_code& ec, int error, const char* why) {
  fail(ec, error, [&] { return fmt::format("{}; the message was dropped, close the connection", why); });
}

void check(const Header& header, std::error_code& ec) {
  std::error_code name;
  detail::check_name(header.name, name);
  if (header.magic != magic) {
    refuse(ec, EBADMSG, "the peer did not send a buffer");
  } else if (header.version != version) {
    fail(ec, EPROTONOSUPPORT, [&] {
      return fmt::format("the peer speaks version {}, this library version {}; use the same library on both sides",
                         header.version, version);
    });
  } else if (name || header.heap.size() >= heap_width || !detail::is_heap_name(header.heap)) {
    refuse(ec, EBADMSG, "the message carries malformed names");
  }
}

/// The descriptors that came with a message: one is kept, the others are closed.
class Descriptors {
public:
  void take(msghdr& message) {
    for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr; control = CMSG_NXTHDR(&message, control)) {
      if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_RIGHTS) {
        for (std::size_t at = CMSG_LEN(0); at + sizeof(int) <= control->cmsg_len; at += sizeof(int)) {
          int fd = -1;
          std::memcpy(&fd, reinterpret_cast<unsigned char*>(control) + at, sizeof fd);
          last_.reset(fd);
          ++count_;
        }
      }
    }
  }
  [[nodiscard]] unsigned count() const noexcept { return count_; }
  [[nodiscard]] UniqueFd last() noexcept { return std::move(last_); }

private:
  UniqueFd last_;
  unsigned count_ = 0;
};

/// Reads one message. All or nothing: what is refused has been consumed and its descriptors are closed.
UniqueFd read_message(int socket, Bytes& bytes, std::error_code& ec) {
  Descriptors fds;
  int flags = 0;
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    // Room for the sender's credentials (SO_PASSCRED), and for descriptors that must not come, so as to close them.
    alignas(cmsghdr) std::array<unsigned char, CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(4 * sizeof(int))> control{};
    iovec part{bytes.data() + filled, bytes.size() - filled};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = detail::uninterrupted([&] { return ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC); });
    if (got < 0) {
      const int error = errno == EWOULDBLOCK ? EAGAIN : errno;
      if (filled != 0 && error == EAGAIN) {
        refuse(ec, EPROTO, "the peer sent a message in pieces");
      } else {
        fail(ec, error, "recvmsg");
      }
      return {};
    }
    fds.take(message);
    flags |= message.msg_flags;
    if (got == 0) {
      if (filled == 0) {
        fail(ec, ECONNRESET, [] { return std::string("the peer closed the connection"); });
      } else {
        refuse(ec, EBADMSG, "the peer closed the connection in the middle of a message");
      }
      return {};
    }
    filled += static_cast<std::size_t>(got);
    int type = SOCK_STREAM;
    socklen_t length = sizeof type;
    if (filled < bytes.size() && ::getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type != SOCK_STREAM) {
      break; // one packet is one message
    }
  }
  if (filled < bytes.size()) {
    refuse(ec, EBADMSG, "the message is too short");
  } else if ((flags & MSG_TRUNC) != 0) {
    refuse(ec, EBADMSG, "the message is too long");
  } else if ((flags & MSG_CTRUNC) != 0) {
    refuse(ec, EBADMSG, "descriptors were cut off: more than one was sent, or this process may open no more (ulimit -n)");
  } else if (fds.count() != 1) {
    refuse(ec, EBADMSG, fds.count() == 0 ? "the message has no descriptor" : "the message has more than one descriptor");
  } else {
    return fds.last();
  }
  return {};
}

DmaBuf build(UniqueFd fd, const Header& header, const Registry* registry, std::error_code& ec) {
  if (header.size == 0 || header.size > SIZE_MAX || header.kind > Kind::Handle) {
    refuse(ec, EBADMSG, "the message carries an impossible size or kind");
    return {};
  }
  if (header.kind == Kind::Handle) { // only the heap knows what to do with it, and it believes nothing of the rest
    const auto heap = (registry != nullptr ? *registry : Registry::system()).find(header.heap);
    if (heap == nullptr) {
      fail(ec, ENOENT,
           [&] { return fmt::format("the peer's buffer is from {}, which this process does not know", header.heap); });
      return {};
    }
    return heap->accept(std::move(fd), header.offset, static_cast<std::size_t>(header.size), header.name, ec);
  }
  DmaBuf buffer = detail::import_fd(std::move(fd), std::make_shared<const std::string>(header.heap), ec);
  if (!ec && (header.offset != 0 || header.size != buffer.size())) {
    refuse(ec, EBADMSG, "the message carries a size that its descriptor does not have");
    return {};
  }
  if (buffer && !header.name.empty()) {
    Handover::buffer(buffer)->remember_name(header.name);
  }
  return buffer;
}

DmaBuf receive_with(int socket, const Registry* registry, std::error_code& ec) {
  Bytes bytes{};
  UniqueFd fd = read_message(socket, bytes, ec);
  if (ec) {
    return {};
  }
  const Header header = parse(bytes);
  check(header, ec);
  return ec ? DmaBuf{} : build(std::move(fd), header, registry, ec);
}

} // namespace

void send(int socket, const DmaBuf& buffer) {
  detail::or_throw(
      buffer.heap(), [&] { return fmt::format("send a buffer of {} bytes", buffer.size()); },
      [&](std::error_code& ec) { send(socket, buffer, ec); });
}

void send(int socket, const DmaBuf& dma_buf, std::error_code& ec) noexcept {
  detail::or_code(ec, [&] {
    detail::Buffer* buffer = Handover::buffer(dma_buf);
    if (buffer == nullptr) {
      fail(ec, EBADF, [] { return std::string("the buffer is empty"); });
      return;
    }
    if (buffer->heap().size() >= heap_width) {
      fail(ec, ENAMETOOLONG, [&] { return fmt::format("the heap's name is over {} bytes", heap_width - 1); });
      return;
    }
    const Memory& memory = buffer->memory();
    const int fd = memory.handle != nullptr ? memory.handle(memory.keep.get(), ec) : memory.fd.get();
    if (ec) {
      return;
    }
    Bytes bytes{};
    Writer writer(bytes);
    writer.number(magic);
    writer.number(version);
    writer.number(static_cast<std::uint16_t>(memory.descriptor == Descriptor::Handle ? Kind::Handle : Kind::Memory));
    writer.number(std::uint64_t{memory.size});
    writer.number(memory.descriptor == Descriptor::Handle ? memory.phys_addr.value_or(0) : std::uint64_t{0});
    writer.text(buffer->heap(), heap_width);
    writer.text(buffer->name(), name_width);

    alignas(cmsghdr) std::array<unsigned char, CMSG_SPACE(sizeof(int))> control{};
    iovec part{bytes.data(), bytes.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
    buffer->give_away();
    // A Unix socket takes a message of this size whole or not at all, also a stream: one socket buffer holds it.
    const ssize_t sent = detail::uninterrupted([&] { return ::sendmsg(socket, &message, MSG_NOSIGNAL); });
    if (sent < 0) {
      const int error = errno == EWOULDBLOCK ? EAGAIN : errno;
      fail(ec, error, "sendmsg");
    } else if (static_cast<std::size_t>(sent) != bytes.size()) {
      fail(ec, EPROTO, [] { return std::string("the socket took a part of the message; use a Unix socket"); });
    }
  });
}

DmaBuf receive(int socket) {
  return detail::or_throw(
      "", [] { return std::string("receive a buffer"); }, [&](std::error_code& ec) { return receive(socket, ec); });
}

DmaBuf receive(int socket, std::error_code& ec) noexcept {
  return detail::or_code(ec, [&] { return receive_with(socket, nullptr, ec); });
}

DmaBuf receive(int socket, const Registry& registry) {
  return detail::or_throw(
      "", [] { return std::string("receive a buffer"); }, [&](std::error_code& ec) { return receive(socket, registry, ec); });
}

DmaBuf receive(int socket, const Registry& registry, std::error_code& ec) noexcept {
  return detail::or_code(ec, [&] { return receive_with(socket, &registry, ec); });
}

} // namespace sa::inline v0
