// SPDX-License-Identifier: MIT
#include "heaps/plugin/load.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <string_view>

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/stat.h>

#include <fmt/format.h>

#include <sa/unique_fd.hpp>

#include "core/base/failure.hpp"
#include "core/base/heap_name.hpp"
#include "core/base/system_call.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

/// Names that the first half of a heap's name already has. No plugin can pose as one of them, built in or not.
constexpr auto taken = std::to_array<std::string_view>(
    {"alias", "carveout", "cma", "dma-heap", "drm", "import", "ion", "memfd", "plugin", "udmabuf"});

constexpr const char* entry = "sa_heap_plugin_1";

std::atomic<bool> exiting{false};

/// A plugin that was loaded. They form a list that only grows: no lock, so that none can be held over a fork().
struct Known {
  std::filesystem::path file;
  const sa_heap_plugin* table;
  const Known* next;
};
std::atomic<const Known*> known{nullptr};

const sa_heap_plugin* find_known(const std::filesystem::path& file) noexcept {
  for (const Known* one = known.load(std::memory_order_acquire); one != nullptr; one = one->next) {
    if (one->file == file) {
      return one->table;
    }
  }
  return nullptr;
}

/// Two threads that load one plugin at a time load it once, since the loader knows it, and put it here twice, which does no harm.
void remember(const std::filesystem::path& file, const sa_heap_plugin* table) {
  auto made = std::make_unique<Known>(Known{file, table, known.load(std::memory_order_relaxed)});
  while (!known.compare_exchange_weak(made->next, made.get(), std::memory_order_release, std::memory_order_relaxed)) {
  }
  (void)made.release(); // never freed: the code is never unloaded
}

/// A program that was linked with -static has no loader: its dlopen() would bring a second C library.
bool has_loader() noexcept {
  const auto* header = reinterpret_cast<const ElfW(Phdr)*>(::getauxval(AT_PHDR));
  const auto* const end = header + ::getauxval(AT_PHNUM);
  return std::any_of(header, end, [](const auto& one) { return one.p_type == PT_INTERP; });
}

/// Opens what code is loaded from, and says why that must not be; empty when it may.
std::string open_checked(UniqueFd& fd, int folder, const char* name, const std::filesystem::path& path, mode_t kind) {
  const bool is_folder = kind == S_IFDIR;
  fd = UniqueFd{uninterrupted([&] { return ::openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC); })};
  struct stat status {};
  if (!fd || ::fstat(fd.get(), &status) != 0) {
    const int error = errno;
    return error == ENOENT ? fmt::format("{} does not exist; install the plugin there", path.string())
                           : kernel_said(path.string(), error);
  }
  if ((status.st_mode & S_IFMT) != kind) {
    return fmt::format("{} is {}; put the {} itself there", path.string(),
                       S_ISLNK(status.st_mode) ? "a symbolic link"
                       : is_folder             ? "no folder"
                                               : "no regular file",
                       is_folder ? "folder" : "plugin's file");
  }
  if (status.st_uid != 0 || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return fmt::format("{0}: root must own it and alone be able to write it, since it is code for every program (chown root {0} "
                       "&& chmod go-w {0})",
                       path.string());
  }
  return {};
}

/// Whether @p path is still what @p fd was opened as.
bool same_file(int fd, const std::filesystem::path& path) noexcept {
  struct stat opened {};
  struct stat now {};
  return ::fstat(fd, &opened) == 0 && ::stat(path.c_str(), &now) == 0 && opened.st_dev == now.st_dev &&
         opened.st_ino == now.st_ino;
}

std::string load(const std::filesystem::path& folder, const std::filesystem::path& file, const sa_heap_plugin*& table) {
  UniqueFd opened_folder;
  UniqueFd opened;
  if (auto refusal = open_checked(opened_folder, AT_FDCWD, folder.c_str(), folder, S_IFDIR); !refusal.empty()) {
    return refusal;
  }
  if (auto refusal = open_checked(opened, opened_folder.get(), file.filename().c_str(), file, S_IFREG); !refusal.empty()) {
    return refusal;
  }
  // By its path, which debuggers and the loader's own list show. Meanwhile only a user could exchange it that may write where
  // the folder lies, and there lies the library itself.
  void* const handle = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (handle == nullptr) {
    return fmt::format("it cannot be loaded: {}", ::dlerror());
  }
  if (!same_file(opened.get(), file)) {
    return fmt::format("{} was exchanged while it was loaded", file.string());
  }
  const auto function = reinterpret_cast<decltype(&sa_heap_plugin_1)>(::dlsym(handle, entry));
  if (function == nullptr) {
    return fmt::format("{} exports no {}()", file.string(), entry);
  }
  const sa_heap_plugin* const told = function();
  if (auto refusal = refused_table(told); !refusal.empty()) {
    return refusal;
  }
  table = told;
  return {};
}

} // namespace

std::string refused_name(const std::string& name) {
  if (!is_word(name)) {
    return "a plugin's name is of letters, digits and ,._+-@#";
  }
  if (std::find(taken.begin(), taken.end(), name) != taken.end()) {
    return fmt::format("heaps of the library are named {}:, and no plugin may pose as one; give its file another name", name);
  }
  return {};
}

std::string refused_table(const sa_heap_plugin* table) {
  if (table == nullptr) {
    return fmt::format("{}() returned no table", entry);
  }
  if (table->version != SA_HEAP_PLUGIN_VERSION) {
    return fmt::format(
        "it speaks version {} of the plugin interface, and this library version {}; have one built for this library",
        table->version, SA_HEAP_PLUGIN_VERSION);
  }
  if (table->struct_size < sizeof(sa_heap_plugin)) {
    return fmt::format("its table has {} bytes, and version {} has {}", table->struct_size, SA_HEAP_PLUGIN_VERSION,
                       sizeof(sa_heap_plugin));
  }
  if (table->describe == nullptr || table->allocate == nullptr) {
    return fmt::format("its table lacks {}()", table->describe == nullptr ? "describe" : "allocate");
  }
  return {};
}

LoadedPlugin load_plugin(const std::filesystem::path& folder, const std::string& name) {
  if (auto refusal = refused_name(name); !refusal.empty()) {
    return {nullptr, std::move(refusal)};
  }
  const std::filesystem::path file = folder / (name + ".so");
  LoadedPlugin loaded{find_known(file)};
  if (loaded.table != nullptr) {
    return loaded;
  }
  if (exit_began()) {
    loaded.refusal = "the process is ending";
  } else if (::getauxval(AT_SECURE) != 0) {
    loaded.refusal = "this program has raised its privileges, and loads no plugins";
  } else if (!has_loader()) {
    loaded.refusal = "this program is linked with -static, and can load no plugins";
  } else {
    loaded.refusal = load(folder, file, loaded.table);
  }
  if (loaded.table != nullptr) {
    watch_exit(); // after what the plugin registered as it was loaded, and so called before it
    remember(file, loaded.table);
  }
  return loaded;
}

void watch_exit() {
  if (std::atexit([] { exiting.store(true, std::memory_order_relaxed); }) != 0) {
    throw std::bad_alloc();
  }
}

bool exit_began() noexcept {
  return exiting.load(std::memory_order_relaxed);
}

}}} // namespace sa::v0::detail
