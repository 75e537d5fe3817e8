// SPDX-License-Identifier: MIT
#include <sa/adaptors/adaptor.hpp>

#include <cerrno>
#include <utility>

#include "core/base/failure.hpp"
#include "core/base/heap_name.hpp"

namespace sa { inline namespace v0 {
namespace {

HeapInfo info_of(const std::shared_ptr<Heap>& upstream, std::string name) {
  const auto refuse = [&](const char* sentence) {
    throw Error(detail::from_errno(EINVAL), upstream == nullptr ? std::string() : upstream->info().name, "make an adaptor",
                sentence);
  };
  if (upstream == nullptr) {
    refuse("there is no upstream heap; Registry::find() returns null for an unknown name");
  }
  if (!name.empty() && !detail::is_heap_name(name)) {
    refuse("an adaptor's name is one word or \"backend:instance\", of letters, digits and ,._+-@#");
  }
  HeapInfo info = upstream->info();
  if (!name.empty()) {
    info.name = std::move(name);
  }
  return info;
}

} // namespace

Adaptor::Adaptor(std::shared_ptr<Heap> upstream, std::string name)
    : upstream_(std::move(upstream)), info_(info_of(upstream_, std::move(name))) {}

Adaptor::~Adaptor() = default;

void Adaptor::check_fit(const AllocRequest&, std::error_code&) const {}

DmaBuf Adaptor::do_accept(UniqueFd handle, std::uint64_t offset, std::size_t size, std::string_view name, std::error_code& ec) {
  return upstream_->accept(std::move(handle), offset, size, name, ec);
}

}} // namespace sa::v0
