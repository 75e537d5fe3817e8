// SPDX-License-Identifier: MIT
/// Handing a buffer over a Unix socket, within one process, beside the bare sendmsg(), recvmsg() and close().
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <sa/sa.hpp>

namespace {

struct Sockets {
  explicit Sockets(int type) {
    std::array<int, 2> fds{-1, -1};
    if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds.data()) != 0) {
      std::perror("socketpair");
      std::exit(1);
    }
    a.reset(fds[0]);
    b.reset(fds[1]);
  }
  sa::UniqueFd a;
  sa::UniqueFd b;
};

void share_sa(benchmark::State& state) {
  const Sockets sockets(SOCK_SEQPACKET);
  const sa::DmaBuf buffer = sa::Registry::system().allocate("memfd:4k", {.size = 4096, .name = "frame"});
  for (auto _ : state) {
    sa::send(sockets.a.get(), buffer);
    benchmark::DoNotOptimize(sa::receive(sockets.b.get()).size());
  }
}

/// As many bytes as the library's message has, and one descriptor; @p look is called with the one received.
template <typename Look>
void share_bare(benchmark::State& state, Look&& look) {
  const Sockets sockets(SOCK_SEQPACKET);
  const sa::DmaBuf buffer = sa::Registry::system().allocate("memfd:4k", {.size = 4096, .name = "frame"});
  std::array<char, 152> bytes{};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  for (auto _ : state) {
    iovec part{bytes.data(), bytes.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    int fd = buffer.fd();
    std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
    if (::sendmsg(sockets.a.get(), &message, MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size()) ||
        ::recvmsg(sockets.b.get(), &message, MSG_CMSG_CLOEXEC) != static_cast<ssize_t>(bytes.size())) {
      std::perror("sendmsg, recvmsg");
      std::exit(1);
    }
    std::memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    const sa::UniqueFd received{fd};
    benchmark::DoNotOptimize(look(received.get()));
  }
}

void share_raw(benchmark::State& state) {
  share_bare(state, [](int fd) { return fd; });
}

/// The same, by somebody who looks what came before using it.
void share_careful(benchmark::State& state) {
  share_bare(state, [](int fd) {
    struct stat status {};
    return (::fcntl(fd, F_GET_SEALS) & F_SEAL_SHRINK) != 0 && ::fstat(fd, &status) == 0 ? status.st_size : -1;
  });
}

BENCHMARK(share_sa)->Name("send+receive+close/sa");
BENCHMARK(share_raw)->Name("send+receive+close/raw");
BENCHMARK(share_careful)->Name("send+receive+close/raw, careful");

} // namespace

BENCHMARK_MAIN();
