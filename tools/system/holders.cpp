// SPDX-License-Identifier: MIT
#include "system/holders.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <system_error>
#include <tuple>

#include <dirent.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <fmt/format.h>

#include <sa/unique_fd.hpp>

#include "system/kernel_list.hpp"
#include "system/kernel_text.hpp"

namespace sactl {
namespace {

// The paths that the kernel shows for a buffer's file.
constexpr std::string_view dma_buf_path = "/dmabuf:";
// Those of the library alone. The memfd behind a udmabuf is "sa-udmabuf:NAME": its bytes are counted as the dma-buf's.
constexpr std::string_view memfd_path = "/memfd:sa:";
constexpr std::string_view memfd_end = " (deleted)";

bool refused(int error) {
  return error == EACCES || error == EPERM;
}

/// What fdinfo tells of a dma-buf; nothing where the file is something else by now. The name comes last and is others':
/// whatever it holds is not taken for fields.
std::optional<HeldBuffer> parse_fdinfo(std::string_view text) {
  HeldBuffer buffer;
  std::optional<std::uint64_t> size;
  std::optional<std::uint64_t> inode;
  while (!text.empty()) {
    constexpr std::string_view name = "name:\t";
    if (text.starts_with(name)) {
      text.remove_prefix(name.size());
      buffer.name = text.ends_with('\n') ? text.substr(0, text.size() - 1) : text;
      break;
    }
    std::string_view value = take_field(text, '\n');
    const std::string_view key = take_field(value, ':');
    value.remove_prefix(std::min(value.find_first_not_of("\t "), value.size()));
    if (key == "size") {
      size = number(value);
    } else if (key == "ino") {
      inode = number(value);
    } else if (key == "count") {
      buffer.references = number(value);
    } else if (key == "exp_name") {
      buffer.exporter = value;
    }
  }
  if (!size || buffer.exporter.empty()) {
    return std::nullopt;
  }
  buffer.size = *size;
  buffer.size_exact = true;
  buffer.inode = inode.value_or(0);
  return buffer;
}

class Reader {
public:
  explicit Reader(const Places& places) : places_(places) {}

  Snapshot read() {
    // Before and after: a buffer that was made or freed while the processes were read does not count as without a holder.
    const KernelList before = read_kernel_list(places_.bufinfo, text_);
    const Folder processes = open_folder(AT_FDCWD, places_.processes.c_str());
    if (!processes) {
      throw std::system_error(errno, std::generic_category(), places_.processes);
    }
    while (const dirent* const entry = ::readdir(processes.get())) {
      if (const auto pid = number<pid_t>(entry->d_name)) {
        read_process(::dirfd(processes.get()), *pid, entry->d_name);
      }
    }
    KernelList after = read_kernel_list(places_.bufinfo, text_);
    snapshot_.kernel = after.total;
    snapshot_.kernel_error = after.error;
    for (auto& [inode, buffer] : after.buffers) {
      const auto known = indices_.find({Kind::DmaBuf, 0, inode});
      if (known == indices_.end()) {
        if (before.buffers.contains(inode)) {
          snapshot_.buffers.push_back(std::move(buffer));
        }
        continue;
      }
      HeldBuffer& held = snapshot_.buffers[known->second];
      buffer.name = held.name.empty() ? buffer.name : held.name;
      held = std::move(buffer);
    }
    return std::move(snapshot_);
  }

private:
  using Key = std::tuple<Kind, std::uint64_t, std::uint64_t>;

  void read_process(int processes, pid_t pid, const char* path) {
    const sa::UniqueFd folder{::openat(processes, path, O_PATH | O_DIRECTORY | O_CLOEXEC)};
    if (!folder) {
      return; // ended
    }
    holdings_.clear();
    denied_ = false;
    read_table(folder.get(), "");
    bool mapped = read_mappings(folder.get(), "");
    for (const auto& thread : other_tables(folder.get(), pid)) {
      read_table(folder.get(), thread);
      // A process whose first thread has ended shows what it maps only at another.
      mapped = mapped || read_mappings(folder.get(), thread);
    }
    if (denied_ && may_hold(folder.get())) {
      ++snapshot_.unreadable;
    }
    if (holdings_.empty()) {
      return;
    }
    Holder holder;
    holder.pid = pid;
    read_all(folder.get(), "comm", text_);
    holder.name = text_.ends_with('\n') ? text_.substr(0, text_.size() - 1) : text_;
    for (const auto& [buffer, holding] : holdings_) {
      holder.holdings.push_back(holding);
    }
    snapshot_.processes.push_back(std::move(holder));
  }

  /// Whether a process that may not be looked into could hold a buffer: not one of the kernel's, and not one that has
  /// ended and is only waited for.
  bool may_hold(int folder) {
    constexpr std::uint64_t kernel_thread = 0x00200000; // PF_KTHREAD, linux/sched.h
    if (read_all(folder, "stat", text_) != 0) {
      return true;
    }
    // "PID (NAME) STATE ...": the name may hold parentheses, the rest does not.
    std::string_view rest = text_;
    rest.remove_prefix(std::min(rest.rfind(") ") + 2, rest.size()));
    std::string_view fields[18];
    for (auto& field : fields) {
      field = take_field(rest, ' ');
    }
    constexpr std::size_t flags = 6;
    constexpr std::size_t threads = 17;
    const bool ended = (fields[0] == "Z" || fields[0] == "X") && number(fields[threads]).value_or(2) < 2;
    return !ended && (number(fields[flags]).value_or(0) & kernel_thread) == 0;
  }

  /// Threads, as "task/TID/", that have a descriptor table of their own: after unshare(CLONE_FILES), or all others of a
  /// process whose first thread has ended. One thread for each table.
  std::vector<std::string> other_tables(int folder, pid_t pid) {
    std::vector<std::string> found;
    struct stat status {};
    constexpr unsigned one_thread = 3; // links of a folder with one folder in it
    if (::fstatat(folder, "task", &status, 0) != 0 || status.st_nlink <= one_thread) {
      return found;
    }
    const Folder tasks = open_folder(folder, "task");
    std::vector<pid_t> known{pid};
    while (const dirent* const entry = tasks ? ::readdir(tasks.get()) : nullptr) {
      const auto thread = number<pid_t>(entry->d_name);
      if (!thread || *thread == pid) {
        continue;
      }
      const bool another = std::all_of(known.begin(), known.end(), [&](pid_t one) {
        return ::syscall(SYS_kcmp, one, *thread, KCMP_FILES, 0, 0) > 0; // negative: not told, taken for the same
      });
      if (another) {
        known.push_back(*thread);
        found.push_back(fmt::format("task/{}/", *thread));
      }
    }
    return found;
  }

  /// The descriptors in the folder @p prefix + "fd".
  void read_table(int folder, const std::string& prefix) {
    const Folder descriptors = open_folder(folder, (prefix + "fd").c_str());
    if (!descriptors) {
      denied_ = denied_ || refused(errno);
      return;
    }
    char target[256];
    while (const dirent* const entry = ::readdir(descriptors.get())) {
      const ssize_t length = ::readlinkat(::dirfd(descriptors.get()), entry->d_name, target, sizeof target);
      if (length < 0) {
        if (refused(errno)) { // and so for every other of this process
          denied_ = true;
          return;
        }
        continue; // "." and "..", or closed since
      }
      const std::string_view path(target, static_cast<std::size_t>(length));
      if (path.starts_with(dma_buf_path)) {
        read_all(folder, fmt::format("{}fdinfo/{}", prefix, entry->d_name).c_str(), text_);
        auto buffer = parse_fdinfo(text_);
        struct stat status {};
        if (buffer && buffer->inode == 0 && ::fstatat(::dirfd(descriptors.get()), entry->d_name, &status, 0) == 0) {
          buffer->inode = status.st_ino; // fdinfo tells it since 5.14
        }
        if (buffer) {
          ++held(std::move(*buffer)).descriptors;
        }
      } else if (path.starts_with(memfd_path)) {
        struct stat status {};
        if (::fstatat(::dirfd(descriptors.get()), entry->d_name, &status, 0) == 0) {
          if (auto buffer = memfd(path, status)) {
            ++held(std::move(*buffer)).descriptors;
          }
        }
      }
    }
  }

  /// A memfd of the library; nothing for a file that somebody has given such a path.
  static std::optional<HeldBuffer> memfd(std::string_view path, const struct stat& status) {
    if (status.st_nlink != 0 || major(status.st_dev) != 0 || !path.ends_with(memfd_end)) {
      return std::nullopt;
    }
    HeldBuffer buffer = mapped_memfd(path, status.st_dev, status.st_ino);
    buffer.size = static_cast<std::uint64_t>(status.st_size);
    buffer.size_exact = true;
    return buffer;
  }

  static HeldBuffer mapped_memfd(std::string_view path, std::uint64_t device, std::uint64_t inode) {
    HeldBuffer buffer;
    buffer.kind = Kind::Memfd;
    buffer.device = device;
    buffer.inode = inode;
    buffer.exporter = "memfd";
    path.remove_prefix(memfd_path.size());
    path.remove_suffix(path.ends_with(memfd_end) ? memfd_end.size() : 0);
    buffer.name = path;
    return buffer;
  }

  /// Buffers in the file @p prefix + "maps". Whether it had any line.
  bool read_mappings(int folder, const std::string& prefix) {
    const int error = read_all(folder, (prefix + "maps").c_str(), text_);
    denied_ = denied_ || refused(error);
    for (std::string_view rest = text_; !rest.empty();) {
      // "START-END PERMISSIONS OFFSET MAJOR:MINOR INODE     PATH", numbers but the inode in hexadecimal.
      std::string_view line = take_field(rest, '\n');
      if (line.find(dma_buf_path) == std::string_view::npos && line.find(memfd_path) == std::string_view::npos) {
        continue;
      }
      const std::string_view range = line.substr(0, line.find(' '));
      const auto start = number(take_field(line, '-'), 16);
      const auto end = number(take_field(line, ' '), 16);
      take_field(line, ' ');
      const auto offset = number(take_field(line, ' '), 16);
      const auto device_major = number<unsigned>(take_field(line, ':'), 16);
      const auto device_minor = number<unsigned>(take_field(line, ' '), 16);
      const auto inode = number(take_field(line, ' '));
      // At its place: anonymous memory can be named "[anon_shmem:TEXT]" by anybody.
      const std::string_view path = line.substr(std::min(line.find_first_not_of(' '), line.size()));
      const bool dma_buf = path.starts_with(dma_buf_path);
      if (!dma_buf && !path.starts_with(memfd_path)) {
        continue;
      }
      // Both are on file systems without a disk, which have major number 0: another file with such a path mostly is not.
      if (!start || !end || !offset || device_major != 0U || !device_minor || !inode) {
        continue;
      }
      HeldBuffer buffer;
      if (dma_buf) {
        buffer.inode = *inode;
        buffer.name = path.substr(dma_buf_path.size());
      } else {
        buffer = mapped_memfd(path, makedev(*device_major, *device_minor), *inode);
        struct stat status {}; // the privileged may follow this link, and know the size
        if (::fstatat(folder, fmt::format("map_files/{}", range).c_str(), &status, 0) == 0 && status.st_ino == *inode) {
          buffer.size = static_cast<std::uint64_t>(status.st_size);
          buffer.size_exact = true;
        }
      }
      if (!buffer.size_exact) {
        buffer.size = *offset + (*end - *start);
      }
      ++held(std::move(buffer)).mappings;
    }
    return !text_.empty();
  }

  /// What the process that is being read has of @p buffer, which becomes known if it was not.
  Holding& held(HeldBuffer buffer) {
    const auto [at, fresh] = indices_.try_emplace({buffer.kind, buffer.device, buffer.inode}, snapshot_.buffers.size());
    if (fresh) {
      snapshot_.buffers.push_back(std::move(buffer));
    } else if (HeldBuffer& known = snapshot_.buffers[at->second]; buffer.size_exact && !known.size_exact) {
      known = std::move(buffer);
    } else if (!known.size_exact) {
      known.size = std::max(known.size, buffer.size);
    }
    Holding& holding = holdings_[at->second];
    holding.buffer = at->second;
    return holding;
  }

  const Places& places_;
  Snapshot snapshot_;
  std::map<Key, std::size_t> indices_;
  std::map<std::size_t, Holding> holdings_; ///< of the process that is being read, by buffer
  bool denied_ = false;                     ///< the same
  std::string text_;
};

bool contains(std::string_view text, std::string_view part) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::search(text.begin(), text.end(), part.begin(), part.end(), [&](char a, char b) { return lower(a) == lower(b); }) !=
             text.end() ||
         part.empty();
}

} // namespace

Snapshot look(const Places& places) {
  return Reader(places).read();
}

std::vector<std::string> Snapshot::gaps() const {
  std::vector<std::string> sentences;
  const bool root = ::geteuid() == 0;
  if (unreadable != 0) {
    sentences.push_back(fmt::format("{} could not be read; {}",
                                    unreadable == 1 ? "1 process" : fmt::format("{} processes", unreadable),
                                    root ? "that needs CAP_SYS_PTRACE" : "run as root"));
  }
  if (!kernel) {
    const char* const fix = refused(kernel_error)    ? root ? "that needs the machine's root" : "run as root"
                            : kernel_error == ENOENT ? "mount debugfs (mount -t debugfs debugfs /sys/kernel/debug)"
                                                     : std::strerror(kernel_error);
    sentences.push_back(
        fmt::format("the kernel's list could not be read, so buffers that no process holds are not shown; {}", fix));
  }
  return sentences;
}

std::vector<std::size_t> Snapshot::holders() const {
  std::vector<std::size_t> counts(buffers.size());
  for (const auto& process : processes) {
    for (const auto& holding : process.holdings) {
      ++counts[holding.buffer];
    }
  }
  return counts;
}

Snapshot Snapshot::filtered(std::string_view text) const {
  Snapshot result;
  result.unreadable = unreadable;
  result.kernel = kernel;
  result.kernel_error = kernel_error;
  std::map<std::size_t, std::size_t> moved; // index here: index there
  const auto kept = [&](std::size_t at) {
    const auto [place, fresh] = moved.try_emplace(at, result.buffers.size());
    if (fresh) {
      result.buffers.push_back(buffers[at]);
    }
    return place->second;
  };
  const auto matches = [&](const HeldBuffer& buffer) { return contains(buffer.exporter, text) || contains(buffer.name, text); };
  for (const auto& process : processes) {
    Holder holder{process.pid, process.name, {}};
    const bool all = contains(process.name, text);
    for (const auto& holding : process.holdings) {
      if (all || matches(buffers[holding.buffer])) {
        holder.holdings.push_back({kept(holding.buffer), holding.descriptors, holding.mappings});
      }
    }
    if (!holder.holdings.empty()) {
      result.processes.push_back(std::move(holder));
    }
  }
  const auto counts = holders();
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    if (counts[i] == 0 && matches(buffers[i])) {
      kept(i);
    }
  }
  return result;
}

} // namespace sactl
