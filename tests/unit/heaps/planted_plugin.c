/* SPDX-License-Identifier: MIT */
/* The plugin that plugin_test.cpp plants: one heap of memory files, and what it notes of its calls. Compiled with a macro of
   those below it is wrong in one way. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <sa/heap_plugin.h>

#include "planted_plugin.h"

__attribute__((visibility("default"))) struct planted_calls planted_calls;

/* Its own end at exit(3), as a library has it that is loaded: what comes later would find nothing that works. */
static int ended;
static void end(void) {
  ended = 1;
}

__attribute__((constructor)) static void loaded(void) {
  ++planted_calls.loaded;
  atexit(end);
}

static void alive(void) {
  if (ended) {
    abort();
  }
}

static int describe(uint32_t index, struct sa_plugin_heap* heap) {
  alive();
  if (index > 0) {
    return -ENOENT;
  }
  heap->instance = "files";
  heap->traits = SA_PLUGIN_CACHED | SA_PLUGIN_ZEROED;
  return 0;
}

static int allocate(void* data, const struct sa_plugin_request* request, struct sa_plugin_memory* memory, char* sentence,
                    size_t sentence_size) {
  (void)data, (void)sentence, (void)sentence_size;
  alive();
  ++planted_calls.allocated;
  int fd = memfd_create(request->name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0 || ftruncate(fd, (off_t)request->size) != 0) {
    return -errno;
  }
  memory->fd = fd;
  return 0;
}

static void release(void* data, void* memory) {
  (void)data, (void)memory;
  alive();
  ++planted_calls.released;
}

#ifndef PLANTED_VERSION
#define PLANTED_VERSION SA_HEAP_PLUGIN_VERSION
#endif

#ifdef PLANTED_UNRESOLVED
void nowhere(void);
#endif

#ifndef PLANTED_ENTRY
#define PLANTED_ENTRY sa_heap_plugin_1
#endif

const struct sa_heap_plugin* PLANTED_ENTRY(void) {
  static const struct sa_heap_plugin table = {PLANTED_VERSION, 0, sizeof(table), describe, allocate, release};
  ++planted_calls.asked;
#ifdef PLANTED_UNRESOLVED
  nowhere();
#endif
  return &table;
}
