// SPDX-License-Identifier: MIT
#include "commands/nearest.hpp"

#include <algorithm>
#include <cctype>
#include <numeric>

namespace sactl {
namespace {

bool same(char a, char b) {
  return std::toupper(static_cast<unsigned char>(a)) == std::toupper(static_cast<unsigned char>(b));
}

/// How many letters of @p a must be changed, left out, put in, or exchanged with the next one, to get @p b.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1); // from the beginnings of a to those of b
  std::vector<std::size_t> last(row.size());
  std::vector<std::size_t> older(row.size());
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    older.swap(last);
    last.swap(row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j - 1] + (same(a[i - 1], b[j - 1]) ? 0 : 1), last[j] + 1, row[j - 1] + 1});
      if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1])) {
        row[j] = std::min(row[j], older[j - 2] + 1);
      }
    }
  }
  return row.back();
}

} // namespace

std::vector<std::string> nearest(std::string_view name, const std::vector<std::string>& names, std::size_t most) {
  std::vector<std::string> found;
  for (const auto& one : names) {
    if (std::max(name.size(), one.size()) - std::min(name.size(), one.size()) > most) {
      continue; // is farther away, and may be long
    }
    const std::size_t letters = distance(name, one);
    if (letters < most) {
      found.clear();
      most = letters;
    }
    if (letters == most && std::find(found.begin(), found.end(), one) == found.end()) {
      found.push_back(one);
    }
  }
  return found;
}

} // namespace sactl
