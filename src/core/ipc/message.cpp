// SPDX-License-Identifier: MIT
#include "core/ipc/message.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include <sys/uio.h>

#include <fmt/format.h>

#include "core/base/failure.hpp"
#include "core/base/system_call.hpp"
#include "core/base/unproven.hpp"

#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04 // linux/socket.h since 6.5
#endif

namespace sa { inline namespace v0 { namespace detail {
namespace {

/// Reads bytes and what comes with them.
class Reader {
public:
  Reader(int socket, Descriptors& fds, std::error_code& ec) : socket_(socket), fds_(fds), ec_(ec) {}

  /// Fills @p bytes; a packet that is shorter leaves the rest as it is. False when the code is set.
  bool fill(std::span<std::byte> bytes) {
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
      const ssize_t got = uninterrupted([&] { return ::recvmsg(socket_, &message, MSG_CMSG_CLOEXEC); });
      if (got < 0) {
        const int error = errno == EWOULDBLOCK ? EAGAIN : errno;
        if (filled_ != 0 && error == EAGAIN) {
          refuse_message(ec_, EPROTO, "the peer sent a message in pieces");
        } else {
          fail(ec_, error, "recvmsg");
        }
        return false;
      }
      fds_.take(message);
      flags_ |= message.msg_flags;
      if (got == 0) {
        if (filled_ == 0) {
          fail(ec_, ECONNRESET, [] { return std::string("the peer closed the connection"); });
        } else {
          refuse_message(ec_, EBADMSG, "the peer closed the connection in the middle of a message");
        }
        return false;
      }
      filled += static_cast<std::size_t>(got);
      filled_ += static_cast<std::size_t>(got);
      if (filled < bytes.size() && !is_stream()) {
        break; // one packet is one message
      }
    }
    return true;
  }

  [[nodiscard]] bool is_stream() const {
    int type = SOCK_STREAM;
    socklen_t length = sizeof type;
    return ::getsockopt(socket_, SOL_SOCKET, SO_TYPE, &type, &length) != 0 || type == SOCK_STREAM;
  }

  [[nodiscard]] std::size_t filled() const { return filled_; } ///< bytes

  /// Whether what was read is a message of @p size bytes and @p count descriptors.
  void check(std::size_t size, unsigned count) {
    if (filled_ < size) {
      refuse_message(ec_, EBADMSG, "the message is too short");
    } else if ((flags_ & MSG_TRUNC) != 0) {
      refuse_message(ec_, EBADMSG, "the message is too long");
    } else if ((flags_ & MSG_CTRUNC) != 0) {
      refuse_message(ec_, EBADMSG,
                     "descriptors were cut off: more than one was sent, or this process may open no more (ulimit -n)");
    } else if (fds_.count() != count) {
      refuse_message(ec_, EBADMSG,
                     fds_.count() == 0 ? "the message has no descriptor"
                     : count == 1      ? "the message has more than one descriptor"
                                       : "the message has not one descriptor for each buffer");
    }
  }

private:
  int socket_;
  Descriptors& fds_;
  std::error_code& ec_;
  int flags_ = 0;
  std::size_t filled_ = 0;
};

/// Which of the messages begins so; 0: none.
template <typename Message>
std::uint16_t version_of(Message message) noexcept {
  translate(message);
  return message.magic == message_magic ? message.version : std::uint16_t{0};
}

} // namespace

void translate([[maybe_unused]] BufferMessage& message) noexcept {
  if constexpr (std::endian::native == std::endian::big) {
    message.magic = __builtin_bswap32(message.magic);
    message.version = __builtin_bswap16(message.version);
    message.kind = Kind{__builtin_bswap16(static_cast<std::uint16_t>(message.kind))};
    message.size = __builtin_bswap64(message.size);
    message.offset = __builtin_bswap64(message.offset);
  }
}

void translate([[maybe_unused]] ImageMessage& message) noexcept {
  if constexpr (std::endian::native == std::endian::big) {
    message.magic = __builtin_bswap32(message.magic);
    message.version = __builtin_bswap16(message.version);
    message.count = __builtin_bswap16(message.count);
    message.number = __builtin_bswap64(message.number);
    for (BufferMessage& buffer : message.buffers) {
      translate(buffer);
    }
  }
}

void refuse_message(std::error_code& ec, int error, const char* why) {
  fail(ec, error, [&] { return fmt::format("{}; the message was dropped, close the connection", why); });
}

Descriptors::~Descriptors() {
  for (UniqueFd& fd : kept_) {
    close_unproven(std::move(fd));
  }
}

void Descriptors::take(msghdr& message) {
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
      if (!rights) {
        continue;
      }
      if (count_ < kept_.size()) {
        kept_[count_] = std::move(fd);
      } else {
        close_unproven(std::move(fd));
      }
      ++count_;
    }
  }
}

void read_message(int socket, BufferMessage& message, Descriptors& fds, std::error_code& ec) {
  Reader reader(socket, fds, ec);
  message.version = 0; // of a shorter one
  if (!reader.fill(std::as_writable_bytes(std::span(&message, 1)))) {
    return;
  }
  if (reader.filled() == sizeof message && version_of(message) == image_version) {
    std::array<std::byte, sizeof(ImageMessage) - sizeof(BufferMessage)> rest{}; // a packet's is gone already
    if (!reader.is_stream() || reader.fill(rest)) {
      refuse_message(ec, EBADMSG, "an image came in place of a buffer, which receive_image() takes");
    }
    return;
  }
  reader.check(sizeof message, 1);
}

void read_message(int socket, ImageMessage& message, Descriptors& fds, std::error_code& ec) {
  Reader reader(socket, fds, ec);
  message.version = 0; // of a shorter one
  message.count = 0;
  const std::span bytes = std::as_writable_bytes(std::span(&message, 1));
  // On a stream the next message follows: what is shorter must not be read over.
  const bool stream = reader.is_stream();
  if (!reader.fill(stream ? bytes.first(sizeof(BufferMessage)) : bytes)) {
    return;
  }
  if (reader.filled() == sizeof(BufferMessage) && version_of(message) == buffer_version) {
    refuse_message(ec, EBADMSG, "a buffer without a layout came in place of an image, which receive() takes");
    return;
  }
  const bool image = version_of(message) == image_version;
  if (stream && image && !reader.fill(bytes.subspan(sizeof(BufferMessage)))) {
    return;
  }
  ImageMessage readable = message;
  translate(readable);
  const std::size_t size = image || !stream ? sizeof message : sizeof(BufferMessage); // another version's is not known
  reader.check(size, image ? std::max<unsigned>(readable.count, 1) : fds.count());
}

void write_message(int socket, std::span<const std::byte> bytes, std::span<const int> fds, std::error_code& ec) {
  alignas(cmsghdr) std::array<unsigned char, CMSG_SPACE(sizeof(int) * max_planes)> control{};
  iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = CMSG_SPACE(fds.size_bytes());
  cmsghdr* rights = CMSG_FIRSTHDR(&header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(fds.size_bytes());
  std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
  // A Unix socket takes a message of this size whole or not at all, also a stream: one socket buffer holds it.
  const ssize_t sent = uninterrupted([&] { return ::sendmsg(socket, &header, MSG_NOSIGNAL); });
  if (sent < 0) {
    const int error = errno == EWOULDBLOCK ? EAGAIN : errno;
    fail(ec, error, "sendmsg");
  } else if (static_cast<std::size_t>(sent) != bytes.size()) {
    fail(ec, EPROTO, [] { return std::string("the socket took a part of the message; use a Unix socket"); });
  }
}

}}} // namespace sa::v0::detail
