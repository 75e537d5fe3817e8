// SPDX-License-Identifier: MIT
#include "core/base/system_facts.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include <fcntl.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <fmt/format.h>

#include <sa/unique_fd.hpp>

#include "core/base/failure.hpp"
#include "core/base/system_call.hpp"

namespace sa { inline namespace v0 { namespace detail {

std::size_t page_size() noexcept {
  static const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

std::size_t total_memory() noexcept {
  struct sysinfo info {};
  if (::sysinfo(&info) != 0) {
    return SIZE_MAX;
  }
  // A machine of today has more than a 32-bit program can map.
  const std::uint64_t bytes = (std::uint64_t{info.totalram} + info.totalswap) * info.mem_unit;
  return static_cast<std::size_t>(std::min<std::uint64_t>(bytes, PTRDIFF_MAX));
}

std::uint64_t highest_memory() {
  static const std::uint64_t highest = [] {
    const std::string text = read_text("/proc/zoneinfo");
    std::uint64_t pages = 0;   // page frames below which all zones lie
    std::uint64_t spanned = 0; // of the zone that is being read; its start comes after it
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find('\n', at), text.size());
      const std::string_view line(&text[at], end - at);
      const auto number = [&](std::string_view label, std::uint64_t& value) {
        const std::size_t found = line.find(label);
        const std::size_t digit = found == std::string_view::npos ? found : line.find_first_of("0123456789", found);
        return digit != std::string_view::npos &&
               std::from_chars(line.data() + digit, line.data() + line.size(), value).ec == std::errc{};
      };
      std::uint64_t start = 0;
      number("spanned ", spanned);
      if (number("start_pfn:", start) && spanned != 0) {
        pages = std::max(pages, start + spanned);
      }
      at = end + 1;
    }
    return pages == 0 ? UINT64_MAX : pages * page_size();
  }();
  return highest;
}

std::string read_text(const std::filesystem::path& path, std::error_code& ec) {
  const UniqueFd fd{uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC); })};
  std::string text;
  std::array<char, 4096> chunk{};
  ssize_t got = fd ? 1 : -1;
  while (got > 0) {
    got = uninterrupted([&] { return ::read(fd.get(), chunk.data(), chunk.size()); });
    text.append(chunk.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  }
  if (got < 0) {
    const int error = errno;
    fail(ec, error, [&] { return kernel_said(path.string(), error); });
    return {};
  }
  return text;
}

std::string read_text(const std::filesystem::path& path) {
  const Explanation unheard; // the caller accepts "nothing" as an answer
  std::error_code ec;
  return read_text(path, ec);
}

std::optional<std::uint64_t> read_number(const std::filesystem::path& path) {
  const std::string text = read_text(path);
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} ? std::optional(number) : std::nullopt;
}

std::optional<std::uint64_t> meminfo(std::string_view field) {
  const std::string text = "\n" + read_text("/proc/meminfo");
  const std::size_t at = text.find(fmt::format("\n{}:", field));
  if (at == std::string::npos) {
    return std::nullopt;
  }
  const std::size_t digit = text.find_first_of("0123456789", at + field.size() + 2);
  std::uint64_t kibibytes = 0;
  if (digit == std::string::npos || std::from_chars(&text[digit], text.data() + text.size(), kibibytes).ec != std::errc{}) {
    return std::nullopt;
  }
  return kibibytes * 1024;
}

std::vector<std::string> list(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  std::error_code ec;
  for (std::filesystem::directory_iterator entry(folder, ec), end; !ec && entry != end; entry.increment(ec)) {
    names.push_back(entry->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string bytes_text(std::uint64_t bytes) {
  constexpr std::array<std::pair<std::uint64_t, const char*>, 3> units{
      {{std::uint64_t{1} << 30, "GiB"}, {std::uint64_t{1} << 20, "MiB"}, {std::uint64_t{1} << 10, "KiB"}}};
  for (const auto& [unit, name] : units) {
    if (bytes != 0 && bytes % unit == 0) {
      return fmt::format("{} {}", bytes / unit, name);
    }
  }
  return fmt::format("{} bytes", bytes);
}

}}} // namespace sa::v0::detail
