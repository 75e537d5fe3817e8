// SPDX-License-Identifier: MIT
#include "core/registry/configuration.hpp"

#include <array>
#include <cerrno>
#include <cstdlib>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include <sa/unique_fd.hpp>

#include "core/base/failure.hpp"
#include "core/base/system_call.hpp"

#ifndef SA_SYSTEM_CONFIGURATION
#error "the build says where the system's configuration is"
#endif

namespace sa { inline namespace v0 { namespace detail {
namespace {

constexpr const char* file_name = "sa.toml";

/// An environment variable as a folder; empty where it is not set, or relative, which the XDG base directory
/// specification says to ignore.
std::filesystem::path folder_of(const char* variable) {
  const char* value = ::secure_getenv(variable);
  return value != nullptr && *value == '/' ? std::filesystem::path(value) : std::filesystem::path();
}

/// Reads all of @p file. False, without an error, when it is not there and need not be.
bool read_file(const ConfigurationFile& file, std::string& text, std::error_code& ec) {
  const char* const path = file.path.c_str();
  const auto refused = [&](int error) {
    fail(ec, error, [&] { return kernel_said(file.path.string(), error); });
    return false;
  };
  // Not blocking: a pipe of that name must not hold up a program that wants memory.
  const UniqueFd fd{uninterrupted([&] { return ::open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); })};
  if (!fd) {
    const int error = errno;
    // In a folder that this user may not enter the file cannot be seen: a service whose HOME is root's.
    const bool absent = error == ENOENT || error == ENOTDIR || (error == EACCES && ::access(path, F_OK) != 0);
    return absent && !file.required ? false : refused(error);
  }
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) {
    return refused(errno);
  }
  if (!S_ISREG(status.st_mode)) {
    fail(ec, EINVAL, [&] { return fmt::format("{}: no regular file", path); });
    return false;
  }
  if (::geteuid() == 0 && (status.st_uid != 0 || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0)) {
    fail(ec, EPERM, [&] {
      return fmt::format(
          "{0}: for root, a configuration must be root's own and writable by root alone (chown root {0} && chmod go-w {0})",
          path);
    });
    return false;
  }
  std::array<char, 4096> chunk{};
  ssize_t got = 1;
  while (got > 0 && text.size() <= max_configuration_size) { // not by its size: it may grow
    got = uninterrupted([&] { return ::read(fd.get(), chunk.data(), chunk.size()); });
    text.append(chunk.data(), static_cast<std::size_t>(got > 0 ? got : 0));
  }
  return got < 0 ? refused(errno) : true;
}

} // namespace

std::vector<ConfigurationFile> configuration_files() {
  std::vector<ConfigurationFile> files{{SA_SYSTEM_CONFIGURATION, false, true}};
  if (const auto configuration = folder_of("XDG_CONFIG_HOME"); !configuration.empty()) {
    files.push_back({configuration / file_name});
  } else if (const auto home = folder_of("HOME"); !home.empty()) {
    files.push_back({home / ".config" / file_name});
  }
  if (const char* named = ::secure_getenv("SA_CONFIG"); named != nullptr && *named != '\0') {
    files.push_back({named, true});
  }
  return files;
}

LoadedConfiguration load_configuration(const std::vector<ConfigurationFile>& files) {
  LoadedConfiguration loaded;
  for (const auto& file : files) {
    try {
      std::string text;
      const bool there = or_throw(
          "", [] { return std::string(reading_configuration); }, [&](std::error_code& ec) { return read_file(file, text, ec); });
      if (there) {
        Configuration next = read_configuration(text, file.path.string(), loaded.configuration, file.system);
        next.files.push_back(file.path);
        loaded.configuration = std::move(next);
      }
    } catch (const Error& error) {
      loaded.refused.push_back(error);
    }
  }
  return loaded;
}

}}} // namespace sa::v0::detail

namespace sa { inline namespace v0 {

LoadedConfiguration load_configuration() {
  return detail::load_configuration(detail::configuration_files());
}

Configuration parse_configuration(std::string_view text, std::string_view source) {
  return detail::read_configuration(text, source, {}, true);
}

Configuration parse_configuration(std::string_view text, std::string_view source, std::error_code& ec) noexcept {
  return detail::or_code(ec, [&] { return parse_configuration(text, source); });
}

}} // namespace sa::v0
