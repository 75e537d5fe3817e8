// SPDX-License-Identifier: MIT
#include "support/allocations.hpp"

#include <cstdlib>
#include <new>

#include <malloc.h>

namespace {

thread_local support::Allocations counted;
thread_local bool page_for_each = false;

void* aligned(std::size_t size, std::size_t alignment) {
  void* memory = nullptr;
  return ::posix_memalign(&memory, alignment, size) == 0 ? memory : nullptr;
}

void* give(void* memory) {
  if (memory == nullptr) {
    throw std::bad_alloc();
  }
  ++counted.count;
  counted.bytes += static_cast<std::ptrdiff_t>(::malloc_usable_size(memory));
  return memory;
}

void take(void* memory) noexcept {
  counted.bytes -= static_cast<std::ptrdiff_t>(::malloc_usable_size(memory));
  std::free(memory);
}

} // namespace

void* operator new(std::size_t size) {
  constexpr std::size_t page = 4096;
  return give(page_for_each ? aligned((size + page - 1) / page * page, page) : std::malloc(size));
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  return give(aligned(size, static_cast<std::size_t>(alignment)));
}
// Without this one, AddressSanitizer's own stays, whose memory the deletes below must not free:
// std::stable_sort() of GCC 12 calls it.
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  try {
    return ::operator new(size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void operator delete(void* memory) noexcept {
  take(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  take(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  take(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  take(memory);
}

namespace support {

Allocations allocations() {
  return counted;
}

PageForEach::PageForEach() noexcept {
  page_for_each = true;
}

PageForEach::~PageForEach() {
  page_for_each = false;
}

} // namespace support
