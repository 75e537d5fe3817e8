/* SPDX-License-Identifier: MIT */
/**
 * @file heap_plugin.h
 * The interface of plugins: a shared object in the library's plugin folder adds heaps to every program that uses libsa.
 * C11, and C++ from C++17 on. A plugin does not link libsa. docs/plugins.md begins with a complete plugin and has the
 * rules of loading.
 *
 * A plugin exports one function, sa_heap_plugin_1(), which returns a table of functions. Each heap that its describe()
 * reports is then "PLUGIN:INSTANCE" for every program: PLUGIN is the file's name without ".so", INSTANCE is the name
 * that describe() gives.
 *
 * Results. A function that returns int returns 0, or -errno. The library checks every descriptor like one that came
 * from another process, and refuses memory that is not as the plugin described it.
 *
 * Structures. The library passes structures that begin with struct_size, the size in bytes that the library knows. A
 * plugin that was compiled with a newer header must not touch members behind that size.
 *
 * Threads. The library calls any function from any thread, several at once, and holds no lock meanwhile.
 *
 * fork(2). A child may call allocate() and describe() as its parent did. release() is called only in the process that allocated.
 *
 * exit(3). The library calls no function after its exit handler has run. It registers this handler after the plugin is
 * loaded, so it runs before the handlers and destructors that the plugin registered while it was loaded. Buffers that
 * live until then are not released.
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

/** The version of this interface. A library with another version refuses the plugin. */
#define SA_HEAP_PLUGIN_VERSION 1

/** One property of memory, as enum sa_trait of sa.h; sets of properties are a uint32_t. */
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

/** One heap, as describe() fills it in. All members are 0 when describe() is called. Texts are the plugin's, valid for ever. */
struct sa_plugin_heap {
  size_t struct_size;
  const char *instance;   /**< its name within the plugin: letters, digits and ,._+-@#, no ".." */
  const char *node;       /**< the device node it uses; NULL: none */
  const char *reason;     /**< why the heap cannot be used now, and the remedy; NULL: it can. allocate() may be called anyway */
  void *data;             /**< passed to allocate() and release(); stays valid for ever */
  uint32_t traits;        /**< enum sa_plugin_trait; properties that every buffer has */
  uint32_t reserved;      /**< 0 */
  uint64_t granularity;   /**< bytes, a multiple of the page size; requests are rounded up to a multiple. 0: the page size */
  uint64_t max_size;      /**< bytes, the largest request that can ever succeed. 0: the size of the machine's memory */
  uint64_t max_alignment; /**< bytes, a power of two: the largest alignment that the heap can promise. 0: granularity */
  uint64_t max_address;   /**< bytes; every physical address of its memory is lower. 0: not known */
};

/** A request to allocate(). The library has already refused requests that the heap's description rules out. */
struct sa_plugin_request {
  size_t struct_size;
  size_t size;           /**< bytes, rounded up to a multiple of the granularity and of the devices' demands */
  const char *name;      /**< at most 31 bytes, "" for none. The library names a dma-buf itself */
  uint64_t alignment;    /**< bytes, a power of two: the device address is a multiple; at most max_alignment */
  uint64_t max_address;  /**< bytes; every physical address is lower. 0: any address */
  uint32_t max_segments; /**< physical runs at most; 1: contiguous. 0: any number */
  uint32_t reserved;
};

/** Memory that allocate() made. When the function is called, fd is -1 and all other members are 0. */
struct sa_plugin_memory {
  size_t struct_size;
    /** A new dma-buf or memory file of at least the requested size, open for reading and writing, with O_CLOEXEC. The
      library owns it from here on. No other living buffer has the same memory. A memory file is sealed with
      F_SEAL_SHRINK, or can be sealed by the library. */
  int fd;
  uint32_t reserved;
  uint64_t phys_addr; /**< bytes, above 0, with SA_PLUGIN_PHYS_ADDR */
  void *memory;       /**< passed to release() */
};

/** The table of a plugin's functions. It, and all that it points to, stays valid for ever. */
struct sa_heap_plugin {
  uint32_t version;   /**< SA_HEAP_PLUGIN_VERSION */
  uint32_t reserved;  /**< 0 */
  size_t struct_size; /**< sizeof(struct sa_heap_plugin) */

  /*   * Describes the heap with number @p index, from 0. The library calls it when a program looks for heaps, and each time
   * that it looks again. Describe also a heap that cannot be used now, with a reason, so that a person finds it. Open
   * devices in allocate() rather than here. As long as the description of an instance stays the same, the library keeps
   * using the first description's data.
   * @return 0. -ENOENT: there are no more heaps; required at index 64 at the latest. Any other -errno: the library
   *   refuses the plugin.
   */
  int (*describe)(uint32_t index, struct sa_plugin_heap *heap);

  /**
   * Makes memory.
   * @param data     the heap's data from describe()
   * @param memory   filled in only on success
   * @param sentence on failure, a text for a person: the cause and the remedy. Empty: the library explains the errno instead
   * @param sentence_size bytes of @p sentence, its terminating zero included
   * @return 0. -ENOMEM: out of memory. Else the -errno that fits best. A list of heaps ("cma|system", an alias) goes on to the
   *         next one after -ENOMEM, -EDQUOT, -ENOENT, -ENODEV, -EACCES, -EPERM and -EOPNOTSUPP, and ends at any other.
   */
  int (*allocate)(void *data, const struct sa_plugin_request *request, struct sa_plugin_memory *memory, char *sentence,
                  size_t sentence_size);

  /**
   * Called when the library no longer holds memory from allocate(), because the buffer has ended or the library refused it: the
   * descriptor is closed, or belongs to the program now. Others may still have descriptors of the memory. NULL: no call.
   */
  void (*release)(void *data, void *memory);
};

/** The function that a plugin exports. Every call returns the same table. */
__attribute__((visibility("default"))) const struct sa_heap_plugin *sa_heap_plugin_1(void);

#ifdef __cplusplus
}
#endif

#endif
