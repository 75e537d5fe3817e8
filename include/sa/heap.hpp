// SPDX-License-Identifier: MIT
/// @file heap.hpp
/// The interface of all heaps, for programs that use a heap and for authors of heaps.
///
/// To write a heap, derive from Heap and fill a HeapInfo. In do_allocate() make the memory, put its pieces into a
/// Memory and return adopt(std::move(memory), request.name). Report failures by refuse(). The library checks size,
/// name, flags, constraints, traits and max_size before it calls do_allocate(), and maps and prefaults the buffer after
/// it, where the request has AllocFlag::Prefault. examples/guard_heap.cpp is a complete heap, and conformance.hpp has the
/// suite that tests one. To wrap existing heaps, derive from Adaptor (adaptors/adaptor.hpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <sa/dma_buf.hpp>
#include <sa/export.hpp>
#include <sa/image.hpp>
#include <sa/layout.hpp>
#include <sa/memory.hpp>
#include <sa/types.hpp>
#include <sa/unique_fd.hpp>

namespace sa { inline namespace v0 {

/// A source of buffers. A heap that makes memory must be held by a std::shared_ptr (std::make_shared), since each
/// buffer keeps its heap alive: otherwise adopt() refuses. A Pool or an Adaptor only hands requests on, and may lie on
/// the stack.
///
/// Threads: any number of threads may call a heap at once. Every implementation must keep this promise.
class SA_API Heap : public std::enable_shared_from_this<Heap> {
public:
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;
  virtual ~Heap();

  /// The heap's description of itself. Valid and unchanged as long as the heap lives.
  [[nodiscard]] virtual const HeapInfo& info() const noexcept = 0;

  /// Allocates a buffer of at least request.size bytes.
  /// @throws Error EINVAL: size 0, constraints that merge() refuses, unknown flags, a control character in the name.
  ///         ENAMETOOLONG: name over max_name_length. EOPNOTSUPP: a trait in request.require or one of
  ///         request.constraints that this heap cannot promise. ENOMEM: more than max_size (before any system call), or
  ///         the memory ran out. EDQUOT: a limit. EACCES, EPERM: the node is not permitted. ENOENT, ENODEV: no such device.
  ///         EMFILE, ENFILE: descriptors ran out.
  [[nodiscard]] DmaBuf allocate(const AllocRequest& request);
  [[nodiscard]] DmaBuf allocate(const AllocRequest& request, std::error_code& ec) noexcept;

  /// Allocates a picture of the given layout: all of its buffers, or none.
  /// @param layout a layout that check() takes
  /// @param memory further demands on the memory, and its name. memory.size is a minimum for each buffer, in bytes.
  /// @throws Error EINVAL: check() refuses the layout. Else as allocate() of a buffer.
  [[nodiscard]] Image allocate(const ImageLayout& layout, const AllocRequest& memory = {});
  [[nodiscard]] Image allocate(const ImageLayout& layout, const AllocRequest& memory, std::error_code& ec) noexcept;

  /// Takes over memory that a peer sent as a handle which only this heap understands; sa::receive() calls it. The heap checks all
  /// values from the peer before it uses them.
  ///
  /// sa::receive() hands over only memory files, pipes and descriptors outside any file system, since calls on other
  /// descriptors could wait without end.
  /// @param handle owned by the heap from here on
  /// @param offset bytes, as the peer gave it
  /// @param size bytes, as the peer gave it
  /// @param name of the buffer, as the peer gave it
  /// @param ec EOPNOTSUPP: the heap has no such handles. Any other code: the heap refused the handle.
  [[nodiscard]] DmaBuf accept(UniqueFd handle, std::uint64_t offset, std::size_t size, std::string_view name,
                              std::error_code& ec) noexcept;

protected:
  Heap() = default;

  /// Makes the memory. @p request has passed the checks of allocate().
  /// On failure sets @p ec and returns an empty DmaBuf; refuse() does both.
  virtual DmaBuf do_allocate(const AllocRequest& request, std::error_code& ec) = 0;

  /// Refuses a request that info() rules out by its traits, constraints or max_size; allocate() calls it before
  /// do_allocate(). A heap that hands requests on to others overrides it so that the others decide. It makes no system
  /// call.
  virtual void check_fit(const AllocRequest& request, std::error_code& ec) const;

  /// The implementation of accept(). The default, for a heap without handles, refuses with EOPNOTSUPP.
  virtual DmaBuf do_accept(UniqueFd handle, std::uint64_t offset, std::size_t size, std::string_view name, std::error_code& ec);

  /// Makes a DmaBuf of the pieces of its memory. A dma-buf gets @p name in the kernel too; a failure to name it is
  /// ignored. Throws std::system_error. do_allocate() must not catch it: allocate() reports it with a sentence. EINVAL:
  /// a Descriptor::Memfd without F_SEAL_SHRINK, a size larger than the file's, or no std::shared_ptr holds this heap.
  [[nodiscard]] DmaBuf adopt(Memory memory, std::string_view name);

  /// Ties @p attachment to @p buffer, which do_allocate() is about to return: no other thread may hold the buffer yet.
  /// The attachment is destroyed after the last DmaBuf, Mapping and CpuAccess of the buffer has ended and, unless a
  /// Pool keeps the memory, after the memory was given back. Several attachments are destroyed in the order of their
  /// attaching, which begins with the heap nearest to the memory. So code that runs at the end of an outer attachment
  /// finds room in an inner Limit.
  ///
  /// A Pool separates two kinds. An attachment from below the pool belongs to the memory, and lasts until the pool
  /// gives the memory back. An attachment from above the pool belongs to one use, and ends before the pool can hand the
  /// buffer out again.
  ///
  /// DmaBuf::release() ends the attachments, though the memory lives on in the descriptor. In a forked child the
  /// attachments of inherited buffers are copies, which end with the child's copies of the buffers. An attachment to an
  /// empty @p buffer is destroyed at once.
  static void attach(const DmaBuf& buffer, std::unique_ptr<Attachment> attachment) noexcept;

  /// request.size in bytes, rounded up to a common multiple of info().granularity, constraints.alignment and
  /// constraints.size_alignment. After check_fit() the result cannot overflow; without check_fit(), an overflow gives a
  /// result below request.size.
  [[nodiscard]] std::size_t rounded_size(const AllocRequest& request) const noexcept;

  /// Refuses a request: sets @p ec to @p error (an errno) and returns an empty DmaBuf. @p sentence is a function that
  /// returns the kernel's answer and the remedy as a std::string; it is called only when the caller gets an Error.
  template <typename Sentence>
  static DmaBuf refuse(std::error_code& ec, int error, Sentence&& sentence) {
    ec.assign(error, std::system_category());
    if (explaining()) {
      explain(std::forward<Sentence>(sentence)());
    }
    return DmaBuf{};
  }

  /// Refuses a request because the system call @p call failed with @p error. The sentence gets the general remedy for
  /// that errno.
  static DmaBuf refuse(std::error_code& ec, int error, const char* call);

  /// Whether this thread's caller will get a sentence, because it called a throwing function.
  [[nodiscard]] static bool explaining() noexcept;

  /// Adds @p sentence to the Error that this thread's caller will get.
  static void explain(std::string_view sentence) noexcept;
};

}} // namespace sa::v0
