// SPDX-License-Identifier: MIT
/// What a round of a warm pool, an allocation and its end, costs through C beside the same through C++, in one process on one
/// processor, in turns: pool_round_speed [NANOSECONDS]. Prints the best of several repetitions; exits with 1 where C takes more
/// than that longer, 5 if nothing is said.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include <sched.h>

#include <sa/sa.h>
#include <sa/sa.hpp>

namespace {

constexpr int repetitions = 400;
constexpr int rounds = 10000;

/// Nanoseconds of one call of @p round.
template <typename Round>
double time_of(Round&& round) {
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < rounds; ++i) {
    round();
  }
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begin).count() / rounds;
}

} // namespace

int main(int argc, char** argv) {
  const double most = argc > 1 ? std::atof(argv[1]) : 5;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(::sched_getcpu(), &one);
  ::sched_setaffinity(0, sizeof one, &one);

  sa::Pool cpp(sa::Registry::system().find("memfd:4k"), {.max_age = std::chrono::milliseconds::max()});
  sa_heap* heap = nullptr;
  sa_heap* c = nullptr;
  sa_pool_options options = SA_POOL_OPTIONS_INIT;
  options.max_age_ms = UINT32_MAX;
  if (sa_heap_find("memfd:4k", &heap) != 0 || sa_heap_pool(heap, &options, &c) != 0) {
    std::fprintf(stderr, "%s\n", sa_message());
    return 1;
  }
  double through_cpp = 1e18;
  double through_c = 1e18;
  // A busy machine makes both longer, and neither shorter: once more where it could have been that.
  for (int repetition = 0; repetition < repetitions || (through_c - through_cpp > most && repetition < 5 * repetitions);
       ++repetition) {
    through_cpp = std::min(through_cpp, time_of([&] { (void)cpp.allocate({.size = 4096}); }));
    through_c = std::min(through_c, time_of([&] {
                           sa_request request = SA_REQUEST_INIT;
                           request.size = 4096;
                           sa_dmabuf* buffer = nullptr;
                           sa_dmabuf_alloc(c, &request, &buffer);
                           sa_dmabuf_unref(buffer);
                         }));
  }
  std::printf("a round of a pool: %.1f ns through C, %.1f ns through C++, %+.1f ns, at most +%.0f\n", through_c, through_cpp,
              through_c - through_cpp, most);
  sa_heap_unref(c);
  sa_heap_unref(heap);
  return through_c - through_cpp > most ? 1 : 0;
}
