// SPDX-License-Identifier: MIT
/// @file error.hpp
/// The one exception type of the library.
#pragma once

#include <memory>
#include <string>
#include <system_error>

#include <sa/export.hpp>

namespace sa { inline namespace v0 {

/// The exception that a failing call throws.
///
/// code() holds the errno in std::system_category(), so `error.code() == std::errc::not_enough_memory` works.
/// what() is a sentence for a person: the request, the heap, the kernel's answer and the remedy.
///
/// Every function that throws it has a twin with a trailing `std::error_code&` that is noexcept: it sets the code,
/// clears it on success, and returns an empty result on failure.
class SA_API Error : public std::system_error {
public:
  /// @param code the errno, in std::system_category()
  /// @param heap the heap's name; empty where no heap was involved
  /// @param operation the operation that failed, "allocate 4096 bytes"
  /// @param explanation the kernel's answer and the remedy; empty: the code's own message
  Error(std::error_code code, std::string heap, std::string operation, const std::string& explanation);
  Error(const Error&) noexcept = default;
  Error& operator=(const Error&) noexcept = default;
  ~Error() override;

  [[nodiscard]] const char* what() const noexcept override;

  /// The canonical name or alias of the heap that was asked; empty where no heap was involved.
  [[nodiscard]] const std::string& heap() const noexcept;

  /// The operation that failed, "allocate 4096 bytes".
  [[nodiscard]] const std::string& operation() const noexcept;

private:
  struct Text;
  std::shared_ptr<const Text> text_; // shared, so that copying an exception cannot throw
};

}} // namespace sa::v0
