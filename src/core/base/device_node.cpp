// SPDX-License-Identifier: MIT
#include "core/base/device_node.hpp"

#include <array>

#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>

#include <fmt/format.h>

#include "core/base/failure.hpp"
#include "core/base/system_call.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

/// The remedy for a node that is not permitted: its group if that has access, else the udev rule if it names the node.
std::string permission_mend(const std::filesystem::path& node) {
  struct stat status {};
  if (::stat(node.c_str(), &status) == 0 && status.st_gid != 0 && (status.st_mode & S_IRGRP) != 0) {
    group entry{};
    group* found = nullptr;
    std::array<char, 4096> storage{};
    if (::getgrgid_r(status.st_gid, &entry, storage.data(), storage.size(), &found) == 0 && found != nullptr) {
      return fmt::format("add the user to group {} (usermod -aG {} USER), see docs/permissions.md", found->gr_name,
                         found->gr_name);
    }
  }
  const std::string path = node.string();
  const auto below = [&](std::string_view start) { return path.starts_with(start); };
  if (below("/dev/video") || below("/dev/dri/")) {
    return fmt::format("give it to a group (chgrp {0} {1} && chmod 0660 {1}) and add the user to that, see docs/permissions.md",
                       below("/dev/dri/renderD") ? "render" : "video", path);
  }
  if (below("/dev/dma_heap/") || below("/dev/cma") || below("/dev/carveout") || path == "/dev/udmabuf" || path == "/dev/ion") {
    return "install the udev rule and add the user to group video, see docs/permissions.md";
  }
  return "only root may, see docs/permissions.md";
}

} // namespace

std::string open_refused(const std::filesystem::path& node, int error) {
  if (error == EACCES || error == EPERM) {
    return fmt::format("{}: permission denied; {}", node.string(), permission_mend(node));
  }
  return kernel_said(node.string(), error);
}

std::string why_unusable(const std::filesystem::path& node, int mode, const std::string& absent) {
  if (::faccessat(AT_FDCWD, node.c_str(), mode, AT_EACCESS) == 0) {
    return {};
  }
  const int error = errno;
  return error == ENOENT ? fmt::format("{} does not exist; {}", node.string(), absent) : open_refused(node, error);
}

DeviceNode::~DeviceNode() {
  UniqueFd{fd_.load(std::memory_order_acquire)}.reset();
}

int DeviceNode::open(std::error_code& ec) {
  int fd = fd_.load(std::memory_order_acquire);
  if (fd >= 0) {
    return fd;
  }
  UniqueFd opened{uninterrupted([&] { return ::open(path_.c_str(), flags_ | O_CLOEXEC); })};
  if (!opened) {
    const int error = errno;
    fail(ec, error, [&] { return open_refused(path_, error); });
    return -1;
  }
  if (fd_.compare_exchange_strong(fd, opened.get(), std::memory_order_acq_rel)) {
    return opened.release();
  }
  return fd; // another thread was first
}

}}} // namespace sa::v0::detail
