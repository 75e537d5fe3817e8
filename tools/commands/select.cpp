// SPDX-License-Identifier: MIT
/// sactl select
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <sa/sa.hpp>

#include "commands/command.hpp"
#include "commands/images.hpp"
#include "terminal/progress.hpp"

namespace sactl {
namespace {

const char* word(sa::Certainty certainty) {
  return certainty == sa::Certainty::Proven ? "proven" : certainty == sa::Certainty::Suits ? "suits" : "not known";
}

Table::Cell certainty_cell(sa::Certainty certainty) {
  return {word(certainty), certainty == sa::Certainty::Unknown ? Style::Plain : Style::Good};
}

/// Reads "NV12:1920x1080", "NV12,YUYV:1920x1080" and "any:1920x1080".
/// @throws CLI::ValidationError a format or the size is wrong
sa::ImageRequest read_image(const std::string& text) {
  const std::size_t colon = text.rfind(':'); // there may be others: drm:RG16
  if (colon == std::string::npos) {
    throw CLI::ValidationError(fmt::format("\"{}\" is no image; ask for FORMAT:WIDTHxHEIGHT, NV12:1920x1080", text));
  }
  const ImageSize size = read_size(text.substr(colon + 1));
  sa::ImageRequest request{.width = size.width, .height = size.height};
  const std::string names = text.substr(0, colon);
  for (std::size_t at = 0; names != "any" && at <= names.size();) {
    const std::size_t end = std::min(names.find(',', at), names.size());
    request.formats.push_back(read_format(names.substr(at, end - at)));
    at = end + 1;
  }
  return request;
}

/// Formats in heaps, with the same certainty and note.
struct Row {
  std::vector<std::string> formats;
  std::vector<std::string> heaps;
  const sa::ImageChoice* like = nullptr;
};

/// Prints the heaps, best first; those with the same certainty and note that follow each other are one line.
void print_choices(const Output& output, const std::vector<sa::Choice>& choices) {
  Table table({"", ""});
  for (auto next = choices.begin(); next != choices.end();) {
    const sa::Choice& first = *next;
    std::string heaps;
    for (; next != choices.end() && next->certainty == first.certainty && next->note == first.note; ++next) {
      heaps += (heaps.empty() ? "" : ", ") + next->heap->info().name;
    }
    table.add({certainty_cell(first.certainty), first.note.empty() ? heaps : heaps + ": " + first.note});
  }
  table.print(output);
}

/// Prints the answer, last: there it is seen, however long the reasons are.
void print_best(const Output& output, const std::string& best) {
  output.line("");
  output.sentence("the best: " + best);
}

/// Prints which formats in which heaps there are, best first; several that are alike are one line.
void print_choices(const Output& output, const std::vector<sa::ImageChoice>& choices) {
  const auto alike = [](const Row& row, const sa::ImageChoice& choice) {
    return row.like->certainty == choice.certainty && row.like->note == choice.note;
  };
  std::vector<Row> of_heap;
  for (const auto& choice : choices) {
    const std::string& heap = choice.heap->info().name;
    auto row = std::find_if(of_heap.begin(), of_heap.end(),
                            [&](const Row& one) { return one.heaps.front() == heap && alike(one, choice); });
    if (row == of_heap.end()) {
      row = of_heap.insert(row, Row{{}, {heap}, &choice});
    }
    const std::string format(choice.layout.format.name());
    if (row->formats.empty() || row->formats.back() != format) { // it may have several layouts
      row->formats.push_back(format);
    }
  }
  std::vector<Row> rows;
  for (const auto& one : of_heap) {
    const auto row = std::find_if(rows.begin(), rows.end(),
                                  [&](const Row& other) { return other.formats == one.formats && alike(other, *one.like); });
    if (row == rows.end()) {
      rows.push_back(one);
    } else {
      row->heaps.push_back(one.heaps.front());
    }
  }
  Table table({"", ""});
  std::string before;
  for (const auto& row : rows) {
    const std::string formats = fmt::format("{}", fmt::join(row.formats, ", "));
    table.add({certainty_cell(row.like->certainty),
               fmt::format("{} in {}{}{}", row.formats.size() > 1 && formats == before ? "the same" : formats,
                           fmt::join(row.heaps, ", "), row.like->note.empty() ? "" : ": ", row.like->note)});
    before = formats;
  }
  table.print(output);
}

class Select final : public Command {
public:
  void add_options(CLI::App& app) override {
    add_devices(app, nodes_, "a device by its node, /dev/video0 or /dev/dri/card0; may be given several times");
    app.add_option("--image", image_,
                   "choose a layout for a picture too, NV12:1920x1080; of the first format that suits, "
                   "NV12,YUYV:1920x1080; of any format, any:1920x1080")
        ->type_name("FORMAT:WIDTHxHEIGHT")
        ->check(taken_by(read_image));
    app.add_option("--constraints", constraints_, "demands on the memory: contiguous,align=64K,max-address=4G,dma-buf, ...")
        ->type_name("WORDS")
        ->check(taken_by([](const std::string& words) { return sa::parse_constraints(words); }));
    add_bytes(app, "--size", size_, "bytes that will be asked for, with K, M or G");
    app.add_flag("--probe", probe_, "prove the answer: have each device import memory of each heap");
  }

  Status run(Output& output) override {
    const std::vector<sa::Device> devices = open_devices(nodes_);
    if (!image_.empty()) {
      return run_image(output, devices);
    }
    Progress progress;
    say_probing(progress);
    const sa::Selection selection = sa::Registry::system().select(sa::parse_constraints(constraints_), devices,
                                                                  {.size = static_cast<std::size_t>(size_), .probe = probe_});
    progress.end();
    const Status status = selection.choices.empty() ? Failed : Done;
    if (output.json()) {
      Json choices = Json::array();
      for (const auto& choice : selection.choices) {
        choices.push_back({{"heap", choice.heap->info().name}, {"certainty", word(choice.certainty)}, {"note", choice.note}});
      }
      Json refusals = Json::array();
      for (const auto& refusal : selection.refusals) {
        refusals.push_back({{"heap", refusal.heap}, {"reason", refusal.reason}});
      }
      output.print({{"constraints", to_string(selection.constraints)}, {"choices", choices}, {"refusals", refusals}});
      return status;
    }
    Refusals refusals;
    for (const auto& refusal : selection.refusals) {
      refusals.add(refusal.heap, refusal.reason);
    }
    refusals.print(output);
    print_choices(output, selection.choices);
    print_best(output, selection.choices.empty() ? "none" : selection.choices.front().heap->info().name);
    return status;
  }

private:
  void say_probing(Progress& progress) const {
    if (probe_) {
      progress.say(fmt::format("asking {}", fmt::join(nodes_, ", ")));
    }
  }

  Status run_image(const Output& output, const std::vector<sa::Device>& devices) const {
    sa::ImageRequest request = read_image(image_);
    request.memory.size = static_cast<std::size_t>(size_);
    request.memory.constraints = sa::parse_constraints(constraints_);
    Progress progress;
    say_probing(progress);
    const sa::ImageSelection selection = sa::Registry::system().select_image(devices, request, {.probe = probe_});
    progress.end();
    if (output.json()) {
      Json choices = Json::array();
      for (const auto& choice : selection.choices) {
        choices.push_back({{"layout", as_json(choice.layout, choice.sources)},
                           {"heap", choice.heap->info().name},
                           {"certainty", word(choice.certainty)},
                           {"note", choice.note}});
      }
      Json refusals = Json::array();
      for (const auto& refusal : selection.refusals) {
        refusals.push_back({{"format", refusal.format ? Json(refusal.format.name()) : Json()},
                            {"heap", refusal.heap.empty() ? Json() : Json(refusal.heap)},
                            {"reason", refusal.reason},
                            {"width_that_fits", refusal.width_that_fits != 0 ? Json(refusal.width_that_fits) : Json()}});
      }
      output.print({{"constraints", to_string(selection.constraints)}, {"choices", choices}, {"refusals", refusals}});
      return selection.choices.empty() ? Failed : Done;
    }
    Refusals refusals;
    for (const bool of_heaps : {true, false}) { // what is said of the formats comes last
      for (const auto& refusal : selection.refusals) {
        if (refusal.heap.empty() != of_heaps) {
          refusals.add(of_heaps ? refusal.heap : std::string(refusal.format.name()), refusal.reason);
        }
      }
    }
    refusals.print(output);
    if (selection.choices.empty()) {
      print_best(output, "none");
      return Failed;
    }
    print_choices(output, selection.choices);
    const sa::ImageChoice& best = selection.choices.front();
    print_best(output, fmt::format("{} in {}", best.layout.format.name(), best.heap->info().name));
    print_layout(output, best.layout, best.sources);
    return Done;
  }

  std::vector<std::string> nodes_;
  std::string image_;
  std::string constraints_;
  std::uint64_t size_ = 0;
  bool probe_ = false;
};

} // namespace

std::unique_ptr<Command> make_select() {
  return std::make_unique<Select>();
}

} // namespace sactl
