/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Simple Allocator core: a region with its node, its limits and its buffers.
 */
#ifndef _SA_REGION_H
#define _SA_REGION_H

#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/uidgid.h>

#include "simple_allocator.h"

struct dentry;
struct dma_buf;
struct sa_heap;

/**
 * struct sa_region - a region, as the core keeps it
 * @dev:	its device; also counts the references to this structure
 * @cdev:	its node
 * @debug:	its folder in debugfs
 * @heap:	its dma-heap; NULL: it has none
 * @gate:	held for reading while a request runs, for writing to close
 * @sa:		the backend; NULL once it has gone. Under @gate.
 * @lock:	for everything below
 * @buffers:	live ones, struct sa_buffer
 * @users:	the bytes that each user holds, struct sa_user
 * @allocated:	bytes in live buffers
 * @count:	live buffers
 * @failures:	requests refused since the region came
 * @max_bytes_per_user: bytes one user may hold; 0: no limit
 */
struct sa_region {
	struct device dev;
	struct cdev cdev;
	struct dentry *debug;
	struct sa_heap *heap;
	struct rw_semaphore gate;
	struct simple_allocator *sa;
	struct mutex lock;
	struct list_head buffers;
	struct list_head users;
	u64 allocated;
	u64 count;
	u64 failures;
	u64 max_bytes_per_user;
};

/* The bytes of a region that one user holds. */
struct sa_user {
	struct list_head node;
	kuid_t uid;
	u64 bytes;
	u64 count;	/* charges; it lives as long as there is one */
};

/* The owner of a buffer, from its allocation to its release. */
struct sa_charge {
	struct sa_region *region;
	struct sa_user *user;
	u64 bytes;
};

/* quota.c */
int sa_charge(struct sa_charge *charge, struct sa_region *region, u64 bytes);
void sa_uncharge(struct sa_charge *charge);

/**
 * struct sa_buffer - a live buffer
 * @node:	in its region's list
 * @charge:	the user to whom it is charged
 * @sa:		its backend, whose module it holds
 * @memory:	its memory
 * @pid:	the process that allocated it
 * @comm:	that task's name
 * @inode:	of the dma-buf, as its users see it
 * @lock:	for everything below
 * @attachments: devices that use it
 * @vmap_count:	kernel mappings of it
 * @vaddr:	the kernel mapping
 */
struct sa_buffer {
	struct list_head node;
	struct sa_charge charge;
	struct simple_allocator *sa;
	struct sa_memory memory;
	pid_t pid;
	char comm[TASK_COMM_LEN];
	unsigned long inode;
	struct mutex lock;
	struct list_head attachments;
	unsigned int vmap_count;
	void *vaddr;
};

/* buffer.c */
struct dma_buf *sa_buffer_create(struct sa_region *region,
				 struct simple_allocator *sa, u64 length,
				 unsigned int flags);

/* core.c */
struct dma_buf *sa_region_allocate(struct sa_region *region, u64 length,
				   unsigned int flags);

/* heap.c */
#ifdef SA_HAS_DMA_HEAP_ADD
void sa_heap_add(struct sa_region *region, const char *name);
void sa_heap_remove(struct sa_region *region);
#else
static inline void sa_heap_add(struct sa_region *region, const char *name) {}
static inline void sa_heap_remove(struct sa_region *region) {}
#endif

/* sysfs.c */
extern const struct attribute_group *sa_region_groups[];

/* debugfs.c */
void sa_debug_init(void);
void sa_debug_exit(void);
void sa_debug_add(struct sa_region *region);

#endif /* _SA_REGION_H */
