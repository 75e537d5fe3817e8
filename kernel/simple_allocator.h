/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Simple Allocator: the interface between a backend and the core.
 *
 * A backend owns regions of physically contiguous memory and registers each of
 * them. The core gives a region its device node, checks requests, keeps the
 * limits and makes the dma-bufs.
 */
#ifndef _SIMPLE_ALLOCATOR_H
#define _SIMPLE_ALLOCATOR_H

#include <linux/module.h>
#include <linux/types.h>

struct page;
struct simple_allocator;
struct sa_region;

/**
 * struct sa_memory - one physically contiguous piece of a region
 * @phys:	physical address
 * @page:	first page; NULL where the memory has no struct page
 * @size:	bytes, a multiple of PAGE_SIZE
 * @address:	the backend's: where its device has it
 */
struct sa_memory {
	phys_addr_t phys;
	struct page *page;
	size_t size;
	dma_addr_t address;
};

/**
 * struct simple_allocator - a region, as its backend describes it
 * @name:	name of the device node, "cma0"
 * @label:	the owner's name of it; NULL: only @name
 * @heap:	the name of its dma-heap, where the kernel lets modules add
 *		any; NULL: none
 * @owner:	the backend's module; cannot be unloaded while a buffer lives
 * @size:	bytes; 0 where the kernel does not tell. A request for more fails
 *		with ENOMEM.
 * @cached:	memory without struct pages may be cached: the caches of all
 *		processors are coherent with all DMA
 * @allocate:	makes @memory->size bytes of zeroed memory, fills the rest; may
 *		sleep, may run at once in several tasks
 * @free:	gives it back; may sleep
 * @largest_free: bytes of the largest free piece; NULL where it is not known
 * @region:	the core's
 *
 * Lives until simple_allocator_unregister() and the last of its buffers.
 */
struct simple_allocator {
	const char *name;
	const char *label;
	const char *heap;
	struct module *owner;
	u64 size;
	bool cached;
	int (*allocate)(struct simple_allocator *sa, struct sa_memory *memory);
	void (*free)(struct simple_allocator *sa, struct sa_memory *memory);
	u64 (*largest_free)(struct simple_allocator *sa);
	struct sa_region *region;
};

int simple_allocator_register(struct simple_allocator *sa);
void simple_allocator_unregister(struct simple_allocator *sa);

#endif /* _SIMPLE_ALLOCATOR_H */
