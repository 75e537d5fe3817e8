/* SPDX-License-Identifier: MIT */
/* What python_round.py compares with: the same rounds in C.   python_round HEAP POOL ROUNDS
 * POOL: 1 for a pool around the heap. Prints nanoseconds for a round. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime() */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <sa/sa.h>

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void require(int status) {
  if (status < 0) {
    fprintf(stderr, "%s\n", sa_message());
    exit(1);
  }
}

int main(int argc, char** argv) {
  if (argc != 4) {
    return 2;
  }
  const long rounds = atol(argv[3]);
  sa_heap* heap = NULL;
  require(sa_heap_find(argv[1], &heap));
  if (atoi(argv[2]) == 1) {
    sa_heap* pool = NULL;
    require(sa_heap_pool(heap, NULL, &pool));
    sa_heap_unref(heap);
    heap = pool;
  }
  struct sa_request request = SA_REQUEST_INIT;
  request.size = 65536;
  request.name = "frame";
  const double start = now();
  for (long i = 0; i < rounds; ++i) {
    sa_dmabuf* buffer = NULL;
    void* bytes = NULL;
    require(sa_dmabuf_alloc(heap, &request, &buffer));
    require(sa_dmabuf_begin(buffer, SA_WRITE, &bytes));
    *(volatile char*)bytes = 1;
    require(sa_dmabuf_end(buffer, SA_WRITE));
    sa_dmabuf_unref(buffer);
  }
  printf("%.0f\n", (now() - start) / (double)rounds);
  sa_heap_unref(heap);
  return 0;
}
