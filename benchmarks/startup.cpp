// SPDX-License-Identifier: MIT
/// A whole program, from its start to its end: one that does nothing, and one that discovers the heaps and allocates once.
/// The two programs are beside this one.
#include <cstdio>
#include <cstdlib>
#include <string>

#include <benchmark/benchmark.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PROGRAM_FOLDER
#error "the build says where the two programs are"
#endif

namespace {

void start(benchmark::State& state, const char* program) {
  const std::string path = std::string(PROGRAM_FOLDER "/") + program;
  char* arguments[] = {const_cast<char*>(path.c_str()), nullptr};
  for (auto _ : state) {
    pid_t child = -1;
    int status = -1;
    if (::posix_spawn(&child, path.c_str(), nullptr, nullptr, arguments, environ) != 0 || ::waitpid(child, &status, 0) != child ||
        status != 0) {
      std::fprintf(stderr, "%s: status %d\n", path.c_str(), status);
      std::exit(1);
    }
  }
}

BENCHMARK_CAPTURE(start, sa, "startup_once")->Name("start to end of a program/sa")->UseRealTime();
BENCHMARK_CAPTURE(start, empty, "startup_empty")->Name("start to end of a program/empty")->UseRealTime();

} // namespace

BENCHMARK_MAIN();
