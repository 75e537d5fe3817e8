/* SPDX-License-Identifier: MIT */
/* A plugin with two heaps: example:memfd has memory files, and example:udmabuf makes dma-bufs of them. docs/plugins.md
   explains it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/udmabuf.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <sa/heap_plugin.h>

static const char node[] = "/dev/udmabuf";

/* The facts about a heap that the functions need. */
struct heap {
  const char* instance;
  int dmabuf;
};
static struct heap heaps[] = {{"memfd", 0}, {"udmabuf", 1}};

static int describe(uint32_t index, struct sa_plugin_heap* out) {
  if (index >= sizeof(heaps) / sizeof(*heaps)) {
    return -ENOENT;
  }
  struct heap* heap = &heaps[index];
  out->instance = heap->instance;
  out->data = heap;
  out->traits = SA_PLUGIN_CACHED | SA_PLUGIN_ZEROED;
  if (heap->dmabuf) {
    out->traits |= SA_PLUGIN_DMABUF;
    out->node = node;
    out->max_size = 64 << 20; /* the kernel's, unless somebody raises it */
    if (access(node, R_OK | W_OK) != 0) {
      out->reason = errno == ENOENT ? "/dev/udmabuf does not exist; load the module (modprobe udmabuf)"
                                    : "/dev/udmabuf: permission denied; add the user to its group";
    }
  }
  return 0;
}

/* Reports a failure: a sentence for a person, and the errno for the program. */
static int failed(const char* call, char* sentence, size_t sentence_size) {
  int error = errno;
  snprintf(sentence, sentence_size, "%s: %s", call, strerror(error));
  return -error;
}

static int allocate(void* data, const struct sa_plugin_request* request, struct sa_plugin_memory* memory, char* sentence,
                    size_t sentence_size) {
  const struct heap* heap = data;
  int file = memfd_create(request->name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (file < 0) {
    return failed("memfd_create", sentence, sentence_size);
  }
  int fd = file;
  if (ftruncate(file, (off_t)request->size) != 0 || fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    fd = failed("a sealed memory file", sentence, sentence_size);
  } else if (heap->dmabuf) {
    int device = open(node, O_RDWR | O_CLOEXEC);
    struct udmabuf_create wanted = {(uint32_t)file, UDMABUF_FLAGS_CLOEXEC, 0, request->size};
    fd = device < 0 ? -1 : ioctl(device, UDMABUF_CREATE, &wanted);
    if (fd < 0) {
      fd = failed(node, sentence, sentence_size);
    }
    if (device >= 0) {
      close(device);
    }
  }
  if (fd != file) { /* it failed, or the dma-buf holds the file's memory */
    close(file);
  }
  memory->fd = fd;
  return fd < 0 ? fd : 0;
}

const struct sa_heap_plugin* sa_heap_plugin_1(void) {
  static const struct sa_heap_plugin plugin = {
      .version = SA_HEAP_PLUGIN_VERSION,
      .struct_size = sizeof(plugin),
      .describe = describe,
      .allocate = allocate,
  };
  return &plugin;
}
