// SPDX-License-Identifier: MIT
/// Buffers.
#include <chrono>

#include "inside.hpp"

namespace sa { inline namespace v0 { namespace c { namespace {

detail::Buffer& buffer_of(sa_dmabuf* handle) noexcept {
  return *reinterpret_cast<detail::Buffer*>(handle);
}

} // namespace
}}} // namespace sa::v0::c

using namespace sa::c;

extern "C" {

int sa_dmabuf_alloc(sa_heap* heap, const sa_request* request, sa_dmabuf** out) {
  return guarded(out, [&] {
    sa::Heap& of = heap_of(heap);
    return handle_of(of.allocate(request_of(request, of)));
  });
}

int sa_dmabuf_import(int fd, sa_dmabuf** out) {
  sa::UniqueFd owned(fd < 0 ? -1 : fd);
  return guarded(out, [&] { return handle_of(sa::DmaBuf::import(std::move(owned))); });
}

sa_dmabuf* sa_dmabuf_ref(sa_dmabuf* buffer) {
  if (buffer != nullptr) {
    sa::detail::hold(buffer_of(buffer));
  }
  return buffer;
}

void sa_dmabuf_unref(sa_dmabuf* buffer) {
  if (buffer != nullptr) {
    sa::detail::drop(buffer_of(buffer));
  }
}

int sa_dmabuf_fd(const sa_dmabuf* buffer) {
  return guarded([&] {
    const int fd = Borrowed(filled(buffer))->fd();
    if (fd < 0) {
      refuse(EOPNOTSUPP, "this memory has no descriptor that a device could take; sa_dmabuf_send() can share it");
    }
    return fd;
  });
}

int sa_dmabuf_dup(const sa_dmabuf* buffer) {
  return guarded([&] { return Borrowed(filled(buffer))->dup().release(); });
}

int sa_dmabuf_memfd(const sa_dmabuf* buffer) {
  return guarded([&] {
    const int fd = Borrowed(filled(buffer))->memfd();
    if (fd < 0) {
      refuse(EOPNOTSUPP, "there is no memory file behind this buffer; those of memfd and udmabuf heaps have one");
    }
    return fd;
  });
}

size_t sa_dmabuf_size(const sa_dmabuf* buffer) {
  return Borrowed(buffer)->size();
}

uint32_t sa_dmabuf_traits(const sa_dmabuf* buffer) {
  return bits_of(Borrowed(buffer)->traits());
}

const char* sa_dmabuf_heap(const sa_dmabuf* buffer) {
  return Borrowed(buffer)->heap().data(); // of a std::string, or a literal
}

const char* sa_dmabuf_claimed_heap(const sa_dmabuf* buffer) {
  return Borrowed(buffer)->claimed_heap().data();
}

const char* sa_dmabuf_name(const sa_dmabuf* buffer) {
  return Borrowed(buffer)->name().data(); // with a zero at its end
}

int sa_dmabuf_set_name(sa_dmabuf* buffer, const char* name) {
  return guarded([&] {
    Borrowed(filled(buffer))->set_name(text(name));
    return 0;
  });
}

int sa_dmabuf_phys(const sa_dmabuf* buffer, uint64_t* out) {
  return guarded([&] {
    const auto address = Borrowed(filled(buffer))->phys_addr();
    if (!address) {
      refuse(EOPNOTSUPP, "the physical address of this memory is not known; require SA_TRAIT_PHYS_ADDR");
    }
    if (out == nullptr) {
      refuse(EINVAL, "no place for the address; out is NULL");
    }
    *out = *address;
    return 0;
  });
}

int sa_dmabuf_id(const sa_dmabuf* buffer, uint64_t* device, uint64_t* inode) {
  return guarded([&] {
    const auto id = Borrowed(filled(buffer))->id();
    if (!id) {
      refuse(EOPNOTSUPP, "this memory has no descriptor of its own");
    }
    if (device == nullptr || inode == nullptr) {
      refuse(EINVAL, "no place for the numbers; a pointer is NULL");
    }
    *device = id->device;
    *inode = id->inode;
    return 0;
  });
}

int sa_dmabuf_map(sa_dmabuf* buffer, int access, void** out) {
  return guarded(out, [&] { return Borrowed(filled(buffer))->map_unsynchronized(access_of(access)).bytes().data(); });
}

int sa_dmabuf_begin(sa_dmabuf* buffer, int access, void** out) {
  return guarded([&] {
    Borrowed borrowed(filled(buffer));
    if (out != nullptr) {
      *out = nullptr;
    }
    std::byte* const first = borrowed->map_unsynchronized(access_of(access)).bytes().data();
    borrowed->begin_cpu_access(access_of(access));
    if (out != nullptr) {
      *out = first;
    }
    return 0;
  });
}

int sa_dmabuf_end(sa_dmabuf* buffer, int access) {
  return guarded([&] {
    Borrowed(filled(buffer))->end_cpu_access(access_of(access));
    return 0;
  });
}

int sa_dmabuf_wait(sa_dmabuf* buffer, int access, int timeout_ms) {
  return guarded([&] {
    Borrowed(filled(buffer))->wait(access_of(access), std::chrono::milliseconds(timeout_ms));
    return 0;
  });
}

int sa_dmabuf_export_fence(sa_dmabuf* buffer, int access) {
  return guarded([&] { return Borrowed(filled(buffer))->export_sync_file(access_of(access)).release(); });
}

int sa_dmabuf_import_fence(sa_dmabuf* buffer, int access, int sync_file) {
  return guarded([&] {
    Borrowed(filled(buffer))->import_sync_file(access_of(access), sync_file);
    return 0;
  });
}

int sa_dmabuf_send(int socket, const sa_dmabuf* buffer) {
  return guarded([&] {
    sa::send(socket, *Borrowed(filled(buffer)));
    return 0;
  });
}

int sa_dmabuf_receive(int socket, sa_dmabuf** out) {
  return guarded(out, [&] { return handle_of(sa::receive(socket)); });
}

} // extern "C"
