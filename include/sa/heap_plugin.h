/* SPDX-License-Identifier: MIT */
/**
 * @file heap_plugin.h
 * A heap of your own for every program that uses libsa: what a shared object in the library's plugin folder implements. C11, and
 * C++ from C++17 on. It links nothing of libsa. docs/plugins.md begins with a whole plugin and has the rules of loading.
 *
 * A plugin exports one function, sa_heap_plugin_1(), which returns a table of functions. Each heap that describe() tells of is then
 * "PLUGIN:INSTANCE" for every program: PLUGIN is the file's name without ".so", INSTANCE what the plugin says.
 *
 * Results. A function that returns int returns 0, or -errno. The library believes nothing else: it looks at every descriptor as at
 * one that came from another process, and refuses what is not as it was said.
 *
 * Structures that the library fills or has filled begin with struct_size, which the library sets to what it knows of them. A plugin
 * that was compiled with a newer header touches nothing behind that.
 *
 * Threads. The library calls any function from any thread, several at once, and holds no lock meanwhile.
 *
 * fork(2). A child may call allocate() and describe() as its parent did. release() is called only in the process that allocated.
 *
 * exit(3). Nothing is called once the library's exit handler has run, which was registered when the plugin had been loaded: before
 * handlers and destructors that the plugin registered while it was loaded. Buffers that still live then are not released.
 *
 * No function may throw a C++ exception, or call the library.
 */
#ifndef SA_HEAP_PLUGIN_H
#define SA_HEAP_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Of this interface. A library that knows another one refuses the plugin. */
#define SA_HEAP_PLUGIN_VERSION 1

/** What memory is, as enum sa_trait of sa.h; sets of them are a uint32_t. */
enum sa_plugin_trait {
  SA_PLUGIN_DMABUF = 1 << 0,       /**< descriptors are dma-bufs; without it, memory files (memfd_create(2)) */
  SA_PLUGIN_CONTIGUOUS = 1 << 1,   /**< one physical run */
  SA_PLUGIN_CACHED = 1 << 2,       /**< CPU reads are cached */
  SA_PLUGIN_ZEROED = 1 << 3,       /**< fresh memory reads as zero */
  SA_PLUGIN_PHYS_ADDR = 1 << 4,    /**< allocate() tells the physical address */
  SA_PLUGIN_HUGE_PAGES = 1 << 5,   /**< backed by 2 MiB pages, as far as the kernel finds them */
  SA_PLUGIN_PROTECTED = 1 << 6,    /**< the CPU cannot map it */
  SA_PLUGIN_DEVICE_MEMORY = 1 << 7 /**< mapped without gathering or unaligned access: memset() may fault */
};

/** One heap, as describe() tells it. All is 0 when the function is called; texts are the plugin's and stay valid for ever. */
struct sa_plugin_heap {
  size_t struct_size;
  const char *instance;   /**< its name within the plugin: letters, digits and ,._+-@#, no ".." */
  const char *node;       /**< the device node it uses; NULL: none */
  const char *reason;     /**< why it cannot be used now, and the remedy; NULL: it can. allocate() may be called all the same */
  void *data;             /**< for allocate() and release(); stays valid for ever */
  uint32_t traits;        /**< enum sa_plugin_trait; true of every buffer */
  uint32_t reserved;      /**< 0 */
  uint64_t granularity;   /**< bytes, a multiple of the page size; requests are rounded up to a multiple. 0: the page size */
  uint64_t max_size;      /**< bytes, the largest request that can ever succeed. 0: as much as the machine has memory */
  uint64_t max_alignment; /**< bytes, a power of two: the largest alignment it can promise. 0: granularity */
  uint64_t max_address;   /**< bytes; all of its memory lies below that physical address. 0: not known */
};

/** What is asked of allocate(). What the heap's description rules out has been refused before. */
struct sa_plugin_request {
  size_t struct_size;
  size_t size;           /**< bytes, rounded up to a multiple of the granularity and of what devices need */
  const char *name;      /**< at most 31 bytes, "" for none. The library names a dma-buf itself */
  uint64_t alignment;    /**< bytes, a power of two: the device address is a multiple; at most max_alignment */
  uint64_t max_address;  /**< bytes; every physical address lies below. 0: anywhere */
  uint32_t max_segments; /**< physical runs at most; 1: contiguous. 0: any number */
  uint32_t reserved;
};

/** What allocate() made. All is 0 when the function is called, but the descriptor -1. */
struct sa_plugin_memory {
  size_t struct_size;
  /** A new dma-buf or memory file of at least the size that was asked for, open for reading and writing, with O_CLOEXEC; the
      library's from here on. It is the only one for this memory: no other living buffer has it. A memory file is sealed with
      F_SEAL_SHRINK or lets the library do so. */
  int fd;
  uint32_t reserved;
  uint64_t phys_addr; /**< bytes, above 0, with SA_PLUGIN_PHYS_ADDR */
  void *memory;       /**< for release() */
};

/** What a plugin is. The table and what it points to stay valid for ever. */
struct sa_heap_plugin {
  uint32_t version;   /**< SA_HEAP_PLUGIN_VERSION */
  uint32_t reserved;  /**< 0 */
  size_t struct_size; /**< sizeof(struct sa_heap_plugin) */

  /**
   * Tells of the heap of number @p index, from 0. Called when a program looks for heaps, and each time it looks again. A heap
   * that cannot be used now is told of with a reason, so that a person finds it; opening devices is better left to allocate().
   * As long as what it tells of an instance is the same, the data that it told first is used.
   * @return 0. -ENOENT: there are no more; at the latest for 64. Any other -errno: the whole plugin is refused.
   */
  int (*describe)(uint32_t index, struct sa_plugin_heap *heap);

  /**
   * Makes memory.
   * @param data     what describe() said
   * @param memory   filled on success alone
   * @param sentence on failure, a text for a person: what happened and what to do. An empty one: what the errno means
   * @param sentence_size bytes of @p sentence, its end included
   * @return 0, -ENOMEM for want of memory, or whatever -errno says best. A list of heaps ("cma|system", an alias) goes on to the
   *         next one after -ENOMEM, -EDQUOT, -ENOENT, -ENODEV, -EACCES, -EPERM and -EOPNOTSUPP, and ends at any other.
   */
  int (*allocate)(void *data, const struct sa_plugin_request *request, struct sa_plugin_memory *memory, char *sentence,
                  size_t sentence_size);

  /**
   * Told that the library has no longer what allocate() made, since the buffer has ended or the library refused it: its descriptor
   * is closed, or went to the program. Others may still have descriptors of the memory. NULL: the plugin need not know.
   */
  void (*release)(void *data, void *memory);
};

/** What a plugin exports. Any number of calls return the same. */
__attribute__((visibility("default"))) const struct sa_heap_plugin *sa_heap_plugin_1(void);

#ifdef __cplusplus
}
#endif

#endif
