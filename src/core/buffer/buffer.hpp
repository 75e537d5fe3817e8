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

#include <sa/dma_buf.hpp>
#include <sa/memory.hpp>

#include "core/buffer/attachments.hpp"
#include "core/buffer/recycler.hpp"

namespace sa { inline namespace v0 {

namespace detail {

class Buffer {
public:
  /// Where the memory comes from.
  enum class Origin : std::uint8_t { Made, Imported };
  /// Whether writes through the descriptor are allowed; Unasked: the first call that needs the answer asks the kernel.
  enum class Writing : std::uint8_t { Allowed, Forbidden, Unasked };

  /// @param heap the name of its heap, shared so that a buffer costs no copy of it
  Buffer(Memory memory, std::shared_ptr<const std::string> heap, Origin origin, Writing writing) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void hold() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void drop() noexcept;
  /// Whether its caller is the only holder; then no other holder can appear.
  [[nodiscard]] bool sole() const noexcept { return references_.load(std::memory_order_acquire) == 1; }

  [[nodiscard]] int device_fd() const noexcept { return memory_.descriptor == Descriptor::Handle ? -1 : memory_.fd.get(); }
  /// The ways in which a holder outside this object may have the memory.
  enum class Given : std::uint8_t { Nothing, Descriptor, Memfd };
  /// Notes that a holder outside this object may have the memory from now on.
  void give_away() noexcept {
    if (Given nothing = given(); nothing == Given::Nothing) { // relaxed: ordered by the reference count, before the last drop()
      given_.compare_exchange_strong(nothing, Given::Descriptor, std::memory_order_relaxed);
    }
  }
  /// The memory file; -1 when there is none. Notes that it was given away: the dma-buf's count does not include its
  /// holders.
  [[nodiscard]] int give_memfd_away() noexcept;
  [[nodiscard]] Given given() const noexcept { return given_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool given_away() const noexcept { return given() != Given::Nothing; }

  /// Whether a pool could keep the buffer: a heap of this process made it, and it has no pool yet.
  [[nodiscard]] bool can_join_pool() const noexcept { return origin_ == Origin::Made && slip_.recycler == nullptr; }

  /// From now on it goes to @p slip's recycler when its last holder has ended. @p traits: what the pool still promises.
  void join_pool(PoolSlip slip, unsigned epoch, Traits traits) noexcept;

  [[nodiscard]] Attachments& attachments() noexcept { return attachments_; }

  /// The pool's own.
  [[nodiscard]] const PoolSlip& slip() const noexcept { return slip_; }
  [[nodiscard]] PoolPlace& place() noexcept { return place_; }
  [[nodiscard]] const PoolPlace& place() const noexcept { return place_; }

  /// The open /proc/self/fdinfo file of the descriptor, or nothing (sharing_of()); the pool's own.
  [[nodiscard]] UniqueFd& fdinfo() noexcept { return fdinfo_; }
  /// It has no other holder any more, as far as its pool can tell.
  void taken_back() noexcept { given_.store(Given::Nothing, std::memory_order_relaxed); }

  /// Ends it and its memory; for the recycler.
  static void dispose(Buffer* buffer) noexcept { delete buffer; }

  /// Whether it has been mapped.
  [[nodiscard]] bool mapped() const noexcept { return bytes_.load(std::memory_order_acquire) != nullptr; }

  /// Whether its allocation has made all of its pages present in the mapping.
  [[nodiscard]] bool populated() const noexcept { return populated_; }
  void set_populated() noexcept { populated_ = true; }

  [[nodiscard]] const Memory& memory() const noexcept { return memory_; }
  /// The heap it was made by, in this process.
  [[nodiscard]] std::string_view heap() const noexcept { return origin_ == Origin::Made ? std::string_view(*heap_) : "import"; }
  /// For an imported buffer, the heap that the peer named, if any.
  [[nodiscard]] std::string_view claimed_heap() const noexcept { return *heap_; }
  [[nodiscard]] std::string_view name() const noexcept { return {name_.data(), name_length_}; }

  /// Maps on first use; lock-free. @p access has passed check().
  void map(Access access, std::error_code& ec) noexcept;
  /// After a successful map().
  [[nodiscard]] std::span<std::byte> bytes() const noexcept;

  /// EINVAL: not an Access. EACCES: writing is not allowed.
  void check(Access access, std::error_code& ec) const;
  /// @param edge DMA_BUF_SYNC_START or DMA_BUF_SYNC_END
  void sync(std::uint64_t edge, Access access, std::error_code& ec) const;
  void wait(Access access, std::chrono::milliseconds timeout, std::error_code& ec) const;

  /// Sets the name here and, where it can be, in the kernel. @p name has passed check_name().
  void set_name(std::string_view name) noexcept;

  /// Sets the name here alone: the kernel's is the maker's.
  void remember_name(std::string_view name) noexcept {
    if (name != this->name()) { // a line less to write in a round that changes no name
      name_length_ = static_cast<std::uint8_t>(name.copy(name_.data(), max_name_length));
      name_[name_length_] = '\0';
    }
  }

  /// Takes the descriptor away, for release() by the sole holder.
  [[nodiscard]] UniqueFd take_fd() noexcept {
    give_away();
    return std::move(memory_.fd);
  }

private:
  ~Buffer();
  [[nodiscard]] bool writable() const noexcept;

  // First what a round through a pool reads.
  std::atomic<std::uint32_t> references_{1};
  std::atomic<Given> given_{Given::Nothing};
  std::uint8_t name_length_ = 0;
  Origin origin_ : 1; // one byte with the next, which are written before others hold the buffer
  bool populated_ : 1 = false;
  mutable std::atomic<Writing> writing_;
  PoolPlace place_;
  std::array<char, max_name_length + 1> name_{}; // with a zero at its end, for C
  std::atomic<std::byte*> bytes_{nullptr};
  Attachments attachments_; // before memory_: they end after it
  PoolSlip slip_;
  UniqueFd fdinfo_;
  Memory memory_;
  std::shared_ptr<const std::string> heap_;
};

/// ENAMETOOLONG, or EINVAL for control characters.
void check_name(std::string_view name, std::error_code& ec);

} // namespace detail

/// The library's way into DmaBuf.
struct Handover {
  static DmaBuf make(Memory memory, std::shared_ptr<const std::string> heap, detail::Buffer::Origin origin,
                     detail::Buffer::Writing writing);
  /// @param owned without other holders
  static DmaBuf wrap(detail::Buffer& owned) noexcept { return DmaBuf{detail::BufferRef{&owned}}; }
  /// The buffer and with it the reference; @p dma_buf is empty.
  static detail::Buffer* unwrap(DmaBuf& dma_buf) noexcept { return dma_buf.buffer_.release(); }
  static detail::Buffer* buffer(const DmaBuf& dma_buf) noexcept { return dma_buf.buffer_.get(); }
};

}} // namespace sa::v0
