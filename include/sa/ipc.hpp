// SPDX-License-Identifier: MIT
/// @file ipc.hpp
/// Buffers to and from other processes, over Unix sockets of type SEQPACKET or STREAM.
///
/// A buffer's message is a fixed little-endian header (magic, version, size, offset, heap, name) with exactly one descriptor
/// (SCM_RIGHTS, unix(7)). An image's has the layout and a number of the sender's as well, and a descriptor for each buffer.
/// The receiver derives size and traits from the descriptors; what the header says of them is checked, never believed. The
/// functions may be called from any thread; calls on one socket need an order of the caller's.
#pragma once

#include <cstdint>
#include <system_error>

#include <sa/dma_buf.hpp>
#include <sa/export.hpp>
#include <sa/image.hpp>

namespace sa { inline namespace v0 {

class Registry;

/// Sends a buffer; the sender keeps its own hold on it. From the return on the memory lives in the message too, even
/// if this process dies. On a full non-blocking socket EAGAIN, and nothing was sent. Never raises SIGPIPE.
/// @param socket borrowed
/// @param buffer borrowed
/// @throws Error EBADF: an empty buffer. EAGAIN, EPIPE, ECONNRESET, ENOTSOCK, ...: what sendmsg(2) reports.
SA_API void send(int socket, const DmaBuf& buffer);
SA_API void send(int socket, const DmaBuf& buffer, std::error_code& ec) noexcept;

/// Receives a buffer. claimed_heap() and name() are what the sender said; everything else is derived from the descriptor, as
/// DmaBuf::import() does. A message that is refused is consumed, its descriptors are closed. Other things that the socket is
/// set to bring along (SO_PASSCRED, SO_PASSPIDFD) are dropped.
/// @param socket borrowed
/// @throws Error EAGAIN: nothing there on a non-blocking socket. ECONNRESET: the peer closed. EPROTONOSUPPORT: another
///         version. EBADMSG: not such a message, descriptors missing, surplus or cut off, a size the descriptor does
///         not have. EPROTO: a message in pieces on a non-blocking stream. EINVAL: a descriptor that
///         DmaBuf::import() refuses. ENOENT: a handle of a heap that @p registry does not know.
[[nodiscard]] SA_API DmaBuf receive(int socket);
[[nodiscard]] SA_API DmaBuf receive(int socket, std::error_code& ec) noexcept;

/// The same, with the registry that resolves handles only a heap understands (a carveout through /dev/mem); the other
/// overloads take Registry::system(), which they touch only for such handles.
[[nodiscard]] SA_API DmaBuf receive(int socket, const Registry& registry);
[[nodiscard]] SA_API DmaBuf receive(int socket, const Registry& registry, std::error_code& ec) noexcept;

/// An image that came, and the number that its sender gave it.
struct ReceivedImage {
  Image image;
  std::uint64_t number = 0; ///< a camera's frame, or the slot of a ring: what the two sides agree on
};

/// Sends an image in one message; the sender keeps its own hold on it. As send() of a buffer otherwise.
/// @param socket borrowed
/// @param image borrowed
/// @param number for the receiver, ReceivedImage::number
SA_API void send(int socket, const Image& image, std::uint64_t number = 0);
SA_API void send(int socket, const Image& image, std::uint64_t number, std::error_code& ec) noexcept;

/// Receives an image: as receive() does for each buffer, and Image::import() for the layout. A receiver that keeps what it made
/// of a buffer finds it again by DmaBuf::id(), which is the same each time the buffer comes.
/// @throws Error as receive(). EBADMSG: also a buffer that was sent without a layout, and a layout that cannot be or in which
///         a plane does not lie in its buffer.
[[nodiscard]] SA_API ReceivedImage receive_image(int socket);
[[nodiscard]] SA_API ReceivedImage receive_image(int socket, std::error_code& ec) noexcept;
/// @param socket borrowed
/// @param registry as in receive()
[[nodiscard]] SA_API ReceivedImage receive_image(int socket, const Registry& registry);
[[nodiscard]] SA_API ReceivedImage receive_image(int socket, const Registry& registry, std::error_code& ec) noexcept;

}} // namespace sa::v0
