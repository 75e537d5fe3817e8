// SPDX-License-Identifier: MIT
/// sactl recv
#include <algorithm>
#include <cerrno>
#include <optional>
#include <system_error>

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sa/sa.hpp>

#include "commands/command.hpp"
#include "system/memory.hpp"
#include "system/socket.hpp"
#include "terminal/text.hpp"

namespace sactl {
namespace {

class Recv final : public Command {
public:
  void add_options(CLI::App& app) override {
    app.add_option("socket", path_, "the socket's path; it is there until a sender has come")->required();
    app.add_option("--mode", mode_, "the path's permissions, octal: users who may write to it may send")
        ->type_name("MODE")
        ->check(CLI::Validator(
            [](const std::string& text) {
              return text.size() <= 4 && !text.empty() && text.find_first_not_of("01234567") == std::string::npos &&
                             std::stoul(text, nullptr, 8) <= 0777
                         ? ""
                         : "\"" + text + "\" is no octal number up to 777";
            },
            ""));
    app.add_option("--timeout", timeout_, "how long to wait, then it fails")
        ->type_name("SECONDS")
        ->check(CLI::Range(0.0, longest_timeout))
        ->capture_default_str();
  }

  Status run(Output& output) override {
    explain_bus_errors();
    const auto deadline = after(timeout_);
    const sa::UniqueFd peer = wait_for_peer(output, deadline);
    if (!peer) {
      fmt::print(stderr, "sactl: interrupted\n");
      return Failed;
    }
    // Nothing that could be left behind is there any more: from here on Ctrl-C does what it does.
    ucred from{};
    socklen_t length = sizeof from;
    ::getsockopt(peer.get(), SOL_SOCKET, SO_PEERCRED, &from, &length);
    try {
      wait_for_message(peer.get(), deadline);
      return show(output, peer.get(), sa::receive(peer.get()), from);
    } catch (const std::exception& error) {
      answer(peer.get(), error.what());
      throw;
    }
  }

private:
  /// Empty when a signal ended the wait that this process was told to ignore.
  sa::UniqueFd wait_for_peer(const Output& output, Clock::time_point deadline) {
    const Signals signals; // first: the path goes before a signal ends the program
    const Listener listener(path_, static_cast<mode_t>(std::stoul(mode_, nullptr, 8)));
    if (output.terminal() && !output.json()) {
      output.sentence(fmt::format("waiting at {}", path_));
      Output::flush();
    }
    for (;;) {
      switch (signals.wait(listener.fd(), deadline)) {
      case Woken::Signal:
        return {};
      case Woken::Timeout:
        throw std::system_error(ETIMEDOUT, std::system_category(),
                                fmt::format("{}: nobody came within {} s; start sactl send on it", path_, timeout_));
      case Woken::Ready:
        if (sa::UniqueFd peer{::accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)}; peer) {
          return peer;
        }
        // The sender may be gone again.
        if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) {
          throw std::system_error(errno, std::system_category(), "accept");
        }
      }
    }
  }

  static void wait_for_message(int peer, Clock::time_point deadline) {
    const Signals signals;
    switch (signals.wait(peer, deadline)) {
    case Woken::Timeout:
      throw std::system_error(ETIMEDOUT, std::system_category(), "the sender connected and sent nothing");
    case Woken::Signal: // is done when `signals` ends
    case Woken::Ready:
      break;
    }
  }

  static void answer(int peer, std::string_view text) {
    // The sender may be gone.
    (void)!::send(peer, text.data(), std::min(text.size(), longest_answer), MSG_NOSIGNAL | MSG_DONTWAIT);
  }

  static Status show(const Output& output, int peer, const sa::DmaBuf& buffer, const ucred& from) {
    std::optional<std::size_t> wrong;
    const bool readable = !buffer.traits().contains(sa::Trait::Protected);
    if (readable) {
      const sa::CpuAccess cpu = buffer.access(sa::Access::Read);
      wrong = find_wrong(cpu.bytes());
    }
    std::error_code not_writable;
    if (readable) {
      const sa::CpuAccess cpu = buffer.access(sa::Access::Write, not_writable);
      if (!not_writable) {
        fill_pattern(cpu.bytes().first(sizeof(std::uint64_t))); // what is there already
      }
    }
    const bool writable = readable && !not_writable;
    const std::string said = wrong ? fmt::format("at byte {} of {} from {} is not what sactl send writes", *wrong, buffer.size(),
                                                 buffer.claimed_heap())
                                   : "";
    answer(peer, said.empty() ? all_is_well : said);
    const std::string heap = harmless(buffer.claimed_heap());
    const std::string name = harmless(buffer.name());
    if (output.json()) {
      output.print({{"heap", heap},
                    {"size", buffer.size()},
                    {"name", name},
                    {"traits", as_json(buffer.traits())},
                    {"writable", writable},
                    {"verified", readable ? Json(!wrong) : Json()},
                    {"peer", {{"pid", from.pid}, {"uid", from.uid}, {"gid", from.gid}}}});
    } else {
      Table table({"", ""});
      table.add({"heap", Table::Cell(heap, Style::Strong)});
      table.add({"size", human_bytes(buffer.size())});
      table.add({"name", name.empty() ? "-" : name});
      table.add({"traits", to_string(buffer.traits())});
      table.add({"writable", writable ? "yes" : readable ? "no: " + not_writable.message() : "no: protected"});
      table.add({"content", wrong      ? Table::Cell(said, Style::Bad)
                            : readable ? Table::Cell("as it was sent", Style::Good)
                                       : Table::Cell("not mapped: protected")});
      table.add({"sender", fmt::format("process {}, user {}, group {}", from.pid, from.uid, from.gid)});
      table.print(output);
    }
    if (wrong) {
      fmt::print(stderr, "sactl: {}\n", said);
    }
    return wrong ? Failed : Done;
  }

  std::string path_;
  std::string mode_ = "600";
  double timeout_ = 30; // seconds
};

} // namespace

std::unique_ptr<Command> make_recv() {
  return std::make_unique<Recv>();
}

} // namespace sactl
