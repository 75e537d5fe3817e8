/* SPDX-License-Identifier: MIT */
/* client [DEVICE...]: the tests of the C interface; those of images also for these devices. */
#include "check.h"

#include <dirent.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/dma-buf.h>
#include <linux/ioctl.h>

static int failures; /* of the test that runs */
static int passed;
static int failed;

const char* const* nodes;
size_t node_count;

int syncs_begun;
int syncs_ended;

/* The program's own, which counts and passes everything on. sys/ioctl.h would declare it as one that cannot throw. */
#ifdef __cplusplus
extern "C" {
#endif
int ioctl(int fd, unsigned long request, ...);
#ifdef __cplusplus
}
#endif

int ioctl(int fd, unsigned long request, ...) {
  va_list arguments;
  void* argument = NULL;
  va_start(arguments, request);
  argument = va_arg(arguments, void*);
  va_end(arguments);
  if (request == DMA_BUF_IOCTL_SYNC) {
    const struct dma_buf_sync* sync = (const struct dma_buf_sync*)argument;
    ++*((sync->flags & DMA_BUF_SYNC_END) != 0 ? &syncs_ended : &syncs_begun);
  }
  return (int)syscall(SYS_ioctl, fd, request, argument);
}

int check(int good, const char* what, const char* file, int line) {
  if (!good) {
    fprintf(stderr, "%s:%d: %s\n  sa_message(): %s\n", file, line, what, sa_message());
    __atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED);
  }
  return good;
}

int check_refused(int result, int error, const char* what, const char* file, int line) {
  if (result != -error) {
    fprintf(stderr, "%s:%d: %d (%s) in place of %d (%s)\n", file, line, result, result < 0 ? strerror(-result) : "", -error,
            strerror(error));
  }
  return check(result == -error && *sa_message() != '\0', what, file, line);
}

static int descriptors(void) {
  DIR* folder = opendir("/proc/self/fd");
  int count = 0;
  while (readdir(folder) != NULL) {
    ++count;
  }
  closedir(folder);
  return count;
}

/* Shared ones are of buffers; private ones are also of the C library's and valgrind's own. */
static int mappings(void) {
  FILE* maps = fopen("/proc/self/maps", "re");
  char line[512];
  int count = 0;
  while (fgets(line, sizeof line, maps) != NULL) {
    const char* rights = strchr(line, ' ');
    count += rights != NULL && strlen(rights) > 4 && rights[4] == 's' ? 1 : 0;
  }
  fclose(maps);
  return count;
}

void run(const char* sentence, void (*test)(void)) {
  const int open_before = descriptors();
  const int mapped_before = mappings();
  failures = 0;
  test();
  CHECK(descriptors() == open_before);
  CHECK(mappings() == mapped_before);
  if (failures == 0) {
    ++passed;
  } else {
    ++failed;
    printf("FAILED: %s\n", sentence);
  }
}

int child_failed(void) {
  fflush(stderr);
  return failures != 0;
}

int child_passed(int pid) {
  int status = 0;
  return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

sa_heap* plain_heap(void) {
  sa_heap* heap = NULL;
  CHECK(sa_heap_find("memfd:4k", &heap) == 0 && heap != NULL);
  return heap;
}

sa_heap* dma_buf_heap(void) {
  sa_heap* heap = NULL;
  struct sa_heap_info info = SA_HEAP_INFO_INIT;
  if (sa_heap_find("udmabuf:4k|dma-heap:system", &heap) != 0) {
    return NULL;
  }
  CHECK(sa_heap_get_info(heap, &info) == 0);
  if (info.usable == 0) {
    sa_heap_unref(heap);
    return NULL;
  }
  return heap;
}

int has_page(const struct sa_heap_info* info) {
  return info->usable == 1 && strcmp(info->name, "memfd:huge") != 0;
}

sa_dmabuf* buffer_of(sa_heap* heap, size_t size, const char* name) {
  struct sa_request request = SA_REQUEST_INIT;
  sa_dmabuf* buffer = NULL;
  request.size = size;
  request.name = name;
  CHECK(sa_dmabuf_alloc(heap, &request, &buffer) == 0 && buffer != NULL);
  return buffer;
}

/* What a heap opens once is open, before descriptors are counted. */
static int warm_up(void* data, const struct sa_heap_info* info) {
  sa_heap* heap = NULL;
  sa_dmabuf* buffer = NULL;
  (void)data;
  if (has_page(info) && CHECK(sa_heap_find(info->name, &heap) == 0)) {
    buffer = buffer_of(heap, 4096, NULL);
    CHECK(sa_dmabuf_begin(buffer, SA_READ, NULL) == 0 && sa_dmabuf_end(buffer, SA_READ) == 0);
    sa_dmabuf_unref(buffer);
    sa_heap_unref(heap);
  }
  return 0;
}

int main(int argc, char** argv) {
  nodes = (const char* const*)(argv + 1);
  node_count = (size_t)(argc - 1);
  CHECK(strcmp(sa_message(), "") == 0);
  CHECK(sa_heap_list(warm_up, NULL) == 0);
  if (failures != 0) {
    ++failed;
  }
  /* What forks comes before the first pool, whose thread a child lacks: valgrind would miss its memory there. */
  buffer_tests();
  image_tests();
  heap_tests();
  refusal_tests();
  /* As "meson test" counts, for scripts/test. */
  printf("Ok: %d\nFail: %d\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}
