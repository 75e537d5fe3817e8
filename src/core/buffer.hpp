// SPDX-License-Identifier: MIT
/// @file buffer.hpp
/// The state that a DmaBuf and its Mappings and CpuAccesses share: one per buffer.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include <sa/heap.hpp>

namespace sa::inline v0 {

namespace detail {

class Buffer {
public:
  /// @param heap the name of its heap, shared so that a buffer costs no copy of it
  /// @param writable whether the descriptor may be written through
  Buffer(Memory memory, std::shared_ptr<const std::string> heap, bool writable) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void hold() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void drop() noexcept;
  /// Whether its caller is the only holder; nobody else can become one then.
  [[nodiscard]] bool sole() const noexcept { return references_.load(std::memory_order_acquire) == 1; }

  [[nodiscard]] int device_fd() const noexcept { return memory_.descriptor == Descriptor::Handle ? -1 : memory_.fd.get(); }
  [[nodiscard]] const Memory& memory() const noexcept { return memory_; }
  [[nodiscard]] std::string_view heap() const noexcept { return *heap_; }
  [[nodiscard]] std::string_view name() const noexcept { return {name_.data(), name_length_}; }

  /// Maps on first use; lock-free.
  void map(std::error_code& ec) noexcept;
  /// After a successful map().
  [[nodiscard]] std::span<std::byte> bytes() const noexcept;

  /// EINVAL for what is no Access, EACCES for writing where it is not allowed.
  void check(Access access, std::error_code& ec) const;
  /// @param edge DMA_BUF_SYNC_START or DMA_BUF_SYNC_END
  void sync(std::uint64_t edge, Access access, std::error_code& ec) const;
  void wait(Access access, std::chrono::milliseconds timeout, std::error_code& ec) const;

  /// Sets the name here and, where it can be, in the kernel. @p name has passed check_name().
  void set_name(std::string_view name) noexcept;

  /// Sets the name here alone: the kernel's is the maker's.
  void remember_name(std::string_view name) noexcept;

  /// Takes the descriptor away, for release() by the sole holder.
  [[nodiscard]] UniqueFd take_fd() noexcept { return std::move(memory_.fd); }

private:
  ~Buffer();

  Memory memory_;
  std::shared_ptr<const std::string> heap_;
  std::atomic<std::byte*> bytes_{nullptr};
  std::atomic<std::uint32_t> references_{1};
  bool writable_;
  std::uint8_t name_length_ = 0;
  std::array<char, max_name_length> name_{};
};

/// ENAMETOOLONG, or EINVAL for control characters.
void check_name(std::string_view name, std::error_code& ec);

} // namespace detail

/// The library's way into DmaBuf.
struct Handover {
  static DmaBuf make(Memory memory, std::shared_ptr<const std::string> heap, bool writable = true);
  static detail::Buffer* buffer(const DmaBuf& dma_buf) noexcept { return dma_buf.buffer_.get(); }
};

} // namespace sa::inline v0
