// SPDX-License-Identifier: MIT
/// sactl top on this machine: memfds, a terminal, and what the kernel's files may hold.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utmp.h>

#include <sa/sa.hpp>

#include "paths.hpp"
#include "support/process.hpp"
#include "tools/system/holders.hpp"
#include "tools/terminal/text.hpp"

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string top(const std::string& options) {
  std::string answer;
  FILE* const pipe = ::popen((SACTL " top " + options).c_str(), "r");
  for (char piece[4096]; pipe != nullptr && std::fgets(piece, sizeof piece, pipe) != nullptr;) {
    answer += piece;
  }
  return pipe != nullptr && ::pclose(pipe) == 0 ? answer : "sactl failed: " + answer;
}

json process_of(const json& said, pid_t pid) {
  for (const auto& one : said["processes"]) {
    if (one["pid"] == pid) {
      return one;
    }
  }
  return {};
}

json buffer_of(const json& said, const std::string& name) {
  for (const auto& one : said["buffers"]) {
    if (one["name"] == name) {
      return one;
    }
  }
  return {};
}

/// A memfd as another program may make it, named like one of the library.
sa::UniqueFd foreign_memfd(const std::string& name) {
  sa::UniqueFd fd{::memfd_create(name.c_str(), MFD_CLOEXEC)};
  REQUIRE(::ftruncate(fd.get(), 4096) == 0);
  return fd;
}

/// sactl top in a terminal of its own.
class Terminal {
public:
  Terminal(unsigned short columns, unsigned short rows, const std::string& options) {
    winsize size{rows, columns, 0, 0};
    int slave = -1;
    int master = -1;
    REQUIRE(::openpty(&master, &slave, nullptr, nullptr, &size) == 0);
    master_.reset(master);
    slave_.reset(slave);
    REQUIRE(::tcgetattr(slave, &before_) == 0);
    child_ = ::fork();
    if (child_ == 0) {
      ::login_tty(slave);
      ::setenv("TERM", "xterm", 1);
      ::execl("/bin/sh", "sh", "-c", ("exec " SACTL " top --interval 0.2 " + options).c_str(), nullptr);
      ::_exit(127);
    }
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  ~Terminal() {
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, nullptr, 0);
    }
  }

  void press(const std::string& keys) { REQUIRE(::write(master_.get(), keys.data(), keys.size()) > 0); }
  void resize(unsigned short columns, unsigned short rows) {
    const winsize size{rows, columns, 0, 0};
    REQUIRE(::ioctl(master_.get(), TIOCSWINSZ, &size) == 0);
  }
  [[nodiscard]] pid_t pid() const { return child_; }

  /// What is written until @p text is, ten seconds at most; it counts as read.
  std::string read_until(const std::string& text) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    std::string got;
    while (got.find(text) == std::string::npos && std::chrono::steady_clock::now() < deadline) {
      pollfd ready{master_.get(), POLLIN, 0};
      char piece[4096];
      if (::poll(&ready, 1, 100) > 0) {
        const ssize_t length = ::read(master_.get(), piece, sizeof piece);
        got.append(piece, static_cast<std::size_t>(std::max<ssize_t>(length, 0)));
      }
    }
    return got;
  }

  /// Waits for the end: the status of waitpid(2).
  int finish() {
    int status = 0;
    ::waitpid(child_, &status, 0);
    child_ = -1;
    return status;
  }

  /// Whether it reads keys as before.
  [[nodiscard]] bool restored() const {
    termios now{};
    return ::tcgetattr(slave_.get(), &now) == 0 && now.c_lflag == before_.c_lflag && now.c_iflag == before_.c_iflag;
  }

private:
  sa::UniqueFd master_;
  sa::UniqueFd slave_;
  termios before_{};
  pid_t child_ = -1;
};

/// The lines of what was written, without the sequences that move the cursor and colour.
std::vector<std::string> lines_of(const std::string& written) {
  std::vector<std::string> lines(1);
  for (std::size_t i = 0; i < written.size(); ++i) {
    if (written[i] == '\x1b' && i + 1 < written.size() && written[i + 1] == '[') {
      i += 2;
      while (i < written.size() && (written[i] < '@' || written[i] > '~')) {
        ++i;
      }
      if (i < written.size() && written[i] == 'H') {
        lines.emplace_back();
      }
    } else if (written[i] == '\n') {
      lines.emplace_back();
    } else if (written[i] != '\r') {
      lines.back() += written[i];
    }
  }
  return lines;
}

std::size_t widest(const std::vector<std::string>& lines) {
  std::size_t columns = 0;
  for (const auto& line : lines) {
    columns = std::max(columns, sactl::columns_of(line));
  }
  return columns;
}

/// A folder like /proc, and a list like the kernel's.
class Machine {
public:
  Machine() {
    char name[] = "/tmp/sactl-top-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    folder_ = name;
    places = {folder_ / "proc", folder_ / "bufinfo"};
    fs::create_directories(places.processes);
  }
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  ~Machine() { fs::remove_all(folder_); }

  void process(const std::string& pid, const std::string& name, const std::string& maps = "") const {
    write("proc/" + pid + "/comm", name + "\n");
    write("proc/" + pid + "/maps", maps);
    fs::create_directories(folder_ / "proc" / pid / "fd");
  }
  void descriptor(const std::string& pid, const std::string& number, const std::string& link, const std::string& fdinfo) const {
    fs::create_symlink(link, folder_ / "proc" / pid / "fd" / number);
    write("proc/" + pid + "/fdinfo/" + number, fdinfo);
  }
  void write(const std::string& path, const std::string& text) const {
    fs::create_directories((folder_ / path).parent_path());
    std::ofstream(folder_ / path) << text;
  }

  sactl::Places places;

private:
  fs::path folder_;
};

std::string fdinfo(const std::string& inode, const std::string& size, const std::string& name) {
  return "pos:\t0\nflags:\t02000002\nmnt_id:\t15\nino:\t" + inode + "\nsize:\t" + size + "\ncount:\t1\nexp_name:\tsystem\n" +
         (name.empty() ? "" : "name:\t" + name + "\n");
}

constexpr const char* list_head = "\nDma-buf Objects:\nsize    \tflags   \tmode    \tcount   \texp_name\tino     \tname\n";

} // namespace

TEST_CASE("memfds of the library are shown to anybody, each once, and others' are not") {
  const sa::DmaBuf frame = sa::Registry::system().allocate("memfd:4k", {.size = 3 * 4096, .name = "top frame"});
  CHECK(frame.name() == "top frame");
  const sa::UniqueFd copy = frame.dup();
  const sa::Mapping mapping = frame.map_unsynchronized();
  void* alone = nullptr;
  {
    sa::DmaBuf buffer = sa::Registry::system().allocate("memfd:4k", {.size = 5 * 4096, .name = "top mapped alone"});
    const sa::UniqueFd fd = buffer.release();
    alone = ::mmap(nullptr, 5 * 4096, PROT_READ, MAP_SHARED, fd.get(), 0);
  }
  const sa::UniqueFd backing = foreign_memfd("sa-udmabuf:top backing");
  const sa::UniqueFd foreign = foreign_memfd("top foreign");
  const json said = json::parse(top("--once --json --sort pid"));
  CAPTURE(said.dump());
  const json self = process_of(said, ::getpid());
  REQUIRE(self.is_object());
  CHECK(self["bytes"] == 8 * 4096);
  CHECK(self["buffers"].size() == 2);
  CHECK(self["buffers"][0]["descriptors"] == 2);
  CHECK(self["buffers"][0]["mappings"] == 1);
  CHECK(buffer_of(said, "top frame")["size"] == 3 * 4096);
  CHECK(buffer_of(said, "top frame")["holders"] == json::array({::getpid()}));
  CHECK(buffer_of(said, "top mapped alone")["size"] == 5 * 4096);
  const std::string text = top("--filter 'top FRAME'");
  CHECK(text.find("top frame") != std::string::npos);
  CHECK(text.find("mapped alone") == std::string::npos);
  ::munmap(alone, 5 * 4096);
}

TEST_CASE("a terminal of 40 columns has no line that is longer, and no frame flickers") {
  std::vector<sa::UniqueFd> held;
  for (const char* name : {"sa:a name that is longer than 40 columns can show", "sa:宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽宽",
                           "sa:evil \x1b[31mred\r\n\xff\x9b"}) {
    held.push_back(foreign_memfd(name));
  }
  Terminal terminal(40, 20, "");
  std::string written = terminal.read_until("by size");
  written += terminal.read_until("by size");
  const auto lines = lines_of(written);
  CAPTURE(written);
  CHECK(widest(lines) <= 40);
  CHECK(std::any_of(lines.begin(), lines.end(), [](const std::string& line) { return line.find("PID") != std::string::npos; }));
  CHECK(written.find("[31m") == std::string::npos);
  const auto cleared = written.find("\x1b[2J");
  CHECK(written.find("\x1b[2J", cleared + 1) == std::string::npos);

  terminal.resize(100, 20);
  terminal.press("n");
  const std::string wide = terminal.read_until("by name");
  CHECK(widest(lines_of(wide + terminal.read_until("q ends"))) > 40);
  CHECK(wide.find("evil ?[31mred????") != std::string::npos);
  terminal.resize(30, 3);
  terminal.read_until("by name");
  terminal.press("p");
  terminal.read_until("by pid");
  const auto narrow = lines_of(terminal.read_until("\x1b[H"));
  CHECK(widest(narrow) <= 30);
  terminal.press("q");
  CHECK(terminal.read_until("\x1b[?1049l").find("\x1b[?25h") != std::string::npos);
  CHECK(terminal.finish() == 0);
  CHECK(terminal.restored());
}

TEST_CASE("the terminal is given back on Ctrl-C, on SIGTERM and over Ctrl-Z") {
  Terminal terminal(80, 24, "--sort count");
  CHECK(terminal.read_until("by count").find("\x1b[?1049h") != std::string::npos);
  CHECK_FALSE(terminal.restored());
  int expected = 0;
  SUBCASE("Ctrl-C") {
    terminal.press("\x03");
    expected = SIGINT;
  }
  SUBCASE("SIGTERM") {
    ::kill(terminal.pid(), SIGTERM);
    expected = SIGTERM;
  }
  SUBCASE("Ctrl-Z, and on again") {
    terminal.press("\x1a");
    CHECK(terminal.read_until("\x1b[?1049l").find("\x1b[?1049l") != std::string::npos);
    int status = 0;
    REQUIRE(::waitpid(terminal.pid(), &status, WUNTRACED) == terminal.pid());
    CHECK(WIFSTOPPED(status));
    CHECK(terminal.restored());
    ::kill(terminal.pid(), SIGCONT);
    CHECK(terminal.read_until("by count").find("\x1b[?1049h") != std::string::npos);
    terminal.press("\x03");
    expected = SIGINT;
  }
  const std::string last = terminal.read_until("\x1b[?1049l");
  CHECK(last.find("\x1b[?25h") != std::string::npos);
  CHECK(last.ends_with("\x1b[?1049l"));
  const int status = terminal.finish();
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == expected);
  CHECK(terminal.restored());
}

TEST_CASE("processes that end while they are read are passed over") {
  const pid_t churn = support::start([]() -> int {
    const sa::DmaBuf buffer = sa::Registry::system().allocate("memfd:4k", {.size = 4096, .name = "top churn"});
    for (;;) {
      support::in_child([&] { return buffer.dup() ? support::passed : support::failed; });
    }
  });
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  int looks = 0;
  while (std::chrono::steady_clock::now() < deadline) {
    const sactl::Snapshot now = sactl::look();
    CHECK(std::count_if(now.buffers.begin(), now.buffers.end(), [](const auto& one) { return one.name == "top churn"; }) <= 1);
    ++looks;
  }
  CHECK(looks > 3);
  ::kill(churn, SIGKILL);
  support::finish(churn);
}

TEST_CASE("a buffer's name is a name, whatever it holds") {
  const Machine machine;
  machine.process("7", "holder",
                  "7f0000000000-7f0000002000 rw-s 00001000 00:0d 11                         /dmabuf:mapped\n"
                  "7f0000100000-7f0000101000 rw-s 00000000 00:01 99                         [anon_shmem:x /dmabuf:forged]\n"
                  "7f0000200000-7f0000201000 rw-s 00000000 08:01 98                         /dmabuf:a file\n");
  machine.descriptor("7", "3", "/dmabuf:x", fdinfo("10", "4096", "x\nsize:\t999999\nino:\t4"));
  machine.descriptor("7", "4", "/dmabuf:x", fdinfo("10", "4096", "x\nsize:\t999999\nino:\t4"));
  machine.descriptor("7", "5", "/dmabuf:since closed", "pos:\t0\nflags:\t02\n");
  machine.process("8", "empty");
  machine.write("bufinfo", std::string(list_head) +
                               "00004096\t00080002\t0008001f\t00000002\tsystem\t00000010\tx\n0000009\t0000000\t000000\n"
                               "\tAttached Devices:\n\tvgem\nTotal 1 devices attached\n\n"
                               "00016384\t00080002\t0008001f\t00000002\tudmabuf\t00000011\tmapped\n"
                               "\tAttached Devices:\nTotal 0 devices attached\n\n"
                               "00008192\t00080002\t0008001f\t00000001\tsystem\t00000012\t<none>\n"
                               "\tkernel fence:vgem timeline seq 1 signalled\n"
                               "\tAttached Devices:\nTotal 0 devices attached\n\n\nTotal 3 objects, 28672 bytes\n");
  const sactl::Snapshot now = sactl::look(machine.places);
  REQUIRE(now.buffers.size() == 3);
  REQUIRE(now.processes.size() == 1);
  CHECK(now.processes[0].name == "holder");
  REQUIRE(now.processes[0].holdings.size() == 2);
  CHECK(now.processes[0].holdings[0].descriptors == 2);
  std::uint64_t bytes = 0;
  for (const auto& buffer : now.buffers) {
    bytes += buffer.size;
  }
  REQUIRE(now.kernel);
  CHECK(bytes == now.kernel->bytes);
  CHECK(now.kernel->buffers == 3);
  const auto& named = now.buffers[now.processes[0].holdings[0].buffer];
  CHECK(named.size == 4096);
  CHECK(named.name == "x\nsize:\t999999\nino:\t4");
  CHECK(named.devices == std::vector<std::string>{"vgem"});
  const auto& mapped = now.buffers[now.processes[0].holdings[1].buffer];
  CHECK(mapped.size == 16384); // the kernel's, not what is mapped of it
  CHECK(mapped.exporter == "udmabuf");
  const auto holders = now.holders();
  CHECK(std::count(holders.begin(), holders.end(), 0U) == 1);
  CHECK(now.filtered("EMPTY").buffers.empty());
  CHECK(now.filtered("udma").buffers.size() == 1);
  CHECK(now.filtered("HOLD").buffers.size() == 2);
}

TEST_CASE("without the kernel's list a mapped buffer is as large as what is mapped, and the gap is said") {
  const Machine machine;
  machine.process("7", "holder",
                  "7f0000000000-7f0000002000 rw-s 00001000 00:0d 11                         /dmabuf:mapped\n"
                  "7f0000010000-7f0000011000 rw-s 00000000 00:0d 11                         /dmabuf:mapped\n");
  const sactl::Snapshot now = sactl::look(machine.places);
  REQUIRE(now.buffers.size() == 1);
  CHECK(now.buffers[0].size == 0x3000);
  CHECK_FALSE(now.buffers[0].size_exact);
  CHECK(now.processes[0].holdings[0].mappings == 2);
  CHECK_FALSE(now.kernel);
  REQUIRE(now.gaps().size() == 1);
  CHECK(now.gaps()[0].find("buffers that no process holds are not shown") != std::string::npos);
}
