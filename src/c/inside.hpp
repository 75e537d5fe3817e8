// SPDX-License-Identifier: MIT
/// @file inside.hpp
/// Shared by the functions of sa.h: failures that become -errno and a sentence, structures that grow, and the handles.
///
/// Uses the public C++ interface. The only other thing is Handover: a sa_dmabuf is the reference that a DmaBuf holds,
/// so a buffer costs a C program no further allocation.
#pragma once

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sa/device.hpp>
#include <sa/heap.hpp>
#include <sa/image.hpp>
#include <sa/ipc.hpp>
#include <sa/log.hpp>
#include <sa/pool.hpp>
#include <sa/registry.hpp>
#include <sa/sa.h>

#include "core/buffer/buffer.hpp"

struct sa_heap {
  std::atomic<std::uint32_t> references{1};
  std::shared_ptr<sa::Heap> heap;
  sa::Pool* pool = nullptr; ///< heap, where it is one
};

struct sa_image {
  std::atomic<std::uint32_t> references{1};
  sa::Image image;
};

namespace sa { inline namespace v0 { namespace c {

/// Ends a function with -error and that sentence.
[[noreturn]] void refuse(int error, std::string sentence);

/// -errno of the exception that is being handled, whose sentence becomes this thread's sa_message().
int failed() noexcept;

/// The result of @p body(), or -errno of its exception.
template <typename Body>
int guarded(Body&& body) noexcept {
  try {
    return body();
  } catch (...) {
    return failed();
  }
}

/// The same for a function that hands out a handle.
template <typename Handle, typename Body>
int guarded(Handle** out, Body&& body) noexcept {
  return guarded([&] {
    if (out == nullptr) {
      refuse(EINVAL, "no place for the result; out is NULL");
    }
    *out = nullptr;
    *out = body();
    return 0;
  });
}

inline std::string_view text(const char* given) noexcept {
  return given == nullptr ? std::string_view() : std::string_view(given);
}

// --- structures that grow ------------------------------------------------------------------------------------------------

/// Bytes of a structure in its first version. When one grows, write its old size here.
template <typename Struct>
inline constexpr std::size_t first_size = sizeof(Struct);

/// A structure is never so large: struct_size was not set.
inline constexpr std::size_t largest_struct = 4096;

/// SA_REQUEST_INIT for "sa_request"
std::string initialiser_of(std::string_view type);

template <typename Struct>
void check_size(const Struct* given, const char* type) {
  if (given == nullptr) {
    refuse(EINVAL, std::string("struct ") + type + " is missing; the pointer is NULL");
  }
  if (given->struct_size < first_size<Struct> || given->struct_size > largest_struct) {
    refuse(EINVAL, std::string("struct ") + type + " has a struct_size of " + std::to_string(given->struct_size) +
                       "; begin with its initialiser, " + initialiser_of(type));
  }
}

[[noreturn]] inline void refuse_unknown(const char* type) {
  refuse(EOPNOTSUPP, std::string("struct ") + type + " asks for something that this version of libsa-c does not know");
}

/// A copy of @p given, of whatever version.
template <typename Struct>
Struct read(const Struct* given, const char* type) {
  check_size(given, type);
  Struct copy{};
  std::memcpy(&copy, given, std::min(given->struct_size, sizeof(Struct)));
  const auto* const bytes = reinterpret_cast<const unsigned char*>(given);
  if (given->struct_size > sizeof(Struct) &&
      std::any_of(bytes + sizeof(Struct), bytes + given->struct_size, [](unsigned char byte) { return byte != 0; })) {
    refuse_unknown(type);
  }
  return copy;
}

/// Writes @p value to @p out, of whatever version; its struct_size stays.
template <typename Struct>
void write(const Struct& value, Struct* out, const char* type) {
  check_size(out, type);
  const std::size_t size = out->struct_size;
  std::memset(out, 0, size);
  std::memcpy(out, &value, std::min(size, sizeof(Struct)));
  out->struct_size = size;
}

// --- values --------------------------------------------------------------------------------------------------------------

std::uint32_t bits_of(Traits traits) noexcept;
/// @throws EINVAL: a bit that is no trait
Traits some_traits_of(std::uint32_t bits);
inline Traits traits_of(std::uint32_t bits) {
  return bits == 0 ? Traits{} : some_traits_of(bits);
}
/// @throws EINVAL: a bit that is not in @p known
void check_flags(std::uint32_t flags, std::uint32_t known);
/// In memory: a pool reads it as it is copied, and need not wait for a store of another size.
extern const Constraints no_constraints;
/// @param heap that is asked; a failure names it
Constraints constraints_of(const char* given, const Heap* heap = nullptr);
std::vector<Device> devices_of(const char* const* nodes, std::size_t count);
inline Access access_of(int access) noexcept {
  return static_cast<Access>(access); // the library refuses what is none
}

// --- handles -------------------------------------------------------------------------------------------------------------

/// @p handle. @throws EBADF: null
inline const sa_dmabuf* filled(const sa_dmabuf* handle) {
  if (handle == nullptr) {
    refuse(EBADF, "the buffer is NULL");
  }
  return handle;
}

/// The buffer behind a handle, whose reference it borrows; empty for a null one.
class Borrowed {
public:
  explicit Borrowed(const sa_dmabuf* handle) noexcept {
    if (handle != nullptr) {
      buffer_ = Handover::wrap(*reinterpret_cast<detail::Buffer*>(const_cast<sa_dmabuf*>(handle)));
    }
  }
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;
  ~Borrowed() { Handover::unwrap(buffer_); }
  DmaBuf* operator->() noexcept { return &buffer_; }
  DmaBuf& operator*() noexcept { return buffer_; }

private:
  DmaBuf buffer_;
};

/// A handle that owns the reference of @p buffer.
inline sa_dmabuf* handle_of(DmaBuf buffer) noexcept {
  return reinterpret_cast<sa_dmabuf*>(Handover::unwrap(buffer));
}

/// The object behind @p handle. @throws EBADF: null
inline Heap& heap_of(const sa_heap* handle) {
  if (handle == nullptr) {
    refuse(EBADF, "the heap is NULL");
  }
  return *handle->heap;
}
/// @throws EBADF: null. EOPNOTSUPP: no pool
Pool& pool_of(const sa_heap* handle);
/// A new handle. @p heap not null
sa_heap* handle_of(std::shared_ptr<Heap> heap, Pool* pool = nullptr);

/// @throws EBADF: null
Image& image_of(sa_image* handle);
const Image& image_of(const sa_image* handle);
sa_image* handle_of(Image image);

/// Converts a request to @p heap to C++; borrows its texts. Short, since a pool's buffer costs little more.
inline AllocRequest request_of(const sa_request* given, const Heap& heap) {
  sa_request other;
  const bool usual = given != nullptr && given->struct_size == sizeof(sa_request);
  const sa_request& from = usual ? *given : (other = read(given, "sa_request"));
  return {.size = from.size,
          .constraints = from.constraints == nullptr ? no_constraints : constraints_of(from.constraints, &heap),
          .name = text(from.name),
          .require = traits_of(from.require),
          .flags = static_cast<AllocFlag>(from.flags)}; // the library refuses what is none
}
/// @throws EINVAL, ENOENT: what no layout can be
ImageLayout layout_of(const sa_layout* given);
sa_layout layout_of(const ImageLayout& layout) noexcept;
Format format_of(std::string_view name);

}}} // namespace sa::v0::c
