// SPDX-License-Identifier: MIT
/// The virtual machine a test runs in.
#pragma once

#include <string>
#include <vector>

namespace guest {

/// Whether this is the kernel of that name ("stock", "full").
bool is(const std::string& kernel);

/// Whether the kernel was booted with @p argument.
bool has_argument(const std::string& argument);

/// Whether the modules of this project are loaded.
bool has_own_modules();

/// Loads a module; nothing where it is built in. REQUIREs success.
void load(const std::string& module);

/// The DRM cards there are, "card0".
std::vector<std::string> cards();

/// A sysfs or proc setting for as long as the object lives.
class Setting {
public:
  Setting(std::string path, const std::string& value);
  Setting(const Setting&) = delete;
  Setting& operator=(const Setting&) = delete;
  ~Setting();

private:
  std::string path_;
  std::string before_;
};

} // namespace guest
