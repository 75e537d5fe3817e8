// SPDX-License-Identifier: MIT
#include "core/buffer/prefault.hpp"

#include <cerrno>

#include <sys/mman.h>

#include "core/base/failure.hpp"
#include "core/base/system_facts.hpp"
#include "core/buffer/buffer.hpp"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 // linux/mman.h since 5.14
#endif

namespace sa { inline namespace v0 { namespace detail {

void populate(void* address, std::size_t length, std::error_code& ec) {
  if (::madvise(address, length, MADV_POPULATE_WRITE) == 0) {
    return;
  }
  if (errno != EINVAL) {
    const int error = errno == EFAULT ? ENOMEM : errno; // EFAULT: a page could not be had (madvise(2))
    fail(ec, error, "MADV_POPULATE_WRITE");
    return;
  }
  auto* bytes = static_cast<volatile char*>(address);
  for (std::size_t offset = 0; offset < length; offset += page_size()) {
    bytes[offset] = 0;
  }
}

void prefault(const DmaBuf& buffer, std::error_code& ec) {
  Buffer& state = *Handover::buffer(buffer);
  if (state.populated()) {
    return;
  }
  const Mapping mapping = buffer.map_unsynchronized(Access::ReadWrite, ec);
  if (!ec) {
    populate(mapping.bytes().data(), mapping.bytes().size(), ec);
  }
  if (!ec) {
    state.set_populated();
  }
}

}}} // namespace sa::v0::detail
