// SPDX-License-Identifier: MIT
/// sactl: the library from the command line.
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <sa/sa.hpp>

namespace {

int heaps() {
  for (const auto& heap : sa::Registry::system().heaps()) {
    fmt::print("{:<24} {}\n", heap.name, heap.usable ? to_string(heap.traits) : "not usable: " + heap.reason);
  }
  return 0;
}

} // namespace

int main(int argc, char** argv) {
  CLI::App app{"Memory that devices can share, from the heaps of this machine"};
  app.set_version_flag("--version", "sactl " SA_VERSION);
  app.require_subcommand(1);
  const auto* list = app.add_subcommand("heaps", "list the heaps with their traits; for an unusable one the reason and the mend");
  CLI11_PARSE(app, argc, argv);
  return *list ? heaps() : 2;
}
