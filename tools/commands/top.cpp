// SPDX-License-Identifier: MIT
/// sactl top
#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <map>
#include <string_view>
#include <tuple>

#include <fmt/format.h>

#include "commands/command.hpp"
#include "system/holders.hpp"
#include "terminal/screen.hpp"
#include "terminal/text.hpp"

namespace sactl {
namespace {

/// Buffers of one process, exporter and name together: a queue of frames is one line.
struct Row {
  pid_t pid = 0; ///< 0: no process
  std::string process;
  std::string exporter;
  std::string name;
  std::uint64_t bytes = 0;
  std::uint64_t buffers = 0;
};

/// A number of buffers and their bytes together.
struct Sum {
  std::uint64_t buffers = 0;
  std::uint64_t bytes = 0;
  void add(const HeldBuffer& buffer) {
    ++buffers;
    bytes += buffer.size;
  }
};

struct Totals {
  Sum all;
  Sum dma_bufs;
  Sum memfds;
  Sum unheld; ///< by a process
};

Totals totals_of(const Snapshot& snapshot) {
  Totals totals;
  const auto holders = snapshot.holders();
  for (std::size_t i = 0; i < snapshot.buffers.size(); ++i) {
    const HeldBuffer& buffer = snapshot.buffers[i];
    totals.all.add(buffer);
    (buffer.kind == Kind::DmaBuf ? totals.dma_bufs : totals.memfds).add(buffer);
    if (holders[i] == 0) {
      totals.unheld.add(buffer);
    }
  }
  return totals;
}

/// The text in the place of a process where there is none.
std::string place_of(const HeldBuffer& buffer) {
  std::string text;
  for (const auto& device : buffer.devices) {
    text += (text.empty() ? "in " : ", ") + device;
  }
  return text.empty() ? "no process" : text;
}

std::vector<Row> rows_of(const Snapshot& snapshot) {
  std::map<std::tuple<pid_t, std::string, std::string, std::string>, Row> rows;
  const auto add = [&](pid_t pid, const std::string& process, const HeldBuffer& buffer) {
    Row& row = rows[{pid, process, buffer.exporter, buffer.name}];
    row.pid = pid;
    row.process = harmless(process);
    row.exporter = buffer.exporter.empty() ? "?" : harmless(buffer.exporter);
    row.name = harmless(buffer.name);
    row.bytes += buffer.size;
    ++row.buffers;
  };
  for (const auto& process : snapshot.processes) {
    for (const auto& holding : process.holdings) {
      add(process.pid, process.name, snapshot.buffers[holding.buffer]);
    }
  }
  const auto holders = snapshot.holders();
  for (std::size_t i = 0; i < snapshot.buffers.size(); ++i) {
    if (holders[i] == 0) {
      add(0, place_of(snapshot.buffers[i]), snapshot.buffers[i]);
    }
  }
  std::vector<Row> list;
  list.reserve(rows.size());
  for (auto& [key, row] : rows) {
    list.push_back(std::move(row));
  }
  return list;
}

/// Largest, most, lowest number or first name first.
template <typename Entry>
bool precedes(const std::string& key, const Entry& a, const Entry& b) {
  if (key == "size" && a.bytes != b.bytes) {
    return a.bytes > b.bytes;
  }
  if (key == "count" && a.buffers != b.buffers) {
    return a.buffers > b.buffers;
  }
  if (key == "name" && a.name != b.name) {
    return a.name < b.name;
  }
  return a.pid < b.pid;
}

std::string plural(std::uint64_t count, const char* one, const char* many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}

std::vector<std::string> summary(const Snapshot& snapshot) {
  const Totals totals = totals_of(snapshot);
  std::vector<std::string> lines;
  lines.push_back(fmt::format("{}, {}, in {}", plural(totals.all.buffers, "buffer", "buffers"), human_bytes(totals.all.bytes),
                              plural(snapshot.processes.size(), "process", "processes")));
  std::string parts =
      fmt::format("{}, {}", plural(totals.dma_bufs.buffers, "dma-buf", "dma-bufs"), human_bytes(totals.dma_bufs.bytes));
  if (snapshot.kernel) {
    parts += fmt::format(" (the kernel has {}, {})", snapshot.kernel->buffers, human_bytes(snapshot.kernel->bytes));
  }
  parts += fmt::format("; {}, {}", plural(totals.memfds.buffers, "memfd", "memfds"), human_bytes(totals.memfds.bytes));
  if (totals.unheld.buffers != 0) {
    parts += fmt::format("; held by no process: {}, {}", totals.unheld.buffers, human_bytes(totals.unheld.bytes));
  }
  lines.push_back(std::move(parts));
  for (auto& gap : snapshot.gaps()) {
    lines.push_back(std::move(gap));
  }
  return lines;
}

/// The head and a line for each row, none wider than @p columns.
std::vector<std::string> table(const Output& output, const std::vector<Row>& rows, std::size_t columns) {
  constexpr std::size_t fields = 6;
  std::size_t gap = 2;
  std::vector<std::array<std::string, fields>> cells{{"PID", "SIZE", "BUFS", "PROCESS", "EXPORTER", "NAME"}};
  for (const auto& row : rows) {
    cells.push_back({row.pid == 0 ? "-" : fmt::format("{}", row.pid), human_bytes(row.bytes), fmt::format("{}", row.buffers),
                     row.process, row.exporter, row.name});
  }
  std::array<std::size_t, fields> widths{};
  for (const auto& line : cells) {
    for (std::size_t i = 0; i < fields; ++i) {
      widths[i] = std::max(widths[i], columns_of(line[i]));
    }
  }
  // Too narrow: numbers stay whole, and words share what is left, the name getting what the others do not need.
  const auto room = [&] {
    const std::size_t numbers = widths[0] + widths[1] + widths[2] + (fields - 1) * gap;
    return columns - std::min(columns, numbers);
  };
  if (widths[3] + widths[4] + widths[5] > room()) {
    gap = 1;
    widths[3] = std::min(widths[3], room() / 3);
    widths[4] = std::min(widths[4], room() / 3);
    widths[5] = room() - widths[3] - widths[4];
  }
  std::vector<std::string> lines;
  for (const auto& line : cells) {
    std::string text;
    for (std::size_t i = 0; i < fields; ++i) {
      const std::string cell = cut(line[i], widths[i]);
      const std::string padding(widths[i] - columns_of(cell), ' ');
      text += (i == 0 ? "" : std::string(gap, ' ')) + (i < 3 ? padding + cell : cell + padding);
    }
    text = cut(text, columns);
    text.erase(text.find_last_not_of(' ') + 1);
    lines.push_back(lines.empty() ? output.styled(text, Style::Faint) : text);
  }
  return lines;
}

/// For a reader who has the kind and the inode from elsewhere, and for the two lists of the JSON to name each other.
std::string id_of(const HeldBuffer& buffer) {
  return buffer.kind == Kind::DmaBuf ? fmt::format("dma-buf:{}", buffer.inode)
                                     : fmt::format("memfd:{}:{}", buffer.device, buffer.inode);
}

class Top final : public Command {
public:
  void add_options(CLI::App& app) override {
    constexpr double least = 0.1; // seconds
    constexpr double most = 86400;
    app.add_option("--interval", interval_, "seconds from one look to the next, 2 unless given")
        ->check(CLI::Range(least, most).description(""))
        ->type_name("SECONDS");
    app.add_option("--sort", sort_, "the order: by size, count (of buffers), pid or name; also keys s, c, p, n")
        ->check(CLI::IsMember({"size", "count", "pid", "name"}).description(""))
        ->type_name("KEY");
    app.add_option("--filter", filter_, "only where the process, the exporter or the buffer's name contains this")
        ->type_name("TEXT");
    app.add_flag("--once", once_, "print one look and end; so it does where standard output is no terminal, and for --json");
  }

  Status run(Output& output) override {
    if (output.json()) {
      output.print(as_json(snapshot()));
    } else if (const char* const kind = std::getenv("TERM");
               once_ || !output.terminal() || kind == nullptr || std::string_view(kind) == "dumb") { // no cursor to move there
      const Snapshot now = snapshot();
      for (const auto& line : lines_of(output, now, output.columns())) {
        output.line(line);
      }
    } else {
      watch(output);
    }
    return Done;
  }

private:
  [[nodiscard]] Snapshot snapshot() const {
    Snapshot all = look();
    return filter_.empty() ? all : all.filtered(filter_);
  }

  [[nodiscard]] std::vector<std::string> lines_of(const Output& output, const Snapshot& now, std::size_t columns) const {
    std::vector<std::string> lines;
    for (const auto& sentence : summary(now)) {
      for (auto& line : wrapped(sentence, columns)) {
        lines.push_back(std::move(line));
      }
    }
    auto rows = rows_of(now);
    std::stable_sort(rows.begin(), rows.end(), [&](const Row& a, const Row& b) { return precedes(sort_, a, b); });
    for (auto& line : table(output, rows, columns)) {
      lines.push_back(std::move(line));
    }
    return lines;
  }

  void watch(const Output& output) {
    using clock = std::chrono::steady_clock;
    const auto interval = std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(interval_));
    int signal = 0;
    {
      Screen screen;
      Snapshot now = snapshot();
      auto next = clock::now() + interval;
      for (bool more = true; more;) {
        draw(screen, output, now);
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - clock::now());
        const Screen::Event event = screen.wait(std::max(left, std::chrono::milliseconds::zero()));
        if (event.kind == Screen::Event::Key) {
          more = press(event.key);
        } else if (event.kind == Screen::Event::End) {
          signal = event.signal;
          more = false;
        }
        if (more && clock::now() >= next) {
          now = snapshot();
          next = clock::now() + interval;
        }
      }
    }
    if (signal != 0) {
      ::raise(signal); // so that its parent sees how it ended
    }
  }

  /// Whether to go on.
  bool press(char key) {
    const std::map<char, const char*> keys{{'s', "size"}, {'c', "count"}, {'p', "pid"}, {'n', "name"}};
    if (const auto known = keys.find(key); known != keys.end()) {
      sort_ = known->second;
    }
    return key != 'q';
  }

  void draw(Screen& screen, const Output& output, const Snapshot& now) const {
    const auto [columns, rows] = Screen::size();
    auto lines = lines_of(output, now, columns);
    std::string help = fmt::format("q ends; by {}: s size, c count, p pid, n name", sort_);
    const std::size_t room = rows - std::min<std::size_t>(rows, 1); // the last line is the help's
    if (lines.size() > room) {
      help = fmt::format("{} more; ", lines.size() - room) + help;
      lines.resize(room);
    }
    lines.push_back(output.styled(cut(help, columns), Style::Faint));
    screen.show(lines);
  }

  [[nodiscard]] Json as_json(const Snapshot& now) const {
    struct Entry {
      pid_t pid;
      std::string name;
      std::uint64_t bytes;
      std::uint64_t buffers;
      Json json;
    };
    std::vector<Entry> entries;
    std::vector<Json> holders(now.buffers.size(), Json::array());
    for (const auto& process : now.processes) {
      Entry entry{process.pid, process.name, 0, process.holdings.size(), {}};
      Json list = Json::array();
      for (const auto& holding : process.holdings) {
        const HeldBuffer& buffer = now.buffers[holding.buffer];
        entry.bytes += buffer.size;
        holders[holding.buffer].push_back(process.pid);
        list.push_back({{"id", id_of(buffer)}, {"descriptors", holding.descriptors}, {"mappings", holding.mappings}});
      }
      entry.json = {{"pid", process.pid}, {"name", process.name}, {"bytes", entry.bytes}, {"buffers", std::move(list)}};
      entries.push_back(std::move(entry));
    }
    std::stable_sort(entries.begin(), entries.end(), [&](const Entry& a, const Entry& b) { return precedes(sort_, a, b); });
    Json processes = Json::array();
    for (auto& entry : entries) {
      processes.push_back(std::move(entry.json));
    }
    Json buffers = Json::array();
    for (std::size_t i = 0; i < now.buffers.size(); ++i) {
      const HeldBuffer& buffer = now.buffers[i];
      buffers.push_back({{"id", id_of(buffer)},
                         {"kind", buffer.kind == Kind::DmaBuf ? "dma-buf" : "memfd"},
                         {"inode", buffer.inode},
                         {"size", buffer.size},
                         {"size_exact", buffer.size_exact},
                         {"exporter", buffer.exporter.empty() ? Json() : Json(buffer.exporter)},
                         {"name", buffer.name},
                         {"references", buffer.references ? Json(*buffer.references) : Json()},
                         {"devices", buffer.devices},
                         {"holders", std::move(holders[i])}});
    }
    const auto as_object = [](const auto& sum) { return Json{{"buffers", sum.buffers}, {"bytes", sum.bytes}}; };
    const Totals totals = totals_of(now);
    return {{"processes", std::move(processes)},
            {"buffers", std::move(buffers)},
            {"totals",
             {{"all", as_object(totals.all)},
              {"dma_bufs", as_object(totals.dma_bufs)},
              {"memfds", as_object(totals.memfds)},
              {"no_process", as_object(totals.unheld)}}},
            {"kernel", now.kernel ? as_object(*now.kernel) : Json()},
            {"unreadable_processes", now.unreadable},
            {"gaps", now.gaps()}};
  }

  double interval_ = 2;
  std::string sort_ = "size";
  std::string filter_;
  bool once_ = false;
};

} // namespace

std::unique_ptr<Command> make_top() {
  return std::make_unique<Top>();
}

} // namespace sactl
