/* SPDX-License-Identifier: MIT */
/* Heaps: the list, lookup, pools, requests; the log; sentences of threads. */
#include "check.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static int count_heap(void* data, const struct sa_heap_info* info) {
  int* found = (int*)data;
  CHECK(info->struct_size == sizeof *info && info->name != NULL && info->backend != NULL && info->node != NULL);
  CHECK(info->granularity > 0 || info->usable == 0);
  CHECK((info->usable == 1) == (*info->reason == '\0'));
  *found += strcmp(info->name, "memfd:4k") == 0 ? 1 : 0;
  return 0;
}

static int stop_at_once(void* data, const struct sa_heap_info* info) {
  (void)info;
  ++*(int*)data;
  return 42;
}

static void versions(void) {
  CHECK(strcmp(sa_version(), SA_VERSION) == 0);
}

static void lists(void) {
  int found = 0;
  int calls = 0;
  CHECK(sa_heap_list(count_heap, &found) == 0 && found == 1);
  CHECK(sa_heap_list(stop_at_once, &calls) == 42 && calls == 1);
  CHECK(sa_refresh() == 0);
  found = 0;
  CHECK(sa_heap_list(count_heap, &found) == 0 && found == 1);
}

static void lookup(void) {
  sa_heap* heap = NULL;
  sa_dmabuf* buffer = NULL;
  struct sa_heap_info info = SA_HEAP_INFO_INIT;
  CHECK(sa_heap_find("memfd:4k", &heap) == 0 && sa_heap_get_info(heap, &info) == 0);
  CHECK(strcmp(info.name, "memfd:4k") == 0 && strcmp(info.backend, "memfd") == 0 && info.usable == 1);
  CHECK(info.granularity == 4096 && info.max_size > 0 && (info.traits & SA_TRAIT_ZEROED) != 0);
  sa_heap_unref(heap);
  CHECK(sa_heap_find("no-such:heap|memfd:4k", &heap) == 0);
  CHECK(sa_heap_get_info(heap, &info) == 0 && strcmp(info.backend, "alias") == 0);
  buffer = buffer_of(heap, 4096, NULL);
  CHECK(strcmp(sa_dmabuf_heap(buffer), "memfd:4k") == 0);
  sa_dmabuf_unref(buffer);
  sa_heap_unref(heap);
  CHECK(sa_heap_find("system", &heap) == 0 && sa_heap_get_info(heap, &info) == 0 && strcmp(info.backend, "alias") == 0);
  sa_heap_unref(heap);
  CHECK(sa_heap_find(NULL, &heap) == 0 && sa_heap_get_info(heap, &info) == 0 && (info.traits & SA_TRAIT_DMABUF) != 0);
  sa_heap_unref(heap);
  CHECK_REFUSED(sa_heap_find("no-such:heap|neither:this", &heap), ENOENT);
  CHECK(heap == NULL);
  CHECK_REFUSED(sa_heap_find("../memfd", &heap), EINVAL);
  CHECK_REFUSED(sa_heap_find("", &heap), EINVAL);
  CHECK_REFUSED(sa_heap_find("memfd:4k|", &heap), EINVAL);
}

static void for_no_device(void) {
  sa_heap* heap = NULL;
  sa_dmabuf* buffer = NULL;
  if (sa_heap_for_devices(NULL, 0, NULL, 0, &heap) == 0) {
    buffer = buffer_of(heap, 4096, NULL);
    sa_dmabuf_unref(buffer);
    sa_heap_unref(heap);
  } else {
    CHECK(0 && "a heap for no device");
  }
  CHECK(sa_heap_for_devices(NULL, 0, "cached", 0, &heap) == 0);
  buffer = buffer_of(heap, 4096, NULL);
  CHECK((sa_dmabuf_traits(buffer) & SA_TRAIT_CACHED) != 0);
  sa_dmabuf_unref(buffer);
  sa_heap_unref(heap);
}

static void requests(void) {
  sa_heap* heap = plain_heap();
  sa_dmabuf* buffer = NULL;
  struct sa_request request = SA_REQUEST_INIT;
  request.size = 5000;
  request.constraints = " cached , coherent,align=4K,size-align=0x3000";
  request.require = SA_TRAIT_ZEROED;
  request.flags = SA_PREFAULT;
  CHECK(sa_dmabuf_alloc(heap, &request, &buffer) == 0 && sa_dmabuf_size(buffer) == 0x3000);
  sa_dmabuf_unref(buffer);
  request.constraints = "";
  CHECK(sa_dmabuf_alloc(heap, &request, &buffer) == 0 && sa_dmabuf_size(buffer) == 8192);
  sa_dmabuf_unref(buffer);
  request.constraints = "uncached"; /* what the memory is not */
  CHECK_REFUSED(sa_dmabuf_alloc(heap, &request, &buffer), EOPNOTSUPP);
  CHECK(buffer == NULL && strstr(sa_message(), "memfd:4k") != NULL);
  request.constraints = "max-address=1M"; /* nor can promise */
  CHECK_REFUSED(sa_dmabuf_alloc(heap, &request, &buffer), EOPNOTSUPP);
  request.constraints = NULL;
  request.require = SA_TRAIT_CONTIGUOUS;
  CHECK_REFUSED(sa_dmabuf_alloc(heap, &request, &buffer), EOPNOTSUPP);
  sa_heap_unref(heap);
}

static void pools(void) {
  sa_heap* heap = plain_heap();
  sa_heap* pool = NULL;
  sa_dmabuf* buffer = NULL;
  struct sa_pool_options options = SA_POOL_OPTIONS_INIT;
  struct sa_pool_statistics statistics = SA_POOL_STATISTICS_INIT;
  struct sa_heap_info info = SA_HEAP_INFO_INIT;
  struct sa_request request = SA_REQUEST_INIT;
  void* first = NULL;
  int round = 0;
  options.max_free_bytes = 64 * 4096;
  options.max_age_ms = UINT32_MAX;
  options.zero = 1;
  CHECK(sa_heap_pool(heap, &options, &pool) == 0);
  sa_heap_unref(heap); /* the pool keeps its own */
  CHECK(sa_heap_get_info(pool, &info) == 0 && strcmp(info.name, "memfd:4k") == 0);
  for (round = 0; round < 10; ++round) {
    buffer = buffer_of(pool, 4096, "round");
    CHECK(strcmp(sa_dmabuf_heap(buffer), "memfd:4k") == 0);
    CHECK(sa_dmabuf_begin(buffer, SA_READWRITE, &first) == 0);
    CHECK(((unsigned char*)first)[100] == 0);
    memset(first, 0xff, 4096);
    CHECK(sa_dmabuf_end(buffer, SA_READWRITE) == 0);
    CHECK(sa_heap_statistics(pool, &statistics) == 0 && statistics.live == 1);
    sa_dmabuf_unref(buffer);
  }
  CHECK(sa_heap_statistics(pool, &statistics) == 0);
  CHECK(statistics.struct_size == sizeof statistics && statistics.hits == 9 && statistics.misses == 1 && statistics.live == 0);
  CHECK(statistics.free_buffers == 1 && statistics.free_bytes == 4096);
  request.size = 8192;
  CHECK(sa_heap_reserve(pool, 3, &request) == 0);
  CHECK(sa_heap_statistics(pool, &statistics) == 0 && statistics.free_buffers == 4);
  buffer = buffer_of(pool, 8192, NULL);
  CHECK(sa_heap_statistics(pool, &statistics) == 0 && statistics.hits == 10);
  CHECK_REFUSED(sa_heap_reserve(pool, 1000, &request), ENOMEM);
  CHECK(sa_heap_trim(pool) == 0);
  CHECK(sa_heap_statistics(pool, &statistics) == 0 && statistics.free_bytes == 0 && statistics.live == 1);
  sa_heap_unref(pool); /* the buffer outlives its pool */
  CHECK(sa_dmabuf_begin(buffer, SA_WRITE, &first) == 0);
  memset(first, 1, 8192);
  CHECK(sa_dmabuf_end(buffer, SA_WRITE) == 0);
  sa_dmabuf_unref(buffer);
}

static void recycling(void) {
  sa_heap* heap = plain_heap();
  sa_heap* pool = NULL;
  struct sa_pool_options options = SA_POOL_OPTIONS_INIT;
  struct sa_pool_statistics statistics = SA_POOL_STATISTICS_INIT;
  sa_dmabuf* buffer = NULL;
  uint32_t recycle = 0;
  for (recycle = SA_RECYCLE_WHEN_UNSHARED; recycle <= SA_RECYCLE_ALWAYS; ++recycle) {
    int copy = -1;
    options.recycle = recycle;
    CHECK(sa_heap_pool(heap, &options, &pool) == 0);
    buffer = buffer_of(pool, 4096, NULL);
    copy = sa_dmabuf_dup(buffer); /* somebody else's from here on */
    sa_dmabuf_unref(buffer);
    buffer = buffer_of(pool, 4096, NULL);
    CHECK(sa_heap_statistics(pool, &statistics) == 0);
    CHECK(statistics.hits == (recycle == SA_RECYCLE_ALWAYS ? 1 : 0));
    sa_dmabuf_unref(buffer);
    sa_heap_unref(pool);
    close(copy);
  }
  CHECK(sa_heap_pool(heap, NULL, &pool) == 0);
  CHECK(sa_heap_statistics(pool, &statistics) == 0 && statistics.hits == 0);
  sa_heap_unref(pool);
  options.recycle = 2;
  CHECK_REFUSED(sa_heap_pool(heap, &options, &pool), EINVAL);
  CHECK(pool == NULL);
  CHECK_REFUSED(sa_heap_trim(heap), EOPNOTSUPP);
  CHECK_REFUSED(sa_heap_statistics(heap, &statistics), EOPNOTSUPP);
  sa_heap_unref(heap);
}

/* What was logged. */
struct record {
  int warnings;
  int debugs;
  char last[512];
};

static void keep(void* data, int level, const char* sentence) {
  struct record* record = (struct record*)data;
  record->warnings += level == SA_LOG_WARNING ? 1 : 0;
  record->debugs += level == SA_LOG_DEBUG ? 1 : 0;
  if (level == SA_LOG_WARNING) {
    snprintf(record->last, sizeof record->last, "%s", sentence);
  }
  sa_heap_unref(plain_heap()); /* it may call the library */
}

static struct record logged; /* for ever */

static void catches_the_log(void) {
  sa_heap* heap = NULL;
  CHECK_REFUSED(sa_set_log(keep, &logged, 3), EINVAL);
  CHECK(sa_set_log(keep, &logged, SA_LOG_WARNING) == 0);
  setenv("SA_CONFIG", "/no/such/configuration", 1);
  CHECK(sa_refresh() == 0);
  CHECK(logged.warnings == 1 && logged.debugs == 0 && strstr(logged.last, "/no/such/configuration") != NULL);
  unsetenv("SA_CONFIG");
  CHECK(sa_refresh() == 0);
  CHECK(sa_set_log(keep, &logged, SA_LOG_DEBUG) == 0);
  CHECK(sa_heap_find("no-such:heap|memfd:4k", &heap) == 0);
  sa_dmabuf_unref(buffer_of(heap, 4096, NULL));
  sa_heap_unref(heap);
  CHECK(logged.warnings == 1);
  CHECK(sa_set_log(NULL, NULL, SA_LOG_WARNING) == 0);
}

struct turn {
  pthread_barrier_t barrier;
};

static void* fails_otherwise(void* data) {
  struct turn* turn = (struct turn*)data;
  sa_heap* heap = NULL;
  CHECK(strcmp(sa_message(), "") == 0);
  pthread_barrier_wait(&turn->barrier); /* the other has failed */
  CHECK(strcmp(sa_message(), "") == 0);
  CHECK_REFUSED(sa_heap_find("of:thread-two", &heap), ENOENT);
  CHECK(strstr(sa_message(), "of:thread-two") != NULL);
  pthread_barrier_wait(&turn->barrier); /* this one has */
  pthread_barrier_wait(&turn->barrier); /* the other has looked */
  CHECK(strstr(sa_message(), "of:thread-two") != NULL);
  return NULL;
}

static void sentences_of_threads(void) {
  struct turn turn;
  pthread_t thread;
  sa_heap* heap = NULL;
  const char* mine = NULL;
  pthread_barrier_init(&turn.barrier, NULL, 2);
  CHECK(pthread_create(&thread, NULL, fails_otherwise, &turn) == 0);
  CHECK_REFUSED(sa_heap_find("of:thread-one", &heap), ENOENT);
  mine = sa_message();
  pthread_barrier_wait(&turn.barrier);
  pthread_barrier_wait(&turn.barrier);
  CHECK(strstr(mine, "of:thread-one") != NULL && sa_message() == mine);
  heap = plain_heap(); /* a success leaves it */
  CHECK(strstr(sa_message(), "of:thread-one") != NULL);
  sa_heap_unref(heap);
  CHECK_REFUSED(sa_heap_find("of:thread-one-again", &heap), ENOENT);
  CHECK(strstr(sa_message(), "of:thread-one-again") != NULL);
  pthread_barrier_wait(&turn.barrier);
  CHECK(pthread_join(thread, NULL) == 0);
  pthread_barrier_destroy(&turn.barrier);
}

void heap_tests(void) {
  run("the library and its headers are of one version", versions);
  run("the list has every heap once, and ends when it is told to", lists);
  run("a heap is found by name, by alias, and in a list of names", lookup);
  run("a heap for no device is any heap", for_no_device);
  run("a request is granted as asked, or refused", requests);
  run("a pool hands out again what it got back, zeroed", pools);
  run("a pool recycles what was given away as its options say", recycling);
  run("the log goes where the program says", catches_the_log);
  run("each thread has the sentence of its own last failure", sentences_of_threads);
}
