// SPDX-License-Identifier: MIT
/// @file
/// The names of the C++ interface that the conformance suite uses, over sa.h alone: the suite is compiled a second time with this
/// folder before include/, so that each of its calls goes through C. Value types are those of the library's headers; none of its
/// functions is called.
///
/// An empty object holds a null handle and passes it on: what the suite finds of empty objects is what C answers.
/// C has no name for these; they are put together here:
///   DmaBuf::release()           dup and unref
///   access() with a timeout     wait, where there are fences, and begin
///   Registry                    the heaps that add() was given; others by sa_heap_find()
///   Error::operation()          not told apart in sa_message(); empty
#pragma once

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <sa/sa.h>
#include <sa/types.hpp>
#include <sa/unique_fd.hpp>

namespace sa { inline namespace v0 {

/// This C call failed.
class Error : public std::system_error {
public:
  Error(std::error_code code, std::string heap, const char* sentence)
      : std::system_error(code), heap_(std::move(heap)), sentence_(sentence) {}
  [[nodiscard]] const char* what() const noexcept override { return sentence_.c_str(); }
  [[nodiscard]] const std::string& heap() const noexcept { return heap_; }
  [[nodiscard]] const std::string& operation() const noexcept { return operation_; }

private:
  std::string heap_;
  std::string operation_;
  std::string sentence_;
};

namespace detail {

/// What a C function returned, as a code.
inline int told(int result, std::error_code& ec) noexcept {
  ec.assign(result < 0 ? -result : 0, std::system_category());
  return result;
}

/// Calls @p twin with a code and throws what it says.
template <typename Twin>
auto or_throw(std::string_view heap, Twin&& twin) {
  std::error_code ec;
  const auto check = [&] {
    if (ec) {
      throw Error(ec, std::string(heap), sa_message());
    }
  };
  if constexpr (std::is_void_v<decltype(twin(ec))>) {
    twin(ec);
    check();
  } else {
    auto result = twin(ec);
    check();
    return result;
  }
}

/// One reference to a buffer; null for none.
class Reference {
public:
  Reference() noexcept = default;
  explicit Reference(sa_dmabuf* owned) noexcept : handle_(owned) {}
  Reference(const Reference& other) noexcept : handle_(sa_dmabuf_ref(other.handle_)) {}
  Reference(Reference&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Reference& operator=(Reference other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Reference() { sa_dmabuf_unref(handle_); }
  [[nodiscard]] sa_dmabuf* get() const noexcept { return handle_; }

private:
  sa_dmabuf* handle_ = nullptr;
};

inline std::string_view text(const char* text) noexcept {
  return text == nullptr ? std::string_view{} : std::string_view{text};
}

} // namespace detail

class Mapping {
public:
  Mapping() noexcept = default;
  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {first_, sa_dmabuf_size(buffer_.get())}; }

private:
  friend class DmaBuf;
  Mapping(detail::Reference buffer, void* first) noexcept : buffer_(std::move(buffer)), first_(static_cast<std::byte*>(first)) {}
  detail::Reference buffer_;
  std::byte* first_ = nullptr;
};

class CpuAccess {
public:
  CpuAccess() noexcept = default;
  CpuAccess(CpuAccess&&) noexcept = default;
  CpuAccess& operator=(CpuAccess&& other) noexcept {
    finish();
    buffer_ = std::move(other.buffer_);
    first_ = other.first_;
    access_ = other.access_;
    return *this;
  }
  ~CpuAccess() { finish(); }
  explicit operator bool() const noexcept { return buffer_.get() != nullptr; }
  [[nodiscard]] std::span<std::byte> bytes() const& noexcept {
    return *this ? std::span(first_, sa_dmabuf_size(buffer_.get())) : std::span<std::byte>{};
  }
  std::span<std::byte> bytes() const&& = delete;

  void end(std::error_code& ec) noexcept {
    detail::told(sa_dmabuf_end(buffer_.get(), static_cast<int>(access_)), ec);
    buffer_ = {};
  }
  void end() {
    detail::or_throw("", [&](auto& ec) { end(ec); });
  }

private:
  friend class DmaBuf;
  CpuAccess(detail::Reference buffer, void* first, Access access) noexcept
      : buffer_(std::move(buffer)), first_(static_cast<std::byte*>(first)), access_(access) {}
  void finish() noexcept {
    if (std::error_code ec; *this) {
      end(ec);
    }
  }
  detail::Reference buffer_;
  std::byte* first_ = nullptr;
  Access access_ = Access::Read;
};

struct BufferId {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  friend constexpr auto operator<=>(const BufferId&, const BufferId&) noexcept = default;
};

class DmaBuf final {
public:
  DmaBuf() noexcept = default;
  /// Takes the reference.
  explicit DmaBuf(sa_dmabuf* owned) noexcept : buffer_(owned) {}
  DmaBuf(DmaBuf&&) noexcept = default;
  DmaBuf& operator=(DmaBuf&&) noexcept = default;

  static DmaBuf import(UniqueFd fd) {
    return detail::or_throw("", [&](auto& ec) {
      sa_dmabuf* buffer = nullptr;
      detail::told(sa_dmabuf_import(fd.release(), &buffer), ec);
      return DmaBuf(buffer);
    });
  }

  [[nodiscard]] sa_dmabuf* get() const noexcept { return buffer_.get(); }
  explicit operator bool() const noexcept { return get() != nullptr; }
  [[nodiscard]] int fd() const noexcept { return std::max(sa_dmabuf_fd(get()), -1); }
  [[nodiscard]] std::size_t size() const noexcept { return sa_dmabuf_size(get()); }
  [[nodiscard]] std::string_view name() const noexcept { return detail::text(sa_dmabuf_name(get())); }
  [[nodiscard]] std::string_view heap() const noexcept { return detail::text(sa_dmabuf_heap(get())); }
  [[nodiscard]] std::string_view claimed_heap() const noexcept { return detail::text(sa_dmabuf_claimed_heap(get())); }
  [[nodiscard]] Traits traits() const noexcept;
  [[nodiscard]] std::optional<BufferId> id() const noexcept {
    BufferId id;
    return sa_dmabuf_id(get(), &id.device, &id.inode) == 0 ? std::optional(id) : std::nullopt;
  }
  [[nodiscard]] std::optional<std::uint64_t> phys_addr() const noexcept {
    std::uint64_t address = 0;
    return sa_dmabuf_phys(get(), &address) == 0 ? std::optional(address) : std::nullopt;
  }

  CpuAccess access(Access access, std::error_code& ec) const noexcept {
    void* first = nullptr;
    const int result = detail::told(sa_dmabuf_begin(get(), static_cast<int>(access), &first), ec);
    return result == 0 ? CpuAccess(buffer_, first, access) : CpuAccess{};
  }
  CpuAccess access(Access access, std::chrono::milliseconds timeout, std::error_code& ec) const noexcept {
    const bool fences = traits().contains(Trait::DmaBuf);
    const int nothing_to_wait_for = timeout.count() < 0 ? -EINVAL : 0;
    const int result = fences || !*this ? sa_dmabuf_wait(get(), static_cast<int>(access), static_cast<int>(timeout.count()))
                                        : nothing_to_wait_for;
    return detail::told(result, ec) == 0 ? this->access(access, ec) : CpuAccess{};
  }
  Mapping map_unsynchronized(Access access, std::error_code& ec) const noexcept {
    void* first = nullptr;
    const int result = detail::told(sa_dmabuf_map(get(), static_cast<int>(access), &first), ec);
    return result == 0 ? Mapping(buffer_, first) : Mapping{};
  }
  Mapping map_unsynchronized(std::error_code& ec) const noexcept { return map_unsynchronized(Access::ReadWrite, ec); }
  void begin_cpu_access(Access access, std::error_code& ec) const noexcept {
    detail::told(sa_dmabuf_begin(get(), static_cast<int>(access), nullptr), ec);
  }
  void end_cpu_access(Access access, std::error_code& ec) const noexcept {
    detail::told(sa_dmabuf_end(get(), static_cast<int>(access)), ec);
  }
  void wait(Access access, std::chrono::milliseconds timeout, std::error_code& ec) const noexcept {
    detail::told(sa_dmabuf_wait(get(), static_cast<int>(access), static_cast<int>(timeout.count())), ec);
  }
  UniqueFd export_sync_file(Access access, std::error_code& ec) const noexcept {
    return owned(sa_dmabuf_export_fence(get(), static_cast<int>(access)), ec);
  }
  void import_sync_file(Access access, int sync_file, std::error_code& ec) const noexcept {
    detail::told(sa_dmabuf_import_fence(get(), static_cast<int>(access), sync_file), ec);
  }
  void set_name(std::string_view name, std::error_code& ec) noexcept {
    detail::told(sa_dmabuf_set_name(get(), std::string(name).c_str()), ec);
  }
  UniqueFd dup(std::error_code& ec) const noexcept { return owned(sa_dmabuf_dup(get()), ec); }
  UniqueFd release(std::error_code& ec) noexcept {
    UniqueFd alone = dup(ec);
    if (!ec) {
      reset();
    }
    return alone;
  }
  void reset() noexcept { buffer_ = {}; }

  [[nodiscard]] CpuAccess access(Access access) const {
    return detail::or_throw(heap(), [&](auto& ec) { return this->access(access, ec); });
  }
  [[nodiscard]] CpuAccess access(Access access, std::chrono::milliseconds timeout) const {
    return detail::or_throw(heap(), [&](auto& ec) { return this->access(access, timeout, ec); });
  }
  [[nodiscard]] Mapping map_unsynchronized(Access access = Access::ReadWrite) const {
    return detail::or_throw(heap(), [&](auto& ec) { return map_unsynchronized(access, ec); });
  }
  void begin_cpu_access(Access access) const {
    detail::or_throw(heap(), [&](auto& ec) { begin_cpu_access(access, ec); });
  }
  void end_cpu_access(Access access) const {
    detail::or_throw(heap(), [&](auto& ec) { end_cpu_access(access, ec); });
  }
  void wait(Access access, std::chrono::milliseconds timeout) const {
    detail::or_throw(heap(), [&](auto& ec) { wait(access, timeout, ec); });
  }
  [[nodiscard]] UniqueFd export_sync_file(Access access) const {
    return detail::or_throw(heap(), [&](auto& ec) { return export_sync_file(access, ec); });
  }
  void import_sync_file(Access access, int sync_file) const {
    detail::or_throw(heap(), [&](auto& ec) { import_sync_file(access, sync_file, ec); });
  }
  void set_name(std::string_view name) {
    detail::or_throw(heap(), [&](auto& ec) { set_name(name, ec); });
  }
  [[nodiscard]] UniqueFd dup() const {
    return detail::or_throw(heap(), [&](auto& ec) { return dup(ec); });
  }
  [[nodiscard]] UniqueFd release() {
    return detail::or_throw(heap(), [&](auto& ec) { return release(ec); });
  }

private:
  static UniqueFd owned(int fd, std::error_code& ec) noexcept { return UniqueFd(std::max(detail::told(fd, ec), -1)); }
  detail::Reference buffer_;
};

/// A heap, or a pool around one.
class Heap {
public:
  /// Takes the reference.
  explicit Heap(sa_heap* owned);
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;
  ~Heap() { sa_heap_unref(heap_); }

  [[nodiscard]] sa_heap* get() const noexcept { return heap_; }
  [[nodiscard]] const HeapInfo& info() const noexcept { return info_; }
  DmaBuf allocate(const AllocRequest& request, std::error_code& ec) noexcept;
  [[nodiscard]] DmaBuf allocate(const AllocRequest& request) {
    return detail::or_throw(info_.name, [&](auto& ec) { return allocate(request, ec); });
  }

private:
  sa_heap* heap_;
  HeapInfo info_;
};

class Registry {
public:
  void add(std::shared_ptr<Heap> heap) { heaps_.push_back(std::move(heap)); }
  /// One that add() was given, else of the machine; null when there is none.
  [[nodiscard]] std::shared_ptr<Heap> find(std::string_view name) const;
  DmaBuf allocate(std::string_view heap, const AllocRequest& request, std::error_code& ec) const noexcept;
  [[nodiscard]] DmaBuf allocate(std::string_view heap, const AllocRequest& request) const {
    return detail::or_throw(heap, [&](auto& ec) { return allocate(heap, request, ec); });
  }

private:
  std::vector<std::shared_ptr<Heap>> heaps_;
};

inline void send(int socket, const DmaBuf& buffer, std::error_code& ec) noexcept {
  detail::told(sa_dmabuf_send(socket, buffer.get()), ec);
}
inline void send(int socket, const DmaBuf& buffer) {
  detail::or_throw(buffer.heap(), [&](auto& ec) { send(socket, buffer, ec); });
}
/// Handles that only a heap understands are resolved by the machine's heaps: C has no other registry.
inline DmaBuf receive(int socket, const Registry&) {
  return detail::or_throw("", [&](auto& ec) {
    sa_dmabuf* buffer = nullptr;
    detail::told(sa_dmabuf_receive(socket, &buffer), ec);
    return DmaBuf(buffer);
  });
}

}} // namespace sa::v0
