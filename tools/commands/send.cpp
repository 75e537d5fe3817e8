// SPDX-License-Identifier: MIT
/// sactl send
#include <array>
#include <cerrno>
#include <system_error>

#include <fmt/format.h>
#include <sys/socket.h>

#include <sa/sa.hpp>

#include "commands/command.hpp"
#include "system/memory.hpp"
#include "system/socket.hpp"
#include "terminal/text.hpp"

namespace sactl {
namespace {

class Send final : public Command {
public:
  void add_options(CLI::App& app) override {
    app.add_option("socket", path_, "the path at which sactl recv waits, or will")->required();
    app.add_option("heap", heap_, "a heap or an alias, as sactl heaps lists them")->required();
    add_bytes(app, "size", size_, "bytes, with K, M or G")->required();
    app.add_option("--name", name_, "the buffer's name, at most 31 bytes")->type_name("TEXT");
    app.add_option("--timeout", timeout_, "how long to wait for sactl recv, and for its answer; then it fails")
        ->type_name("SECONDS")
        ->check(CLI::Range(0.0, longest_timeout))
        ->capture_default_str();
  }

  Status run(Output& output) override {
    explain_bus_errors();
    const auto deadline = after(timeout_);
    // First what can fail at once.
    const sa::DmaBuf buffer = sa::Registry::system().allocate(heap_, {.size = static_cast<std::size_t>(size_), .name = name_});
    const bool readable = !buffer.traits().contains(sa::Trait::Protected);
    if (readable) {
      const sa::CpuAccess cpu = buffer.access(sa::Access::Write);
      fill_pattern(cpu.bytes());
    }
    const sa::UniqueFd peer = connect(path_, deadline);
    sa::send(peer.get(), buffer);
    const std::string answer = wait_for_answer(peer.get(), deadline);
    if (answer != all_is_well) {
      fmt::print(stderr, "sactl: the receiver says: {}\n", answer);
      return Failed;
    }
    if (output.json()) {
      output.print({{"heap", buffer.heap()},
                    {"size", buffer.size()},
                    {"name", buffer.name()},
                    {"verified", readable ? Json(true) : Json()}});
    } else {
      output.sentence(
          fmt::format("{} from {} arrived{}", human_bytes(buffer.size()), buffer.heap(), readable ? " as it was sent" : ""));
    }
    return Done;
  }

private:
  static std::string wait_for_answer(int peer, Clock::time_point deadline) {
    {
      const Signals signals; // nothing to clean up: one ends the program when this ends
      if (signals.wait(peer, deadline) == Woken::Timeout) {
        throw std::system_error(ETIMEDOUT, std::system_category(), "the buffer was sent, and the receiver does not answer");
      }
    }
    std::array<char, longest_answer> text{};
    const ssize_t got = ::recv(peer, text.data(), text.size(), MSG_DONTWAIT);
    if (got < 0) {
      throw std::system_error(errno, std::system_category(), "the receiver's answer");
    }
    return got == 0 ? "(it ended without a word)" : harmless({text.data(), static_cast<std::size_t>(got)});
  }

  std::string path_;
  std::string heap_;
  std::uint64_t size_ = 0; // bytes
  std::string name_;
  double timeout_ = 30; // seconds
};

} // namespace

std::unique_ptr<Command> make_send() {
  return std::make_unique<Send>();
}

} // namespace sactl
