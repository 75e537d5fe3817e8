// SPDX-License-Identifier: MIT
/// A heap written outside the library: each buffer is mapped between two pages without access, so that a write
/// past its end is a fault at once and not a wrong pixel somewhere else. For debugging a pipeline.
#pragma once

#include <cerrno>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <sa/sa.hpp>

class GuardHeap final : public sa::Heap {
public:
  GuardHeap() {
    info_.name = "guard:4k";
    info_.backend = "guard";
    info_.traits = sa::Trait::Cached | sa::Trait::Zeroed;
    info_.granularity = page_;
    info_.max_size = std::size_t{1} << (sizeof(std::size_t) == 8 ? 32 : 28);
    info_.usable = true;
  }

  [[nodiscard]] const sa::HeapInfo& info() const noexcept override { return info_; }

protected:
  sa::DmaBuf do_allocate(const sa::AllocRequest& request, std::error_code& ec) override {
    sa::Memory memory;
    memory.descriptor = sa::Descriptor::Memfd;
    memory.traits = info_.traits;
    memory.size = rounded_size(request);

    const std::string name(request.name.empty() ? "guard" : request.name);
    memory.fd = sa::UniqueFd{::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    if (!memory.fd || ::ftruncate(memory.fd.get(), static_cast<off_t>(memory.size)) < 0 ||
        ::fcntl(memory.fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
      return refuse(ec, errno, "a sealed memory file");
    }

    const std::size_t guarded = memory.size + 2 * page_;
    void* space = ::mmap(nullptr, guarded, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (space == MAP_FAILED) {
      return refuse(ec, errno, "mmap of address space");
    }
    memory.mapping = sa::MappedRange(space, guarded, page_); // owned from here on
    if (::mmap(memory.mapping.bytes(), memory.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memory.fd.get(), 0) ==
        MAP_FAILED) {
      return refuse(ec, errno, "mmap");
    }
    return adopt(std::move(memory), request.name);
  }

private:
  std::size_t page_ = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  sa::HeapInfo info_;
};
