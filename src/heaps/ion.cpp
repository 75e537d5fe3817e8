// SPDX-License-Identifier: MIT
/// `ion:<name>`: every heap of Android's ION, in kernels 4.12 to 5.10 (drivers/staging/android/ion), by the name that the
/// kernel tells. ION before that handed out handles in place of dma-bufs: it is recognised and refused.
#include "heaps/ion.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <optional>

#include <fcntl.h>
#include <sys/utsname.h>

#include <fmt/format.h>

#include "core/base/device_node.hpp"
#include "core/base/failure.hpp"
#include "core/base/heap_name.hpp"
#include "core/base/system_call.hpp"
#include "core/base/system_facts.hpp"
#include "core/heap/backend.hpp"
#include "heaps/cma_region.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

constexpr const char* node_path = "/dev/ion";
/// Stands for all heaps where their names cannot be asked for: nearly every ION has this one.
constexpr const char* system_heap = "ion_system_heap";
/// A heap is asked for by one bit of heap_id_mask.
constexpr std::uint32_t ids = 32;

std::string old_interface() {
  return fmt::format("{} has the interface of kernels before 4.12, which gives no dma-bufs; use another heap (sactl heaps), or a "
                     "kernel from 4.12 on",
                     node_path);
}

std::string_view name_of(const ion::HeapData& heap) {
  const std::string_view name(heap.name, sizeof heap.name);
  return name.substr(0, name.find('\0'));
}

/// The heaps there are. @p ec EOPNOTSUPP: the old interface.
std::vector<ion::HeapData> query(int device, std::error_code& ec) {
  ion::HeapQuery argument{};
  std::vector<ion::HeapData> heaps;
  const auto ask = [&] { return uninterrupted([&] { return ::ioctl(device, ion::query_heaps, &argument); }) == 0; };
  bool told = ask();
  if (told && argument.count != 0) {
    heaps.resize(argument.count);
    argument.heaps = reinterpret_cast<std::uintptr_t>(heaps.data());
    told = ask();
  }
  if (!told) {
    const int error = errno == ENOTTY ? EOPNOTSUPP : errno;
    fail(ec, error, [&] { return error == EOPNOTSUPP ? old_interface() : kernel_said("ION_IOC_HEAP_QUERY", error); });
    return {};
  }
  heaps.resize(std::min<std::size_t>(argument.count, heaps.size()));
  std::erase_if(heaps, [](const ion::HeapData& heap) { return heap.id >= ids; });
  return heaps;
}

/// The largest run of pages that the buddy allocator gives, bytes: /proc/buddyinfo has a column for each order.
std::size_t largest_run() {
  const std::string text = read_text("/proc/buddyinfo");
  const std::string_view line = std::string_view(text).substr(0, text.find('\n')); // "Node 0, zone DMA 1 0 0 ..."
  std::size_t words = 0;
  for (std::size_t at = line.find_first_not_of(' '); at < line.size(); at = line.find_first_not_of(' ', line.find(' ', at))) {
    ++words;
  }
  constexpr std::size_t before = 4; // "Node", "0,", "zone" and its name
  return words <= before ? total_memory() : page_size() << (words - before - 1);
}

std::string kernel_release() {
  utsname system{};
  return ::uname(&system) == 0 ? system.release : "";
}

class IonHeap final : public Heap {
public:
  /// @param kernel_name what the kernel calls the heap
  /// @param id what it is asked for by; nothing where the kernel could not be asked, for the reason @p refused
  IonHeap(const std::string& name, std::string_view kernel_name, std::uint32_t type, std::optional<std::uint32_t> id,
          std::string refused)
      : node_(node_path, O_RDONLY), kernel_name_(kernel_name), type_(type), id_(id) {
    info_.name = "ion:" + name;
    info_.backend = "ion";
    info_.node = node_.path();
    info_.traits = ion::traits(type, kernel_release());
    info_.granularity = page_size();
    info_.max_size = total_memory();
    if (type == ion::System) { // more it refuses by itself (drivers/staging/android/ion/ion_system_heap.c)
      info_.max_size = static_cast<std::size_t>(
          std::min<std::uint64_t>(meminfo("MemTotal").value_or(UINT64_MAX) / 2 / page_size() * page_size(), info_.max_size));
    } else if (type == ion::SystemContiguous) {
      info_.max_size = largest_run();
    } else if (type == ion::Dma) {
      info_.max_size = cma_state(kernel_name_).total.value_or(total_memory());
    }
    info_.reason = std::move(refused);
    info_.usable = info_.reason.empty();
  }

  [[nodiscard]] const HeapInfo& info() const noexcept override { return info_; }

protected:
  DmaBuf do_allocate(const AllocRequest& request, std::error_code& ec) override {
    const int device = node_.open(ec);
    const std::uint32_t id = ec ? 0 : id_ ? *id_ : find_id(device, ec);
    if (ec) {
      return {};
    }
    ion::AllocationData argument{};
    argument.length = rounded_size(request);
    argument.heap_id_mask = std::uint32_t{1} << id;
    // Cached: CPU reads of write-combining memory are many times slower, and SYNC does what caches need. A vendor's heap may
    // refuse the flag (memory that the CPU must not cache), and gets none.
    argument.flags = type_ < ion::FirstOfVendors ? ion::flag_cached : 0;
    if (uninterrupted([&] { return ::ioctl(device, ion::allocate, &argument); }) < 0) {
      const int error = errno == ENOTTY ? EOPNOTSUPP : errno;
      return refuse(ec, error, [&] { return refused(argument.length, error); });
    }
    Memory memory;
    memory.fd = UniqueFd{static_cast<int>(argument.fd)}; // close-on-exec: the kernel sees to it
    memory.size = argument.length;
    memory.traits = info_.traits;
    memory.count_tells = type_ < ion::FirstOfVendors;
    return adopt(std::move(memory), request.name);
  }

private:
  /// For a heap that was made when the kernel could not be asked.
  std::uint32_t find_id(int device, std::error_code& ec) const {
    const auto heaps = query(device, ec);
    const auto found =
        std::find_if(heaps.begin(), heaps.end(), [&](const ion::HeapData& heap) { return name_of(heap) == kernel_name_; });
    if (ec || found != heaps.end()) {
      return ec ? 0 : found->id;
    }
    fail(ec, ENODEV, [&] { return fmt::format("ION has no heap {}; look for heaps again (sactl heaps)", kernel_name_); });
    return 0;
  }

  [[nodiscard]] std::string refused(std::uint64_t size, int error) const {
    const std::string said = error == EOPNOTSUPP                    ? old_interface() // of 4.10 and 4.11, with a query
                             : error == ENOMEM && type_ == ion::Dma ? cma_refused(size, kernel_name_)
                                                                    : std::string();
    return said.empty() ? kernel_said("ION_IOC_ALLOC", error) : said;
  }

  DeviceNode node_;
  std::string kernel_name_;
  std::uint32_t type_;
  std::optional<std::uint32_t> id_;
  HeapInfo info_;
};

} // namespace

std::vector<std::string> ion::names(std::span<const HeapData> heaps) {
  std::vector<std::string> names;
  for (const HeapData& heap : heaps) {
    std::string name(name_of(heap));
    for (std::size_t at = 0; at < name.size(); ++at) {
      if (!is_word(std::string_view(&name[at], 1)) || (at != 0 && name[at] == '.' && name[at - 1] == '.')) {
        name[at] = '_';
      }
    }
    names.push_back(name.empty() ? "_" : std::move(name));
  }
  std::vector<std::string> unique = names;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (std::count(names.begin(), names.end(), names[i]) > 1) {
      unique[i] += fmt::format("-{}", heaps[i].id);
    }
  }
  return unique;
}

Traits ion::traits(std::uint32_t type, std::string_view release) {
  constexpr Traits plain = Trait::DmaBuf | Trait::Cached | Trait::Zeroed;
  switch (type) {
  case System:
  case Chunk:
    return plain;
  case SystemContiguous:
  case Carveout:
    return plain | Trait::Contiguous;
  case Dma: {
    // Before 4.16 the last owner's bytes were left in it ("staging: android: ion: Zero CMA allocated memory").
    int version[2] = {};
    const bool read = std::sscanf(std::string(release).c_str(), "%d.%d", &version[0], &version[1]) == 2;
    const bool zeroed = read && (version[0] > 4 || (version[0] == 4 && version[1] >= 16));
    return (zeroed ? plain : plain.without(Trait::Zeroed)) | Trait::Contiguous;
  }
  default:
    return Trait::DmaBuf;
  }
}

std::vector<std::shared_ptr<Heap>> discover_ion(const Configured&) {
  const UniqueFd device{uninterrupted([] { return ::open(node_path, O_RDONLY | O_CLOEXEC); })};
  const int error = device ? 0 : errno;
  if (error == ENOENT) {
    return {}; // most kernels have none, and no fix would bring it
  }
  std::vector<std::shared_ptr<Heap>> found;
  const Explanation said;
  std::error_code ec;
  std::vector<ion::HeapData> heaps;
  if (device) {
    heaps = query(device.get(), ec);
  } else {
    fail(ec, error, [&] { return open_refused(node_path, error); });
  }
  if (ec) { // listed all the same, with the reason
    found.push_back(std::make_shared<IonHeap>(system_heap, system_heap, ion::System, std::nullopt, said.text()));
  }
  const std::vector<std::string> names = ion::names(heaps);
  for (std::size_t i = 0; i < heaps.size(); ++i) {
    found.push_back(std::make_shared<IonHeap>(names[i], name_of(heaps[i]), heaps[i].type, heaps[i].id, std::string()));
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a->info().name < b->info().name; });
  return found;
}

}}} // namespace sa::v0::detail
