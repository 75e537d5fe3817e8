/* SPDX-License-Identifier: MIT */
/* What sa_alloc_fd() costs beside the system calls that a program would write by hand for one dma-heap:
     alloc_fd_speed [HEAP [RATIO]]
   Prints the best of several repetitions, taken in turns. Exits with 1 where the library takes more than RATIO times as long for
   a frame, 1.05 if nothing is said. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <linux/dma-buf.h>
#include <linux/dma-heap.h>

#include <sa/sa.h>

enum { repetitions = 200 };

static int device = -1;

static int raw(size_t size) {
  struct dma_heap_allocation_data data;
  memset(&data, 0, sizeof data);
  data.len = size;
  data.fd_flags = O_RDWR | O_CLOEXEC;
  if (ioctl(device, DMA_HEAP_IOCTL_ALLOC, &data) != 0) {
    return -1;
  }
  ioctl((int)data.fd, DMA_BUF_SET_NAME, "frame");
  return (int)data.fd;
}

static char heap[64] = "dma-heap:system";

static int ours(size_t size) {
  return sa_alloc_fd(heap, size, "frame");
}

/* Nanoseconds of an allocation and its end. */
static double round_of(int (*allocate)(size_t), size_t size, int count) {
  struct timespec begin;
  struct timespec end;
  int i = 0;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  for (i = 0; i < count; ++i) {
    const int fd = allocate(size);
    if (fd < 0) {
      fprintf(stderr, "no memory: %s\n", sa_message());
      exit(1);
    }
    close(fd);
  }
  clock_gettime(CLOCK_MONOTONIC, &end);
  return ((double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec)) / count;
}

int main(int argc, char** argv) {
  const size_t sizes[] = {4096, 3112960}; /* a page, and a frame of 1920x1080 NV12 */
  const int counts[] = {200, 5};
  char node[64];
  int status = 0;
  size_t i = 0;
  const double most = argc > 2 ? atof(argv[2]) : 1.05;
  if (argc > 1) {
    snprintf(heap, sizeof heap, "%s", argv[1]);
  }
  snprintf(node, sizeof node, "/dev/dma_heap/%s", strchr(heap, ':') + 1);
  device = open(node, O_RDONLY | O_CLOEXEC);
  if (device < 0) {
    perror(node);
    return 1;
  }
  for (i = 0; i < sizeof sizes / sizeof *sizes; ++i) {
    double best_raw = 1e18;
    double best_ours = 1e18;
    int repetition = 0;
    for (repetition = 0; repetition < repetitions; ++repetition) {
      const double one_raw = round_of(raw, sizes[i], counts[i]);
      const double one_ours = round_of(ours, sizes[i], counts[i]);
      best_raw = one_raw < best_raw ? one_raw : best_raw;
      best_ours = one_ours < best_ours ? one_ours : best_ours;
    }
    printf("%zu bytes from %s: %.0f ns by sa_alloc_fd(), %.0f ns by hand, ratio %.3f\n", sizes[i], heap, best_ours, best_raw,
           best_ours / best_raw);
    status = sizes[i] != 4096 && best_ours / best_raw > most ? 1 : status;
  }
  return status;
}
