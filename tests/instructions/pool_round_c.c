/* SPDX-License-Identifier: MIT */
/* The same as pool_round.cpp through the C interface. */
#include <valgrind/callgrind.h>

#include <sa/sa.h>

int main(void) {
  enum { warm = 10, rounds = 1000 };
  struct sa_pool_options options = SA_POOL_OPTIONS_INIT;
  struct sa_pool_statistics statistics = SA_POOL_STATISTICS_INIT;
  struct sa_request request = SA_REQUEST_INIT;
  sa_heap* heap = NULL;
  sa_heap* pool = NULL;
  options.max_age_ms = UINT32_MAX;
  request.size = 4096;
  if (sa_heap_find("memfd:4k", &heap) != 0 || sa_heap_pool(heap, &options, &pool) != 0) {
    return 1;
  }
  for (int round = 0; round < warm + rounds; ++round) {
    if (round == warm) {
      CALLGRIND_START_INSTRUMENTATION;
      CALLGRIND_TOGGLE_COLLECT;
    }
    sa_dmabuf* buffer = NULL;
    if (sa_dmabuf_alloc(pool, &request, &buffer) != 0 || sa_dmabuf_size(buffer) != 4096) {
      return 1;
    }
    sa_dmabuf_unref(buffer);
  }
  CALLGRIND_TOGGLE_COLLECT;
  CALLGRIND_STOP_INSTRUMENTATION;
  sa_heap_statistics(pool, &statistics);
  sa_heap_unref(pool);
  sa_heap_unref(heap);
  return statistics.hits == warm - 1 + rounds ? 0 : 1;
}
