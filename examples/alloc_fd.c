/* SPDX-License-Identifier: MIT */
/* Memory for a camera's frame, from the first heap of several that has it, in place of a class that opens each node by hand. */
#include <stdio.h>
#include <unistd.h>

#include <sa/sa.h>

int main(void) {
  int fd = sa_alloc_fd("dma-heap:vidbuf_cached|dma-heap:linux,cma|cma|system", 1920 * 1080 * 3 / 2, "frame");
  if (fd < 0) {
    return fprintf(stderr, "%s\n", sa_message()), 1;
  }
  printf("descriptor %d\n", fd);
  close(fd);
  return 0;
}
