// SPDX-License-Identifier: MIT
#include "system/machine.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <memory>
#include <set>
#include <sstream>

#include <sys/utsname.h>
#include <unistd.h>

namespace sactl {
namespace {

namespace fs = std::filesystem;

/// The kernel's configuration, line by line; empty when no file has it.
const std::string& kernel_configuration() {
  static const std::string text = [] {
    std::string found;
    if (::access("/proc/config.gz", R_OK) == 0) {
      // A program rather than a library: it is on every machine, and this is the only compressed file there is.
      const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen("gzip -dc /proc/config.gz 2>/dev/null", "r"), &::pclose);
      char chunk[4096];
      for (std::size_t got = 1; pipe && got > 0;) {
        got = std::fread(chunk, 1, sizeof chunk, pipe.get());
        found.append(chunk, got);
      }
    }
    for (const auto& path : {"/boot/config-" + kernel_release(), "/lib/modules/" + kernel_release() + "/config"}) {
      if (found.empty()) {
        found = read_text(path).value_or("");
      }
    }
    return found.empty() ? found : "\n" + found;
  }();
  return text;
}

/// Whether a list of modules, modules.dep or modules.builtin, has the module's file: first in a line, in some folder.
bool lists(const std::string& text, const std::string& module) {
  std::string dashes = module;
  std::replace(dashes.begin(), dashes.end(), '_', '-');
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::string path = line.substr(0, line.find(':'));
    const std::string file = path.substr(path.rfind('/') + 1); // all of it where there is no '/'
    if (file.starts_with(module + ".ko") || file.starts_with(dashes + ".ko")) {
      return true;
    }
  }
  return false;
}

/// Reads the limits of descriptors from a process's "limits".
void read_descriptor_limits(const std::string& limits, Process& process) {
  constexpr std::string_view label = "Max open files";
  const std::size_t at = limits.find(label);
  std::istringstream numbers(at == std::string::npos ? "" : limits.substr(at + label.size()));
  std::uint64_t soft = 0;
  std::uint64_t hard = 0;
  if (numbers >> soft) { // or "unlimited"
    process.descriptor_limit = soft;
    process.descriptor_most = numbers >> hard ? hard : UINT64_MAX;
  }
}

/// The value behind "label:" in an fdinfo.
std::string field(const std::string& text, const std::string& label) {
  const std::size_t at = ("\n" + text).find("\n" + label + ":");
  std::string value;
  if (at != std::string::npos) {
    std::istringstream(text.substr(at + label.size() + 1)) >> value;
  }
  return value;
}

} // namespace

std::optional<std::string> read_text(const fs::path& path) {
  std::ifstream file(path);
  if (!file) {
    return std::nullopt;
  }
  std::ostringstream text;
  text << file.rdbuf();
  return file.bad() ? std::nullopt : std::optional(text.str());
}

std::optional<std::uint64_t> read_number(const fs::path& path) {
  std::ifstream file(path);
  std::uint64_t number = 0;
  return file >> number ? std::optional(number) : std::nullopt;
}

std::optional<std::uint64_t> memory_field(const std::string& name) {
  const std::string value = field(read_text("/proc/meminfo").value_or(""), name);
  std::uint64_t kibibytes = 0;
  return std::from_chars(value.data(), value.data() + value.size(), kibibytes).ec == std::errc{} ? std::optional(kibibytes * 1024)
                                                                                                 : std::nullopt;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code ec;
  for (fs::directory_iterator entry(folder, ec), end; !ec && entry != end; entry.increment(ec)) {
    names.push_back(entry->path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool has_program(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::istringstream folders(std::string(path == nullptr ? "" : path) + ":/usr/sbin:/sbin");
  for (std::string folder; std::getline(folders, folder, ':');) {
    if (::access((fs::path(folder) / name).c_str(), X_OK) == 0) {
      return true;
    }
  }
  return false;
}

std::string kernel_release() {
  utsname name{};
  return ::uname(&name) == 0 ? name.release : "";
}

Option kernel_option(const std::string& name) {
  const std::string& text = kernel_configuration();
  if (text.empty()) {
    return Option::Unknown;
  }
  if (text.find("\n" + name + "=y\n") != std::string::npos) {
    return Option::BuiltIn;
  }
  return text.find("\n" + name + "=m\n") != std::string::npos ? Option::Module : Option::Missing;
}

Module module_state(const std::string& name) {
  const fs::path folder = "/lib/modules/" + kernel_release();
  // Built-in modules with parameters are in /sys/module too; only a loaded one has a state of its own.
  if (::access(("/sys/module/" + name + "/initstate").c_str(), F_OK) == 0) {
    return Module::Loaded;
  }
  if (lists(read_text(folder / "modules.builtin").value_or(""), name)) {
    return Module::BuiltIn;
  }
  const auto loadable = read_text(folder / "modules.dep");
  return !loadable ? Module::Unknown : lists(*loadable, name) ? Module::Installed : Module::Absent;
}

ProcessList holders_of_buffers() {
  ProcessList list;
  for (const auto& name : names_in("/proc")) {
    if (name.find_first_not_of("0123456789") != std::string::npos || name == std::to_string(::getpid())) {
      continue;
    }
    const fs::path folder = fs::path("/proc") / name;
    std::error_code ec;
    fs::directory_iterator entry(folder / "fd", ec);
    if (ec) {
      // One that has ended meanwhile hid nothing.
      list.complete = list.complete && ec == std::errc::no_such_file_or_directory;
      continue;
    }
    Process process;
    std::set<std::string> counted; // a buffer may have several descriptors
    for (const fs::directory_iterator end; !ec && entry != end; entry.increment(ec)) {
      ++process.descriptors;
      std::error_code gone;
      const std::string target = fs::read_symlink(entry->path(), gone).string();
      if (!target.starts_with("/dmabuf:")) {
        continue;
      }
      const std::string info = read_text(folder / "fdinfo" / entry->path().filename()).value_or("");
      const std::string inode = field(info, "ino");
      if (inode.empty() || counted.insert(inode).second) {
        process.buffers[field(info, "exp_name")] += std::strtoull(field(info, "size").c_str(), nullptr, 10);
      }
    }
    if (process.buffers.empty()) {
      continue;
    }
    process.pid = std::atoi(name.c_str());
    process.name = read_text(folder / "comm").value_or("");
    process.name.resize(std::min(process.name.find('\n'), process.name.size()));
    read_descriptor_limits(read_text(folder / "limits").value_or(""), process);
    list.processes.push_back(std::move(process));
  }
  return list;
}

} // namespace sactl
