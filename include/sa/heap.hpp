// SPDX-License-Identifier: MIT
/// @file heap.hpp
/// What a heap is, for those who use one and for those who write one.
///
/// To write a heap: derive from Heap, fill a HeapInfo, and in do_allocate() make the memory, put its pieces into a
/// Memory and return adopt(std::move(memory), request.name). Report failures by refuse(). The checks that are the same
/// for every heap (size, name, flags, constraints, traits, max_size) are done before do_allocate() is called.
/// examples/guard_heap.cpp is a whole one; conformance.hpp has the suite that tests yours. To put something around heaps that
/// there are, derive from Adaptor (adaptors/adaptor.hpp).
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

/// A source of buffers. A heap that makes memory is held by a std::shared_ptr (std::make_shared), since each buffer keeps its
/// heap alive: elsewhere adopt() refuses. What only hands requests on, a Pool or an Adaptor, may lie on the stack.
///
/// Threads: any number may call a heap at once; implementations promise it too.
class SA_API Heap : public std::enable_shared_from_this<Heap> {
public:
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;
  virtual ~Heap();

  /// Valid and unchanged as long as the heap lives.
  [[nodiscard]] virtual const HeapInfo& info() const noexcept = 0;

  /// A new buffer of at least request.size bytes.
  /// @throws Error EINVAL: size 0, constraints that merge() does not take, unknown flags, a control character in the name.
  ///         ENAMETOOLONG: name over max_name_length. EOPNOTSUPP: a trait in request.require or one of request.constraints
  ///         that this heap cannot promise. ENOMEM: more than max_size (before any system call), or the memory ran out. EDQUOT: a
  ///         limit. EACCES, EPERM: the node. ENOENT, ENODEV: no such device. EMFILE, ENFILE: descriptors ran out.
  [[nodiscard]] DmaBuf allocate(const AllocRequest& request);
  [[nodiscard]] DmaBuf allocate(const AllocRequest& request, std::error_code& ec) noexcept;

  /// A picture of that layout: all of its buffers, or none.
  /// @param layout one that check() takes
  /// @param memory what else the memory must be, and its name. Its size is a least number of bytes for each buffer.
  /// @throws Error EINVAL: check() refuses the layout. Else as for a buffer.
  [[nodiscard]] Image allocate(const ImageLayout& layout, const AllocRequest& memory = {});
  [[nodiscard]] Image allocate(const ImageLayout& layout, const AllocRequest& memory, std::error_code& ec) noexcept;

  /// For sa::receive(): takes over memory that a peer sent as a handle which only this heap understands. Nothing the
  /// peer said is believed before it is checked.
  /// @param handle owned: a memory file, a pipe or what lies in no file system, since calls on other descriptors could wait
  ///        without end
  /// @param offset bytes, as the peer said
  /// @param size bytes, as the peer said
  /// @param name as the peer said
  /// @param ec set when it is refused
  [[nodiscard]] DmaBuf accept(UniqueFd handle, std::uint64_t offset, std::size_t size, std::string_view name,
                              std::error_code& ec) noexcept;

protected:
  Heap() = default;

  /// Makes the memory. @p request has passed the checks of allocate().
  /// On failure sets @p ec and returns an empty DmaBuf; refuse() does both.
  virtual DmaBuf do_allocate(const AllocRequest& request, std::error_code& ec) = 0;

  /// Refuses, before do_allocate(), what this heap's info() rules out: traits, constraints, max_size. A heap that hands the
  /// request on to others overrides it to let them decide. Makes no system call.
  virtual void check_fit(const AllocRequest& request, std::error_code& ec) const;

  /// Behind accept(); a heap without handles keeps this one, which refuses with EOPNOTSUPP.
  virtual DmaBuf do_accept(UniqueFd handle, std::uint64_t offset, std::size_t size, std::string_view name, std::error_code& ec);

  /// Makes the DmaBuf. A kernel object that is a dma-buf is given @p name, best effort.
  /// Throws std::system_error, which do_allocate() lets pass and allocate() reports with a sentence. EINVAL: a
  /// Descriptor::Memfd that is not sealed with F_SEAL_SHRINK; a size larger than the descriptor's; no std::shared_ptr holds
  /// this heap.
  [[nodiscard]] DmaBuf adopt(Memory memory, std::string_view name);

  /// Ties @p attachment to @p buffer, which do_allocate() is about to return: nobody else may hold the buffer yet. It is
  /// destroyed after the last DmaBuf, Mapping and CpuAccess of the buffer has ended and, unless a Pool keeps it, after
  /// the memory went back; several in their order: what is nearest to the memory learns first, so that who is told by an
  /// outer one finds room in the inner.
  ///
  /// A Pool divides them: what was attached below it belongs to the memory and lasts until the pool gives that back; what
  /// is attached above it belongs to one use and ends before the pool can hand the buffer out again.
  ///
  /// DmaBuf::release() ends them, though the memory lives on in the descriptor. In a forked child the attachments of
  /// inherited buffers are copies, which end with the child's copies of the buffers. On an empty @p buffer it ends at once.
  static void attach(const DmaBuf& buffer, std::unique_ptr<Attachment> attachment) noexcept;

  /// request.size rounded up to a common multiple of the granularity, constraints.alignment and constraints.size_alignment,
  /// bytes. Cannot overflow after check_fit(); less than request.size where it would.
  [[nodiscard]] std::size_t rounded_size(const AllocRequest& request) const noexcept;

  /// Refuses: sets @p ec to @p error (an errno) and returns an empty DmaBuf. @p sentence is called only when somebody
  /// will read it, and returns what the kernel said and what to do as a std::string.
  template <typename Sentence>
  static DmaBuf refuse(std::error_code& ec, int error, Sentence&& sentence) {
    ec.assign(error, std::system_category());
    if (explaining()) {
      explain(std::forward<Sentence>(sentence)());
    }
    return DmaBuf{};
  }

  /// The same, saying that @p call failed so, and what is generally done about it.
  static DmaBuf refuse(std::error_code& ec, int error, const char* call);

  /// Whether a caller of this thread waits for a sentence (it called a throwing function).
  [[nodiscard]] static bool explaining() noexcept;

  /// Adds @p sentence to what the Error of this thread's caller will say.
  static void explain(std::string_view sentence) noexcept;
};

}} // namespace sa::v0
