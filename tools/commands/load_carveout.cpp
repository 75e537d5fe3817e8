// SPDX-License-Identifier: MIT
/// sactl load-carveout
#include <string>
#include <vector>

#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sa/sa.hpp>

#include "commands/command.hpp"

namespace sactl {
namespace {

/// Runs a program and waits: its exit status, or 1 when it cannot be run.
int run_program(const std::vector<std::string>& command) {
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

/// Hands a carveout over from /dev/mem to the kernel module: only while no program holds a buffer in it.
class LoadCarveout final : public Command {
public:
  void add_options(CLI::App& app) override {
    app.add_option("name", region_.name, "a name for it; the heap is then carveout:NAME")->required();
    app.add_option("base", region_.base, "physical address in bytes, 0x for hexadecimal")->required();
    add_bytes(app, "size", region_.size, "bytes, with K, M or G")->required();
    app.add_option("--module", module_, "the module's name, or the path of its file");
  }

  Status run(Output& output) override {
    region_.device_memory = true; // only its lock is wanted
    const auto heap = sa::make_carveout(region_);
    if (!heap->info().usable) {
      fmt::print(stderr, "sactl: {}\n", heap->info().reason);
      return Failed;
    }
    std::error_code ec;
    // The whole range, so that no program can get a part of it before the module has it.
    const sa::DmaBuf whole = heap->allocate({.size = static_cast<std::size_t>(region_.size), .name = "sactl load-carveout"}, ec);
    if (ec == std::errc::not_enough_memory) {
      fmt::print(stderr, "sactl: buffers live in {}; end the programs that hold them, then try again\n", heap->info().name);
      return Failed;
    }
    if (ec) {
      fmt::print(stderr, "sactl: {}: {}\n", heap->info().name, ec.message());
      return Failed;
    }
    const bool path = module_.find('/') != std::string::npos;
    if (run_program({path ? "insmod" : "modprobe", module_, fmt::format("base={:#x}", region_.base),
                     fmt::format("size={:#x}", region_.size), "name=" + region_.name}) != 0) {
      return Failed;
    }
    if (output.json()) {
      output.print({{"heap", heap->info().name}, {"module", module_}});
    }
    return Done;
  }

private:
  sa::CarveoutRegion region_;
  std::string module_ = "simple_allocator_carveout";
};

} // namespace

std::unique_ptr<Command> make_load_carveout() {
  return std::make_unique<LoadCarveout>();
}

} // namespace sactl
