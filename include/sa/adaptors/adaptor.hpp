// SPDX-License-Identifier: MIT
/// @file adaptor.hpp
/// Heaps around heaps: what the adaptors of this folder share, and what one of your own derives from. An adaptor hands
/// requests on to its upstream and can stand anywhere a heap can: in a registry, around another adaptor, below or above a Pool
/// (docs/adaptors.md).
///
/// What all of them share. info() is the upstream's, as it was when the adaptor was made, with what the adaptor changes; an
/// empty name in the options leaves the upstream's name, and one is needed to register several. Whether a request can
/// be served is the upstream's to decide, except where the adaptor says otherwise. DmaBuf::heap() is the heap that made the
/// memory. Memory that a peer sent (Heap::accept()) is passed through, not counted. An adaptor may end before its buffers.
///
/// Above a Pool an adaptor sees each use of a buffer, below it the memory: see Heap::attach(), also for release().
///
/// fork(2): a child's numbers are its own copies, and go on from where its parent's were.
///
/// Threads: any number may use an adaptor at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>

#include <sa/dma_buf.hpp>
#include <sa/export.hpp>
#include <sa/heap.hpp>
#include <sa/types.hpp>
#include <sa/unique_fd.hpp>

namespace sa { inline namespace v0 {

/// What the adaptors have in common, and what one of your own derives from: override do_allocate(), hand the request
/// on by upstream().allocate(request, ec), and attach() to the buffer what must learn of its end. Make that before you ask
/// upstream: then a failure to make it costs no buffer.
class SA_API Adaptor : public Heap {
public:
  ~Adaptor() override;

  [[nodiscard]] const HeapInfo& info() const noexcept override { return info_; }

protected:
  /// @param upstream the heap to ask; kept
  /// @param name info().name; empty: the upstream's
  /// @throws Error EINVAL: no upstream, a malformed name
  Adaptor(std::shared_ptr<Heap> upstream, std::string name);

  [[nodiscard]] Heap& upstream() const noexcept { return *upstream_; }

  /// For constructors: info() must not change later.
  [[nodiscard]] HeapInfo& describe() noexcept { return info_; }

  /// Refuses nothing: upstream decides.
  void check_fit(const AllocRequest& request, std::error_code& ec) const override;
  /// Hands it to upstream.
  DmaBuf do_accept(UniqueFd handle, std::uint64_t offset, std::size_t size, std::string_view name, std::error_code& ec) override;

private:
  std::shared_ptr<Heap> upstream_;
  HeapInfo info_;
};

}} // namespace sa::v0
