// SPDX-License-Identifier: MIT
#include "core/buffer/attachments.hpp"

#include <utility>

namespace sa { inline namespace v0 { namespace detail {

void Attachments::add(std::unique_ptr<Attachment> attachment) noexcept {
  if (attachment != nullptr) {
    attachment->earlier_ = last_;
    last_ = attachment.release();
  }
}

void Attachments::belong_to_memory() noexcept {
  for (Attachment* one = last_; one != nullptr; one = one->earlier_) {
    one->of_memory_ = true;
  }
}

void Attachments::end_use() noexcept {
  end([](const Attachment& one) { return !one.of_memory_; });
}

void Attachments::end_all() noexcept {
  end([](const Attachment&) { return true; });
}

template <typename Which>
void Attachments::end(Which&& which) noexcept {
  Attachment* first = nullptr; // turned round: the heap that is nearest to the memory learns first
  while (last_ != nullptr && which(*last_)) {
    Attachment* const one = std::exchange(last_, last_->earlier_);
    one->earlier_ = std::exchange(first, one);
  }
  while (first != nullptr) {
    const std::unique_ptr<Attachment> ended(first);
    first = ended->earlier_;
  }
}

}}} // namespace sa::v0::detail
