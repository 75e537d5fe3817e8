// SPDX-License-Identifier: MIT
#include "core/base/nearest.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <string>

namespace sa { inline namespace v0 { namespace detail {
namespace {

constexpr std::size_t most_names = 3; ///< more are no answer
constexpr std::size_t most_letters = 3;

char lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool same(char a, char b) noexcept {
  return lower(a) == lower(b);
}

} // namespace

std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t most) {
  const std::size_t difference = std::max(a.size(), b.size()) - std::min(a.size(), b.size());
  if (difference > most) { // so a name of any length costs no more than the names it is compared with
    return most + 1;
  }
  // Rows of the table of distances between the beginnings of both: of this letter of a, the one before and the one before that.
  std::array<std::vector<std::size_t>, 3> rows;
  rows.fill(std::vector<std::size_t>(b.size() + 1));
  auto& [row, last, older] = rows;
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    older.swap(last);
    last.swap(row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t changed = last[j - 1] + (same(a[i - 1], b[j - 1]) ? 0 : 1);
      row[j] = std::min({changed, last[j] + 1, row[j - 1] + 1});
      if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1])) {
        row[j] = std::min(row[j], older[j - 2] + 1);
      }
    }
  }
  return std::min(row.back(), most + 1);
}

std::vector<std::string_view> nearest(std::string_view name, const std::vector<std::string_view>& names) {
  std::vector<std::string_view> found;
  std::size_t best = std::clamp<std::size_t>(name.size() / 3, 1, most_letters);
  for (const std::string_view one : names) {
    const std::size_t colon = one.find(':');
    const bool part = colon != std::string_view::npos && (one.substr(0, colon) == name || one.substr(colon + 1) == name);
    const std::size_t letters = part ? 0 : edit_distance(name, one, best);
    if (letters < best) {
      found.clear();
      best = letters;
    }
    if (letters == best && found.size() < most_names) {
      found.push_back(one);
    }
  }
  return found;
}

}}} // namespace sa::v0::detail
