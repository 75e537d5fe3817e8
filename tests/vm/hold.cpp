// SPDX-License-Identifier: MIT
/// Holds buffers until it is ended, for states that somebody else is to see: hold HEAP COUNT [alternating] SIZE...
/// Of each size as many as there are, COUNT at most; of "alternating" ones every other is freed again. Says "ready".
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <unistd.h>

#include <sa/sa.hpp>

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: hold HEAP COUNT [alternating] SIZE...\n");
    return 2;
  }
  const bool alternating = std::strcmp(argv[3], "alternating") == 0;
  std::vector<sa::DmaBuf> held;
  for (int i = alternating ? 4 : 3; i < argc; ++i) {
    std::vector<sa::DmaBuf> of_size;
    const std::size_t most = std::strtoul(argv[2], nullptr, 10);
    std::error_code ec;
    while (of_size.size() < most) {
      of_size.push_back(
          sa::Registry::system().allocate(argv[1], {.size = std::strtoul(argv[i], nullptr, 10), .name = "hold"}, ec));
      if (ec) {
        of_size.pop_back();
        break;
      }
    }
    for (std::size_t k = 0; k < of_size.size(); ++k) {
      if (!alternating || k % 2 == 0) {
        held.push_back(std::move(of_size[k]));
      }
    }
  }
  std::puts("ready");
  std::fflush(stdout);
  while (true) {
    ::pause();
  }
}
