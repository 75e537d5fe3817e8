// SPDX-License-Identifier: MIT
/// sactl doctor: contiguous memory, of which there is little: how much, used up or in pieces, and its holders.
#include <algorithm>

#include <fmt/format.h>
#include <unistd.h>

#include "doctor/finding.hpp"
#include "terminal/output.hpp"
#include "terminal/text.hpp"

namespace sactl {
namespace {

const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
constexpr std::uint64_t mebibyte = std::uint64_t{1} << 20;
/// The first request of a trial: an image of 3840 by 2160 in NV12 has 12 MiB. Of a small region an eighth, so that no
/// program that runs is without memory for the moment.
constexpr std::uint64_t trial_size = 16 * mebibyte;
constexpr std::uint64_t trial_share = 8;
/// Below this the region does not hold four such images.
constexpr std::uint64_t small_region = 64 * mebibyte;

/// The facts of a region, bytes.
struct Region {
  std::uint64_t total = 0;
  std::optional<std::uint64_t> free;
  std::optional<std::uint64_t> largest; ///< the largest free piece
  const char* from = "";                ///< the file that has the numbers
};

Region region_of(const sa::HeapInfo& heap) {
  const std::filesystem::path mine = "/sys/class/simple_allocator/" + heap.node.filename().string();
  const auto size = read_number(mine / "size").value_or(0);
  if (heap.backend == "carveout") {
    const auto allocated = read_number(mine / "allocated");
    return {size != 0 ? size : heap.max_size, allocated ? std::optional(size - std::min(size, *allocated)) : std::nullopt,
            read_number(mine / "largest_free"), "/sys/class/simple_allocator"};
  }
  // A region of that name, or the only one there is.
  const std::filesystem::path debug = "/sys/kernel/debug/cma";
  const auto regions = names_in(debug);
  const bool ion = heap.backend == "ion";
  const std::string name = ion ? heap.name.substr(heap.backend.size() + 1) : heap.node.filename().string();
  const auto named = std::find_if(regions.begin(), regions.end(), [&](const std::string& region) {
    return region == name || region == "cma-" + name; // up to 5.14
  });
  if (named == regions.end() && ion) {
    return {heap.max_size, std::nullopt, std::nullopt, ""}; // a carveout, or runs of ordinary pages
  }
  if (named != regions.end() || regions.size() == 1) {
    const auto folder = debug / (named != regions.end() ? *named : regions.front());
    const auto count = read_number(folder / "count");
    const auto used = read_number(folder / "used");
    const auto largest = read_number(folder / "maxchunk");
    if (count && used && largest) {
      return {*count * page, (*count - std::min(*count, *used)) * page, *largest * page, "/sys/kernel/debug/cma"};
    }
  }
  return {size != 0 ? size : memory_field("CmaTotal").value_or(0), memory_field("CmaFree"), std::nullopt, "/proc/meminfo"};
}

/// The outcome of the trials.
struct Trial {
  std::uint64_t asked = 0;   ///< bytes, at first
  std::uint64_t largest = 0; ///< bytes that were had; 0: not even a page
  std::error_code error{};   ///< of the first refusal
  bool tried = true;         ///< false: the numbers are the kernel's
};

/// At most fourteen requests, one after the other, each half as large as the one before, until one is granted.
Trial try_out(const sa::HeapInfo& heap, std::uint64_t size) {
  Trial trial{size};
  const auto found = sa::Registry::system().find(heap.name);
  for (; found && size >= page; size = size / 2 / page * page) {
    std::error_code ec;
    if (found->allocate({.size = static_cast<std::size_t>(size), .name = "sactl doctor"}, ec)) { // freed here
      trial.largest = size;
      break;
    }
    if (!trial.error) {
      trial.error = ec;
    }
    if (ec != std::errc::not_enough_memory) {
      break;
    }
  }
  return trial;
}

/// Who holds buffers of the region.
struct Holders {
  std::string text; ///< "camera (process 71) 120 MiB, ..."
  std::string pids; ///< "71 72"
};

Holders holders_of(const Examination& all, const sa::HeapInfo& heap) {
  const bool own = heap.backend != "dma-heap" && heap.backend != "ion";
  Holders holders;
  for (const auto& process : all.processes.processes) {
    std::uint64_t bytes = 0;
    for (const auto& [exporter, held] : process.buffers) {
      // The default region is reached by both. ION does not tell which of its heaps a buffer is of.
      const bool same = exporter == "simple_allocator" || (!own && exporter == heap.node.filename());
      bytes += same ? held : 0;
    }
    if (bytes != 0) {
      holders.text += fmt::format("{}{} (process {}) holds {}", holders.text.empty() ? "" : ", ", harmless(process.name),
                                  process.pid, human_bytes(bytes));
      holders.pids += fmt::format("{}{}", holders.pids.empty() ? "" : " ", process.pid);
    }
  }
  return holders;
}

/// Adds @p finding with the holders of the memory; where none is seen, with the reason.
void add_with_holders(Examination& all, Finding finding, const sa::HeapInfo& heap) {
  const Holders holders = holders_of(all, heap);
  if (!holders.text.empty()) {
    finding.seen += "; " + holders.text;
    finding.fix = "kill " + holders.pids;
    finding.means += "; the command ends the programs that hold the buffers";
    finding.fix_needs_root = false; // a user sees his own programs alone
  } else if (all.processes.complete) {
    finding.seen += "; no program has a descriptor for any of it";
    finding.means += "; it is held by a driver, or by a program that has only mapped its buffers";
  }
  all.add(std::move(finding));
  if (holders.text.empty() && !all.processes.complete) {
    all.add({"holders", Severity::Unknown, heap.name, fmt::format("the holders of the memory of {}", heap.name),
             "only root sees the buffers of other users' programs", "sactl doctor"});
  }
}

void judge(Examination& all, const sa::HeapInfo& heap, const Trial& trial) {
  const Region region = region_of(heap);
  const std::string asked = human_bytes(trial.asked);
  if (trial.error == std::errc::too_many_files_open || trial.error == std::errc::too_many_files_open_in_system) {
    return; // check_descriptors()
  }
  if (trial.error.value() == EDQUOT) {
    all.add({"quota", Severity::Trouble, heap.name,
             fmt::format("{} refused {}: the limit of what one user may hold is reached", heap.name, asked),
             "your programs hold as much of the region as its administrator allows a user",
             fmt::format("echo 0 > /sys/class/simple_allocator/{}/max_bytes_per_user", heap.node.filename().string())});
    return;
  }
  if (trial.error != std::errc::not_enough_memory) {
    all.add({"heap", all.without("contiguous"), heap.name,
             fmt::format("{} refused {}: {}", heap.name, asked, trial.error.message()), "it cannot be used", ""});
    return;
  }
  const std::string had = trial.largest == 0 ? "not even a page was" : fmt::format("{} were", human_bytes(trial.largest));
  std::string seen = trial.tried ? fmt::format("{} refused {}, {} granted", heap.name, asked, had)
                                 : fmt::format("{} does not have {} in one piece", heap.name, asked);
  if (region.free) {
    seen += fmt::format("; {} of {} used", human_bytes(region.total - std::min(*region.free, region.total)),
                        human_bytes(region.total));
    seen += region.largest ? fmt::format(", largest free piece {} ({})", human_bytes(*region.largest), region.from) : "";
  }
  const std::string larger =
      heap.backend == "carveout" ? "reserve a larger range at boot" : "enlarge the region (cma= on the kernel command line)";
  const bool fragmented = region.free.value_or(0) >= trial.asked;
  if (fragmented) {
    add_with_holders(
        all,
        {"cma-fragmented", Severity::Trouble, heap.name, "fragmented: " + seen,
         "there is enough memory, but in pieces that are too small; allocate large buffers at start and keep them, or " + larger,
         ""},
        heap);
  } else if (region.free || trial.largest == 0) {
    add_with_holders(all,
                     {"cma-full", Severity::Trouble, heap.name, "used up: " + seen,
                      "contiguous buffers are refused until some are freed; free them, or " + larger, ""},
                     heap);
  } else {
    add_with_holders(all,
                     {"cma-full", Severity::Trouble, heap.name, seen,
                      "the memory is used up, or in pieces; the kernel does not tell which", ""},
                     heap);
  }
}

/// Without trials: by the numbers that root, or the module, is told.
void look_only(Examination& all, const sa::HeapInfo& heap, std::uint64_t size) {
  const Region region = region_of(heap);
  if (!region.largest) {
    // CmaFree does not count what the kernel has lent to programs and would take back.
    all.add({"cma-fragmented", Severity::Unknown, heap.name,
             fmt::format("whether {} has {} in one piece", heap.name, human_bytes(size)),
             "nothing was tried (--no-trials); the kernel tells the largest free piece to root alone, and knows none of a range "
             "behind /dev/mem",
             "sactl doctor --no-trials"});
  } else if (*region.largest < size) {
    judge(all, heap, {size, *region.largest, std::make_error_code(std::errc::not_enough_memory), false});
  } else {
    all.add({"cma-full", Severity::Ok, heap.name, fmt::format("{} has {} in one piece", heap.name, human_bytes(size))});
  }
}

/// How to give the kernel more at the next boot.
std::string enlarge(const char* size) {
  return std::filesystem::exists("/etc/default/grub")
             ? fmt::format(R"(sed -i 's/^GRUB_CMDLINE_LINUX="/&cma={} /' /etc/default/grub && update-grub && reboot)", size)
             : "";
}

} // namespace

void check_cma(Examination& all) {
  const auto total = memory_field("CmaTotal");
  const std::string boot =
      "with cma=256M on the kernel command line, or a linux,cma node in the device tree, the next boot sets it aside";
  if (total.value_or(0) != 0) {
    const bool small = *total < small_region;
    all.add({"cma-size", small ? Severity::Warning : Severity::Ok, "cma=", fmt::format("CMA has {}", human_bytes(*total)),
             small ? "that is less than four images of 3840 by 2160; " + boot : "", small ? enlarge("256M") : ""});
    return;
  }
  switch (kernel_option("CONFIG_DMA_CMA")) {
  case Option::BuiltIn:
  case Option::Module:
    all.add({"cma-size", all.without("contiguous"), "cma=", "the kernel has CMA, but no memory was given to it", boot,
             enlarge("256M")});
    break;
  case Option::Missing:
    // Served by something else, a carveout or small pieces of the module's, it is no matter.
    all.add(
        {"kernel-option", all.serves("contiguous") ? Severity::Ok : all.without("contiguous"), "CONFIG_DMA_CMA",
         "the kernel was built without CONFIG_DMA_CMA",
         "no memory is set aside for contiguous buffers; with this project's modules there are up to 4 MiB in one piece, or a "
         "carveout (docs/kernel.md)",
         ""});
    break;
  case Option::Unknown:
    all.add({"cma-size", all.without("contiguous"), "cma=", "there is no CMA",
             "the kernel's configuration cannot be read, so whether CONFIG_DMA_CMA is missing is not known; " + boot, ""});
    break;
  }
}

void check_contiguous(Examination& all) {
  const bool kernels_own = std::any_of(all.heaps.begin(), all.heaps.end(), [](const auto& heap) {
    return heap.usable && heap.backend == "dma-heap" && heap.traits.contains(sa::Trait::Contiguous);
  });
  for (const auto& heap : all.heaps) {
    if (!heap.usable || !heap.traits.contains(sa::Trait::Contiguous)) {
      continue;
    }
    const Region region = region_of(heap);
    // Without CMA the module gives 4 MiB at most. cma:cma0 beside the kernel's own heap is the same region: a page, for its
    // limit.
    const bool again = heap.name == "cma:cma0" && kernels_own;
    const std::uint64_t most = region.total == 0 ? 4 * mebibyte : std::min(trial_size, region.total / trial_share);
    const std::uint64_t size = again ? page : std::max(page, most / page * page);
    if (!all.trials) {
      if (!again) {
        look_only(all, heap, size);
      }
    } else if (const Trial trial = try_out(heap, size); trial.error) {
      judge(all, heap, trial);
    } else if (!again) {
      all.add({"cma-full", Severity::Ok, heap.name, fmt::format("{} gave {} in one piece", heap.name, human_bytes(size))});
    }
    if (!again && heap.backend != "carveout" && *region.from != '\0' && region.total != 0 && !region.largest) {
      all.add({"cma-region", Severity::Unknown, heap.name, fmt::format("the largest free piece of {}", heap.name),
               "the kernel tells it to root alone (/sys/kernel/debug/cma)", "sactl doctor"});
    }
  }
}

} // namespace sactl
