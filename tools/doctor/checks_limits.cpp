// SPDX-License-Identifier: MIT
/// sactl doctor: limits of descriptors, of udmabuf, and of huge pages.
#include <algorithm>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include "doctor/finding.hpp"
#include "terminal/text.hpp"

namespace sactl {
namespace {

/// Free descriptors below which no pipeline starts: a few buffers for each of a few devices.
constexpr std::uint64_t needed_descriptors = 32;
constexpr std::uint64_t plenty_of_descriptors = 256;
constexpr const char* udmabuf_parameters = "/sys/module/udmabuf/parameters/";

/// Whether less than a tenth is left of @p limit.
bool nearly(std::uint64_t used, std::uint64_t limit) {
  return limit != 0 && used >= limit - limit / 10;
}

void check_own_descriptors(Examination& all) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  // Counted by asking for each: a full table lets no folder be opened.
  std::uint64_t open = 0;
  for (rlim_t fd = 0; fd < std::min<rlim_t>(limit.rlim_cur, 4096); ++fd) {
    open += ::fcntl(static_cast<int>(fd), F_GETFD) >= 0 ? 1 : 0;
  }
  const std::uint64_t left = limit.rlim_cur - std::min<std::uint64_t>(open, limit.rlim_cur);
  const Severity severity = left < needed_descriptors      ? Severity::Trouble
                            : left < plenty_of_descriptors ? Severity::Warning
                                                           : Severity::Ok;
  Finding finding{"descriptors", severity, "RLIMIT_NOFILE",
                  fmt::format("{} of {} descriptors used by a program started here", open, limit.rlim_cur)};
  if (severity != Severity::Ok) {
    constexpr rlim_t usual = 1024;
    finding.means = "each buffer needs a descriptor, and another in each program that it is sent to";
    finding.fix_needs_root = limit.rlim_max < usual;
    finding.fix = finding.fix_needs_root ? fmt::format("prlimit --pid $$ --nofile=4096:4096")
                                         : fmt::format("ulimit -n {}", std::min<rlim_t>(limit.rlim_max, 4096));
  }
  all.add(std::move(finding));
  // The other checks open files: they would take the shell's limit for the machine's state.
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

} // namespace

void check_descriptors(Examination& all) {
  check_own_descriptors(all);
  all.processes = holders_of_buffers();
  for (const auto& process : all.processes.processes) {
    if (process.descriptor_limit && nearly(process.descriptors, *process.descriptor_limit)) {
      // The soft limit alone, which its user may raise, as far as the hard one reaches.
      const std::uint64_t more = std::max<std::uint64_t>(4096, *process.descriptor_limit * 2);
      const bool beyond = more > process.descriptor_most;
      all.add({"program-descriptors", Severity::Trouble, fmt::format("{}", process.pid),
               fmt::format("{} of {} descriptors used by {} (process {})", process.descriptors, *process.descriptor_limit,
                           harmless(process.name), process.pid),
               "the program's next buffers are refused with EMFILE; the command raises its limit while it runs",
               fmt::format("prlimit --pid {} --nofile={}:{}", process.pid, more, beyond ? std::to_string(more) : ""), beyond});
    }
  }
  std::uint64_t numbers[3] = {}; // allocated, free, most
  if (const auto text = read_text("/proc/sys/fs/file-nr");
      text && std::sscanf(text->c_str(), "%lu %lu %lu", &numbers[0], &numbers[1], &numbers[2]) == 3) {
    const bool reached = nearly(numbers[0], numbers[2]);
    all.add({"machine-descriptors", reached ? Severity::Trouble : Severity::Ok, "fs.file-max",
             fmt::format("{} of {} descriptors used by the machine", numbers[0], numbers[2]),
             reached ? "soon only root's programs can open files (ENFILE)" : "",
             reached ? fmt::format("sysctl -w fs.file-max={}", numbers[2] * 2) : ""});
  }
}

void check_udmabuf(Examination& all) {
  struct Limit {
    const char* id;
    const char* name;
    std::uint64_t usual; ///< the kernel's own (drivers/dma-buf/udmabuf.c)
    const char* unit;
    const char* means;
  };
  for (const auto& [id, name, usual, unit, means] :
       {Limit{"udmabuf-size", "size_limit_mb", 64, " MiB",
              "a buffer of udmabuf:4k cannot be larger; an image of 3840 by 2160 in RGBA has 32 MiB"},
        Limit{"udmabuf-list", "list_limit", 1024, " pieces", "a proof that a device takes scattered memory needs more"}}) {
    if (const auto value = read_number(std::string(udmabuf_parameters) + name)) {
      const bool low = *value < usual;
      all.add({id, low ? Severity::Warning : Severity::Ok, std::string(udmabuf_parameters) + name,
               fmt::format("udmabuf's {} is {}{}", name, *value, unit), low ? means : "",
               low ? fmt::format("echo {} > {}{}", usual, udmabuf_parameters, name) : ""});
    }
  }
}

void check_huge_pages(Examination& all) {
  const auto heap = std::find_if(all.heaps.begin(), all.heaps.end(), [](const auto& one) { return one.name == "memfd:huge"; });
  if (heap == all.heaps.end()) {
    return;
  }
  constexpr const char* policy = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
  const std::string pool = "/sys/kernel/mm/hugepages/hugepages-2048kB/";
  const std::string shmem = read_text(policy).value_or("");
  const bool off = shmem.find("[never]") != std::string::npos || shmem.find("[deny]") != std::string::npos || shmem.empty();
  const std::uint64_t pages = read_number(pool + "nr_hugepages").value_or(0);
  const std::uint64_t free = read_number(pool + "free_hugepages").value_or(0);
  const bool overcommit = read_number(pool + "nr_overcommit_hugepages").value_or(0) != 0;
  Finding finding{"huge-pages", Severity::Ok, heap->name, "huge pages"};
  if (!heap->usable) {
    finding.severity = Severity::Warning;
    finding.seen = fmt::format("{}: vm.nr_hugepages is {}, and shared memory gets none ({})", heap->name, pages,
                               shmem.empty() ? "the kernel has no transparent huge pages" : "shmem_enabled");
  } else if (pages != 0 && free == 0 && off && !overcommit) {
    finding.severity = Severity::Warning;
    finding.seen = fmt::format("{0}: {1} of {1} pages of the pool used", heap->name, pages);
  }
  if (finding.severity != Severity::Ok) {
    finding.means = "large buffers that only the CPU uses are made of small pages; that costs time in page faults and in the TLB";
    finding.fix =
        shmem.empty() ? fmt::format("sysctl -w vm.nr_hugepages={}", pages + 64) : fmt::format("echo advise > {}", policy);
  }
  all.add(std::move(finding));
}

} // namespace sactl
