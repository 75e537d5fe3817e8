// SPDX-License-Identifier: MIT
#include "core/attachments.hpp"

#include <utility>

namespace sa::inline v0::detail {

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
  while (last_ != nullptr && !last_->of_memory_) {
    end_last();
  }
}

void Attachments::end_last() noexcept {
  const std::unique_ptr<Attachment> ended(last_);
  last_ = ended->earlier_;
}

} // namespace sa::inline v0::detail
