// SPDX-License-Identifier: MIT
/// @file ipc.hpp
/// Sends buffers to other processes and receives them, over Unix sockets of type SEQPACKET or STREAM.
///
/// The message of a buffer is a fixed little-endian header (magic, version, size, offset, heap, name) with exactly one descriptor
/// (SCM_RIGHTS, unix(7)). The message of an image also has the layout, a number that the sender chooses, and a descriptor for
/// each buffer. The receiver derives size and traits from the descriptors, and checks the header's values against them.
///
/// Threads: any thread may call these functions. Threads that use the same socket need a lock of their own.
#pragma once

#include <cstdint>
#include <system_error>

#include <sa/dma_buf.hpp>
#include <sa/export.hpp>
#include <sa/image.hpp>

namespace sa { inline namespace v0 {

class Registry;

/// Sends a buffer. The sender's @p buffer stays valid. After the return the message holds the memory too, even if this
/// process dies. The call never raises SIGPIPE.
/// @param socket borrowed
/// @param buffer borrowed
/// @throws Error EBADF: an empty buffer. EAGAIN, EPIPE, ECONNRESET, ENOTSOCK, ...: what sendmsg(2) reports.
SA_API void send(int socket, const DmaBuf& buffer);
SA_API void send(int socket, const DmaBuf& buffer, std::error_code& ec) noexcept;

/// Receives a buffer. claimed_heap() and name() are the sender's words; everything else is derived from the descriptor,
/// as in DmaBuf::import(). A refused message is consumed and its descriptors are closed. Credentials and pidfds that
/// the socket delivers (SO_PASSCRED, SO_PASSPIDFD) are dropped.
/// @param socket borrowed
/// @throws Error EAGAIN: nothing there on a non-blocking socket. ECONNRESET: the peer closed. EPROTONOSUPPORT: another
///         version. EBADMSG: not such a message, descriptors missing, surplus or cut off, a size the descriptor does
///         not have. EPROTO: a message in pieces on a non-blocking stream. EINVAL: a descriptor that
///         DmaBuf::import() refuses. ENOENT: a handle of a heap that @p registry does not know.
[[nodiscard]] SA_API DmaBuf receive(int socket);
[[nodiscard]] SA_API DmaBuf receive(int socket, std::error_code& ec) noexcept;

/// Receives a buffer. @p registry finds the heap for a handle that only its heap understands (a carveout through
/// /dev/mem). The overloads without it use Registry::system(), but only for such handles.
[[nodiscard]] SA_API DmaBuf receive(int socket, const Registry& registry);
[[nodiscard]] SA_API DmaBuf receive(int socket, const Registry& registry, std::error_code& ec) noexcept;

/// A received image, and the number that its sender gave it.
struct ReceivedImage {
  Image image;
  std::uint64_t number = 0; ///< the sender's number: that of a camera's frame or of a slot, as the two sides agree
};

/// Sends an image in one message, as send() sends a buffer. The sender's @p image stays valid.
/// @param socket borrowed
/// @param image borrowed
/// @param number a number for the receiver, ReceivedImage::number
/// @throws Error as send() of a buffer
SA_API void send(int socket, const Image& image, std::uint64_t number = 0);
SA_API void send(int socket, const Image& image, std::uint64_t number, std::error_code& ec) noexcept;

/// Receives an image: each buffer as receive() does, the layout as Image::import() does. A receiver that keeps objects
/// for a buffer (a framebuffer, a texture) finds them again by DmaBuf::id(), which is the same each time that the
/// buffer arrives.
/// @throws Error as receive(). EBADMSG: also a buffer that was sent without a layout, and a layout that check() refuses
///         or that does not fit its buffers.
[[nodiscard]] SA_API ReceivedImage receive_image(int socket);
[[nodiscard]] SA_API ReceivedImage receive_image(int socket, std::error_code& ec) noexcept;
/// @param socket borrowed
/// @param registry as in receive()
[[nodiscard]] SA_API ReceivedImage receive_image(int socket, const Registry& registry);
[[nodiscard]] SA_API ReceivedImage receive_image(int socket, const Registry& registry, std::error_code& ec) noexcept;

}} // namespace sa::v0
