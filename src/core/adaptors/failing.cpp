// SPDX-License-Identifier: MIT
#include <sa/adaptors/failing.hpp>

#include <cerrno>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "core/base/failure.hpp"

namespace sa { inline namespace v0 {
namespace {

void check(const HeapInfo& info, const FailingOptions& options) {
  const auto refuse = [&](const std::string& sentence) {
    throw Error(detail::from_errno(EINVAL), info.name, "make allocations fail", sentence);
  };
  if (!(options.probability >= 0 && options.probability <= 1)) { // refuses NaN too
    refuse(fmt::format("a probability of {}; it is from 0 to 1", options.probability));
  }
  constexpr int most = 4095; // MAX_ERRNO (linux/err.h)
  if (options.error < 1 || options.error > most) {
    refuse(fmt::format("{} is not an errno; use one like ENOMEM", options.error));
  }
}

/// From 0 to less than 1: the @p number-th of the sequence that @p seed begins, in any order they are asked for. SplitMix64
/// (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
double draw(std::uint64_t seed, std::uint64_t number) noexcept {
  std::uint64_t z = seed + number * 0x9e3779b97f4a7c15U;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
  z ^= z >> 31;
  return std::ldexp(static_cast<double>(z >> 11), -53);
}

} // namespace

Failing::Failing(std::shared_ptr<Heap> upstream, FailingOptions options)
    : Adaptor(std::move(upstream), std::move(options.name)), options_(std::move(options)) {
  check(info(), options_);
}

Failing::~Failing() = default;

DmaBuf Failing::do_allocate(const AllocRequest& request, std::error_code& ec) {
  const std::uint64_t number = count_.fetch_add(1, std::memory_order_relaxed) + 1;
  const bool nth = number == options_.nth;
  const bool every = options_.every != 0 && number % options_.every == 0;
  if (nth || every || draw(options_.seed, number) < options_.probability) {
    return refuse(ec, options_.error, [&] {
      const std::string why = nth     ? std::string("the nth")
                              : every ? fmt::format("every {}", options_.every)
                                      : fmt::format("probability {}, seed {}", options_.probability, options_.seed);
      return fmt::format("sa::Failing made request {} fail on purpose ({}): {}; upstream was not asked", number, why,
                         detail::from_errno(options_.error).message());
    });
  }
  return upstream().allocate(request, ec);
}

}} // namespace sa::v0
