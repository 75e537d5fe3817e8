// SPDX-License-Identifier: MIT
#include "heaps/carveout/index.hpp"

#include <algorithm>
#include <iterator>

namespace sa { inline namespace v0 { namespace detail {
namespace {

constexpr std::size_t nodes_per_change = 3; // a run that is cut in the middle
constexpr std::size_t max_spare = 32;

constexpr std::uint64_t aligned(std::uint64_t start, std::uint64_t alignment) noexcept {
  return (start + alignment - 1) & ~(alignment - 1);
}

} // namespace

CarveoutIndex::CarveoutIndex(std::uint64_t base, std::uint64_t end) {
  spare_runs_.reserve(max_spare);
  spare_sizes_.reserve(max_spare);
  prepare();
  if (base < end) {
    enlist(insert(runs_.end(), base, Run{.end = end}));
  }
}

bool CarveoutIndex::fits(std::uint64_t start, std::uint64_t end, std::uint64_t size, std::uint64_t alignment) {
  const std::uint64_t first = aligned(start, alignment);
  return first >= start && first <= end && end - first >= size;
}

CarveoutIndex::Fit CarveoutIndex::find(Use use, std::uint64_t size, std::uint64_t alignment) const {
  constexpr int near_fits = 8; // then what surely fits is better than a long search
  const BySize& runs = sizes_[static_cast<std::size_t>(use)];
  const auto first = runs.lower_bound({size, 0});
  const auto fitting = [&](const auto& run) { return fits(run.second, run.second + run.first, size, alignment); };
  auto run = first;
  for (int tries = 0; run != runs.end() && !fitting(*run); ++run) {
    if (++tries == near_fits) {
      run = runs.lower_bound({size + alignment, 0});
      if (run == runs.end()) {
        run = std::find_if(first, runs.end(), fitting);
      }
      break;
    }
  }
  return run == runs.end() ? Fit{} : Fit{aligned(run->second, alignment), run->first};
}

CarveoutIndex::Fit CarveoutIndex::find_across(std::uint64_t size, std::uint64_t alignment) const {
  Fit best;
  for (auto run = runs_.begin(); run != runs_.end();) {
    const std::uint64_t start = run->first;
    std::uint64_t end = start;
    for (; run != runs_.end() && run->second.use <= Use::Slack; ++run) {
      end = run->second.end;
    }
    if ((best.hole == 0 || end - start < best.hole) && fits(start, end, size, alignment)) {
      best = {aligned(start, alignment), end - start};
    }
    while (run != runs_.end() && run->second.use > Use::Slack) {
      ++run;
    }
  }
  return best;
}

CarveoutIndex::Iterator CarveoutIndex::at(std::uint64_t address) {
  return std::prev(runs_.upper_bound(address));
}

CarveoutIndex::Iterator CarveoutIndex::change(Iterator run, std::uint64_t start, std::uint64_t end, Use use) {
  prepare();
  delist(run);
  const Run whole = run->second;
  Iterator next = std::next(run);
  if (end < whole.end) {
    next = insert(next, end, whole);
    enlist(next);
  }
  Iterator changed;
  if (run->first < start) {
    run->second.end = start;
    enlist(run);
    changed = insert(next, start, Run{.end = end, .use = use});
  } else {
    changed = run;
    run->second = Run{.end = end, .use = use};
  }
  if (use != Use::Live) {
    if (next != runs_.end() && next->second.use == use) {
      delist(next);
      changed->second.end = next->second.end;
      erase(next);
    }
    if (changed != runs_.begin() && std::prev(changed)->second.use == use) {
      const Iterator before = std::prev(changed);
      delist(before);
      before->second.end = changed->second.end;
      erase(changed);
      changed = before;
    }
  } else {
    changed->second.counted = true;
  }
  enlist(changed);
  return changed;
}

void CarveoutIndex::lose(Iterator run) noexcept {
  delist(run);
  run->second = Run{.end = run->second.end, .use = Use::Foreign};
}

bool CarveoutIndex::beside(Iterator run, Use use) noexcept {
  const Iterator next = std::next(run);
  return (next != runs_.end() && next->second.use == use) || (run != runs_.begin() && std::prev(run)->second.use == use);
}

CarveoutIndex::Iterator CarveoutIndex::longest_slack() noexcept {
  const BySize& slack = *sizes(Use::Slack);
  return slack.empty() ? runs_.end() : runs_.find(slack.rbegin()->second);
}

void CarveoutIndex::drop_hints() {
  for (Iterator run = runs_.begin(); run != runs_.end(); ++run) {
    if (run->second.use == Use::Foreign) {
      run = change(run, run->first, run->second.end, Use::Open);
    }
  }
}

void CarveoutIndex::discount() noexcept {
  for (auto& [start, run] : runs_) {
    run.counted = false;
  }
  live_bytes_ = 0;
}

CarveoutIndex::BySize* CarveoutIndex::sizes(Use use) noexcept {
  return use <= Use::Slack ? &sizes_[static_cast<std::size_t>(use)] : nullptr;
}

void CarveoutIndex::prepare() {
  while (spare_runs_.size() < nodes_per_change) {
    Runs one;
    one.emplace(0, Run{});
    spare_runs_.push_back(one.extract(one.begin()));
  }
  while (spare_sizes_.size() < nodes_per_change) {
    BySize one;
    one.emplace(0, 0);
    spare_sizes_.push_back(one.extract(one.begin()));
  }
}

CarveoutIndex::Iterator CarveoutIndex::insert(Iterator next, std::uint64_t start, const Run& run) noexcept {
  auto node = std::move(spare_runs_.back());
  spare_runs_.pop_back();
  node.key() = start;
  node.mapped() = run;
  return runs_.insert(next, std::move(node));
}

CarveoutIndex::Iterator CarveoutIndex::erase(Iterator run) noexcept {
  const Iterator next = std::next(run);
  auto node = runs_.extract(run);
  if (spare_runs_.size() < max_spare) {
    spare_runs_.push_back(std::move(node));
  }
  return next;
}

/// Counts a run whose use and length are final.
void CarveoutIndex::enlist(Iterator run) noexcept {
  const std::uint64_t size = run->second.end - run->first;
  if (BySize* by_size = sizes(run->second.use); by_size != nullptr) {
    auto node = std::move(spare_sizes_.back());
    spare_sizes_.pop_back();
    node.value() = {size, run->first};
    by_size->insert(std::move(node));
  }
  slack_bytes_ += run->second.use == Use::Slack ? size : 0;
  if (run->second.use == Use::Live) {
    ++live_runs_;
    live_bytes_ += run->second.counted ? size : 0;
  }
}

/// Takes a run out of the counts, before it changes.
void CarveoutIndex::delist(Iterator run) noexcept {
  const std::uint64_t size = run->second.end - run->first;
  if (BySize* by_size = sizes(run->second.use); by_size != nullptr) {
    auto node = by_size->extract({size, run->first});
    if (spare_sizes_.size() < max_spare) {
      spare_sizes_.push_back(std::move(node));
    }
  }
  slack_bytes_ -= run->second.use == Use::Slack ? size : 0;
  if (run->second.use == Use::Live) {
    --live_runs_;
    live_bytes_ -= run->second.counted ? size : 0;
  }
}

}}} // namespace sa::v0::detail
