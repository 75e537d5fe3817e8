// SPDX-License-Identifier: MIT
/// @file adaptor.hpp
/// Adaptors: heaps that wrap another heap, their upstream. This file has the rules for all of them, and the base class
/// for an adaptor of your own. An adaptor hands requests on to its upstream. It can stand wherever a heap can: in a
/// registry, around another adaptor, below or above a Pool (docs/adaptors.md).
///
/// Rules for all adaptors. info() is a copy of the upstream's, taken when the adaptor is made, with the adaptor's
/// changes. An empty name in the options keeps the upstream's name; several adaptors in one registry need names of
/// their own. The upstream decides whether a request can be served, except where the adaptor's description says
/// otherwise. DmaBuf::heap() is the heap that made the memory. Memory that a peer sent (Heap::accept()) is passed
/// through and not counted. Buffers may outlive their adaptor.
///
/// An adaptor above a Pool sees each use of a buffer. An adaptor below a Pool sees the memory being made and freed.
/// Heap::attach() has the details, also for DmaBuf::release().
///
/// fork(2): a child has its own copies of the numbers. They go on from the parent's values.
///
/// Threads: any number of threads may use one adaptor at once.
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

/// The base class of all adaptors. To write an adaptor, derive from it and override do_allocate(): hand the request on
/// by upstream().allocate(request, ec), and attach() an Attachment to the buffer if the adaptor must learn of the
/// buffer's end. Make the Attachment before you ask the upstream: then a failure to make it costs no buffer.
class SA_API Adaptor : public Heap {
public:
  ~Adaptor() override;

  [[nodiscard]] const HeapInfo& info() const noexcept override { return info_; }

protected:
  /// @param upstream the heap that serves the requests; the adaptor keeps a reference
  /// @param name info().name; empty: the upstream's
  /// @throws Error EINVAL: no upstream, a malformed name
  Adaptor(std::shared_ptr<Heap> upstream, std::string name);

  [[nodiscard]] Heap& upstream() const noexcept { return *upstream_; }

  /// The HeapInfo that info() returns. Only a constructor may change it.
  [[nodiscard]] HeapInfo& describe() noexcept { return info_; }

  /// Refuses nothing: the upstream decides.
  void check_fit(const AllocRequest& request, std::error_code& ec) const override;
  /// Hands the peer's memory to the upstream.
  DmaBuf do_accept(UniqueFd handle, std::uint64_t offset, std::size_t size, std::string_view name, std::error_code& ec) override;

private:
  std::shared_ptr<Heap> upstream_;
  HeapInfo info_;
};

}} // namespace sa::v0
