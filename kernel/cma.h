/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Simple Allocator over CMA: a region, and the two ways to its memory. Kbuild
 * takes cma_area.c where the kernel exports cma_alloc(), and else cma_dma.c.
 */
#ifndef _SA_CMA_H
#define _SA_CMA_H

#include <linux/platform_device.h>

#include "simple_allocator.h"

struct cma;

/**
 * struct sa_cma - a CMA region
 * @sa:		what the core has of it
 * @pdev:	the device that the kernel gives the region to
 * @area:	the region, as the kernel has it; in cma_area.c alone
 * @name:	of the device node
 * @base:	of a region with a known range, else 0
 * @end:	of the range
 * @named:	by a node in the device tree; else it is the default region
 * @reserved:	to be released when it goes
 */
struct sa_cma {
	struct simple_allocator sa;
	struct platform_device *pdev;
	struct cma *area;
	char name[16];
	phys_addr_t base;
	phys_addr_t end;
	bool named;
	bool reserved;
};

static inline struct sa_cma *to_cma(struct simple_allocator *sa)
{
	return container_of(sa, struct sa_cma, sa);
}

/* Whether this way works here: 0, or a negative errno after it said why. */
int sa_cma_check(void);

/*
 * Makes ready what the device has been given. -ENODEV: there is no default
 * region.
 */
int sa_cma_prepare(struct sa_cma *cma);

int sa_cma_allocate(struct simple_allocator *sa, struct sa_memory *memory);
void sa_cma_free(struct simple_allocator *sa, struct sa_memory *memory);

#endif /* _SA_CMA_H */
