// SPDX-License-Identifier: MIT
/// sactl doctor: is there a node for each kind of memory, and may this user open it?
#include <algorithm>
#include <array>
#include <set>

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "doctor/finding.hpp"

namespace sactl {
namespace {

/// The maker of a node.
struct Maker {
  const char* node;
  const char* module; ///< with underscores
  const char* option; ///< of the kernel
  const char* gives;  ///< the loss without it, a sentence
};

/// The reason why the node is not there, and the fix: a module that is not loaded, a kernel without it, or a /dev of its own.
Finding absence(const Maker& maker, Severity severity) {
  Finding finding{"module", severity, maker.module, {}, fmt::format("without {} {}", maker.node, maker.gives)};
  const Module module = module_state(maker.module);
  const Option option = kernel_option(maker.option);
  const std::string missing = fmt::format("{} does not exist", maker.node);
  const std::string name = std::filesystem::path(maker.node).filename();
  const auto number = read_text("/sys/class/misc/" + name + "/dev");
  if (number || module == Module::Loaded || module == Module::BuiltIn || option == Option::BuiltIn) {
    finding.id = "node";
    finding.subject = maker.node;
    finding.seen = fmt::format("{}, though the kernel has {}: this /dev is not the kernel's own", missing, maker.option);
    finding.means += "; in a container, pass it in (--device)";
    unsigned numbers[2] = {};
    if (number && std::sscanf(number->c_str(), "%u:%u", &numbers[0], &numbers[1]) == 2) {
      finding.fix = fmt::format("mknod -m 0600 {} c {} {}", maker.node, numbers[0], numbers[1]);
    }
  } else if (module == Module::Installed) {
    finding.seen = fmt::format("{}: the module {} is not loaded", missing, maker.module);
    finding.fix = fmt::format("modprobe {}", maker.module);
  } else if (option == Option::Module) {
    finding.seen = fmt::format("{}: the kernel was built with {}=m, but /lib/modules/{} has no module {}", missing, maker.option,
                               kernel_release(), maker.module);
    finding.means += "; install the package with this kernel's modules";
  } else if (option == Option::Missing) {
    finding.id = "kernel-option";
    finding.subject = maker.option;
    finding.seen = fmt::format("{}: the kernel was built without {}", missing, maker.option);
    finding.means += "; only another kernel helps";
  } else {
    finding.id = "kernel-option";
    finding.subject = maker.option;
    finding.seen = fmt::format("{}; neither /proc/config.gz nor /boot/config-{} nor /lib/modules tells whether a module or {} is "
                               "missing",
                               missing, kernel_release(), maker.option);
    finding.fix = fmt::format("modprobe {}", maker.module);
  }
  return finding;
}

/// How to get the module that serves CMA where the kernel has no dma-heap for it.
void check_own_module(Examination& all) {
  constexpr const char* module = "simple_allocator_cma";
  Finding finding{"module", all.without("contiguous"), module, {}, "no heap gives contiguous memory as dma-bufs"};
  switch (module_state(module)) {
  case Module::Loaded:
  case Module::BuiltIn:
    finding.seen = fmt::format("{} is loaded, but there is no /dev/cma0", module);
    finding.means += "; the kernel's log says why (dmesg | grep simple_allocator)";
    break;
  case Module::Installed:
    finding.seen = fmt::format("there is no /dev/cma0: the module {} is not loaded", module);
    finding.fix = fmt::format("modprobe {}", module);
    break;
  case Module::Absent:
  case Module::Unknown: {
    finding.seen =
        fmt::format("there is no /dev/cma0: the module {} is not installed for this kernel, {}", module, kernel_release());
    finding.means += "; the module is a part of this project (docs/kernel.md)";
    constexpr std::string_view sources = "simple-allocator-"; // where dkms keeps them
    for (const auto& name : names_in("/usr/src")) {
      if (name.starts_with(sources)) {
        finding.fix = fmt::format("dkms install simple-allocator/{} && modprobe {}", name.substr(sources.size()), module);
      }
    }
    if (finding.fix.empty()) {
      finding.fix = "make -C kernel && insmod kernel/simple_allocator.ko && insmod kernel/simple_allocator_cma.ko";
      finding.means += "; the command is for the folder of its sources";
    }
    break;
  }
  }
  all.add(std::move(finding));
}

std::string group_name(gid_t gid) {
  const group* entry = ::getgrgid(gid);
  return entry == nullptr ? std::to_string(gid) : entry->gr_name;
}

std::string user_name() {
  const passwd* entry = ::getpwuid(::geteuid());
  return entry == nullptr ? std::string() : entry->pw_name;
}

bool in_effect(gid_t gid) {
  std::vector<gid_t> groups(static_cast<std::size_t>(std::max(::getgroups(0, nullptr), 0)));
  if (!groups.empty()) {
    groups.resize(static_cast<std::size_t>(std::max(::getgroups(static_cast<int>(groups.size()), groups.data()), 0)));
  }
  return gid == ::getegid() || std::find(groups.begin(), groups.end(), gid) != groups.end();
}

/// Whether the user will be in the group at the next login.
bool in_database(const std::string& user, gid_t gid) {
  const passwd* entry = user.empty() ? nullptr : ::getpwnam(user.c_str());
  if (entry == nullptr) {
    return false;
  }
  int count = 64;
  std::vector<gid_t> groups(static_cast<std::size_t>(count));
  while (::getgrouplist(user.c_str(), entry->pw_gid, groups.data(), &count) < 0 &&
         static_cast<std::size_t>(count) > groups.size()) {
    groups.resize(static_cast<std::size_t>(count));
  }
  groups.resize(static_cast<std::size_t>(std::max(count, 0)));
  return std::find(groups.begin(), groups.end(), gid) != groups.end();
}

bool udev_runs() {
  return has_program("udevadm") && std::filesystem::exists("/run/udev/control");
}

/// The file that lets a group in, whatever it is called; empty when there is none.
std::string udev_rule() {
  for (const char* folder : {"/etc/udev/rules.d", "/run/udev/rules.d", "/usr/local/lib/udev/rules.d", "/usr/lib/udev/rules.d"}) {
    for (const auto& name : names_in(folder)) {
      std::string path = fmt::format("{}/{}", folder, name);
      if (name.ends_with(".rules") && read_text(path).value_or("").find("SUBSYSTEM==\"dma_heap\"") != std::string::npos) {
        return path;
      }
    }
  }
  return {};
}

/// Lets the group video open @p nodes: by the udev rule where udev would see it, else until the next boot.
std::string open_to_video(const std::string& nodes) {
  const char* create = ::getgrnam("video") == nullptr ? "groupadd --system video && " : "";
  if (!udev_runs()) {
    return fmt::format("{0}chgrp video {1} && chmod 0660 {1}", create, nodes);
  }
  const char* rule =
      R"(printf '%s\n' 'SUBSYSTEM=="dma_heap", GROUP="video", MODE="0660"' )"
      R"('SUBSYSTEM=="simple_allocator", GROUP="video", MODE="0660"' 'KERNEL=="udmabuf", GROUP="video", MODE="0660"' )"
      R"('KERNEL=="ion", GROUP="video", MODE="0660"' )"
      "> /etc/udev/rules.d/60-simple-allocator.rules && ";
  return fmt::format("{}{}udevadm control --reload && udevadm trigger", create, udev_rule().empty() ? rule : "");
}

/// A node that this user may not open.
struct Denied {
  std::string node;
  std::optional<gid_t> group; ///< that may; nothing: root alone
  Severity severity;
};

std::vector<Denied> denied_nodes(const Examination& all) {
  std::vector<Denied> denied;
  const auto look_at = [&](const std::string& node, bool reads, Severity severity) {
    struct stat status {};
    if (::stat(node.c_str(), &status) != 0 || ::faccessat(AT_FDCWD, node.c_str(), reads ? R_OK : R_OK | W_OK, AT_EACCESS) == 0) {
      return;
    }
    const mode_t wanted = reads ? S_IRGRP : S_IRGRP | S_IWGRP;
    const bool lets_in = status.st_gid != 0 && (status.st_mode & wanted) == wanted;
    denied.push_back({node, lets_in ? std::optional(status.st_gid) : std::nullopt, severity});
  };
  for (const auto& heap : all.heaps) {
    // /dev/mem is root's for good (docs/permissions.md); check_carveouts() says so. Cards are devices, too.
    if (!heap.usable && !heap.node.empty() && heap.node != "/dev/mem" && heap.backend != "drm") {
      look_at(heap.node, heap.backend == "dma-heap" || heap.backend == "ion",
              all.without(heap.traits.contains(sa::Trait::Contiguous) ? "contiguous" : "system"));
    }
  }
  for (const auto& name : names_in("/dev")) {
    if (name.starts_with("video")) {
      look_at("/dev/" + name, false, Severity::Warning);
    }
  }
  for (const auto& name : names_in("/dev/dri")) {
    if (name.starts_with("card") || name.starts_with("renderD")) {
      look_at("/dev/dri/" + name, false, Severity::Warning);
    }
  }
  return denied;
}

void check_group(Examination& all, gid_t gid, Severity severity, const std::string& nodes) {
  const std::string group = group_name(gid);
  const std::string user = user_name();
  if (in_effect(gid)) {
    all.add({"permission", severity, nodes, fmt::format("{}: refused, though you are in its group {}", nodes, group),
             "a security module or an access list refuses it; the kernel's log or the audit log says more", ""});
  } else if (in_database(user, gid)) {
    all.add(
        {"login", severity, group, fmt::format("{} is in group {}, but was not when this session began", user, group),
         fmt::format("{} open to that group; it counts from the next login on, or in the shell that the command starts", nodes),
         fmt::format("newgrp {}", group), false});
  } else {
    all.add({"group", severity, group,
             fmt::format("{} is not in group {}", user.empty() ? fmt::format("user {}", ::geteuid()) : user, group),
             fmt::format("{} open to that group, and each member can use up the memory. It counts from the next login on", nodes),
             user.empty() ? "" : fmt::format("usermod -aG {} {}", group, user)});
  }
}

} // namespace

void check_nodes(Examination& all) {
  const auto has = [&](auto&& suits) { return std::any_of(all.heaps.begin(), all.heaps.end(), suits); };
  const auto exists = [](const sa::HeapInfo& heap) { return !heap.node.empty() && std::filesystem::exists(heap.node); };
  std::size_t before = all.findings.size();
  const auto missed = [&](const Maker& maker, const char* alias) { all.add(absence(maker, all.without(alias))); };
  // ION is what kernels had before dma-heaps.
  if (!has([&](const auto& heap) { return (heap.name == "dma-heap:system" || heap.backend == "ion") && exists(heap); })) {
    missed({"/dev/dma_heap/system", "system_heap", "CONFIG_DMABUF_HEAPS_SYSTEM", "only udmabuf gives devices scattered memory"},
           "system");
  }
  if (!has([&](const auto& heap) { return heap.backend == "udmabuf" && exists(heap); })) {
    missed({"/dev/udmabuf", "udmabuf", "CONFIG_UDMABUF", "memory of this program cannot be wrapped for devices"}, "system");
  }
  const auto contiguous = [&](const auto& heap) { return heap.traits.contains(sa::Trait::Contiguous) && exists(heap); };
  const bool from_kernel =
      has([&](const auto& heap) { return (heap.backend == "dma-heap" || heap.backend == "ion") && contiguous(heap); });
  const bool from_module = has([&](const auto& heap) { return heap.backend == "cma" && contiguous(heap); });
  if (!from_kernel && !from_module) {
    // Either would do. The module is said to, since it can be had without another kernel.
    check_own_module(all);
    if (memory_field("CmaTotal").value_or(0) != 0) {
      Finding option = absence({"the heap of the default CMA region in /dev/dma_heap", "cma_heap", "CONFIG_DMABUF_HEAPS_CMA",
                                "only this project's module reaches CMA"},
                               Severity::Warning);
      all.add(std::move(option));
    }
  }
  if (before == all.findings.size()) {
    all.add({"node", Severity::Ok, "/dev", "nodes are there"});
  }
}

void check_permissions(Examination& all) {
  const std::vector<Denied> denied = denied_nodes(all);
  std::map<gid_t, std::pair<std::string, Severity>> groups; // nodes, and how bad it is
  std::string for_root;
  Severity severity = Severity::Ok;
  for (const auto& [node, group, how_bad] : denied) {
    std::string& nodes = group ? groups.try_emplace(*group, "", how_bad).first->second.first : for_root;
    nodes += (nodes.empty() ? "" : " ") + node;
    Severity& worst = group ? groups.at(*group).second : severity;
    worst = std::max(worst, how_bad);
  }
  if (!for_root.empty()) {
    all.add({"permission", severity, for_root,
             fmt::format("only root may open {}, and this program runs as {}", for_root, user_name()),
             udev_runs()
                 ? "the udev rules, this project's and the usual ones for cameras and cards, let the group video open them"
                 : "the command lets the group video open them; without udev that lasts until the next boot",
             open_to_video(for_root)});
    if (const group* video = ::getgrnam("video"); video != nullptr && !in_effect(video->gr_gid)) {
      auto& [nodes, how_bad] = groups.try_emplace(video->gr_gid, "", severity).first->second;
      nodes += (nodes.empty() ? "" : " ") + for_root;
      how_bad = std::max(how_bad, severity);
    }
  }
  for (const auto& [gid, about] : groups) {
    check_group(all, gid, about.second, about.first);
  }
  if (denied.empty()) {
    all.add({"permission", Severity::Ok, "/dev", ::geteuid() == 0 ? "root may open all nodes" : "you may open all nodes"});
  }
  // A chgrp by hand is gone after the next boot.
  const bool by_hand = ::geteuid() != 0 && std::any_of(all.heaps.begin(), all.heaps.end(), [](const auto& heap) {
                         return heap.usable && heap.backend == "dma-heap";
                       });
  if (const std::string rule = udev_rule(); !rule.empty()) {
    all.add({"udev-rule", Severity::Ok, rule, "udev rule " + rule});
  } else if (udev_runs() && by_hand) {
    all.add({"udev-rule", Severity::Warning, "60-simple-allocator.rules", "no udev rule gives /dev/dma_heap to a group",
             "you may open the nodes now, but not after the next boot", open_to_video("")});
  }
}

} // namespace sactl
