// SPDX-License-Identifier: MIT
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include <fcntl.h>
#include <sys/mman.h>

#include "unit/test_heap.hpp"

namespace unit {

sa::DmaBuf TestHeap::do_allocate(const sa::AllocRequest& request, std::error_code& ec) {
  if (remembers) {
    demanded = request.constraints;
  }
  ++asked;
  if (throws) {
    throw std::system_error(EPROTO, std::system_category());
  }
  if (refuse_from != 0 && asked >= refuse_from) {
    return refuse(ec, EIO, "the test's system call");
  }
  if (error != 0 && asked >= error_from && errors_left != 0) {
    if (errors_left > 0) { // unwritten otherwise: several threads may be refused at once
      --errors_left;
    }
    return refuse(ec, error, "the test's system call");
  }
  sa::Memory memory;
  memory.fd = sa::UniqueFd{::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
  memory.descriptor = sa::Descriptor::Memfd;
  memory.size = rounded_size(request) + extra;
  memory.traits = info_.traits;
  if (::ftruncate(memory.fd.get(), static_cast<off_t>(memory.size - lacks)) < 0 ||
      (!unsealed && ::fcntl(memory.fd.get(), F_ADD_SEALS, F_SEAL_SHRINK) < 0)) {
    return refuse(ec, errno, "ftruncate");
  }
  return adopt(std::move(memory), request.name);
}

sa::DmaBuf real_buffer(std::size_t size, std::string_view name) {
  return sa::Registry::system().allocate("memfd:4k", {.size = size, .name = name});
}

} // namespace unit

int main(int argc, char** argv) {
  // The configuration of the user that runs the tests must not matter.
  ::setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
  ::unsetenv("SA_CONFIG");
  { // The thread by which pools free old buffers is there before a test counts mappings: it has a stack.
    sa::Pool pool(sa::Registry::system().find("memfd:4k"), {.max_age = std::chrono::milliseconds(1)});
    pool.allocate({.size = 4096}).reset();
    while (pool.statistics().freed_old == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  return doctest::Context(argc, argv).run();
}
