// SPDX-License-Identifier: MIT
#include <sa/heap.hpp>

#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "core/base/failure.hpp"
#include "core/base/system_facts.hpp"
#include "core/buffer/buffer.hpp"
#include "core/buffer/prefault.hpp"
#include "core/heap/request.hpp"

namespace sa { inline namespace v0 {

using detail::check_form;
using detail::fail;
using detail::or_code;
using detail::or_throw;

namespace {

/// Checks for mistakes of a heap's author that would kill its users by SIGBUS, when they touch memory that is not there.
void check_memory(const Memory& memory, std::error_code& ec) {
  if (memory.descriptor == Descriptor::Handle) {
    return; // only the heap knows what it is
  }
  std::int64_t size = 0;
  if (memory.descriptor == Descriptor::DmaBuf) {
    size = ::lseek(memory.fd.get(), 0, SEEK_END);
  } else if (const int seals = ::fcntl(memory.fd.get(), F_GET_SEALS); seals < 0 || (seals & F_SEAL_SHRINK) == 0) {
    fail(ec, EINVAL, [] {
      return std::string("the heap made a memory file that others can truncate; it must be sealed with F_SEAL_SHRINK");
    });
    return;
  } else {
    struct stat status {};
    size = ::fstat(memory.fd.get(), &status) < 0 ? -1 : status.st_size;
  }
  if (size < 0 || memory.size > static_cast<std::uint64_t>(size)) {
    fail(ec, EINVAL, [&] {
      return fmt::format("the heap made a buffer of {} from a descriptor that has {}", detail::bytes_text(memory.size),
                         size < 0 ? "no size" : detail::bytes_text(static_cast<std::uint64_t>(size)));
    });
  }
}

} // namespace

Attachment::~Attachment() = default;

Heap::~Heap() = default;

void Heap::check_fit(const AllocRequest& request, std::error_code& ec) const {
  detail::check_fit(info(), request, ec);
}

DmaBuf Heap::allocate(const AllocRequest& request) {
  return or_throw([&]() -> const std::string& { return info().name; },
                  [&] {
                    return request.name.empty()
                               ? fmt::format("allocate {}", detail::bytes_text(request.size))
                               : fmt::format("allocate {} for \"{}\"", detail::bytes_text(request.size), request.name);
                  },
                  [&](std::error_code& ec) { return allocate(request, ec); });
}

DmaBuf Heap::allocate(const AllocRequest& request, std::error_code& ec) noexcept {
  return or_code(ec, [&] {
    check_form(request, ec);
    if (!ec) {
      check_fit(request, ec);
    }
    DmaBuf buffer = ec ? DmaBuf{} : do_allocate(request, ec);
    if (buffer && (request.flags & AllocFlag::Prefault) != AllocFlag::None) {
      detail::prefault(buffer, ec);
    }
    return ec ? DmaBuf{} : std::move(buffer);
  });
}

Image Heap::allocate(const ImageLayout& layout, const AllocRequest& memory) {
  return or_throw([&]() -> const std::string& { return info().name; },
                  [&] { return fmt::format("allocate an image of {}x{} pixels", layout.width, layout.height); },
                  [&](std::error_code& ec) { return allocate(layout, memory, ec); });
}

Image Heap::allocate(const ImageLayout& layout, const AllocRequest& memory, std::error_code& ec) noexcept {
  return or_code(ec, [&] {
    check(layout, ec); // its number of buffers is not more than there can be
    std::vector<DmaBuf> buffers;
    for (unsigned i = 0; !ec && i < layout.buffer_count(); ++i) {
      buffers.push_back(allocate(detail::request_for(layout, i, memory), ec));
    }
    return ec ? Image{} : Image::import(layout, std::move(buffers), ec);
  });
}

DmaBuf Heap::accept(UniqueFd handle, std::uint64_t offset, std::size_t size, std::string_view name,
                    std::error_code& ec) noexcept {
  return or_code(ec, [&] {
    detail::check_name(name, ec);
    return ec ? DmaBuf{} : do_accept(std::move(handle), offset, size, name, ec);
  });
}

DmaBuf Heap::do_accept(UniqueFd, std::uint64_t, std::size_t, std::string_view, std::error_code& ec) {
  return refuse(ec, EOPNOTSUPP, [&] { return fmt::format("{} does not share memory by handles", info().name); });
}

DmaBuf Heap::adopt(Memory memory, std::string_view name) {
  std::error_code ec;
  detail::check_name(name, ec);
  if (!ec) {
    check_memory(memory, ec);
  }
  std::shared_ptr<Heap> self = weak_from_this().lock();
  if (!ec && self == nullptr) {
    fail(ec, EINVAL, [] {
      return std::string("no std::shared_ptr holds this heap, and its buffers must keep it alive; make it by std::make_shared");
    });
  }
  if (ec) { // a mistake of the heap's author
    throw std::system_error(ec);
  }
  // Points into this heap and keeps it alive: no copy of the name.
  std::shared_ptr<const std::string> heap(std::move(self), &info().name);
  DmaBuf dma_buf =
      Handover::make(std::move(memory), std::move(heap), detail::Buffer::Origin::Made, detail::Buffer::Writing::Allowed);
  if (!name.empty()) {
    Handover::buffer(dma_buf)->set_name(name);
  }
  return dma_buf;
}

void Heap::attach(const DmaBuf& buffer, std::unique_ptr<Attachment> attachment) noexcept {
  if (buffer) {
    Handover::buffer(buffer)->attachments().add(std::move(attachment));
  }
}

std::size_t Heap::rounded_size(const AllocRequest& request) const noexcept {
  return detail::rounded_size(request, info().granularity);
}

DmaBuf Heap::refuse(std::error_code& ec, int error, const char* call) {
  fail(ec, error, call);
  return DmaBuf{};
}

bool Heap::explaining() noexcept {
  return detail::Explanation::current() != nullptr;
}

void Heap::explain(std::string_view sentence) noexcept {
  if (auto* explanation = detail::Explanation::current(); explanation != nullptr) {
    try {
      explanation->add(sentence);
    } catch (...) { // NOLINT(bugprone-empty-catch): the code still says what happened
    }
  }
}

}} // namespace sa::v0
