// SPDX-License-Identifier: MIT
/// A buffer from a descriptor that somebody else made.
#include "core/buffer/import.hpp"

#include <utility>

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include "core/base/failure.hpp"
#include "core/base/system_call.hpp"
#include "core/base/unproven.hpp"
#include "core/buffer/buffer.hpp"
#include "core/buffer/memfd.hpp"

namespace sa { inline namespace v0 {
namespace detail {

namespace {

/// A dma-buf is known by its file system, which is asked only about what lies in none: there the kernel itself answers.
bool is_dma_buf(int fd, std::error_code& ec) {
  const int type = file_type(fd);
  if (type < 0) {
    const int error = errno;
    fail(ec, error, "statx");
  }
  if (type != 0) {
    return false;
  }
  struct statfs file_system {};
  if (uninterrupted([&] { return ::fstatfs(fd, &file_system); }) < 0) {
    const int error = errno;
    fail(ec, error, "fstatfs");
    return false;
  }
  return file_system.f_type == DMA_BUF_MAGIC;
}

} // namespace

ForeignMemory prove(int fd, std::error_code& ec) {
  // Only memory files have seals (fcntl(2)): asked first, it spares them the question that is the dearest for them.
  const int seals = ::fcntl(fd, F_GET_SEALS);
  const bool dma_buf = seals < 0 && is_dma_buf(fd, ec);
  if (ec) {
    return {};
  }
  if (dma_buf) {
    // Every exporter's size; dma_buf_llseek answers 0 and SEEK_END alone (drivers/dma-buf/dma-buf.c).
    const off_t size = ::lseek(fd, 0, SEEK_END);
    if (size <= 0 || !std::in_range<std::size_t>(size)) { // not in 32 bits
      fail(ec, size < 0 ? errno : EINVAL, [] { return std::string("the dma-buf tells no size that a program can map"); });
      return {};
    }
    return {Descriptor::DmaBuf, static_cast<std::size_t>(size), Trait::DmaBuf, false};
  }
  const MemfdFacts facts = secure_memfd(fd, seals, ec);
  return {Descriptor::Memfd, facts.size, facts.huge ? Trait::Cached | Trait::HugePages : Traits{Trait::Cached}, facts.frozen};
}

DmaBuf import_fd(UniqueFd fd, std::shared_ptr<const std::string> heap, std::error_code& ec) {
  const ForeignMemory found = prove(fd.get(), ec);
  if (ec) {
    if (ec != std::errc::bad_file_descriptor) {
      close_unproven(std::move(fd));
    }
    return {};
  }
  Memory memory;
  memory.descriptor = found.descriptor;
  memory.size = found.size;
  memory.traits = found.traits;
  memory.fd = std::move(fd);
  return Handover::make(std::move(memory), std::move(heap), Buffer::Origin::Imported,
                        found.frozen ? Buffer::Writing::Forbidden : Buffer::Writing::Unasked);
}

} // namespace detail

DmaBuf DmaBuf::import(UniqueFd fd) {
  return detail::or_throw(
      "import", [] { return std::string("import a descriptor"); },
      [&](std::error_code& ec) { return import(std::move(fd), ec); });
}

DmaBuf DmaBuf::import(UniqueFd fd, std::error_code& ec) noexcept {
  return detail::or_code(ec, [&] {
    static const auto heap = std::make_shared<const std::string>("import");
    return detail::import_fd(std::move(fd), heap, ec);
  });
}

}} // namespace sa::v0
