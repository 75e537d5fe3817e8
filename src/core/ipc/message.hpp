// SPDX-License-Identifier: MIT
/// @file message.hpp
/// The messages in their form on the socket, and functions to read and write one with its descriptors.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <system_error>
#include <type_traits>

#include <string.h>
#include <sys/socket.h>

#include <sa/layout.hpp>
#include <sa/unique_fd.hpp>

namespace sa { inline namespace v0 { namespace detail {

inline constexpr std::uint32_t message_magic = 0x46424153; // "SABF"
inline constexpr std::uint16_t buffer_version = 1;
inline constexpr std::uint16_t image_version = 2;

/// The kind of a descriptor: the memory, or a handle of its heap's.
enum class Kind : std::uint16_t { Memory = 0, Handle = 1 };

/// One buffer, the same for every heap. Alone it is a message; an image's message has several.
struct BufferMessage {
  std::uint32_t magic;
  std::uint16_t version; // buffer_version
  Kind kind;
  std::uint64_t size;        // bytes
  std::uint64_t offset;      // bytes; the buffer's beginning within the descriptor's memory
  std::array<char, 96> heap; // with a terminating zero
  std::array<char, 32> name; // with a terminating zero
};
static_assert(sizeof(BufferMessage) == 152 && std::is_trivially_copyable_v<BufferMessage>);

/// An image. It begins as a buffer's message does, so that a receiver of an older version says which version it is.
struct ImageMessage {
  std::uint32_t magic;
  std::uint16_t version;        // image_version
  std::uint16_t count;          // of its buffers; as many descriptors come with it
  std::uint64_t number;         // the sender's
  std::array<char, 384> layout; // its text, with a terminating zero
  std::array<BufferMessage, max_planes> buffers;
};
static_assert(sizeof(ImageMessage) == 1008 && std::is_trivially_copyable_v<ImageMessage>);

/// Between this machine's numbers and those that travel, which are little-endian; either way.
void translate(BufferMessage& message) noexcept;
void translate(ImageMessage& message) noexcept;

/// One without a zero is as long as its field, and refused.
template <std::size_t Width>
std::string_view text_of(const std::array<char, Width>& field) noexcept {
  return {field.data(), ::strnlen(field.data(), Width)};
}

/// Sets @p ec, and says that the message is gone and what to do.
void refuse_message(std::error_code& ec, int error, const char* why);

/// The descriptors that came with a message: as many as it may have are kept, the others are closed.
class Descriptors {
public:
  Descriptors() noexcept = default;
  Descriptors(const Descriptors&) = delete;
  Descriptors& operator=(const Descriptors&) = delete;
  ~Descriptors();

  void take(msghdr& message);
  /// How many came.
  [[nodiscard]] unsigned count() const noexcept { return count_; }
  [[nodiscard]] UniqueFd& operator[](unsigned index) noexcept { return kept_[index]; }

private:
  std::array<UniqueFd, max_planes> kept_;
  unsigned count_ = 0;
};

/// Reads one message. All or nothing: one that is refused has been consumed, also on a stream, and @p fds closes what came with
/// it. @p message is as it travelled.
void read_message(int socket, BufferMessage& message, Descriptors& fds, std::error_code& ec);
void read_message(int socket, ImageMessage& message, Descriptors& fds, std::error_code& ec);

/// Sends @p bytes and @p fds, which are borrowed, whole or not at all.
void write_message(int socket, std::span<const std::byte> bytes, std::span<const int> fds, std::error_code& ec);

}}} // namespace sa::v0::detail
