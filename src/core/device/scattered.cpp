// SPDX-License-Identifier: MIT
#include "core/device/scattered.hpp"

#include <algorithm>
#include <vector>

#include <fcntl.h>
#include <linux/udmabuf.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <sa/heap.hpp>

#include "core/base/byte_size.hpp"
#include "core/base/device_node.hpp"
#include "core/base/failure.hpp"
#include "core/base/system_call.hpp"
#include "core/base/system_facts.hpp"
#include "core/buffer/memfd.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

constexpr const char* node = "/dev/udmabuf";
constexpr std::size_t most_pieces = 512; ///< the kernel's list_limit is 1024 unless somebody changed it
constexpr std::size_t least_pieces = 4;

/// @param piece bytes
DmaBuf make_of_pieces(std::size_t count, std::size_t piece, std::error_code& ec) {
  const UniqueFd device{uninterrupted([&] { return ::open(node, O_RDWR | O_CLOEXEC); })};
  if (!device) {
    const int error = errno;
    fail(ec, error, [&] { return open_refused(node, error); });
    return {};
  }
  const UniqueFd memory = make_memfd("sa-udmabuf:scattered", count * piece, 0, ec);
  if (ec) {
    return {};
  }
  // Small pages: a huge one would be one run again.
  void* const mapped = ::mmap(nullptr, count * piece, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
  if (mapped == MAP_FAILED) {
    fail(ec, errno, "mmap");
    return {};
  }
  const MappedRange range(mapped, count * piece);
  ::madvise(mapped, count * piece, MADV_NOHUGEPAGE);
  // Every second piece, then those between: whether the pages lie in ascending or in descending order, no piece follows
  // its predecessor. Reversing alone would undo a descending order, which a fresh machine hands out.
  std::vector<std::byte> storage(sizeof(udmabuf_create_list) + count * sizeof(udmabuf_create_item));
  auto* const list = reinterpret_cast<udmabuf_create_list*>(storage.data());
  list->flags = UDMABUF_FLAGS_CLOEXEC;
  list->count = static_cast<__u32>(count);
  std::size_t at = 0;
  for (const std::size_t first : {std::size_t{1}, std::size_t{0}}) {
    for (std::size_t i = first; i < count; i += 2) {
      list->list[at++] = {static_cast<__u32>(memory.get()), 0, i * piece, piece};
    }
  }
  UniqueFd fd{restarted([&] { return ::ioctl(device.get(), UDMABUF_CREATE_LIST, list); })};
  if (!fd) {
    fail(ec, errno, "UDMABUF_CREATE_LIST");
    return {};
  }
  return DmaBuf::import(std::move(fd), ec);
}

} // namespace

DmaBuf make_scattered(std::size_t size, std::error_code& ec) {
  const std::size_t limit = std::clamp<std::size_t>(
      read_number("/sys/module/udmabuf/parameters/list_limit").value_or(most_pieces), least_pieces, most_pieces);
  const std::size_t piece = round_up((size + limit - 1) / limit, page_size()); // bytes
  return make_of_pieces(std::max(least_pieces, (size + piece - 1) / piece), piece, ec);
}

DmaBuf make_one_page(std::error_code& ec) {
  return make_of_pieces(1, page_size(), ec);
}

}}} // namespace sa::v0::detail
