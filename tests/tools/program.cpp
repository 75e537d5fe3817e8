// SPDX-License-Identifier: MIT
#include "tools/program.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <grp.h>
#include <pty.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "paths.hpp"
#include "support/process.hpp"

namespace tools {
namespace {

constexpr unsigned patience = 120; // seconds; on an emulated processor all is slow

[[noreturn]] void execute(const Words& command) {
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const auto& word : command) {
    arguments.push_back(const_cast<char*>(word.c_str()));
  }
  arguments.push_back(nullptr);
  // What the test was started with must not show: a job in the background ignores SIGINT.
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGALRM}) {
    ::signal(number, SIG_DFL);
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::alarm(patience);
  ::execvp(arguments[0], arguments.data());
  ::_exit(127);
}

std::string read_all(int fd) {
  std::string text;
  char part[4096];
  ssize_t got = 0;
  while ((got = ::pread(fd, part, sizeof part, static_cast<off_t>(text.size()))) > 0) {
    text.append(part, static_cast<std::size_t>(got));
  }
  return text;
}

} // namespace

Running::Running(const Words& command, const std::function<void()>& prepare)
    : out_(::memfd_create("out", MFD_CLOEXEC)), err_(::memfd_create("err", MFD_CLOEXEC)), child_(-1) {
  child_ = support::start([&] {
    ::signal(SIGPIPE, SIG_DFL);
    ::dup2(out_, STDOUT_FILENO);
    ::dup2(err_, STDERR_FILENO);
    if (prepare) {
      prepare();
    }
    execute(command);
    return 0;
  });
}

Running::~Running() {
  if (child_ > 0) {
    ::kill(child_, SIGKILL);
    support::finish(child_);
  }
  ::close(out_);
  ::close(err_);
}

void Running::signal(int number) const {
  ::kill(child_, number);
}

std::string Running::out() const {
  return read_all(out_);
}

bool Running::says(const std::string& text) const {
  for (int i = 0; i < static_cast<int>(patience) * 100; ++i) {
    if (out().find(text) != std::string::npos) {
      return true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

Ran Running::finish() {
  Ran ran;
  ran.status = support::finish(std::exchange(child_, -1));
  ran.out = read_all(out_);
  ran.err = read_all(err_);
  return ran;
}

Words sactl(const Words& arguments) {
  Words command{SACTL};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

Ran run(const Words& command, const std::function<void()>& prepare) {
  return Running(command, prepare).finish();
}

Ran run(const Words& command, Terminal& terminal) {
  const winsize size{20, terminal.columns, 0, 0};
  int master = -1;
  int slave = -1;
  if (::openpty(&master, &slave, nullptr, nullptr, &size) != 0) {
    throw std::runtime_error("no terminal");
  }
  ::fcntl(master, F_SETFD, FD_CLOEXEC);
  ::fcntl(slave, F_SETFD, FD_CLOEXEC);
  termios before{};
  ::tcgetattr(slave, &before);
  int executed[2] = {-1, -1}; // its other end closes when the program is executed: before, Ctrl-C would meet nobody
  if (::pipe2(executed, O_CLOEXEC) != 0) {
    throw std::runtime_error("no pipe");
  }
  const pid_t child = ::fork();
  if (child == 0) {
    ::setsid();
    ::ioctl(slave, TIOCSCTTY, 0);
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
      ::dup2(slave, fd);
    }
    for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG", "NO_COLOR", "COLUMNS"}) {
      ::unsetenv(name);
    }
    ::setenv("TERM", "xterm", 1);
    for (const auto& [name, value] : terminal.environment) {
      ::setenv(name.c_str(), value.c_str(), 1);
    }
    execute(command);
  }
  ::close(executed[1]);
  char none = 0;
  (void)!::read(executed[0], &none, 1);
  ::close(executed[0]);
  Ran ran;
  std::thread reader([&] {
    char part[4096];
    ssize_t got = 0;
    while ((got = ::read(master, part, sizeof part)) > 0) {
      ran.out.append(part, static_cast<std::size_t>(got));
    }
  });
  if (terminal.interrupt_after.count() >= 0) {
    std::this_thread::sleep_for(terminal.interrupt_after);
    (void)!::write(master, "\x03", 1);
  }
  ran.status = support::finish(child);
  termios after{};
  ::tcgetattr(slave, &after);
  terminal.settings_kept = before.c_lflag == after.c_lflag && before.c_iflag == after.c_iflag && before.c_oflag == after.c_oflag;
  ::close(slave); // the reader sees the end
  reader.join();
  ::close(master);
  std::erase(ran.out, '\r');
  return ran;
}

std::string joined(const Words& words) {
  std::string line;
  for (const auto& word : words) {
    line += (line.empty() ? "" : " ") + word;
  }
  return line;
}

std::string plain(const std::string& text) {
  std::string clean;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text.compare(at, 2, "\x1b[") == 0) {
      at = text.find_first_of("mK", at);
      if (at == std::string::npos) {
        break;
      }
      if (text[at] == 'K') {
        clean.resize(clean.rfind('\n') + 1); // npos + 1 is 0
      }
    } else {
      clean += text[at];
    }
  }
  return clean;
}

std::string without_spaces(const std::string& text) {
  std::string dense = text;
  std::erase_if(dense, [](char c) { return c == ' ' || c == '\n'; });
  return dense;
}

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> all;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    all.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return all;
}

std::size_t width(const std::string& line) {
  return static_cast<std::size_t>(std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

void become_nobody() {
  constexpr uid_t nobody = 65534;
  if (::setgroups(0, nullptr) != 0 || ::setresgid(nobody, nobody, nobody) != 0 || ::setresuid(nobody, nobody, nobody) != 0) {
    ::_exit(126);
  }
}

void hide_devices() {
  if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("tmpfs", "/dev", "tmpfs", 0, nullptr) != 0) {
    ::_exit(126);
  }
}

} // namespace tools
