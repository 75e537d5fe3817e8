// SPDX-License-Identifier: MIT
/// @file toml_reader.hpp
/// Reads an untrusted TOML text: an error is refused with file, line, column and key.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

#include "core/registry/toml.hpp"

namespace sa { inline namespace v0 { namespace detail {

/// Text from a file, cut to what a message may hold.
[[nodiscard]] std::string shown_text(std::string_view text);

/// A key within @p table, as TOML writes it: pool.max-free-bytes, quotas."dma-heap:system".
[[nodiscard]] std::string key_in(const std::string& table, std::string_view key);

/// The texts of one file. An error in them is thrown as Error, EINVAL.
class TomlReader {
public:
  /// @param source what to call the text in errors
  explicit TomlReader(std::string_view source) : source_(source) {}

  [[nodiscard]] toml::table parse(std::string_view text) const;

  /// A key that a table may have, and what reads its value.
  struct Known {
    std::string_view name;
    std::function<void(const toml::node& node, const std::string& key)> read;
  };

  /// Reads each key of @p table by the one of @p known that has its name; there must be no others.
  void keys(const toml::table& table, const std::string& path, std::initializer_list<Known> known) const;

  [[noreturn]] void refuse(toml::source_position at, const std::string& key, const std::string& sentence) const;
  [[noreturn]] void refuse(const toml::node& node, const std::string& key, const std::string& sentence) const;
  [[noreturn]] void refuse_kind(const toml::node& node, const std::string& key, const char* expected) const;

  [[nodiscard]] const toml::table& table(const toml::node& node, const std::string& key, std::size_t most = SIZE_MAX) const;
  [[nodiscard]] const std::string& string(const toml::node& node, const std::string& key,
                                          const char* expected = "a string") const;
  [[nodiscard]] bool boolean(const toml::node& node, const std::string& key) const;
  [[nodiscard]] std::uint64_t integer(const toml::node& node, const std::string& key, const char* expected) const;
  [[nodiscard]] std::uint64_t bytes(const toml::node& node, const std::string& key) const;
  /// A number that a size_t must hold.
  [[nodiscard]] std::size_t size(const toml::node& node, const std::string& key, std::uint64_t value) const;

private:
  void check(std::string_view text) const;
  void check_headers(std::string_view text) const;
  std::string source_;
};

}}} // namespace sa::v0::detail
