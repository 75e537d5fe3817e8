// SPDX-License-Identifier: MIT
#include "support/process.hpp"

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <vector>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace support {

pid_t start(const std::function<int()>& body) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child != 0) {
    return child;
  }
  for (const int crash : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGTERM}) {
    ::signal(crash, SIG_DFL); // a crash is reported by the exit status, not by the parent's handlers
  }
  int status = failed;
  try {
    status = body();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "child: %s\n", error.what());
  } catch (...) { // a REQUIRE: the child must not go on with its parent's tests
    std::fprintf(stderr, "child: a requirement was not met\n");
  }
  std::fflush(nullptr);
  ::_exit(status);
}

int finish(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int in_child(const std::function<int()>& body) {
  return finish(start(body));
}

SocketPair::SocketPair(int type) {
  int pair[2] = {-1, -1};
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) == 0) {
    a = pair[0];
    b = pair[1];
  }
}

SocketPair::~SocketPair() {
  ::close(a);
  ::close(b);
}

void signal_peer(int fd) {
  const char byte = 1;
  (void)!::write(fd, &byte, 1);
}

bool wait_for_peer(int fd) {
  char byte = 0;
  return ::read(fd, &byte, 1) == 1;
}

bool inject(const Injection& injection) {
  auto number = static_cast<unsigned>(injection.number);
// What a 32-bit C library calls instead.
#ifdef SYS_fcntl64
  number = number == SYS_fcntl ? SYS_fcntl64 : number;
#endif
#ifdef SYS_ftruncate64
  number = number == SYS_ftruncate ? SYS_ftruncate64 : number;
#endif
  const auto argument_offset =
      static_cast<unsigned>(offsetof(seccomp_data, args) + sizeof(__u64) * static_cast<unsigned>(injection.argument));
  std::vector<sock_filter> program{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
  };
  if (injection.argument < 0) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1));
  } else {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 4));
    program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument_offset));
    program.push_back(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, injection.mask));
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, injection.value, 0, 1));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, injection.error == 0 ? SECCOMP_RET_KILL_PROCESS
                                                                   : SECCOMP_RET_ERRNO | static_cast<unsigned>(injection.error)));
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

void mark() {
  ::syscall(SYS_getsid, -1);
}

long count_system_calls(const std::function<int()>& body) {
  const pid_t child = start([&] {
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::raise(SIGSTOP);
    return body();
  });
  int status = 0;
  long calls = 0;
  int marks = 0;
  ::waitpid(child, &status, 0);
  ::ptrace(PTRACE_SETOPTIONS, child, nullptr, reinterpret_cast<void*>(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL));
  for (int pass_on = 0;; pass_on = 0) {
    ::ptrace(PTRACE_SYSCALL, child, nullptr, reinterpret_cast<void*>(static_cast<long>(pass_on)));
    if (::waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) {
      break;
    }
    if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
      pass_on = WSTOPSIG(status);
      continue;
    }
    __ptrace_syscall_info info{};
    ::ptrace(PTRACE_GET_SYSCALL_INFO, child, reinterpret_cast<void*>(sizeof info), &info);
    if (info.op != PTRACE_SYSCALL_INFO_ENTRY) {
      continue;
    }
    if (info.entry.nr == SYS_getsid && static_cast<int>(info.entry.args[0]) == -1) {
      ++marks;
    } else if (marks == 1) {
      ++calls;
    }
  }
  return marks == 2 && WIFEXITED(status) && WEXITSTATUS(status) == passed ? calls : -1;
}

bool forbid_system_calls() {
  sock_filter program[]{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog filter{sizeof program / sizeof *program, program};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

} // namespace support
