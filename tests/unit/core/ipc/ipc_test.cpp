// SPDX-License-Identifier: MIT
/// Messages, right ones and wrong ones. The layout is written down here once more, by hand: it must not drift.
#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76 // asm-generic/socket.h since 6.5
#endif

#include "support/counters.hpp"
#include "support/post.hpp"
#include "support/process.hpp"
#include "unit/test_heap.hpp"

namespace {

using support::SocketPair;
using Message = std::vector<unsigned char>;

/// Little-endian: magic "SABF", version 1, kind 0, size, offset, heap[96], name[32].
Message message(std::uint64_t size, const std::string& heap = "memfd:4k", const std::string& name = "x",
                std::uint64_t offset = 0) {
  Message bytes(152, 0);
  std::memcpy(bytes.data(), "SABF", 4);
  bytes[4] = 1;
  for (unsigned i = 0; i < 8; ++i) {
    bytes[8 + i] = static_cast<unsigned char>(size >> (8 * i));
    bytes[16 + i] = static_cast<unsigned char>(offset >> (8 * i));
  }
  std::memcpy(&bytes[24], heap.data(), heap.size());
  std::memcpy(&bytes[120], name.data(), name.size());
  return bytes;
}

void post(int socket, const std::vector<unsigned char>& bytes, const std::vector<int>& fds) {
  REQUIRE(support::post(socket, bytes, fds));
}

std::error_code refusal(int socket) {
  std::error_code ec;
  CHECK_FALSE(sa::receive(socket, ec));
  return ec;
}

} // namespace

TEST_CASE("the message is what is written down, over either kind of socket") {
  for (const int type : {SOCK_SEQPACKET, SOCK_STREAM}) {
    const SocketPair pair(type);
    const sa::DmaBuf buffer = unit::real_buffer(2 * unit::page, "frame 7");
    sa::send(pair.a, buffer);
    Message bytes(512);
    const ssize_t got = ::recv(pair.b, bytes.data(), bytes.size(), 0);
    REQUIRE(got == 152);
    bytes.resize(152);
    CHECK(bytes == message(2 * unit::page, "memfd:4k", "frame 7"));
    post(pair.a, bytes, {buffer.fd()});
    const sa::DmaBuf received = sa::receive(pair.b);
    CHECK(received.size() == 2 * unit::page);
    CHECK(received.heap() == "import");
    CHECK(received.claimed_heap() == "memfd:4k");
    CHECK(received.name() == "frame 7");
    CHECK((::fcntl(received.fd(), F_GETFD) & FD_CLOEXEC) != 0);
  }
}

TEST_CASE("several buffers in a row arrive in order, also on a stream") {
  const SocketPair pair(SOCK_STREAM);
  for (unsigned i = 1; i <= 5; ++i) {
    sa::send(pair.a, unit::real_buffer(unit::page * i, std::to_string(i)));
  }
  for (unsigned i = 1; i <= 5; ++i) {
    const sa::DmaBuf received = sa::receive(pair.b);
    CHECK(received.size() == unit::page * i);
    CHECK(received.name() == std::to_string(i));
  }
}

TEST_CASE("traits that a heap's name suggests are not believed") {
  const SocketPair pair(SOCK_SEQPACKET);
  const sa::DmaBuf buffer = unit::real_buffer(unit::page);
  for (const char* claimed : {"dma-heap:reserved", "carveout:x", "cma:cma0", "system"}) {
    post(pair.a, message(unit::page, claimed), {buffer.fd()});
    const sa::DmaBuf received = sa::receive(pair.b);
    CHECK(received.heap() == "import");
    CHECK(received.claimed_heap() == claimed);
    sa::send(pair.a, received); // handed on as it came
    CHECK(sa::receive(pair.b).claimed_heap() == claimed);
    CHECK(received.traits() == sa::Traits{sa::Trait::Cached});
    CHECK_FALSE(received.phys_addr());
  }
}

TEST_CASE("wrong messages are refused, and no descriptor leaks when they are") {
  for (const int type : {SOCK_SEQPACKET, SOCK_STREAM}) {
    CAPTURE(type);
    const sa::DmaBuf buffer = unit::real_buffer(2 * unit::page);
    const int fd = buffer.fd();
    const int before = support::open_descriptors();
    const auto refused = [&](const Message& bytes, const std::vector<int>& fds, std::errc code) {
      const SocketPair pair(type);
      post(pair.a, bytes, fds);
      CHECK(refusal(pair.b) == code);
    };
    Message bytes = message(2 * unit::page);
    bytes[0] = 'X';
    refused(bytes, {fd}, std::errc::bad_message);
    bytes = message(2 * unit::page);
    bytes[4] = 3; // a later version
    refused(bytes, {fd}, std::errc::protocol_not_supported);
    bytes = message(2 * unit::page);
    bytes[6] = 2; // no such kind
    refused(bytes, {fd}, std::errc::bad_message);
    refused(message(0), {fd}, std::errc::bad_message);
    refused(message(unit::page), {fd}, std::errc::bad_message);
    refused(message(2 * unit::page + 1), {fd}, std::errc::bad_message);
    refused(message(UINT64_MAX), {fd}, std::errc::bad_message);
    refused(message(2 * unit::page, "memfd:4k", "x", unit::page), {fd}, std::errc::bad_message);
    refused(message(2 * unit::page, "../../etc"), {fd}, std::errc::bad_message);
    refused(message(2 * unit::page, ""), {fd}, std::errc::bad_message);
    refused(message(2 * unit::page, std::string(96, 'h')), {fd}, std::errc::bad_message);
    refused(message(2 * unit::page, "memfd:4k", std::string(32, 'n')), {fd}, std::errc::bad_message);
    refused(message(2 * unit::page, "memfd:4k", "a\nb"), {fd}, std::errc::bad_message);
    refused(message(2 * unit::page), {}, std::errc::bad_message);
    refused(message(2 * unit::page), {fd, fd}, std::errc::bad_message);
    refused(message(2 * unit::page), {fd, fd, fd, fd, fd, fd, fd, fd}, std::errc::bad_message);
    const SocketPair other(SOCK_STREAM);
    refused(message(2 * unit::page), {other.a}, std::errc::invalid_argument); // a socket is no memory
    bytes = message(2 * unit::page);
    bytes[6] = 1; // a handle of a heap that has none, and of one that is not there
    refused(bytes, {fd}, std::errc::operation_not_supported);
    bytes = message(2 * unit::page, "carveout:absent");
    bytes[6] = 1;
    refused(bytes, {fd}, std::errc::no_such_file_or_directory);
    CHECK(support::open_descriptors() == before + 2);
  }
}

TEST_CASE("a packet too short or too long is refused") {
  const sa::DmaBuf buffer = unit::real_buffer(unit::page);
  const int before = support::open_descriptors();
  {
    const SocketPair pair(SOCK_SEQPACKET);
    Message bytes = message(unit::page);
    bytes.push_back(0);
    post(pair.a, bytes, {buffer.fd()});
    CHECK(refusal(pair.b) == std::errc::bad_message);
    bytes.resize(100);
    post(pair.a, bytes, {buffer.fd()});
    CHECK(refusal(pair.b) == std::errc::bad_message);
    sa::send(pair.a, buffer); // the connection still works
    CHECK(sa::receive(pair.b).size() == unit::page);
  }
  CHECK(support::open_descriptors() == before);
}

TEST_CASE("a stream in pieces is put together, and refused when it ends early") {
  const sa::DmaBuf buffer = unit::real_buffer(unit::page);
  const Message bytes = message(unit::page);
  const int before = support::open_descriptors();
  {
    const SocketPair pair(SOCK_STREAM);
    post(pair.a, Message(bytes.begin(), bytes.begin() + 50), {buffer.fd()});
    std::thread later([&] { post(pair.a, Message(bytes.begin() + 50, bytes.end()), {}); });
    CHECK(sa::receive(pair.b).size() == unit::page);
    later.join();
    post(pair.a, Message(bytes.begin(), bytes.begin() + 50), {buffer.fd()});
    ::shutdown(pair.a, SHUT_WR);
    CHECK(refusal(pair.b) == std::errc::bad_message);
    CHECK(refusal(pair.b) == std::errc::connection_reset);
  }
  CHECK(support::open_descriptors() == before);
}

TEST_CASE("without a peer or a message the answer is plain, and non-blocking sockets do not block") {
  std::error_code ec;
  const sa::DmaBuf buffer = unit::real_buffer(unit::page);
  for (const int type : {SOCK_SEQPACKET, SOCK_STREAM}) {
    CAPTURE(type);
    const SocketPair pair(type | SOCK_NONBLOCK);
    CHECK(refusal(pair.b) == std::errc::resource_unavailable_try_again);
    int sent = 0;
    for (; sent < 100000; ++sent) {
      sa::send(pair.a, buffer, ec);
      if (ec) {
        break;
      }
    }
    CHECK(ec == std::errc::resource_unavailable_try_again);
    for (int i = 0; i < sent; ++i) { // whole ones, as many as were sent
      CHECK(sa::receive(pair.b).size() == unit::page);
    }
    CHECK(refusal(pair.b) == std::errc::resource_unavailable_try_again);
    ::shutdown(pair.b, SHUT_RDWR);
    sa::send(pair.a, buffer, ec); // no SIGPIPE
    CHECK(ec == std::errc::broken_pipe);
    CHECK(refusal(pair.a) == std::errc::connection_reset);
  }
  CHECK(refusal(-1) == std::errc::bad_file_descriptor);
  const sa::UniqueFd file{::open("/dev/null", O_RDWR | O_CLOEXEC)};
  CHECK(refusal(file.get()) == std::errc::not_a_socket);
  CHECK_THROWS_AS(sa::send(file.get(), buffer), sa::Error);
  CHECK_THROWS_AS(sa::receive(file.get()), sa::Error);
}

TEST_CASE("a receiver at its limit of descriptors says so and loses nothing") {
  const SocketPair pair(SOCK_SEQPACKET);
  sa::send(pair.a, unit::real_buffer(unit::page));
  CHECK(support::in_child([&] {
          const int before = support::open_descriptors();
          rlimit limit{};
          ::getrlimit(RLIMIT_NOFILE, &limit);
          const int lowest = ::dup(pair.b); // the number that the next descriptor would get
          ::close(lowest);
          const rlimit tight{static_cast<rlim_t>(lowest), limit.rlim_max};
          ::setrlimit(RLIMIT_NOFILE, &tight);
          std::error_code ec;
          const bool refused = !sa::receive(pair.b, ec) && ec == std::errc::bad_message;
          ::setrlimit(RLIMIT_NOFILE, &limit);
          return refused && support::open_descriptors() == before ? support::passed : 2;
        }) == support::passed);
}

TEST_CASE("credentials that a socket delivers are not taken for a buffer, and are dropped") {
  const sa::DmaBuf buffer = unit::real_buffer(unit::page);
  for (const int options : {0, 1, 2, 3}) {
    CAPTURE(options);
    const SocketPair pair(SOCK_SEQPACKET);
    const int on = 1;
    if ((options & 1) != 0) {
      REQUIRE(::setsockopt(pair.b, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
      (void)::setsockopt(pair.b, SOL_SOCKET, SO_PASSSEC, &on, sizeof on); // a label comes where there are such
    }
    if ((options & 2) != 0 && ::setsockopt(pair.b, SOL_SOCKET, SO_PASSPIDFD, &on, sizeof on) != 0) {
      MESSAGE("not tested: SO_PASSPIDFD takes Linux 6.5");
      break;
    }
    const int before = support::open_descriptors();
    int received = 0;
    for (int i = 0; i < 50; ++i) {
      sa::send(pair.a, buffer);
      std::error_code ec;
      received += sa::receive(pair.b, ec).size() == unit::page ? 1 : 0;
    }
    CHECK(received == 50);
    CHECK(support::open_descriptors() == before);
  }
}

TEST_CASE("receiving asks the kernel only for seals and size; for the right to write only a call that writes does") {
  const SocketPair pair(SOCK_SEQPACKET);
  const sa::DmaBuf buffer = unit::real_buffer(unit::page);
  CHECK(support::in_child([&] {
          if (!support::inject({"fcntl(F_GETFL)", SYS_fcntl, EBADF, 1, ~0U, F_GETFL})) {
            return support::failed;
          }
          sa::send(pair.a, buffer);
          const sa::DmaBuf received = sa::receive(pair.b);
          std::error_code ec;
          (void)received.map_unsynchronized(sa::Access::Write, ec);
          return received.size() == unit::page && ec == std::errc::permission_denied ? support::passed : 2;
        }) == support::passed);
}

namespace {

/// Serves a file system with one file, "file", and after the first open of it answers nothing any more. Ends when @p end
/// can be read, and the file system with it: then who waits gets an error.
int serve_until_opened(int fuse, int end) {
  static std::array<char, 1 << 17> request;
  bool opened = false;
  for (;;) {
    std::array<pollfd, 2> ready{pollfd{end, POLLIN, 0}, pollfd{fuse, POLLIN, 0}};
    if (::poll(ready.data(), ready.size(), 20000) <= 0 || ready[0].revents != 0) {
      return support::passed;
    }
    if (::read(fuse, request.data(), request.size()) < 0) {
      return 2;
    }
    const auto* in = reinterpret_cast<const fuse_in_header*>(request.data());
    struct {
      fuse_out_header header;
      std::array<char, 256> body;
    } out{};
    const auto answer = [&](const auto& body) {
      std::memcpy(out.body.data(), &body, sizeof body);
      out.header.len = sizeof out.header + sizeof body;
    };
    const auto attributes = [](std::uint64_t node) {
      fuse_attr attr{};
      attr.ino = node;
      attr.mode = node == 1 ? S_IFDIR | 0755 : S_IFREG | 0644;
      attr.nlink = 1;
      attr.size = 4096;
      return attr;
    };
    out.header.unique = in->unique;
    if (opened) {
      continue;
    }
    if (in->opcode == FUSE_INIT) {
      fuse_init_out init{};
      init.major = 7;
      init.minor = 31;
      init.max_write = 4096;
      answer(init);
    } else if (in->opcode == FUSE_LOOKUP) {
      fuse_entry_out entry{};
      entry.nodeid = 2;
      entry.attr = attributes(2);
      answer(entry);
    } else if (in->opcode == FUSE_GETATTR) {
      fuse_attr_out attr{};
      attr.attr = attributes(in->nodeid);
      answer(attr);
    } else if (in->opcode == FUSE_OPEN) {
      answer(fuse_open_out{});
      opened = true;
    } else {
      out.header.error = -ENOSYS;
      out.header.len = sizeof out.header;
    }
    if (::write(fuse, &out, out.header.len) < 0 && in->opcode != FUSE_FORGET) {
      return 3;
    }
  }
}

} // namespace

TEST_CASE("a file whose file system never answers is refused at once, as a buffer, a handle and a surplus") {
  const std::string folder = "/tmp/sa-fuse-" + std::to_string(::getpid());
  const SocketPair pair(SOCK_SEQPACKET);
  const SocketPair turns(SOCK_STREAM);
  // The daemon has a mount namespace of its own and no thread, and its file is opened by a child of its own.
  const pid_t daemon = support::start([&] {
    const sa::UniqueFd fuse{::open("/dev/fuse", O_RDWR | O_CLOEXEC)};
    const std::string options = "fd=" + std::to_string(fuse.get()) + ",rootmode=40000,user_id=0,group_id=0";
    ::mkdir(folder.c_str(), 0755);
    if (!fuse || ::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("sa", folder.c_str(), "fuse", 0, options.c_str()) != 0) {
      return 77;
    }
    const pid_t opener = support::start([&] {
      ::close(fuse.get()); // the daemon's alone: its end is the file system's
      const int file = ::open((folder + "/file").c_str(), O_RDONLY);
      Message handle = message(4096);
      handle[6] = 1;
      Message wrong = message(4096);
      wrong[0] = 'X';
      post(pair.a, message(4096), {file});
      post(pair.a, handle, {file});
      post(pair.a, message(4096), {file, file});
      post(pair.a, wrong, {file});
      support::signal_peer(turns.a);
      ::pause();
      return support::passed;
    });
    const int status = serve_until_opened(fuse.get(), turns.a);
    ::kill(opener, SIGKILL);
    return status;
  });
  pollfd sent{turns.b, POLLIN, 0};
  siginfo_t ended{};
  while (::poll(&sent, 1, 50) == 0 && ::waitid(P_PID, static_cast<id_t>(daemon), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         ended.si_pid == 0) {
  }
  if (sent.revents == 0) {
    ::rmdir(folder.c_str());
    MESSAGE("not tested: no file system can be made here (/dev/fuse, root), status ", support::finish(daemon));
    return;
  }
  // Who hangs is freed after a while, and the test fails for the time it took.
  const pid_t rescuer = support::start([&] {
    ::sleep(10);
    return support::signal_peer(turns.b), support::passed;
  });
  const int before = support::open_descriptors();
  const auto start = std::chrono::steady_clock::now();
  CHECK(refusal(pair.b) == std::errc::invalid_argument);
  CHECK(refusal(pair.b) == std::errc::bad_message);
  CHECK(refusal(pair.b) == std::errc::bad_message);
  CHECK(refusal(pair.b) == std::errc::bad_message);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(5));
  ::kill(rescuer, SIGKILL);
  support::finish(rescuer);
  support::signal_peer(turns.b);
  CHECK(support::finish(daemon) == support::passed);
  ::rmdir(folder.c_str());
  for (int i = 0; i < 500 && support::open_descriptors() != before; ++i) { // the file system is gone: what closed it goes on
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  CHECK(support::open_descriptors() == before);
}
