// SPDX-License-Identifier: MIT
#include <sa/pool.hpp>

#include <algorithm>
#include <array>
#include <vector>

#include <fmt/format.h>

#include "core/base/byte_size.hpp"
#include "core/base/failure.hpp"
#include "core/base/fork.hpp"
#include "core/base/heap_name.hpp"
#include "core/base/log.hpp"
#include "core/base/system_facts.hpp"
#include "core/buffer/buffer.hpp"
#include "core/buffer/zero.hpp"
#include "core/heap/request.hpp"
#include "core/pool/free_lists.hpp"

namespace sa { inline namespace v0 {

using detail::Buffer;
using detail::fail;
using detail::FreeLists;

namespace {

HeapInfo describe(const std::shared_ptr<Heap>& upstream, const PoolOptions& options) {
  const auto refuse = [&](const std::string& sentence) {
    throw Error(detail::from_errno(EINVAL), upstream == nullptr ? std::string() : upstream->info().name, "make a pool", sentence);
  };
  if (upstream == nullptr) {
    refuse("there is no upstream heap; Registry::find() returns null for an unknown name");
  }
  if (options.max_age < std::chrono::milliseconds::zero()) {
    refuse(fmt::format("max_age {} ms; 0 keeps nothing, milliseconds::max() keeps for ever", options.max_age.count()));
  }
  if (options.recycle != Recycle::WhenUnshared && options.recycle != Recycle::Always) {
    refuse(fmt::format("{} is no Recycle; use WhenUnshared or Always", static_cast<int>(options.recycle)));
  }
  if (!options.name.empty() && !detail::is_heap_name(options.name)) {
    refuse("a pool's name is one word or \"backend:instance\", of letters, digits and ,._+-@#");
  }
  HeapInfo info = upstream->info();
  if (!options.name.empty()) {
    info.name = options.name;
  }
  if (!options.zero) {
    info.traits = info.traits.without(Trait::Zeroed);
  }
  return info;
}

/// The class of @p request. Its size is what upstream rounds to: smaller requests may be served by the same buffer.
detail::PoolClass class_of(const AllocRequest& request, std::size_t granularity) {
  // One that overflows goes upstream as it is, to be refused there.
  return {std::max(detail::rounded_size(request, granularity), request.size), request.constraints, request.require,
          request.flags};
}

} // namespace

Pool::Pool(std::shared_ptr<Heap> upstream, PoolOptions options)
    : upstream_(std::move(upstream)), options_(std::move(options)), info_(describe(upstream_, options_)),
      // An alias has 1, since each candidate has its own: then pages.
      granularity_(info_.granularity > 1 ? info_.granularity : detail::page_size()),
      lists_(std::make_shared<detail::FreeLists>(options_)) {
  detail::enlist(lists_);
}

Pool::~Pool() {
  lists_->close();
}

void Pool::check_fit(const AllocRequest& request, std::error_code& ec) const {
  if (request.require.contains(Trait::Zeroed) && !options_.zero) {
    fail(ec, EOPNOTSUPP,
         [] { return std::string("a pool hands out what its users wrote before; make it with PoolOptions::zero"); });
  }
  // Everything else is upstream's to refuse: a free buffer is of a class that it has served.
}

DmaBuf Pool::do_allocate(const AllocRequest& request, std::error_code& ec) {
  const detail::PoolClass of = class_of(request, granularity_);
  while (Buffer* buffer = lists_->acquire(of)) {
    if (options_.zero && !detail::zero(*buffer)) {
      lists_->discard(*buffer);
      continue;
    }
    buffer->remember_name(request.name);
    return Handover::wrap(*buffer);
  }
  return allocate_fresh(request, ec);
}

DmaBuf Pool::allocate_fresh(const AllocRequest& request, std::error_code& ec) {
  lists_->drop_inherited();
  lists_->age(FreeLists::Clock::now()); // also where no thread could be started for it
  // Before the memory exists: a fork while it is made counts as one while it is in use.
  const unsigned epoch = detail::fork_epoch.load(std::memory_order_acquire);
  DmaBuf made = ask_upstream(request, ec);
  if (Buffer* buffer = Handover::buffer(made); buffer != nullptr && buffer->can_join_pool()) {
    join(*buffer, lists_->enter(class_of(request, granularity_), 1), epoch, false);
    if (const std::string_view complaint = lists_->note_miss(); !complaint.empty()) {
      detail::log_warning([&] { return fmt::format("the pool {} is of little use: {}", info_.name, complaint); });
    }
  }
  return made;
}

DmaBuf Pool::do_accept(UniqueFd handle, std::uint64_t offset, std::size_t size, std::string_view name, std::error_code& ec) {
  return upstream_->accept(std::move(handle), offset, size, name, ec);
}

/// A buffer of upstream's. When that has no more, it is asked again without the free buffers of the pool.
DmaBuf Pool::ask_upstream(const AllocRequest& request, std::error_code& ec) {
  AllocRequest asked = request;
  asked.size = class_of(request, granularity_).size;
  std::string said;
  const auto ask = [&] {
    if (!explaining()) {
      return upstream_->allocate(asked, ec);
    }
    const detail::Explanation inner; // an attempt that is repeated has nothing to say
    DmaBuf made = upstream_->allocate(asked, ec);
    said = inner.text();
    return made;
  };
  DmaBuf made = ask();
  if ((ec.value() == EMFILE || ec.value() == ENFILE) && lists_->close_fdinfo() != 0) {
    made = ask();
  }
  constexpr std::array lacks{ENOMEM, EDQUOT, EMFILE, ENFILE}; // what free buffers of a pool may be
  if (std::find(lacks.begin(), lacks.end(), ec.value()) != lacks.end() && asked.size <= info_.max_size &&
      lists_->trim(false) != 0) {
    made = ask();
  }
  if (ec && !said.empty()) {
    explain(said);
  }
  return made;
}

void Pool::join(Buffer& buffer, detail::SizeClass& size_class, unsigned epoch, bool reserved) noexcept {
  const Traits traits = buffer.memory().traits;
  buffer.join_pool({lists_, &size_class, reserved}, epoch, options_.zero ? traits : traits.without(Trait::Zeroed));
}

void Pool::reserve(std::size_t count, const AllocRequest& request) {
  detail::or_throw(
      info_.name, [&] { return fmt::format("reserve {} buffers of {}", count, detail::bytes_text(request.size)); },
      [&](std::error_code& ec) { reserve(count, request, ec); });
}

void Pool::reserve(std::size_t count, const AllocRequest& request, std::error_code& ec) noexcept {
  detail::or_code(ec, [&] {
    detail::check_form(request, ec);
    if (!ec) {
      check_fit(request, ec);
    }
    if (ec || count == 0) {
      return;
    }
    const std::size_t most = options_.max_age.count() == 0 ? 0 : options_.max_free_bytes;
    const auto too_much = [&](std::size_t each) {
      fail(ec, ENOMEM, [&] {
        return fmt::format("{} buffers of {} and the reserved ones together exceed the {} that the pool may keep; raise "
                           "PoolOptions::max_free_bytes",
                           count, detail::bytes_text(each), detail::bytes_text(most));
      });
    };
    const std::size_t at_least = class_of(request, granularity_).size;
    if (most / count < at_least) { // before anything is allocated
      too_much(at_least);
      return;
    }
    lists_->drop_inherited();
    std::vector<DmaBuf> made; // of no pool yet: what ends here is freed
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < count; ++i) {
      made.push_back(ask_upstream(request, ec));
      if (ec) {
        return;
      }
      const Buffer* buffer = Handover::buffer(made.back());
      if (buffer == nullptr || !buffer->can_join_pool() || buffer->given_away() || !buffer->sole()) {
        fail(ec, EOPNOTSUPP, [] { return std::string("this heap's buffers have other holders, so a pool cannot keep them"); });
        return;
      }
      bytes += buffer->memory().size;
    }
    detail::SizeClass& size_class = lists_->enter(class_of(request, granularity_), count);
    if (!lists_->reserve_room(bytes)) {
      lists_->leave(size_class, count);
      too_much(made.front().size());
      return;
    }
    for (DmaBuf& one : made) {
      Buffer* buffer = Handover::unwrap(one);
      join(*buffer, size_class, detail::fork_epoch.load(std::memory_order_relaxed), true);
      lists_->keep_reserved(*buffer);
    }
  });
}

void Pool::trim() noexcept {
  lists_->trim(true);
}

PoolStatistics Pool::statistics() const noexcept {
  return lists_->statistics();
}

}} // namespace sa::v0
