// SPDX-License-Identifier: MIT
/// sactl select
#include <fmt/format.h>

#include <sa/sa.hpp>

#include "commands/command.hpp"

namespace sactl {
namespace {

const char* word(sa::Certainty certainty) {
  return certainty == sa::Certainty::Proven ? "proven" : certainty == sa::Certainty::Suits ? "suits" : "not known";
}

class Select final : public Command {
public:
  void add_options(CLI::App& app) override {
    app.add_option("--for", nodes_, "a device by its node, /dev/video0 or /dev/dri/card0; may be given several times")
        ->type_name("NODE")
        ->allow_extra_args(false);
    app.add_option("--constraints", constraints_, "what the memory must be: contiguous,align=64K,max-address=4G,dma-buf, ...")
        ->type_name("WORDS")
        ->check(CLI::Validator(
            [](const std::string& words) {
              try {
                (void)sa::parse_constraints(words);
                return std::string();
              } catch (const sa::Error& error) {
                return std::string(error.what());
              }
            },
            ""));
    add_bytes(app, "--size", size_, "bytes that will be asked for, with K, M or G");
    app.add_flag("--probe", probe_, "prove the answer: have each device import memory of each heap");
  }

  Status run(Output& output) override {
    std::vector<sa::Device> devices;
    for (const auto& node : nodes_) {
      devices.push_back(sa::Device::open(node));
    }
    const sa::Selection selection = sa::Registry::system().select(sa::parse_constraints(constraints_), devices,
                                                                  {.size = static_cast<std::size_t>(size_), .probe = probe_});
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
    Table table({"", "HEAP", "WHY"});
    int rank = 0;
    for (const auto& choice : selection.choices) {
      std::string why = word(choice.certainty);
      why += choice.note.empty() ? "" : ": " + choice.note;
      table.add({fmt::format("{}.", ++rank), Table::Cell(choice.heap->info().name, Style::Strong),
                 Table::Cell(why, choice.certainty == sa::Certainty::Unknown ? Style::Plain : Style::Good)});
    }
    for (const auto& refusal : selection.refusals) {
      table.add({Table::Cell("no", Style::Bad), refusal.heap, refusal.reason});
    }
    table.print(output);
    return status;
  }

private:
  std::vector<std::string> nodes_;
  std::string constraints_;
  std::uint64_t size_ = 0;
  bool probe_ = false;
};

} // namespace

std::unique_ptr<Command> make_select() {
  return std::make_unique<Select>();
}

} // namespace sactl
