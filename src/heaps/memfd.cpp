// SPDX-License-Identifier: MIT
/// `memfd:4k` and `memfd:huge`: anonymous memory files, sealed. They work everywhere without privileges; no device can
/// import them.
#include <string>

#include <fcntl.h>
#include <sys/mman.h>

#include <fmt/format.h>

#include "core/base/failure.hpp"
#include "core/base/system_facts.hpp"
#include "core/buffer/memfd.hpp"
#include "core/heap/backend.hpp"

#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21U << 26) // linux/memfd.h
#endif

namespace sa { inline namespace v0 { namespace detail {
namespace {

constexpr std::size_t huge_page = std::size_t{2} << 20; // bytes
constexpr const char* hugetlb_pool = "/sys/kernel/mm/hugepages/hugepages-2048kB";
constexpr const char* shmem_policy = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

/// The memfd of a buffer is named so: lists of memory can tell the library's buffers from other memory files.
constexpr std::string_view memfd_prefix = "sa:";

/// A zero-terminated name for the kernel, without a heap allocation.
struct KernelName {
  explicit KernelName(std::string_view name) noexcept {
    memfd_prefix.copy(text, memfd_prefix.size());
    name.copy(text + memfd_prefix.size(), max_name_length);
  }
  char text[memfd_prefix.size() + max_name_length + 1] = {};
};

class MemfdHeap final : public Heap {
public:
  MemfdHeap() {
    info_.name = "memfd:4k";
    info_.backend = "memfd";
    info_.traits = Trait::Cached | Trait::Zeroed;
    info_.granularity = page_size();
    info_.max_size = total_memory();
    info_.usable = true;
  }

  [[nodiscard]] const HeapInfo& info() const noexcept override { return info_; }

protected:
  DmaBuf do_allocate(const AllocRequest& request, std::error_code& ec) override {
    Memory memory;
    memory.size = rounded_size(request);
    memory.descriptor = Descriptor::Memfd;
    memory.traits = info_.traits;
    memory.fd = make_memfd(KernelName(request.name).text, memory.size, 0, ec);
    if (ec) {
      return {};
    }
    return adopt(std::move(memory), request.name);
  }

private:
  HeapInfo info_;
};

/// Maps @p length bytes of @p fd at an address that huge pages can back.
MappedRange map_aligned(int fd, std::size_t length, std::error_code& ec) {
  const std::size_t reserved = length + huge_page;
  void* space = ::mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (space == MAP_FAILED) {
    const int error = errno;
    fail(ec, error, "mmap of address space");
    return {};
  }
  const auto start = reinterpret_cast<std::uintptr_t>(space);
  const std::size_t head = (huge_page - start % huge_page) % huge_page;
  auto* aligned = static_cast<std::byte*>(space) + head;
  if (::mmap(aligned, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
    const int error = errno;
    ::munmap(space, reserved);
    fail(ec, error, "mmap");
    return {};
  }
  if (head != 0) {
    ::munmap(space, head);
  }
  ::munmap(aligned + length, huge_page - head);
  return MappedRange(aligned, length);
}

/// Whether the kernel backs shmem with huge pages when a mapping asks for them.
bool shmem_takes_huge_pages(std::error_code& ec) {
  const std::string policy = read_text(shmem_policy, ec);
  const auto in_force = [&](const char* value) { return policy.find(value) != std::string::npos; };
  return in_force("[always]") || in_force("[within_size]") || in_force("[advise]") || in_force("[force]");
}

constexpr const char* huge_mend = "reserve some (sysctl vm.nr_hugepages=64), or let shared memory have them (echo advise > "
                                  "/sys/kernel/mm/transparent_hugepage/shmem_enabled)";

bool descriptors_ran_out(const std::error_code& ec) {
  return ec == std::errc::too_many_files_open || ec == std::errc::too_many_files_open_in_system;
}

class HugeMemfdHeap final : public Heap {
public:
  HugeMemfdHeap() {
    info_.name = "memfd:huge";
    info_.backend = "memfd";
    info_.traits = Trait::Cached | Trait::Zeroed | Trait::HugePages;
    info_.granularity = huge_page;
    info_.max_size = total_memory() / huge_page * huge_page;
    const bool pool = read_number(std::string(hugetlb_pool) + "/nr_hugepages").value_or(0) > 0 ||
                      read_number(std::string(hugetlb_pool) + "/nr_overcommit_hugepages").value_or(0) > 0;
    std::error_code unreadable; // a kernel without huge pages
    info_.usable = pool || shmem_takes_huge_pages(unreadable);
    if (!info_.usable) {
      info_.reason = fmt::format("no huge pages; {}", huge_mend);
    }
  }

  [[nodiscard]] const HeapInfo& info() const noexcept override { return info_; }

protected:
  DmaBuf do_allocate(const AllocRequest& request, std::error_code& ec) override {
    Memory memory;
    memory.size = rounded_size(request);
    memory.descriptor = Descriptor::Memfd;
    memory.traits = info_.traits;
    const KernelName name(request.name);
    reserve_hugetlb(memory, name.text, ec);
    if (ec && !descriptors_ran_out(ec)) {
      memory.fd.reset();
      ec.clear();
      advise_shmem(memory, name.text, ec);
    }
    return ec ? DmaBuf{} : adopt(std::move(memory), request.name);
  }

private:
  /// From the hugetlb pool. Its pages are reserved by mmap, not before: mapping now makes "ran out" an error here
  /// instead of SIGBUS later (Documentation/mm/hugetlbfs_reserv.rst).
  static void reserve_hugetlb(Memory& memory, const char* name, std::error_code& ec) {
    memory.fd = make_memfd(name, memory.size, MFD_HUGETLB | MFD_HUGE_2MB, ec);
    if (ec) {
      return;
    }
    void* address = ::mmap(nullptr, memory.size, PROT_READ | PROT_WRITE, MAP_SHARED, memory.fd.get(), 0);
    if (address == MAP_FAILED) {
      fail(ec, errno, "mmap from the hugetlb pool");
    } else {
      memory.mapping = MappedRange(address, memory.size);
    }
  }

  /// From shmem, asking for huge pages; the kernel gives as many as it finds.
  static void advise_shmem(Memory& memory, const char* name, std::error_code& ec) {
    const bool allowed = shmem_takes_huge_pages(ec);
    if (descriptors_ran_out(ec)) {
      return;
    }
    ec.clear();
    if (!allowed) {
      fail(ec, ENOMEM, [&] {
        return fmt::format("{} of 2 MiB pages wanted, the pool has {} free; {}", bytes_text(memory.size),
                           read_number(std::string(hugetlb_pool) + "/free_hugepages").value_or(0), huge_mend);
      });
      return;
    }
    memory.fd = make_memfd(name, memory.size, 0, ec);
    if (!ec) {
      memory.mapping = map_aligned(memory.fd.get(), memory.size, ec);
    }
    if (!ec) {
      ::madvise(memory.mapping.bytes(), memory.size, MADV_HUGEPAGE); // refused only where huge pages are off
    }
  }

  HeapInfo info_;
};

} // namespace

std::vector<std::shared_ptr<Heap>> discover_memfd(const Configured&) {
  return {std::make_shared<MemfdHeap>(), std::make_shared<HugeMemfdHeap>()};
}

}}} // namespace sa::v0::detail
