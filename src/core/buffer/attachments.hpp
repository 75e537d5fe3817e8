// SPDX-License-Identifier: MIT
/// @file attachments.hpp
/// The attachments of one buffer (Heap::attach()).
#pragma once

#include <memory>

#include <sa/memory.hpp>

namespace sa { inline namespace v0 { namespace detail {

/// A list with the last attachment first, so that those of a use lie before those of the memory. Only the buffer's sole
/// holder accesses it.
class Attachments {
public:
  Attachments() noexcept = default;
  Attachments(const Attachments&) = delete;
  Attachments& operator=(const Attachments&) = delete;
  /// The buffer and its memory are gone.
  ~Attachments() {
    if (!empty()) {
      end_all();
    }
  }

  [[nodiscard]] bool empty() const noexcept { return last_ == nullptr; }
  void add(std::unique_ptr<Attachment> attachment) noexcept;
  /// A pool keeps the buffer from now on: the present attachments last as long as the memory.
  void belong_to_memory() noexcept;
  /// Ends those that do not belong to the memory.
  void end_use() noexcept;

private:
  void end_all() noexcept;
  template <typename Which>
  void end(Which&& which) noexcept;

  Attachment* last_ = nullptr; // owned, and by it the earlier ones: a word, since every buffer has it
};

}}} // namespace sa::v0::detail
