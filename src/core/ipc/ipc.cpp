// SPDX-License-Identifier: MIT
#include <sa/ipc.hpp>

#include <array>
#include <cerrno>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <sa/registry.hpp>

#include "core/base/failure.hpp"
#include "core/base/heap_name.hpp"
#include "core/base/unproven.hpp"
#include "core/buffer/buffer.hpp"
#include "core/buffer/import.hpp"
#include "core/ipc/message.hpp"

namespace sa { inline namespace v0 {
namespace {

using detail::BufferMessage;
using detail::Descriptors;
using detail::fail;
using detail::ImageMessage;
using detail::Kind;
using detail::refuse_message;
using detail::text_of;

/// Whether a message begins as one of that version does.
void check_version(std::uint32_t magic, std::uint16_t version, std::uint16_t wanted, std::error_code& ec) {
  if (magic != detail::message_magic) {
    refuse_message(ec, EBADMSG, "the peer did not send a buffer");
  } else if (version != wanted) {
    fail(ec, EPROTONOSUPPORT, [&] {
      return fmt::format("the peer speaks version {}, this library version {}; use the same library on both sides", version,
                         wanted);
    });
  }
}

void check(const BufferMessage& message, std::string_view heap, std::string_view name, std::error_code& ec) {
  check_version(message.magic, message.version, detail::buffer_version, ec);
  if (ec) {
    return;
  }
  if (std::error_code malformed;
      detail::check_name(name, malformed), malformed || heap.size() == message.heap.size() || !detail::is_heap_name(heap)) {
    refuse_message(ec, EBADMSG, "the message carries malformed names");
  } else if (message.size == 0 || message.size > SIZE_MAX || message.kind > Kind::Handle) {
    refuse_message(ec, EBADMSG, "the message carries an impossible size or kind");
  }
}

DmaBuf build(UniqueFd fd, const BufferMessage& message, const Registry* registry, std::error_code& ec) {
  const std::string_view heap_name = text_of(message.heap);
  const std::string_view name = text_of(message.name);
  check(message, heap_name, name, ec);
  if (!ec && message.kind == Kind::Handle && !detail::served_by_kernel(fd.get())) {
    refuse_message(ec, EBADMSG, "the handle is a file whose file system could keep this process waiting");
  }
  if (ec) {
    detail::close_unproven(std::move(fd));
    return {};
  }
  if (message.kind == Kind::Handle) { // only the heap understands it, and it checks the rest
    const auto heap = (registry != nullptr ? *registry : Registry::system()).find(heap_name);
    if (heap == nullptr) {
      fail(ec, ENOENT, [&] { return fmt::format("the peer's buffer is from {}, which this process does not know", heap_name); });
      return {};
    }
    return heap->accept(std::move(fd), message.offset, static_cast<std::size_t>(message.size), name, ec);
  }
  DmaBuf buffer = detail::import_fd(std::move(fd), std::make_shared<const std::string>(heap_name), ec);
  if (!ec && (message.offset != 0 || message.size != buffer.size())) {
    refuse_message(ec, EBADMSG, "the message carries a size that its descriptor does not have");
    return {};
  }
  if (buffer) {
    Handover::buffer(buffer)->remember_name(name);
  }
  return buffer;
}

DmaBuf receive_with(int socket, const Registry* registry, std::error_code& ec) {
  BufferMessage message; // filled, or not used
  Descriptors fds;
  detail::read_message(socket, message, fds, ec);
  if (ec) {
    return {};
  }
  detail::translate(message);
  return build(std::move(fds[0]), message, registry, ec);
}

ReceivedImage receive_image_with(int socket, const Registry* registry, std::error_code& ec) {
  ImageMessage message; // filled, or not used
  Descriptors fds;
  detail::read_message(socket, message, fds, ec);
  if (ec) {
    return {};
  }
  detail::translate(message);
  check_version(message.magic, message.version, detail::image_version, ec);
  if (ec) {
    return {};
  }
  const std::string_view text = text_of(message.layout);
  std::error_code malformed;
  const ImageLayout layout = parse_layout(text.size() == message.layout.size() ? std::string_view() : text, malformed);
  if (malformed || layout.buffer_count() != message.count) {
    refuse_message(ec, EBADMSG, "the message carries an impossible layout");
    return {};
  }
  std::vector<DmaBuf> buffers;
  buffers.reserve(message.count);
  for (unsigned i = 0; i < message.count && !ec; ++i) {
    buffers.push_back(build(std::move(fds[i]), message.buffers[i], registry, ec));
  }
  if (ec) {
    return {};
  }
  ReceivedImage received;
  received.number = message.number;
  received.image = Image::import(layout, std::move(buffers), malformed);
  if (malformed) {
    refuse_message(ec, EBADMSG, "a buffer of the message is smaller than its layout says");
    return {};
  }
  return received;
}

/// Fills in what travels of a buffer. Its descriptor, borrowed; -1 when @p ec is set.
int describe(const DmaBuf& dma_buf, BufferMessage& message, std::error_code& ec) {
  detail::Buffer* buffer = Handover::buffer(dma_buf);
  if (buffer == nullptr) {
    fail(ec, EBADF, [] { return std::string("the buffer is empty"); });
    return -1;
  }
  if (buffer->claimed_heap().size() >= message.heap.size()) {
    fail(ec, ENAMETOOLONG, [&] { return fmt::format("the heap's name is over {} bytes", message.heap.size() - 1); });
    return -1;
  }
  const Memory& memory = buffer->memory();
  const int fd = memory.handle != nullptr ? memory.handle(memory.keep.get(), ec) : memory.fd.get();
  if (ec) {
    return -1;
  }
  message.magic = detail::message_magic;
  message.version = detail::buffer_version;
  message.size = memory.size;
  if (memory.descriptor == Descriptor::Handle) {
    message.kind = Kind::Handle;
    message.offset = memory.phys_addr.value_or(0);
  }
  buffer->claimed_heap().copy(message.heap.data(), message.heap.size());
  buffer->name().copy(message.name.data(), message.name.size());
  buffer->give_away();
  return fd;
}

} // namespace

void send(int socket, const DmaBuf& buffer) {
  detail::or_throw(
      buffer.heap(), [&] { return fmt::format("send a buffer of {} bytes", buffer.size()); },
      [&](std::error_code& ec) { send(socket, buffer, ec); });
}

void send(int socket, const DmaBuf& buffer, std::error_code& ec) noexcept {
  detail::or_code(ec, [&] {
    BufferMessage message{};
    const int fd = describe(buffer, message, ec);
    if (!ec) {
      detail::translate(message);
      detail::write_message(socket, std::as_bytes(std::span(&message, 1)), std::span(&fd, 1), ec);
    }
  });
}

void send(int socket, const Image& image, std::uint64_t number) {
  detail::or_throw(
      "", [&] { return fmt::format("send an image of {}x{} pixels", image.layout().width, image.layout().height); },
      [&](std::error_code& ec) { send(socket, image, number, ec); });
}

void send(int socket, const Image& image, std::uint64_t number, std::error_code& ec) noexcept {
  detail::or_code(ec, [&] {
    if (!image) {
      fail(ec, EBADF, [] { return std::string("the image is empty"); });
      return;
    }
    ImageMessage message{};
    message.magic = detail::message_magic;
    message.version = detail::image_version;
    message.count = static_cast<std::uint16_t>(image.buffers().size());
    message.number = number;
    const std::string layout = to_string(image.layout());
    if (layout.size() >= message.layout.size()) {
      fail(ec, EMSGSIZE, [&] { return fmt::format("the layout's text is over {} bytes", message.layout.size() - 1); });
      return;
    }
    layout.copy(message.layout.data(), message.layout.size());
    std::array<int, max_planes> fds{};
    for (unsigned i = 0; i < message.count && !ec; ++i) {
      fds[i] = describe(image.buffer(i), message.buffers[i], ec);
    }
    if (!ec) {
      detail::translate(message);
      detail::write_message(socket, std::as_bytes(std::span(&message, 1)), std::span(fds).first(image.buffers().size()), ec);
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

ReceivedImage receive_image(int socket) {
  return detail::or_throw(
      "", [] { return std::string("receive an image"); }, [&](std::error_code& ec) { return receive_image(socket, ec); });
}

ReceivedImage receive_image(int socket, std::error_code& ec) noexcept {
  return detail::or_code(ec, [&] { return receive_image_with(socket, nullptr, ec); });
}

ReceivedImage receive_image(int socket, const Registry& registry) {
  return detail::or_throw(
      "", [] { return std::string("receive an image"); },
      [&](std::error_code& ec) { return receive_image(socket, registry, ec); });
}

ReceivedImage receive_image(int socket, const Registry& registry, std::error_code& ec) noexcept {
  return detail::or_code(ec, [&] { return receive_image_with(socket, &registry, ec); });
}

}} // namespace sa::v0
