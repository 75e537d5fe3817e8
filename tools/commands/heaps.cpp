// SPDX-License-Identifier: MIT
/// sactl heaps
#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>

#include <fmt/format.h>

#include <sa/sa.hpp>

#include "commands/command.hpp"
#include "system/memory.hpp"

namespace sactl {
namespace {

/// The memory behind a heap as the kernel tells it, bytes.
struct Room {
  std::optional<std::uint64_t> total;
  std::optional<std::uint64_t> free;
};

/// A field of /proc/meminfo as it stands there: KiB, or a number of pages.
std::optional<std::uint64_t> meminfo_number(const std::string& field) {
  std::ifstream file("/proc/meminfo");
  std::string name;
  std::uint64_t value = 0;
  while (file >> name >> value) {
    if (name == field + ":") {
      return value;
    }
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return std::nullopt;
}

std::optional<std::uint64_t> meminfo(const std::string& field) {
  const auto kibibytes = meminfo_number(field);
  return kibibytes ? std::optional(*kibibytes * 1024) : std::nullopt;
}

std::optional<std::uint64_t> number(const std::string& path) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  return file >> value ? std::optional(value) : std::nullopt;
}

Room room_of(const sa::HeapInfo& heap) {
  const auto less = [](std::optional<std::uint64_t> total, std::optional<std::uint64_t> used) {
    return total && used && *used <= *total ? std::optional(*total - *used) : std::nullopt;
  };
  // A region of the kernel modules.
  const std::string region = "/sys/class/simple_allocator/" + heap.node.filename().string();
  const bool cma = heap.backend == "cma" || (heap.backend == "dma-heap" && heap.traits.contains(sa::Trait::Contiguous));
  if (heap.backend == "carveout" && !heap.node.string().starts_with("/dev/mem")) {
    const auto total = number(region + "/size");
    return {total, less(total, number(region + "/allocated"))};
  }
  if (cma) {
    const auto of_region = number(region + "/size");
    const auto total = of_region.value_or(0) != 0 ? of_region : meminfo("CmaTotal");
    // CmaFree is of all regions together; the region's own `allocated` knows nothing of its other users.
    return {total, total == meminfo("CmaTotal") ? meminfo("CmaFree") : std::nullopt};
  }
  if (const auto pages = meminfo_number("HugePages_Total");
      heap.traits.contains(sa::Trait::HugePages) && pages.value_or(0) != 0) {
    const std::uint64_t huge = meminfo("Hugepagesize").value_or(0);
    return {*pages * huge, meminfo_number("HugePages_Free").value_or(0) * huge};
  }
  if (heap.backend == "memfd" || heap.backend == "udmabuf" || heap.backend == "dma-heap" ||
      (heap.backend == "ion" && !heap.traits.contains(sa::Trait::Contiguous))) {
    return {meminfo("MemTotal"), meminfo("MemAvailable")};
  }
  return {};
}

class Heaps final : public Command {
public:
  void add_options(CLI::App& app) override {
    app.add_flag("--names", names_, "print the names alone, aliases too, one in a line")->excludes(app.get_option("--json"));
  }

  Status run(Output& output) override {
    const auto& registry = sa::Registry::system();
    const auto heaps = registry.heaps();
    if (names_) {
      for (const auto& heap : heaps) {
        output.line(heap.name);
      }
      for (const auto& alias : registry.aliases()) {
        output.line(alias.name);
      }
      return Done;
    }
    if (output.json()) {
      output.print(list_as_json(heaps, registry.aliases()));
      return Done;
    }
    Table table({"HEAP", "FREE", "TOTAL", "MEMORY"});
    for (const auto& heap : heaps) {
      const Room room = heap.usable ? room_of(heap) : Room{};
      const auto bytes = [](const std::optional<std::uint64_t>& one) { return one ? human_bytes(*one) : std::string("-"); };
      table.add({Table::Cell(heap.name, heap.usable ? Style::Strong : Style::Bad), bytes(room.free), bytes(room.total),
                 heap.usable ? Table::Cell(to_string(heap.traits)) : Table::Cell("not usable: " + heap.reason, Style::Faint)});
    }
    for (const auto& alias : registry.aliases()) {
      std::string text;
      for (const auto& candidate : alias.candidates) {
        text += (text.empty() ? "" : ", ") + candidate;
      }
      table.add({Table::Cell(alias.name, Style::Strong), "-", "-", "alias: " + text});
    }
    table.print(output);
    return Done;
  }

private:
  static Json list_as_json(const std::vector<sa::HeapInfo>& heaps, const std::vector<sa::Alias>& aliases) {
    Json list = Json::array();
    for (const auto& heap : heaps) {
      const Room room = heap.usable ? room_of(heap) : Room{};
      Json one{{"name", heap.name},
               {"backend", heap.backend},
               {"node", heap.node.empty() ? Json() : Json(heap.node.string())},
               {"usable", heap.usable},
               {"traits", as_json(heap.traits)},
               {"granularity", heap.granularity},
               {"max_size", heap.max_size},
               {"max_alignment", std::max(heap.max_alignment, heap.granularity)},
               {"total", room.total ? Json(*room.total) : Json()},
               {"free", room.free ? Json(*room.free) : Json()}};
      if (!heap.usable) {
        one["reason"] = heap.reason;
      }
      list.push_back(std::move(one));
    }
    Json names = Json::array();
    for (const auto& alias : aliases) {
      names.push_back({{"name", alias.name}, {"candidates", alias.candidates}});
    }
    return {{"heaps", std::move(list)}, {"aliases", std::move(names)}};
  }

  bool names_ = false;
};

} // namespace

std::unique_ptr<Command> make_heaps() {
  return std::make_unique<Heaps>();
}

} // namespace sactl
