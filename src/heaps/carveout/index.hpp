// SPDX-License-Identifier: MIT
/// @file index.hpp
/// What one process knows of a region, as runs of bytes in address order. Makes no system call and takes no lock.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

namespace sa { inline namespace v0 { namespace detail {

/// What a run of bytes is to this process.
enum class Use : std::uint8_t {
  Open,    ///< not locked by this process, free as far as it knows
  Slack,   ///< locked by this process, without a buffer
  Live,    ///< locked by this process, one buffer
  Foreign, ///< was seen to be held by another; nobody tells when that ends
};

/// A partition of [base, end) into runs. Neighbours of one use are one run, except buffers.
class CarveoutIndex {
public:
  struct Run {
    std::uint64_t end = 0; ///< bytes, the first that is not in it
    Use use = Use::Open;
    bool shared = false;  ///< Live: somebody else may hold it too (a forked child, who got its handle)
    bool sent = false;    ///< Live: its handle was made
    bool counted = false; ///< Live: it counts in live_bytes()
  };
  using Runs = std::map<std::uint64_t, Run>; // by first byte
  using Iterator = Runs::iterator;

  /// @param base bytes; @param end bytes, not in it
  CarveoutIndex(std::uint64_t base, std::uint64_t end);

  struct Fit {
    std::uint64_t start = 0; ///< bytes, aligned
    std::uint64_t hole = 0;  ///< bytes in the run that it is in; 0: there is none
  };

  /// The best fit for @p size bytes at a multiple of @p alignment bytes in a run of @p use (Open or Slack): of the smallest
  /// runs that hold it the one at the lowest address. O(log n), unless only runs that are long enough but for the
  /// alignment are left.
  [[nodiscard]] Fit find(Use use, std::uint64_t size, std::uint64_t alignment) const;

  /// The same in what Open and Slack runs are together where they meet. O(n): before a refusal.
  [[nodiscard]] Fit find_across(std::uint64_t size, std::uint64_t alignment) const;

  /// The run that @p address is in.
  [[nodiscard]] Iterator at(std::uint64_t address);

  /// Makes sure that the next change() cannot fail: before a system call that it is to follow.
  /// @throws std::bad_alloc
  void prepare();

  /// Gives [start, end), which lies in @p run, to another use. Other runs stay as they are, but for those that it joins.
  /// @returns the run it is in now
  /// @throws std::bad_alloc nothing was changed
  Iterator change(Iterator run, std::uint64_t start, std::uint64_t end, Use use);

  /// Makes the whole of @p run Foreign, in place: it joins no neighbour.
  void lose(Iterator run) noexcept;

  /// Whether a run of @p use touches @p run.
  [[nodiscard]] bool beside(Iterator run, Use use) noexcept;

  /// The longest run of Slack; runs().end() when there is none.
  [[nodiscard]] Iterator longest_slack() noexcept;

  /// Makes every Foreign run Open.
  /// @throws std::bad_alloc some may still be Foreign
  void drop_hints();

  /// No buffer of now counts in live_bytes() any longer.
  void discount() noexcept;

  [[nodiscard]] Runs& runs() noexcept { return runs_; }
  [[nodiscard]] std::uint64_t live_bytes() const noexcept { return live_bytes_; }   ///< in Live runs that count
  [[nodiscard]] std::uint64_t slack_bytes() const noexcept { return slack_bytes_; } ///< in Slack runs
  [[nodiscard]] bool holds_any() const noexcept { return slack_bytes_ != 0 || live_runs_ != 0; }

private:
  using BySize = std::set<std::pair<std::uint64_t, std::uint64_t>>; // bytes, first byte

  [[nodiscard]] static bool fits(std::uint64_t start, std::uint64_t end, std::uint64_t size, std::uint64_t alignment);
  [[nodiscard]] BySize* sizes(Use use) noexcept;
  Iterator insert(Iterator next, std::uint64_t start, const Run& run) noexcept;
  Iterator erase(Iterator run) noexcept;
  void enlist(Iterator run) noexcept;
  void delist(Iterator run) noexcept;

  Runs runs_;
  std::array<BySize, 2> sizes_; // of Open and of Slack
  std::uint64_t live_bytes_ = 0;
  std::uint64_t slack_bytes_ = 0;
  std::uint64_t live_runs_ = 0;
  // Nodes for the next change, so that it neither fails halfway nor asks for memory each time.
  std::vector<Runs::node_type> spare_runs_;
  std::vector<BySize::node_type> spare_sizes_;
};

}}} // namespace sa::v0::detail
