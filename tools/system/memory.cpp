// SPDX-License-Identifier: MIT
#include "system/memory.hpp"

#include <csignal>
#include <cstdint>

#include <fmt/format.h>
#include <unistd.h>

#include "commands/command.hpp"

namespace sactl {
namespace {

using Word = std::uint64_t;

/// Odd, so that the words of the pattern differ from each other.
constexpr Word multiplier = 0x9E3779B97F4A7C15;

// Volatile: the compiler must neither join accesses nor call memset for them.
std::span<const volatile Word> words(std::span<const std::byte> memory) {
  return {reinterpret_cast<const volatile Word*>(memory.data()), memory.size() / sizeof(Word)};
}

extern "C" void say_bus_error(int) {
  constexpr std::string_view said = "sactl: the memory ran out when it was first touched (SIGBUS); ask for less, or use "
                                    "--prefault where there is such an option\n";
  (void)!::write(STDERR_FILENO, said.data(), said.size());
  ::_exit(Failed);
}

} // namespace

Json as_json(sa::Traits traits) {
  Json list = Json::array();
  const std::string names = to_string(traits);
  for (std::size_t at = 0; at < names.size();) {
    const std::size_t end = std::min(names.find(',', at), names.size());
    list.push_back(names.substr(at, end - at));
    at = end + 1;
  }
  return list;
}

std::optional<std::size_t> find_non_zero(std::span<const std::byte> memory) {
  const auto all = words(memory);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (Word word = all[i]; word != 0) {
      const auto* bytes = reinterpret_cast<const unsigned char*>(&word);
      std::size_t at = 0;
      while (bytes[at] == 0) {
        ++at;
      }
      return i * sizeof(Word) + at;
    }
  }
  return std::nullopt;
}

void fill_pattern(std::span<std::byte> memory) {
  auto* const all = reinterpret_cast<volatile Word*>(memory.data());
  for (std::size_t i = 0; i < memory.size() / sizeof(Word); ++i) {
    all[i] = (i + 1) * multiplier;
  }
}

std::optional<std::size_t> find_wrong(std::span<const std::byte> memory) {
  const auto all = words(memory);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i] != (i + 1) * multiplier) {
      return i * sizeof(Word);
    }
  }
  return std::nullopt;
}

void explain_bus_errors() {
  struct sigaction action {};
  action.sa_handler = &say_bus_error;
  ::sigaction(SIGBUS, &action, nullptr);
}

std::string human_time(std::chrono::nanoseconds time) {
  const auto count = static_cast<double>(time.count());
  if (count < 1e3) {
    return fmt::format("{} ns", time.count());
  }
  if (count < 1e6) {
    return fmt::format("{:.3g} us", count / 1e3);
  }
  return count < 1e9 ? fmt::format("{:.3g} ms", count / 1e6) : fmt::format("{:.3g} s", count / 1e9);
}

} // namespace sactl
