// SPDX-License-Identifier: GPL-2.0-only
/*
 * Simple Allocator over CMA: memory straight from the region, by cma_alloc(). A
 * full region is -ENOMEM; nothing is taken from elsewhere.
 */
#include <linux/cma.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "cma.h"

/* The default region's name in mainline's CMA heap. */
#define SA_DEFAULT_HEAP	"default_cma_region"

/* Mappings for processors are encrypted as the pages are. */
int sa_cma_check(void)
{
	return 0;
}

int sa_cma_prepare(struct sa_cma *cma)
{
	struct device *dev = &cma->pdev->dev;

	cma->area = dev_get_cma_area(dev);
	if (!cma->area)
		return -ENODEV;
	/* The kernel's own heap has those names, and is there or can be loaded. */
	if (!IS_ENABLED(CONFIG_DMABUF_HEAPS_CMA))
		cma->sa.heap = cma->named ? cma_get_name(cma->area) :
					    SA_DEFAULT_HEAP;
	return dma_coerce_mask_and_coherent(dev, DMA_BIT_MASK(64));
}

/*
 * The zeros may be in the caches alone, and a device that writes less than the
 * buffer would leave what the last owner wrote. Where this is refused, no device
 * has the memory itself: what it writes is copied.
 */
static void sa_cma_flush(struct device *dev, struct page *page, size_t size)
{
	dma_addr_t address;

	if (dev_is_dma_coherent(dev))
		return;
	address = dma_map_page(dev, page, 0, size, DMA_TO_DEVICE);
	if (!dma_mapping_error(dev, address))
		dma_unmap_page(dev, address, size, DMA_TO_DEVICE);
}

int sa_cma_allocate(struct simple_allocator *sa, struct sa_memory *memory)
{
	struct sa_cma *cma = to_cma(sa);
	unsigned long i, count = memory->size >> PAGE_SHIFT;
	unsigned int order = min_t(unsigned int, get_order(memory->size),
				   CONFIG_CMA_ALIGNMENT);
	struct page *page;

	page = cma_alloc(cma->area, count, order, true);
	if (!page)
		return -ENOMEM;
	/* Gigabytes take a while, in which others run and a signal ends it. */
	for (i = 0; i < count; i++) {
		clear_highpage(page + i);
		if (fatal_signal_pending(current)) {
			cma_release(cma->area, page, count);
			return -EINTR;
		}
		cond_resched();
	}
	sa_cma_flush(&cma->pdev->dev, page, memory->size);
	memory->page = page;
	memory->phys = page_to_phys(page);
	return 0;
}

void sa_cma_free(struct simple_allocator *sa, struct sa_memory *memory)
{
	cma_release(to_cma(sa)->area, memory->page,
		    memory->size >> PAGE_SHIFT);
}
