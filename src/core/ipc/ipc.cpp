// SPDX-License-Identifier: MIT
#include <sa/ipc.hpp>

#include <array>
#include <bit>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>

#include <sys/socket.h>
#include <sys/uio.h>

#include <fmt/format.h>

#include <sa/registry.hpp>

#include "core/base/failure.hpp"
#include "core/base/heap_name.hpp"
#include "core/base/system_call.hpp"
#include "core/base/unproven.hpp"
#include "core/buffer/buffer.hpp"
#include "core/buffer/import.hpp"

#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04 // linux/socket.h since 6.5
#endif

namespace sa { inline namespace v0 {
namespace {

using detail::fail;

constexpr std::uint32_t magic = 0x46424153; // "SABF"
constexpr std::uint16_t version = 1;
enum class Kind : std::uint16_t { Memory = 0, Handle = 1 }; // what the descriptor is: the memory, or a handle of its heap's

/// The message, the same for every heap.
struct Message {
  std::uint32_t magic;
  std::uint16_t version;
  Kind kind;
  std::uint64_t size;        // bytes
  std::uint64_t offset;      // bytes; where in what the descriptor stands for the buffer begins
  std::array<char, 96> heap; // with a terminating zero
  std::array<char, 32> name; // with a terminating zero
};
static_assert(sizeof(Message) == 152 && std::is_trivially_copyable_v<Message>);

/// Between this machine's numbers and those that travel, which are little-endian; either way.
void translate(Message& message) noexcept {
  if constexpr (std::endian::native == std::endian::big) {
    message.magic = __builtin_bswap32(message.magic);
    message.version = __builtin_bswap16(message.version);
    message.kind = Kind{__builtin_bswap16(static_cast<std::uint16_t>(message.kind))};
    message.size = __builtin_bswap64(message.size);
    message.offset = __builtin_bswap64(message.offset);
  }
}

/// One without a zero is as long as its field, and refused.
template <std::size_t Width>
std::string_view text(const std::array<char, Width>& field) noexcept {
  return {field.data(), ::strnlen(field.data(), Width)};
}

void refuse(std::error_code& ec, int error, const char* why) {
  fail(ec, error, [&] { return fmt::format("{}; the message was dropped, close the connection", why); });
}

void check(const Message& message, std::string_view heap, std::string_view name, std::error_code& ec) {
  if (message.magic != magic) {
    refuse(ec, EBADMSG, "the peer did not send a buffer");
  } else if (message.version != version) {
    fail(ec, EPROTONOSUPPORT, [&] {
      return fmt::format("the peer speaks version {}, this library version {}; use the same library on both sides",
                         message.version, version);
    });
  } else if (std::error_code malformed; detail::check_name(name, malformed),
                                        malformed || heap.size() == message.heap.size() || !detail::is_heap_name(heap)) {
    refuse(ec, EBADMSG, "the message carries malformed names");
  } else if (message.size == 0 || message.size > SIZE_MAX || message.kind > Kind::Handle) {
    refuse(ec, EBADMSG, "the message carries an impossible size or kind");
  }
}

/// The descriptors that came with a message: one is kept, the others are closed.
class Descriptors {
public:
  Descriptors() noexcept = default;
  Descriptors(const Descriptors&) = delete;
  Descriptors& operator=(const Descriptors&) = delete;
  ~Descriptors() { detail::close_unproven(std::move(last_)); }

  void take(msghdr& message) {
    for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr; control = CMSG_NXTHDR(&message, control)) {
      // A socket with SO_PASSPIDFD brings a descriptor of the sender's process with each message; it ends here.
      const bool rights = control->cmsg_type == SCM_RIGHTS;
      if (control->cmsg_level != SOL_SOCKET || (!rights && control->cmsg_type != SCM_PIDFD)) {
        continue;
      }
      for (std::size_t at = CMSG_LEN(0); at + sizeof(int) <= control->cmsg_len; at += sizeof(int)) {
        int number = -1;
        std::memcpy(&number, reinterpret_cast<unsigned char*>(control) + at, sizeof number);
        UniqueFd fd{number};
        if (rights) {
          detail::close_unproven(std::exchange(last_, std::move(fd)));
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
UniqueFd read_message(int socket, Message& received, std::error_code& ec) {
  const std::span bytes = std::as_writable_bytes(std::span(&received, 1));
  Descriptors fds;
  int flags = 0;
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    // Room for what the socket may be set to bring along (SO_PASSCRED, SO_PASSPIDFD, SO_PASSSEC), and for descriptors
    // that must not come, so as to close them.
    alignas(cmsghdr) std::array<unsigned char, 256> control{};
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

DmaBuf build(UniqueFd fd, const Message& message, const Registry* registry, std::error_code& ec) {
  const std::string_view heap_name = text(message.heap);
  const std::string_view name = text(message.name);
  check(message, heap_name, name, ec);
  if (!ec && message.kind == Kind::Handle && !detail::served_by_kernel(fd.get())) {
    refuse(ec, EBADMSG, "the handle is a file whose file system could keep this process waiting");
  }
  if (ec) {
    detail::close_unproven(std::move(fd));
    return {};
  }
  if (message.kind == Kind::Handle) { // only the heap knows what to do with it, and it believes nothing of the rest
    const auto heap = (registry != nullptr ? *registry : Registry::system()).find(heap_name);
    if (heap == nullptr) {
      fail(ec, ENOENT, [&] { return fmt::format("the peer's buffer is from {}, which this process does not know", heap_name); });
      return {};
    }
    return heap->accept(std::move(fd), message.offset, static_cast<std::size_t>(message.size), name, ec);
  }
  DmaBuf buffer = detail::import_fd(std::move(fd), std::make_shared<const std::string>(heap_name), ec);
  if (!ec && (message.offset != 0 || message.size != buffer.size())) {
    refuse(ec, EBADMSG, "the message carries a size that its descriptor does not have");
    return {};
  }
  if (buffer) {
    Handover::buffer(buffer)->remember_name(name);
  }
  return buffer;
}

DmaBuf receive_with(int socket, const Registry* registry, std::error_code& ec) {
  Message message; // filled, or not used
  UniqueFd fd = read_message(socket, message, ec);
  if (ec) {
    return {};
  }
  translate(message);
  return build(std::move(fd), message, registry, ec);
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
    Message message{};
    if (buffer->claimed_heap().size() >= message.heap.size()) {
      fail(ec, ENAMETOOLONG, [&] { return fmt::format("the heap's name is over {} bytes", message.heap.size() - 1); });
      return;
    }
    const Memory& memory = buffer->memory();
    const int fd = memory.handle != nullptr ? memory.handle(memory.keep.get(), ec) : memory.fd.get();
    if (ec) {
      return;
    }
    message.magic = magic;
    message.version = version;
    message.size = memory.size;
    if (memory.descriptor == Descriptor::Handle) {
      message.kind = Kind::Handle;
      message.offset = memory.phys_addr.value_or(0);
    }
    buffer->claimed_heap().copy(message.heap.data(), message.heap.size());
    buffer->name().copy(message.name.data(), message.name.size());
    translate(message);

    alignas(cmsghdr) std::array<unsigned char, CMSG_SPACE(sizeof(int))> control{};
    iovec part{&message, sizeof message};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
    buffer->give_away();
    // A Unix socket takes a message of this size whole or not at all, also a stream: one socket buffer holds it.
    const ssize_t sent = detail::uninterrupted([&] { return ::sendmsg(socket, &header, MSG_NOSIGNAL); });
    if (sent < 0) {
      const int error = errno == EWOULDBLOCK ? EAGAIN : errno;
      fail(ec, error, "sendmsg");
    } else if (static_cast<std::size_t>(sent) != sizeof message) {
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

}} // namespace sa::v0
