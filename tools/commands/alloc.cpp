// SPDX-License-Identifier: MIT
/// sactl alloc
#include <chrono>
#include <optional>

#include <fmt/format.h>

#include <sa/sa.hpp>

#include "commands/command.hpp"
#include "system/memory.hpp"
#include "terminal/progress.hpp"
#include "terminal/signals.hpp"

namespace sactl {
namespace {

/// The traits of a list of their names, as to_string() writes it.
std::optional<sa::Traits> parse_traits(const std::string& list) {
  sa::Traits traits;
  for (std::size_t at = 0; !list.empty() && at <= list.size();) { // also what is empty after the last comma
    const std::size_t end = std::min(list.find(',', at), list.size());
    const std::string word = list.substr(at, end - at);
    sa::Traits found;
    for (unsigned bit = 1; bit != 0 && found == sa::Traits{}; bit <<= 1) {
      const sa::Traits one = static_cast<sa::Trait>(bit);
      found = to_string(one) == word ? one : sa::Traits{};
    }
    if (word.empty() || found == sa::Traits{}) {
      return std::nullopt;
    }
    traits = traits | found;
    at = end + 1;
  }
  return traits;
}

std::string all_traits() {
  sa::Traits all;
  for (unsigned bit = 1; bit != 0; bit <<= 1) {
    all = all | static_cast<sa::Trait>(bit);
  }
  return to_string(all);
}

/// One buffer and its measurements.
struct Made {
  sa::DmaBuf buffer;
  std::chrono::nanoseconds allocation{};
  std::optional<std::chrono::nanoseconds> first_read; ///< mapping and page faults included; none: the CPU cannot map it
  std::optional<std::size_t> non_zero;                ///< where the first such byte is
};

class Alloc final : public Command {
public:
  void add_options(CLI::App& app) override {
    app.add_option("heap", heap_, "a heap or an alias, as sactl heaps lists them")->required();
    add_bytes(app, "size", size_, "bytes, with K, M or G")->required();
    app.add_option("--count", count_, "how many buffers")->type_name("N")->check(CLI::Range(1U, 1000000U));
    app.add_flag("--hold", hold_, "keep them until Ctrl-C or SIGTERM");
    app.add_option("--require", require_, "traits that the memory must have, of " + all_traits())
        ->type_name("TRAITS")
        ->check(CLI::Validator(
            [](const std::string& list) {
              return parse_traits(list) ? "" : fmt::format("\"{}\" has an unknown trait; there are {}", list, all_traits());
            },
            ""));
    add_bytes(app, "--alignment", alignment_, "bytes, a power of two, of the size and of the device address");
    app.add_flag("--prefault", prefault_, "bring the pages in first: no page faults later, where the memory allows it");
    app.add_option("--name", name_, "the buffers' name, at most 31 bytes")->type_name("TEXT");
  }

  Status run(Output& output) override {
    constexpr std::size_t step = 10; // a word for each buffer would cost more than the buffer
    explain_bus_errors();
    std::vector<Made> all;
    Progress progress;
    while (all.size() < count_) {
      try {
        if (count_ > 1) {
          progress.say(fmt::format("{} of {} buffers", all.size() / step * step, count_));
        }
        all.push_back(make());
      } catch (const sa::Error& error) {
        progress.end();
        if (all.empty()) {
          throw;
        }
        fmt::print(stderr, "sactl: {} of {} buffers were made, then: {}\n", all.size(), count_, error.what());
        return Failed;
      }
    }
    progress.end();
    std::optional<Signals> signals;
    if (hold_) {
      signals.emplace(); // before a reader of the answer can send one
    }
    if (output.json()) {
      print_json(output, all);
    } else {
      print_table(output, all);
    }
    if (signals) {
      if (!output.json()) {
        output.line("holding; Ctrl-C lets go");
      }
      Output::flush();
      signals->wait(-1, std::nullopt);
      signals->take();
    }
    return judge(all);
  }

private:
  [[nodiscard]] Made make() const {
    Made made;
    const auto start = Clock::now();
    made.buffer = sa::Registry::system().allocate(heap_, {.size = static_cast<std::size_t>(size_),
                                                          .constraints = {.alignment = alignment_},
                                                          .name = name_,
                                                          .require = parse_traits(require_).value_or(sa::Traits{}),
                                                          .flags = prefault_ ? sa::AllocFlag::Prefault : sa::AllocFlag::None});
    const auto allocated = Clock::now();
    made.allocation = allocated - start;
    if (!made.buffer.traits().contains(sa::Trait::Protected)) {
      const sa::CpuAccess cpu = made.buffer.access(sa::Access::Read);
      made.non_zero = find_non_zero(cpu.bytes());
      made.first_read = Clock::now() - allocated;
    }
    return made;
  }

  /// A heap fails by its own promises only.
  static Status judge(const std::vector<Made>& all) {
    Status status = Done;
    for (const auto& [buffer, allocation, first_read, non_zero] : all) {
      if (non_zero && buffer.traits().contains(sa::Trait::Zeroed)) {
        fmt::print(stderr, "sactl: {} says that its memory reads as zero, and byte {} of a fresh buffer does not\n",
                   buffer.heap(), *non_zero);
        status = Failed;
      }
    }
    return status;
  }

  static void print_json(const Output& output, const std::vector<Made>& all) {
    Json list = Json::array();
    for (const auto& [buffer, allocation, first_read, non_zero] : all) {
      const auto id = buffer.id();
      const auto address = buffer.phys_addr();
      list.push_back({{"heap", buffer.heap()},
                      {"size", buffer.size()},
                      {"name", buffer.name()},
                      {"traits", as_json(buffer.traits())},
                      {"fd", buffer.fd() >= 0 ? Json(buffer.fd()) : Json()},
                      {"inode", id ? Json(id->inode) : Json()},
                      {"address", address ? Json(*address) : Json()},
                      {"zero", first_read ? Json(!non_zero.has_value()) : Json()},
                      {"allocate_ns", allocation.count()},
                      {"first_read_ns", first_read ? Json(first_read->count()) : Json()}});
    }
    output.print({{"buffers", std::move(list)}});
  }

  static void print_table(const Output& output, const std::vector<Made>& all) {
    Table table({"HEAP", "SIZE", "INODE", "ADDRESS", "ALLOCATED IN", "READ IN", "READ AS"});
    for (const auto& [buffer, allocation, first_read, non_zero] : all) {
      const auto id = buffer.id();
      const bool broken = non_zero && buffer.traits().contains(sa::Trait::Zeroed);
      table.add({Table::Cell(std::string(buffer.heap()), Style::Strong), human_bytes(buffer.size()),
                 id ? fmt::to_string(id->inode) : "-", buffer.phys_addr() ? fmt::format("{:#x}", *buffer.phys_addr()) : "-",
                 human_time(allocation), first_read ? human_time(*first_read) : "-",
                 !first_read ? Table::Cell("not mapped: protected")
                 : non_zero  ? Table::Cell(fmt::format("not zero at byte {}", *non_zero), broken ? Style::Bad : Style::Plain)
                             : Table::Cell("zero", Style::Good)});
    }
    table.print(output);
  }

  std::string heap_;
  std::uint64_t size_ = 0; // bytes
  unsigned count_ = 1;
  bool hold_ = false;
  std::string require_;
  std::uint64_t alignment_ = 1; // bytes
  bool prefault_ = false;
  std::string name_;
};

} // namespace

std::unique_ptr<Command> make_alloc() {
  return std::make_unique<Alloc>();
}

} // namespace sactl
