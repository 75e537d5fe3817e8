// SPDX-License-Identifier: MIT
#include <sa/adaptors/limit.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include "core/base/system_facts.hpp"

namespace sa { inline namespace v0 {
namespace detail {

/// The rest of a limit. Outlives the limit as long as something is charged to it.
class Quota {
public:
  Quota(std::size_t max_bytes, std::size_t max_buffers) noexcept : bytes_(max_bytes), buffers_(max_buffers) {}

  /// An amount that never exceeds its bound, in the view of any thread.
  class Bounded {
  public:
    explicit Bounded(std::size_t most) noexcept : most(most) {}

    /// False: it would be too much beside the @p found that were there.
    [[nodiscard]] bool take(std::size_t amount, std::size_t& found) noexcept {
      found = used_.load(std::memory_order_relaxed);
      do {
        if (amount > most - found) {
          return false;
        }
        // Acquires what give_back() released: the memory that made room is gone.
      } while (!used_.compare_exchange_weak(found, found + amount, std::memory_order_acquire, std::memory_order_relaxed));
      return true;
    }
    void give_back(std::size_t amount) noexcept { used_.fetch_sub(amount, std::memory_order_release); }
    [[nodiscard]] std::size_t used() const noexcept { return used_.load(std::memory_order_relaxed); }

    const std::size_t most;

  private:
    std::atomic<std::size_t> used_{0};
  };

  [[nodiscard]] Bounded& bytes() noexcept { return bytes_; }
  [[nodiscard]] Bounded& buffers() noexcept { return buffers_; }

private:
  Bounded bytes_;
  Bounded buffers_;
};

} // namespace detail

namespace {

using detail::bytes_text;
using detail::Quota;

/// One buffer's part of the quota, from before it exists until after it is gone.
class Charge final : public Attachment {
public:
  explicit Charge(std::shared_ptr<Quota> quota) noexcept : quota_(std::move(quota)) {}
  ~Charge() override {
    quota_->bytes().give_back(bytes_);
    quota_->buffers().give_back(buffers_);
  }

  /// Takes one buffer of @p bytes; when there is no room, @p over says so.
  [[nodiscard]] bool begin(std::size_t bytes, std::string* over) {
    std::size_t found = 0;
    if (!quota_->buffers().take(1, found)) {
      if (over != nullptr) {
        *over = fmt::format("{} of at most {} buffers are in use, {}, so this is 1 over the limit; free one, or raise "
                            "LimitOptions::max_buffers",
                            found, quota_->buffers().most, bytes_text(quota_->bytes().used()));
      }
      return false;
    }
    buffers_ = 1;
    return grow(bytes, over);
  }

  /// Makes it @p bytes.
  [[nodiscard]] bool correct(std::size_t bytes, std::string* over) {
    if (bytes < bytes_) {
      quota_->bytes().give_back(bytes_ - bytes);
      bytes_ = bytes;
      return true;
    }
    return grow(bytes - bytes_, over);
  }

private:
  [[nodiscard]] bool grow(std::size_t bytes, std::string* over) {
    std::size_t found = 0;
    if (!quota_->bytes().take(bytes, found)) {
      if (over != nullptr) {
        const std::size_t most = quota_->bytes().most;
        const std::size_t others = found - bytes_;
        *over = fmt::format("{} of at most {} are in use, and {} more are {} over the limit; free buffers, or raise "
                            "LimitOptions::max_bytes",
                            bytes_text(others), bytes_text(most), bytes_text(bytes_ + bytes), bytes_text(bytes - (most - found)));
      }
      return false;
    }
    bytes_ += bytes;
    return true;
  }

  std::shared_ptr<Quota> quota_;
  std::size_t bytes_ = 0;
  std::size_t buffers_ = 0;
};

} // namespace

Limit::Limit(std::shared_ptr<Heap> upstream, LimitOptions options)
    : Adaptor(std::move(upstream), std::move(options.name)),
      quota_(std::make_shared<Quota>(options.max_bytes, options.max_buffers)) {
  describe().max_size = std::min(info().max_size, options.max_bytes);
}

Limit::~Limit() = default;

LimitUse Limit::use() const noexcept {
  return {quota_->bytes().used(), quota_->buffers().used()};
}

void Limit::check_fit(const AllocRequest& request, std::error_code& ec) const {
  const std::size_t most = quota_->bytes().most;
  const std::size_t rounded = rounded_size(request);
  if (request.size > info().max_size || rounded > most || rounded < request.size) {
    refuse(ec, ENOMEM, [&] {
      return fmt::format("{} is more than the {} that can ever be had here{}", bytes_text(std::max(rounded, request.size)),
                         bytes_text(info().max_size), info().max_size == most ? "; raise LimitOptions::max_bytes" : "");
    });
  }
}

DmaBuf Limit::do_allocate(const AllocRequest& request, std::error_code& ec) {
  std::string over;
  std::string* const wanted = explaining() ? &over : nullptr;
  auto charge = std::make_unique<Charge>(quota_);
  if (!charge->begin(rounded_size(request), wanted)) {
    return refuse(ec, EDQUOT, [&] { return std::move(over); });
  }
  DmaBuf buffer = upstream().allocate(request, ec); // ends before its charge, also where it is not returned
  if (buffer && !charge->correct(buffer.size(), wanted)) {
    return refuse(ec, EDQUOT, [&] { return std::move(over); });
  }
  attach(buffer, std::move(charge));
  return buffer;
}

}} // namespace sa::v0
