// SPDX-License-Identifier: MIT
#include "core/base/unproven.hpp"

#include <chrono>
#include <csignal>
#include <future>
#include <thread>

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

namespace sa { inline namespace v0 { namespace detail {

int file_type(int fd) noexcept {
  struct statx status {};
  const int failed = ::statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &status);
  return failed < 0 ? -1 : status.stx_mode & S_IFMT;
}

bool served_by_kernel(int fd) noexcept {
  const int type = file_type(fd);
  return type == 0 || type == S_IFIFO || (type == S_IFREG && ::fcntl(fd, F_GET_SEALS) >= 0);
}

void close_unproven(UniqueFd fd) noexcept {
  if (!fd || served_by_kernel(fd.get())) {
    return;
  }
  sigset_t every;
  sigset_t before;
  ::sigfillset(&every); // the program's signals are for the program's threads
  ::pthread_sigmask(SIG_SETMASK, &every, &before);
  try {
    std::promise<void> done;
    const std::future<void> closed = done.get_future();
    std::thread([fd = std::move(fd), done = std::move(done)]() mutable {
      fd.reset();
      done.set_value();
    }).detach();
    closed.wait_for(std::chrono::milliseconds(100));
  } catch (...) { // NOLINT(bugprone-empty-catch): no thread could be made, and it has been closed here
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}}} // namespace sa::v0::detail
