// SPDX-License-Identifier: MIT
#include "support/allocations.hpp"

#include <cstdlib>
#include <new>

#include <malloc.h>

namespace {

thread_local support::Allocations counted;

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
  return give(std::malloc(size));
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  void* memory = nullptr;
  return give(::posix_memalign(&memory, static_cast<std::size_t>(alignment), size) == 0 ? memory : nullptr);
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

} // namespace support
