// SPDX-License-Identifier: MIT
/// sactl: the library from the command line.
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sa/sa.hpp>

namespace {

int heaps() {
  for (const auto& heap : sa::Registry::system().heaps()) {
    fmt::print("{:<24} {}\n", heap.name, heap.usable ? to_string(heap.traits) : "not usable: " + heap.reason);
  }
  return 0;
}

/// Runs a program and waits: its exit status, or 1 when it cannot be run.
int run(const std::vector<std::string>& command) {
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const auto& word : command) {
    arguments.push_back(const_cast<char*>(word.c_str()));
  }
  arguments.push_back(nullptr);
  pid_t child = -1;
  int status = 0;
  if (::posix_spawnp(&child, arguments[0], nullptr, nullptr, arguments.data(), environ) != 0 ||
      ::waitpid(child, &status, 0) != child) {
    return 1;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/// Hands a carveout over from /dev/mem to the kernel module: only while nobody holds a buffer in it.
int load_carveout(sa::CarveoutRegion region, const std::string& module) {
  region.device_memory = true; // only its lock is wanted
  const auto heap = sa::make_carveout(region);
  if (!heap->info().usable) {
    fmt::print(stderr, "sactl: {}\n", heap->info().reason);
    return 1;
  }
  std::error_code ec;
  // The whole range, so that no program can get a part of it before the module has it.
  const sa::DmaBuf whole = heap->allocate({.size = static_cast<std::size_t>(region.size), .name = "sactl load-carveout"}, ec);
  if (ec == std::errc::not_enough_memory) {
    fmt::print(stderr, "sactl: buffers live in {}; end the programs that hold them, then try again\n", heap->info().name);
    return 1;
  }
  if (ec) {
    fmt::print(stderr, "sactl: {}: {}\n", heap->info().name, ec.message());
    return 1;
  }
  const bool path = module.find('/') != std::string::npos;
  return run({path ? "insmod" : "modprobe", module, fmt::format("base={:#x}", region.base),
              fmt::format("size={:#x}", region.size), "name=" + region.name});
}

} // namespace

int main(int argc, char** argv) try {
  CLI::App app{"Memory that devices can share, from the heaps of this machine"};
  app.set_version_flag("--version", "sactl " SA_VERSION);
  app.require_subcommand(1);

  const auto* list = app.add_subcommand("heaps", "list the heaps with their traits; for an unusable one the reason and the mend");

  auto* load =
      app.add_subcommand("load-carveout", "load the kernel module for a reserved range; refused while any buffer lives in it");
  sa::CarveoutRegion region;
  std::string module = "simple_allocator_carveout";
  load->add_option("name", region.name, "what to call it; the heap is carveout:NAME")->required();
  load->add_option("base", region.base, "physical address in bytes, 0x for hexadecimal")->required();
  load->add_option("size", region.size, "bytes, with K, M or G")->required()->transform(CLI::AsSizeValue(false));
  load->add_option("--module", module, "the module's name, or the path of its file");

  CLI11_PARSE(app, argc, argv);
  return *list ? heaps() : load_carveout(region, module);
} catch (const std::exception& error) {
  fmt::print(stderr, "sactl: {}\n", error.what());
  return 1;
}
