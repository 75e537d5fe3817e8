// SPDX-License-Identifier: MIT
/// Children of a test. They report by their exit status: doctest's assertions belong to the parent.
#pragma once

#include <functional>
#include <memory> // brings __gnu_cxx::__default_lock_policy

#include <sys/syscall.h>
#include <sys/types.h>

namespace support {

/// Exit statuses of a child.
inline constexpr int passed = 0;
inline constexpr int failed = 1;

/// Starts a child that runs @p body and exits with its result; an exception is `failed` and its text is printed.
pid_t start(const std::function<int()>& body);

/// Waits for a child: its exit status, or 128 and the signal that ended it.
int finish(pid_t child);

/// start() and finish().
int in_child(const std::function<int()>& body);

/// Whether std::weak_ptr::lock() takes a mutex, as libstdc++'s does on RISC-V (GCC 12): a child that was forked while another
/// thread held it would wait forever (docs/heaps.md).
constexpr bool weak_pointers_lock = __gnu_cxx::__default_lock_policy == __gnu_cxx::_S_mutex;

/// A connected pair of Unix sockets.
struct SocketPair {
  explicit SocketPair(int type);
  SocketPair(const SocketPair&) = delete;
  SocketPair& operator=(const SocketPair&) = delete;
  ~SocketPair();
  int a = -1;
  int b = -1;
};

/// Ends a byte over a socket or pipe, and waits for one: how two processes take turns.
void signal_peer(int fd);
bool wait_for_peer(int fd);

/// From here on, in this process, system call @p number fails with @p error: when @p argument is at least 0, only calls
/// whose argument of that index has all bits of @p mask exactly as in @p value. With error 0 it kills the process
/// (SIGSYS). Cannot be undone: for children.
#ifdef SYS_mmap2 // what a 32-bit C library calls for mmap(2)
inline constexpr long mmap_number = SYS_mmap2;
#else
inline constexpr long mmap_number = SYS_mmap;
#endif

struct Injection {
  const char* name;
  long number;
  int error;
  int argument = -1;
  unsigned mask = 0;
  unsigned value = 0;
};
bool inject(const Injection& injection);

/// Runs @p body in a child and counts its system calls between its first two calls of mark(); negative when that failed.
long count_system_calls(const std::function<int()>& body);
void mark();

/// From here on, in this process, every system call but write() and exit is its end: SIGSYS. For children.
bool forbid_system_calls();

} // namespace support
