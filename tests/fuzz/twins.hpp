// SPDX-License-Identifier: MIT
/// @file twins.hpp
/// What holds of every function that reads a text: its throwing and its noexcept twin say the same.
#pragma once

#include <optional>
#include <string_view>
#include <system_error>

#include <sa/error.hpp>

#include "fuzz/require.hpp"

namespace fuzz {

/// Whether a person can read @p what.
inline void require_sentence(std::string_view what) {
  require(!what.empty() && what.size() < 1500, "a sentence is of readable length");
  for (const char c : what) {
    require(static_cast<unsigned char>(c) >= ' ' && c != 0x7f, "a sentence holds no control character");
  }
}

/// What both twins of @p call return, nothing when they refuse; @p require_said is given their sentence.
template <typename Call, typename Said>
auto both_twins(Call&& call, Said&& require_said) -> std::optional<decltype(call())> {
  using Value = decltype(call());
  std::error_code ec = std::make_error_code(std::errc::io_error); // to be cleared
  const Value value = call(ec);
  try {
    require(call() == value && !ec, "the twins say the same");
  } catch (const sa::Error& error) {
    require(ec == error.code() && ec == std::errc::invalid_argument, "the twins refuse the same, with EINVAL");
    require(value == Value{}, "what is refused is empty");
    require_said(error.what());
    return std::nullopt;
  }
  return value;
}

/// The same for texts of which a sentence shows printable ASCII alone.
template <typename Call>
auto both_twins(Call&& call) {
  return both_twins(call, [](std::string_view what) {
    require_sentence(what);
    for (const char c : what) {
      require(c >= ' ' && c <= '~', "a sentence is printable");
    }
  });
}

} // namespace fuzz
