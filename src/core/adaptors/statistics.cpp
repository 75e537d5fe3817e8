// SPDX-License-Identifier: MIT
#include <sa/adaptors/statistics.hpp>

#include <algorithm>
#include <atomic>
#include <utility>

namespace sa { inline namespace v0 {
namespace detail {

/// The counts of a Statistics. They outlive it as long as one of its buffers lives.
class Tally {
public:
  /// live <= peak <= total for a thread that reads them in that order: each is raised after the one to its right and publishes
  /// it.
  class Amount {
  public:
    void begin(std::uint64_t n) noexcept {
      total_.fetch_add(n, std::memory_order_relaxed);
      // Acquires what other threads added to total_ before this live_, which peak_ shall publish too.
      const std::uint64_t live = live_.fetch_add(n, std::memory_order_acq_rel) + n;
      std::uint64_t peak = peak_.load(std::memory_order_relaxed);
      while (peak < live && !peak_.compare_exchange_weak(peak, live, std::memory_order_release, std::memory_order_relaxed)) {
      }
    }
    void end(std::uint64_t n) noexcept { live_.fetch_sub(n, std::memory_order_acq_rel); }

    void read(std::uint64_t& live, std::uint64_t& peak, std::uint64_t& total) const noexcept {
      live = live_.load(std::memory_order_acquire);
      // Somebody may have raised live_ and not yet peak_: the value just read is a peak by itself.
      peak = std::max(peak_.load(std::memory_order_acquire), live);
      total = total_.load(std::memory_order_relaxed);
    }

  private:
    std::atomic<std::uint64_t> live_{0};
    std::atomic<std::uint64_t> peak_{0};
    std::atomic<std::uint64_t> total_{0};
  };

  Amount buffers;
  Amount bytes;
  std::atomic<std::uint64_t> failures{0};
};

} // namespace detail

namespace {

using detail::Tally;

/// One buffer, counted from when it was there.
class Counted final : public Attachment {
public:
  explicit Counted(std::shared_ptr<Tally> tally) noexcept : tally_(std::move(tally)) {}
  ~Counted() override {
    if (counted_) {
      tally_->buffers.end(1);
      tally_->bytes.end(bytes_);
    }
  }
  void begin(std::size_t bytes) noexcept {
    counted_ = true;
    bytes_ = bytes;
    tally_->buffers.begin(1);
    tally_->bytes.begin(bytes_);
  }

private:
  std::shared_ptr<Tally> tally_;
  std::size_t bytes_ = 0;
  bool counted_ = false;
};

} // namespace

Statistics::Statistics(std::shared_ptr<Heap> upstream, StatisticsOptions options)
    : Adaptor(std::move(upstream), std::move(options.name)), tally_(std::make_shared<Tally>()) {}

Statistics::~Statistics() = default;

HeapStatistics Statistics::read() const noexcept {
  HeapStatistics now;
  tally_->buffers.read(now.live_buffers, now.peak_buffers, now.total_buffers);
  tally_->bytes.read(now.live_bytes, now.peak_bytes, now.total_bytes);
  now.failures = tally_->failures.load(std::memory_order_relaxed);
  return now;
}

DmaBuf Statistics::do_allocate(const AllocRequest& request, std::error_code& ec) {
  auto counted = std::make_unique<Counted>(tally_);
  DmaBuf buffer = upstream().allocate(request, ec);
  if (buffer) {
    counted->begin(buffer.size());
    attach(buffer, std::move(counted));
  } else {
    tally_->failures.fetch_add(1, std::memory_order_relaxed);
  }
  return buffer;
}

}} // namespace sa::v0
