// SPDX-License-Identifier: MIT
/// The answers of a device are remembered: on a USB camera each question is a transfer.
#include "core/device/consumer.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/base/failure.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

/// Answers that are kept, of each sort: of all formats at a handful of sizes. A program that asks for ever new ones must not make
/// them grow without end.
constexpr std::size_t most_answers = 256;

/// Keeps @p answer, in the place of the oldest where there are too many.
template <typename Answer>
void keep(std::vector<std::shared_ptr<const Answer>>& answers, std::shared_ptr<const Answer> answer) {
  if (answers.size() >= most_answers) {
    answers.erase(answers.begin());
  }
  answers.push_back(std::move(answer));
}

/// Sets @p ec and says again what was said when the device was asked.
void repeat(const std::error_code& answered, const std::string& said, std::error_code& ec) {
  if (answered) {
    fail(ec, answered.value(), [&] { return said; });
  }
}

} // namespace

std::shared_ptr<const std::vector<LayoutRule>> Consumer::rules(Format format, std::uint32_t width, std::uint32_t height,
                                                               std::error_code& ec) const {
  const auto known = [&]() -> std::shared_ptr<const Answer> {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(answers_.begin(), answers_.end(), [&](const auto& one) {
      return one->format == format && one->width == width && one->height == height;
    });
    return found == answers_.end() ? nullptr : *found;
  };
  std::shared_ptr<const Answer> answer = known();
  if (answer == nullptr) {
    auto asked = std::make_shared<Answer>(Answer{format, width, height, {}, {}, {}});
    const Explanation refused;
    asked->rules = ask(format, width, height, asked->ec);
    asked->said = refused.text().empty() ? asked->ec.message() : refused.text();
    const bool lasts = !asked->ec || asked->ec == std::errc::operation_not_supported; // a node can become readable
    answer = asked;
    if (const std::lock_guard lock(mutex_); lasts) {
      keep(answers_, answer);
    }
  }
  repeat(answer->ec, answer->said, ec);
  return {answer, &answer->rules};
}

ImageLayout Consumer::confirm(const ImageLayout& layout, std::error_code& ec) const {
  const auto known = [&]() -> std::shared_ptr<const Confirmed> {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(confirmed_.begin(), confirmed_.end(), [&](const auto& one) { return one->asked == layout; });
    return found == confirmed_.end() ? nullptr : *found;
  };
  std::shared_ptr<const Confirmed> answer = known();
  if (answer == nullptr) {
    auto asked = std::make_shared<Confirmed>(Confirmed{layout, {}, {}, {}});
    const Explanation refused;
    asked->answered = ask(layout, asked->ec);
    asked->said = refused.text().empty() ? asked->ec.message() : refused.text();
    answer = asked;
    if (const std::lock_guard lock(mutex_); !asked->ec || asked->ec == std::errc::operation_not_supported) {
      keep(confirmed_, answer);
    }
  }
  repeat(answer->ec, answer->said, ec);
  return answer->answered;
}

ImageLayout Consumer::ask(const ImageLayout& layout, std::error_code&) const {
  return layout;
}

}}} // namespace sa::v0::detail
