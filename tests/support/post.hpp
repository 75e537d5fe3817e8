// SPDX-License-Identifier: MIT
/// @file post.hpp
/// Sends any bytes with any descriptors, as a peer could that is not ours.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>

#include <sys/socket.h>
#include <sys/uio.h>

namespace support {

/// Whether the socket took all of it. At most 60 descriptors.
inline bool post(int socket, std::span<const std::uint8_t> bytes, std::span<const int> fds) {
  alignas(cmsghdr) std::array<unsigned char, CMSG_SPACE(60 * sizeof(int))> control{};
  iovec part{const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
  }
  return ::sendmsg(socket, &header, 0) == static_cast<ssize_t>(bytes.size());
}

} // namespace support
