/* SPDX-License-Identifier: MIT */
/**
 * @file sa.h
 * The C interface of libsa: it allocates buffers and pictures that devices can share, from any heap of the machine.
 * C11, and C++ from C++17 on, also without exceptions. Link libsa-c (pkg-config libsa-c).
 *
 *     int fd = sa_alloc_fd("cma|dma-heap:system", 3110400, "frame");
 *     if (fd < 0) {
 *       fprintf(stderr, "%s\n", sa_message());
 *     }
 *
 * Results. A function that returns int returns 0 or more on success, and -errno on failure; sa_message() is then a sentence for a
 * person. Other results go through a pointer. On failure a handle there is set to NULL, and a structure stays as it was.
 *
 * Handles. sa_heap, sa_dmabuf and sa_image are counted. A function that hands one out through `**out` gives the caller one
 * reference, which the unref function of that type gives back. A null handle is refused with EBADF; functions that return no error
 * return 0 or NULL for it, and unref functions do nothing.
 *
 * Texts are UTF-8 and end with a zero. The library borrows a text that it is given for the call. A text that it returns belongs to
 * the handle it was asked of and lives as long, unless its function says otherwise.
 *
 * Structures begin with struct_size, which their initialiser sets: SA_REQUEST_INIT for struct sa_request. A program that was
 * compiled with an older header keeps running: members that it does not know count as 0. A program that was compiled with a newer
 * header runs as long as members that this library does not know are 0; else it gets EOPNOTSUPP. A struct_size that is smaller than
 * the first version's is EINVAL.
 *
 * Threads. Any thread may call any function, also several threads on the same handle, as long as each holds a
 * reference. Two functions need a handle that no other thread uses: sa_dmabuf_set_name() and sa_image_set_layout().
 * Threads that use the same socket need a lock of their own.
 *
 * fork(2). Handles keep working in the child. A pool begins empty there: its free buffers stay the parent's. A buffer that both
 * processes hold is the same memory.
 */
#ifndef SA_SA_H
#define SA_SA_H

#include <stddef.h>
#include <stdint.h>

#include <sa/version.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SA_C_API __attribute__((visibility("default")))

/** A source of buffers: a heap of the machine, a list of heaps, or a pool around one. */
typedef struct sa_heap sa_heap;
/** One buffer. */
typedef struct sa_dmabuf sa_dmabuf;
/** One to four buffers and how a picture lies in them. */
typedef struct sa_image sa_image;

/** How the CPU, or a device, touches memory. */
enum sa_access { SA_READ = 1, SA_WRITE = 2, SA_READWRITE = 3 };

/** One property of memory; sets of them are a uint32_t. */
enum sa_trait {
  SA_TRAIT_DMABUF = 1 << 0,        /**< the descriptor is a real dma-buf: devices can import it */
  SA_TRAIT_CONTIGUOUS = 1 << 1,    /**< one physical run */
  SA_TRAIT_CACHED = 1 << 2,        /**< CPU reads are cached */
  SA_TRAIT_ZEROED = 1 << 3,        /**< fresh memory reads as zero */
  SA_TRAIT_PHYS_ADDR = 1 << 4,     /**< sa_dmabuf_phys() knows it */
  SA_TRAIT_HUGE_PAGES = 1 << 5,    /**< backed by 2 MiB pages, as far as the kernel finds them */
  SA_TRAIT_PROTECTED = 1 << 6,     /**< the CPU cannot map it */
  SA_TRAIT_DEVICE_MEMORY = 1 << 7  /**< mapped without gathering or unaligned access: memset() may fault */
};

/** Flags of sa_request. */
enum sa_alloc_flag { SA_PREFAULT = 1 /**< the first touch makes no page fault, where the memory allows it */ };

/** Flags of sa_heap_for_devices() and sa_image_choose(). */
enum sa_choose_flag {
  /** Proves the choice by real imports, which takes some milliseconds for each device and heap. The process remembers the answers.
      Meanwhile the VIDIOC_REQBUFS of another program on a V4L2 node fails with EBUSY. */
  SA_PROBE = 1
};

/* --- version ------------------------------------------------------------------------------------------------------------ */

/**
 * The version of the library that is loaded, "MAJOR.MINOR.PATCH"; SA_VERSION of sa/version.h is the one that the program was compiled
 * with.
 * @return valid for ever
 */
SA_C_API const char *sa_version(void);

/* --- failures and log --------------------------------------------------------------------------------------------------- */

/**
 * The sentence of this thread's last call that failed: the request, the heap, the kernel's answer and the remedy.
 * @return valid until this thread's next call that fails; "" before the first
 */
SA_C_API const char *sa_message(void);

/** Levels of the log, as in syslog(3). */
enum sa_log_level { SA_LOG_WARNING = 4, SA_LOG_DEBUG = 7 };

/**
 * Sends the library's log to @p log instead of standard error.
 * @param log  called from any thread, while no lock of the library is held; it may call the library. NULL: standard error again, at
 *             the level that the environment variable SA_LOG names
 * @param data the first argument of @p log
 * @param most the most detailed level that is sent: SA_LOG_WARNING, or SA_LOG_DEBUG for both
 *
 * Another thread may still be in the former function when this returns. So set the log before other threads use the library, and
 * keep @p data for ever.
 * @return 0. -EINVAL: no such level. -ENOMEM.
 */
SA_C_API int sa_set_log(void (*log)(void *data, int level, const char *sentence), void *data, int most);

/* --- heaps -------------------------------------------------------------------------------------------------------------- */

/** The properties of a heap. Its texts live as long as the heap; in a function given to sa_heap_list(), as long as the call. */
struct sa_heap_info {
  size_t struct_size;
  const char *name;       /**< "dma-heap:system"; an alias, or names with "|" between them */
  const char *backend;    /**< "memfd", "udmabuf", "dma-heap", "ion", "cma", "carveout", "drm"; "alias" for an alias or a list */
  const char *node;       /**< the device node; "" where there is none */
  const char *reason;     /**< why the heap is not usable, and the remedy; "" when it is usable */
  uint32_t traits;        /**< properties of its memory, enum sa_trait */
  uint32_t usable;        /**< 1: an allocation could succeed when the library last looked; else 0 */
  uint64_t granularity;   /**< bytes; sizes are rounded up to a multiple */
  uint64_t max_size;      /**< bytes, the largest request that can ever succeed, as far as the kernel tells */
  uint64_t max_alignment; /**< bytes, the largest alignment it can promise; 0: granularity */
  uint64_t max_address;   /**< bytes; every physical address of its memory is lower; 0: not known */
};
#define SA_HEAP_INFO_INIT { sizeof(struct sa_heap_info), NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0 }

/** Looks for heaps again: modules are loaded, permissions change. Handles of heaps keep working.
 *  @return 0. -ENOMEM. */
SA_C_API int sa_refresh(void);

/**
 * Calls @p each for every heap of the machine, also for heaps that cannot be used.
 * @param each returns 0 to go on; anything else ends the list
 * @param data the first argument of @p each
 * @return 0, or what @p each returned last. -EINVAL: @p each is NULL. -ENOMEM.
 */
SA_C_API int sa_heap_list(int (*each)(void *data, const struct sa_heap_info *info), void *data);

/**
 * Finds a heap by name.
 * @param heap "backend:instance", or an alias ("system", "dma-buf", "cma", "contiguous", and those of the configuration), or several
 *             names with "|" between them. An allocation from several tries them in their order, and moves on when one is absent,
 *             is not permitted, lacks a demanded property or is out of memory. NULL: "dma-buf", any memory that devices can import.
 * @param out the heap
 * @return 0. -ENOENT: there is no such heap; the sentence lists the heaps that there are. -EINVAL: a malformed name. -ENOMEM.
 */
SA_C_API int sa_heap_find(const char *heap, sa_heap **out);

/**
 * Makes a heap for devices. It tries the heaps whose memory all devices can import, best first, and hands each the demands of the
 * devices. A heap that is not known to serve is tried only where no heap is known to.
 * @param nodes       paths, "/dev/video0", "/dev/dri/card0". Set the format of a camera before (VIDIOC_S_FMT).
 * @param count       number of @p nodes; 0: any memory
 * @param constraints further demands, as in sa_request; NULL: none
 * @param flags       0 or SA_PROBE
 * @param out the heap
 * @return 0. -EOPNOTSUPP: no heap serves all devices; the sentence has the reason for each. -EINVAL: demands that contradict each
 *         other, unknown flags. -ENODEV, -ENOENT, -EACCES, ...: a node that cannot be opened. -ENOMEM.
 */
SA_C_API int sa_heap_for_devices(const char *const *nodes, size_t count, const char *constraints, uint32_t flags, sa_heap **out);

/** When a pool may use a buffer again whose descriptor was taken (sa_dmabuf_fd() and others). */
enum sa_recycle {
  /** Reuses such a buffer when the pool is its last holder and no device works on it. The kernel tells this for dma-heaps, ION,
      udmabuf and this project's modules. Every other buffer whose descriptor was taken or sent is freed: memfd, DRM, a carveout
      through /dev/mem. */
  SA_RECYCLE_WHEN_UNSHARED = 0,
  /** Always reuses the buffer, for a program that queues the same buffers to the same device all the time. A device or process
      that still has the descriptor sees and changes the contents that the next user writes. */
  SA_RECYCLE_ALWAYS = 1
};

/** How a pool keeps buffers. */
struct sa_pool_options {
  size_t struct_size;
  uint64_t max_free_bytes; /**< bytes that the pool keeps at most, reserved buffers included; 0: 256 MiB */
  uint32_t max_age_ms;     /**< milliseconds; the pool frees a free buffer that is older. 0: 10 seconds. UINT32_MAX: never */
  uint32_t recycle;        /**< enum sa_recycle */
  uint32_t zero;           /**< 1: a buffer is zeroed before it is used again; 0: it keeps the contents of its last user */
  uint32_t reserved;       /**< 0 */
};
#define SA_POOL_OPTIONS_INIT { sizeof(struct sa_pool_options), 0, 0, 0, 0, 0 }

/** Counts of a pool. Each number is exact while no other thread uses the pool. */
struct sa_pool_statistics {
  size_t struct_size;
  uint64_t hits;         /**< allocations served by a free buffer */
  uint64_t misses;       /**< allocations that went to the heap and succeeded */
  uint64_t live;         /**< buffers in use */
  uint64_t free_buffers; /**< buffers kept free */
  uint64_t set_aside;    /**< buffers that had another holder when they came back, and are kept to be checked again */
  uint64_t free_bytes;   /**< bytes of free_buffers and set_aside */
  uint64_t freed_shared; /**< freed, not kept: perhaps still held elsewhere */
  uint64_t freed_full;   /**< freed, not kept: no room under max_free_bytes */
  uint64_t freed_old;    /**< kept free, then given back for its age */
};
#define SA_POOL_STATISTICS_INIT { sizeof(struct sa_pool_statistics), 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/**
 * Makes a pool around a heap. It keeps the buffers that its users give back, with mapping and descriptor, and hands them out again.
 * @param heap    the pool takes a reference of its own
 * @param options NULL: as SA_POOL_OPTIONS_INIT
 * @param out the pool, a heap
 * @return 0. -EINVAL: an option out of range. -ENOMEM.
 */
SA_C_API int sa_heap_pool(sa_heap *heap, const struct sa_pool_options *options, sa_heap **out);

struct sa_request;

/**
 * Allocates @p count buffers now, and keeps them free for requests with the same rounded size, constraints, traits and
 * flags; names may differ. A program reserves at its start the buffers that it will need from a region that fragments
 * (CMA). All are allocated, or none. For pictures reserve each of sa_layout.sizes.
 * @param pool from sa_heap_pool()
 * @param count number of buffers
 * @param request of each of them
 * @return 0. -EOPNOTSUPP: no pool, or its buffers cannot be kept. -ENOMEM: more than max_free_bytes, or the memory ran out. Else
 *         as sa_dmabuf_alloc().
 */
SA_C_API int sa_heap_reserve(sa_heap *pool, size_t count, const struct sa_request *request);

/** Frees the buffers that a pool keeps, reserved ones too. @return 0. -EOPNOTSUPP: no pool. */
SA_C_API int sa_heap_trim(sa_heap *pool);

/** Tells the counts of a pool. @return 0. -EOPNOTSUPP: no pool. -EINVAL: @p out */
SA_C_API int sa_heap_statistics(const sa_heap *pool, struct sa_pool_statistics *out);

/** Tells the properties of a heap. @return 0. -EINVAL: @p out */
SA_C_API int sa_heap_get_info(const sa_heap *heap, struct sa_heap_info *out);

/** Adds a reference to a heap. @return @p heap */
SA_C_API sa_heap *sa_heap_ref(sa_heap *heap);
/** Gives a reference to a heap back. Buffers of the heap stay valid. */
SA_C_API void sa_heap_unref(sa_heap *heap);

/* --- buffers ------------------------------------------------------------------------------------------------------------ */

/** A request for a buffer. */
struct sa_request {
  size_t struct_size;
  size_t size;             /**< bytes, above 0; rounded up to the heap's granularity */
  const char *name;        /**< at most 31 bytes, no control characters; lists of dma-bufs show it. NULL: none */
  /** Demands on the memory: words with commas between them, "contiguous,max-address=4G". NULL: none.
        contiguous, segments=N, align=BYTES, size-align=BYTES, max-address=BYTES (every address is lower), cached, uncached,
        coherent (no begin and end are needed), dma-buf, protected
      BYTES is decimal or 0x hexadecimal, with K, M, G for powers of 1024. */
  const char *constraints;
  uint32_t require;        /**< traits that the memory must have, enum sa_trait */
  uint32_t flags;          /**< 0 or SA_PREFAULT */
};
#define SA_REQUEST_INIT { sizeof(struct sa_request), 0, NULL, NULL, 0, 0 }

/**
 * Allocates a buffer as a bare descriptor: one call in place of a class around one heap.
 * @param heap as in sa_heap_find()
 * @param size bytes, above 0
 * @param name as in sa_request; NULL: none
 * @return the descriptor, to be closed by the caller. Else as sa_heap_find() and sa_dmabuf_alloc(). -EOPNOTSUPP: the memory has no
 *         descriptor that a device could take.
 */
SA_C_API int sa_alloc_fd(const char *heap, size_t size, const char *name);

/**
 * Allocates a buffer.
 * @return 0. -EINVAL: size 0, malformed constraints, unknown flags, a control character in the name. -ENAMETOOLONG: the name.
 *         -EOPNOTSUPP: a trait or a constraint that the heap cannot promise. -ENOMEM: the memory ran out, or more than max_size.
 *         -EDQUOT: a limit. -EACCES, -EPERM: the node. -ENOENT, -ENODEV: no such device. -EMFILE, -ENFILE: descriptors ran out.
 */
SA_C_API int sa_dmabuf_alloc(sa_heap *heap, const struct sa_request *request, sa_dmabuf **out);

/**
 * Takes a buffer from elsewhere: a dma-buf, or a memfd that is sealed against shrinking. A memfd that can be sealed is sealed. Any
 * other file is refused.
 * @param fd owned by the library from here on, closed when it is refused
 * @param out the buffer
 * @return 0. -EBADF: no descriptor. -EINVAL: no such file, or of size 0, or another user's memfd of huge pages. -ENOMEM.
 */
SA_C_API int sa_dmabuf_import(int fd, sa_dmabuf **out);

/** Adds a reference to a buffer. @return @p buffer */
SA_C_API sa_dmabuf *sa_dmabuf_ref(sa_dmabuf *buffer);
/** Gives a reference to a buffer back; with the last one the memory is freed, or goes back to its pool. End CPU accesses before. */
SA_C_API void sa_dmabuf_unref(sa_dmabuf *buffer);

/** The descriptor of a buffer. @return borrowed, valid while the buffer lives. -EOPNOTSUPP: the memory has none that a device could
 *  take (a carveout through /dev/mem) */
SA_C_API int sa_dmabuf_fd(const sa_dmabuf *buffer);
/** Duplicates the descriptor of a buffer. @return a descriptor that the caller closes. -EOPNOTSUPP as sa_dmabuf_fd(). -EMFILE. */
SA_C_API int sa_dmabuf_dup(const sa_dmabuf *buffer);
/** The memory file behind a buffer: the descriptor itself on memfd heaps, the file that the dma-buf was made from on udmabuf heaps.
 *  Programs that know no dma-bufs can read, write and map it.
 *  @return borrowed, valid while the buffer lives. -EOPNOTSUPP: there is none */
SA_C_API int sa_dmabuf_memfd(const sa_dmabuf *buffer);

/** The size of a buffer in bytes: that of the request, rounded up. */
SA_C_API size_t sa_dmabuf_size(const sa_dmabuf *buffer);
/** The properties of a buffer, enum sa_trait. */
SA_C_API uint32_t sa_dmabuf_traits(const sa_dmabuf *buffer);
/** The heap that made a buffer, in this process; "import" for a buffer from elsewhere. */
SA_C_API const char *sa_dmabuf_heap(const sa_dmabuf *buffer);
/** The heap that the sender of a received buffer names; the library cannot check it. For every other buffer as sa_dmabuf_heap(). */
SA_C_API const char *sa_dmabuf_claimed_heap(const sa_dmabuf *buffer);
/** The name of a buffer; "" for none. Valid until sa_dmabuf_set_name(). */
SA_C_API const char *sa_dmabuf_name(const sa_dmabuf *buffer);
/** Names a buffer, here and, where the kernel can, in its list of dma-bufs. NULL: no name.
 *  @return 0. -ENAMETOOLONG: over 31 bytes. -EINVAL: a control character. */
SA_C_API int sa_dmabuf_set_name(sa_dmabuf *buffer, const char *name);
/** The physical address of a buffer.
 *  @param buffer borrowed
 *  @param out bytes. @return 0. -EOPNOTSUPP: not known. */
SA_C_API int sa_dmabuf_phys(const sa_dmabuf *buffer, uint64_t *out);
/** The identity of the memory on this machine: two numbers that are the same for each descriptor of it in each process (st_dev and
 *  st_ino of stat(2)), and unique among buffers that some process holds.
 *  @return 0. -EOPNOTSUPP: memory without a descriptor of its own. */
SA_C_API int sa_dmabuf_id(const sa_dmabuf *buffer, uint64_t *device, uint64_t *inode);

/**
 * Maps a buffer, once, without cache maintenance: the caller brackets its accesses by sa_dmabuf_begin() and sa_dmabuf_end().
 * @param buffer borrowed
 * @param access enum sa_access
 * @param out    the first byte; valid as long as the buffer lives
 * @return 0. -EACCES: SA_WRITE on a read-only buffer. -EINVAL: no such access. -ENOMEM, -EPERM: as mmap(2) reports.
 */
SA_C_API int sa_dmabuf_map(sa_dmabuf *buffer, int access, void **out);
/** Maps a buffer and begins CPU access (DMA_BUF_IOCTL_SYNC; no system call on memory that is always coherent). It waits without end
 *  for devices that use the buffer in a conflicting way; call sa_dmabuf_wait() before for a bound. Accesses may overlap.
 *  @param buffer borrowed
 *  @param access enum sa_access
 *  @param out the first byte; may be NULL
 *  @return as sa_dmabuf_map() */
SA_C_API int sa_dmabuf_begin(sa_dmabuf *buffer, int access, void **out);
/** Ends CPU access, before a device gets the buffer. An end without a begin is not noticed.
 *  @param buffer borrowed
 *  @param access as in sa_dmabuf_begin() @return 0. -EACCES, -EINVAL. */
SA_C_API int sa_dmabuf_end(sa_dmabuf *buffer, int access);

/**
 * Waits for devices that work on a buffer: SA_READ for those that write, the others for all.
 * @param buffer borrowed
 * @param access enum sa_access, that of the caller
 * @param timeout_ms milliseconds, 0: only looks
 * @return 0. -ETIMEDOUT. -EOPNOTSUPP: no dma-buf, which has no fences. -EINVAL: negative.
 */
SA_C_API int sa_dmabuf_wait(sa_dmabuf *buffer, int access, int timeout_ms);
/** Exports the fences for which a new @p access would have to wait. @return a sync_file, which the caller closes. -EOPNOTSUPP: not a
 *  dma-buf, or a kernel before 6.0 */
SA_C_API int sa_dmabuf_export_fence(sa_dmabuf *buffer, int access);
/** Adds a fence to a buffer: others wait for it as for an @p access of a device.
 *  @param buffer borrowed
 *  @param access enum sa_access, that of the device
 *  @param sync_file borrowed
 *  @return 0. -EOPNOTSUPP as above. -EINVAL: no sync_file. */
SA_C_API int sa_dmabuf_import_fence(sa_dmabuf *buffer, int access, int sync_file);

/**
 * Sends a buffer over a Unix socket of type SEQPACKET or STREAM. The sender keeps its reference; the message keeps the memory alive
 * too. Never raises SIGPIPE.
 * @return 0. -EAGAIN: a full non-blocking socket, and nothing was sent. -EPIPE, -ECONNRESET, ...: as sendmsg(2) reports.
 */
SA_C_API int sa_dmabuf_send(int socket, const sa_dmabuf *buffer);
/**
 * Receives a buffer. Its size and properties are derived from the descriptor, not from the sender's words.
 * @return 0. -EAGAIN: nothing there on a non-blocking socket. -ECONNRESET: the peer closed. -EPROTONOSUPPORT: another version.
 *         -EBADMSG: no such message. -EPROTO: one in pieces on a non-blocking stream. -EINVAL: a descriptor that
 *         sa_dmabuf_import() refuses.
 */
SA_C_API int sa_dmabuf_receive(int socket, sa_dmabuf **out);

/* --- pictures ----------------------------------------------------------------------------------------------------------- */

/** How the pixels of one plane lie in a row. */
struct sa_format_plane {
  uint8_t bytes;  /**< size of a group of samples, bytes */
  uint8_t pixels; /**< samples of this plane, side by side, in a group */
  uint8_t hsub;   /**< pixels of the picture, side by side, that share one sample of this plane */
  uint8_t vsub;   /**< the same, one above the other */
};

/** A pixel format. Its texts live for ever. */
struct sa_format {
  size_t struct_size;
  const char *name;      /**< "NV12", "XRGB8888", "SRGGB8" */
  const char *gstreamer; /**< GstVideoFormat's name; "": there is none */
  uint32_t drm;          /**< code in drm_fourcc.h; 0: none */
  uint32_t v4l2;         /**< code in linux/videodev2.h, all planes in one buffer; 0: none */
  uint32_t v4l2_split;   /**< the same, a buffer for each plane ("NM12"); 0: none */
  uint32_t plane_count;  /**< 1 to 4 */
  struct sa_format_plane planes[4];
};
#define SA_FORMAT_INIT { sizeof(struct sa_format), NULL, NULL, 0, 0, 0, 0, { { 0, 0, 0, 0 }, { 0, 0, 0, 0 }, { 0, 0, 0, 0 }, { 0, 0, 0, 0 } } }

/** Finds a format by its name, GStreamer's name, or a code behind "drm:" or "v4l2:" ("drm:RG16").
 *  @return 0. -ENOENT: there is none. -EINVAL: @p out */
SA_C_API int sa_format_find(const char *name, struct sa_format *out);
/** Finds a format by its code in drm_fourcc.h. @return as sa_format_find() */
SA_C_API int sa_format_find_drm(uint32_t code, struct sa_format *out);
/** Finds a format by its code in linux/videodev2.h, of one buffer or of several. @return as sa_format_find() */
SA_C_API int sa_format_find_v4l2(uint32_t code, struct sa_format *out);
/** Calls @p each for every format, until it returns something else than 0. @return 0, or that. -EINVAL: @p each is NULL */
SA_C_API int sa_format_list(int (*each)(void *data, const struct sa_format *format), void *data);

/** Where one plane lies. */
struct sa_plane {
  uint32_t buffer;       /**< which of the image's buffers, from 0 */
  uint32_t stride;       /**< bytes from one row to the next */
  uint32_t rows;         /**< rows for which there is room */
  uint32_t row_bytes;    /**< visible bytes of a row; the library writes it and never reads it */
  uint32_t visible_rows; /**< visible rows; likewise */
  uint32_t reserved;     /**< 0 */
  uint64_t offset;       /**< bytes from the beginning of the buffer to the first row */
};

/** How a picture lies in its buffers. */
struct sa_layout {
  size_t struct_size;
  const char *format;      /**< any name that sa_format_find() knows; the library writes sa_format.name, which lives for ever */
  uint32_t width;          /**< visible pixels, 1 to 65535 */
  uint32_t height;         /**< likewise */
  uint64_t modifier;       /**< drm_fourcc.h; 0: linear */
  uint32_t plane_count;    /**< planes of the format; the library writes it and never reads it */
  uint32_t buffer_count;   /**< buffers that have a size; likewise */
  struct sa_plane planes[4];
  uint64_t sizes[4];       /**< bytes of each buffer at least; 0: no such buffer */
  uint8_t primaries;       /**< the colours, by the tables of ITU-T H.273; 2: not said */
  uint8_t transfer;
  uint8_t matrix;
  uint8_t full_range;      /**< 1: black and white are the ends of the range; 0: 16 to 235, or not said */
  uint8_t reserved[4];     /**< 0 */
};
#define SA_PLANE_INIT_ { 0, 0, 0, 0, 0, 0, 0 }
#define SA_LAYOUT_INIT { sizeof(struct sa_layout), NULL, 0, 0, 0, 0, 0, { SA_PLANE_INIT_, SA_PLANE_INIT_, SA_PLANE_INIT_, SA_PLANE_INIT_ }, { 0, 0, 0, 0 }, 2, 2, 2, 0, { 0, 0, 0, 0 } }

/**
 * Makes the smallest layout of a picture that obeys a rule.
 * @param format a name of the table, "NV12"
 * @param width pixels
 * @param height pixels
 * @param rule words with commas between them, "stride-align=256,buffers=one"; NULL: none. docs/images.md lists them ("Rules").
 * @param out the layout
 * @return 0. -EINVAL: a size out of range, a malformed rule, or a picture that cannot be laid out so. -ENOENT: the format.
 */
SA_C_API int sa_layout_make(const char *format, uint32_t width, uint32_t height, const char *rule, struct sa_layout *out);
/** Reads the one line of text that sa_layout_text() writes. @return 0. -EINVAL: names the word that is wrong */
SA_C_API int sa_layout_parse(const char *text, struct sa_layout *out);
/** Writes a layout as one line, "NV12 1920x1080 planes=0+0/1920*1080,0+2073600/1920*540 sizes=3110400".
 *  @param layout borrowed
 *  @param text may be NULL for @p size 0; ends with a zero, cut off where @p size bytes are too few
 *  @param size bytes that @p text has
 *  @return the length without the zero, as snprintf(3). -EINVAL: a layout that cannot be */
SA_C_API int sa_layout_text(const struct sa_layout *layout, char *text, size_t size);

/** A request for a picture. */
struct sa_image_request {
  size_t struct_size;
  uint32_t width;          /**< visible pixels, 1 to 65535 */
  uint32_t height;         /**< likewise */
  const char *formats;     /**< names with "|" between them, preferred first: "NV12|XRGB8888". NULL: any that all devices share */
  const char *constraints; /**< demands on the memory, as in sa_request; NULL: none */
  uint32_t require;        /**< traits that the memory must have, enum sa_trait */
  uint32_t flags;          /**< 0 or SA_PROBE */
};
#define SA_IMAGE_REQUEST_INIT { sizeof(struct sa_image_request), 0, 0, NULL, NULL, 0, 0 }

/**
 * Chooses format, layout and heap together for a picture that all devices take. It asks the devices for their demands
 * (VIDIOC_TRY_FMT, the planes of a display), which changes nothing there. Call it once, at the start.
 * @param nodes  as in sa_heap_for_devices(), @p count of them; without any the layout is the smallest one
 * @param count number of @p nodes
 * @param request the size of the picture, and the formats to choose from
 * @param layout the chosen layout
 * @param heap   a heap for pictures of this layout, for sa_image_alloc() or a pool; it tries the heaps that serve, best first
  * @return 0. -EOPNOTSUPP: no choice serves all devices; the sentence has the reason for each format and heap, with a width that
 *         fits if only the width does not. -ENOENT: a format that is not known. -EINVAL: a size out of range, demands that
 *         contradict each other. -ENODEV, -EACCES, ...: a node that cannot be asked. -ENOMEM.
 */
SA_C_API int sa_image_choose(const char *const *nodes, size_t count, const struct sa_image_request *request,
                             struct sa_layout *layout, sa_heap **heap);

/**
 * Allocates a picture of that layout: all of its buffers, or none.
 * @param heap from sa_image_choose(), a pool around that, or any other
 * @param layout of the picture
 * @param name of its buffers, as in sa_request; NULL: none
 * @param out the picture
 * @return 0. -EINVAL: a layout that cannot be. Else as sa_dmabuf_alloc().
 */
SA_C_API int sa_image_alloc(sa_heap *heap, const struct sa_layout *layout, const char *name, sa_image **out);

/**
 * Puts buffers and a layout together.
 * @param layout of the picture
 * @param buffers the image takes references of its own
 * @param count   number of @p buffers, as many as the layout has
 * @param out the picture
 * @return 0. -EINVAL: a layout that cannot be, more or fewer buffers, or one that is too small. -EBADF: a null one. -ENOMEM.
 */
SA_C_API int sa_image_import(const struct sa_layout *layout, sa_dmabuf *const *buffers, size_t count, sa_image **out);

/** Adds a reference to an image. @return @p image */
SA_C_API sa_image *sa_image_ref(sa_image *image);
/** Gives a reference to an image back; with the last one its buffers are given back. End CPU accesses before. */
SA_C_API void sa_image_unref(sa_image *image);

/** Tells how a picture lies. @return 0. -EINVAL: @p out */
SA_C_API int sa_image_get_layout(const sa_image *image, struct sa_layout *out);
/** Changes how a picture lies in its buffers: a driver begins its pixels later, the stream of a decoder has changed.
 *  @return 0. -EINVAL: as sa_image_import(); the layout stays as it was */
SA_C_API int sa_image_set_layout(sa_image *image, const struct sa_layout *layout);
/** A buffer of a picture.
 *  @param image borrowed
 *  @param index from 0 @return borrowed from the image; NULL: there is no such buffer */
SA_C_API sa_dmabuf *sa_image_buffer(const sa_image *image, unsigned index);

/** Maps all buffers of a picture and begins CPU access to them, as sa_dmabuf_begin().
 *  @param image borrowed
 *  @param access enum sa_access
 *  @param planes set to the first row of each plane of the format, and to NULL behind the last. Row n of a plane lies n strides
 *                further; sa_plane.row_bytes of it are visible.
 *  @return as sa_dmabuf_map(); on failure no access lasts */
SA_C_API int sa_image_begin(sa_image *image, int access, void *planes[4]);
/** Ends CPU access to all buffers of a picture. @return 0. When one fails, the first failure; the others are ended all the same */
SA_C_API int sa_image_end(sa_image *image, int access);

/** Sends a picture in one message, as sa_dmabuf_send().
 *  @param socket borrowed
 *  @param image borrowed
 *  @param number for the receiver: the number of a frame, or of a slot
 *  @return as sa_dmabuf_send() */
SA_C_API int sa_image_send(int socket, const sa_image *image, uint64_t number);
/** Receives a picture.
 *  @param socket borrowed
 *  @param out the picture
 *  @param number set to the sender's; may be NULL
 *  @return as sa_dmabuf_receive(). -EBADMSG: also a buffer without a layout, or a layout that does not fit its buffers */
SA_C_API int sa_image_receive(int socket, sa_image **out, uint64_t *number);

#ifdef __cplusplus
}
#endif

#endif
