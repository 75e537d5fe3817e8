// SPDX-License-Identifier: MIT
#include "core/device/scattered.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <linux/udmabuf.h>
#include <sys/ioctl.h>

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

/// Buffers of the same @p count pieces: the first in the order of the file, the second in the reverse.
/// @param piece bytes
std::array<DmaBuf, 2> make_of_pieces(std::size_t count, std::size_t piece, std::error_code& ec) {
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
  std::vector<std::byte> storage(sizeof(udmabuf_create_list) + count * sizeof(udmabuf_create_item));
  auto* const list = reinterpret_cast<udmabuf_create_list*>(storage.data());
  list->flags = UDMABUF_FLAGS_CLOEXEC;
  list->count = static_cast<__u32>(count);
  for (std::size_t i = 0; i < count; ++i) {
    list->list[i] = {static_cast<__u32>(memory.get()), 0, i * piece, piece};
  }
  std::array<DmaBuf, 2> made;
  for (DmaBuf& buffer : made) {
    UniqueFd fd{restarted([&] { return ::ioctl(device.get(), UDMABUF_CREATE_LIST, list); })};
    if (!fd) {
      fail(ec, errno, "UDMABUF_CREATE_LIST");
      return {};
    }
    buffer = DmaBuf::import(std::move(fd), ec);
    if (ec) {
      return {};
    }
    std::reverse(list->list, list->list + count);
  }
  return made;
}

} // namespace

std::array<DmaBuf, 2> make_scattered(std::size_t size, std::error_code& ec) {
  const std::size_t limit = std::clamp<std::size_t>(
      read_number("/sys/module/udmabuf/parameters/list_limit").value_or(most_pieces), least_pieces, most_pieces);
  const std::size_t piece = round_up((size + limit - 1) / limit, page_size()); // bytes
  return make_of_pieces(std::max(least_pieces, (size + piece - 1) / piece), piece, ec);
}

DmaBuf make_one_page(std::error_code& ec) {
  return std::move(make_of_pieces(1, page_size(), ec)[0]);
}

}}} // namespace sa::v0::detail
