// SPDX-License-Identifier: GPL-2.0-only
/*
 * Simple Allocator over CMA: memory through dma_alloc_pages() of a device of
 * ours, for kernels that do not export cma_alloc().
 *
 * dma_alloc_pages() takes other memory when the region is exhausted, and for
 * single pages of the default region always. Where the region's range is known,
 * because it is in the device tree, such memory is refused, and single pages
 * come from the region too.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/dma-mapping.h>
#include <linux/mm.h>

#include "cma.h"
#include "compat.h"

static unsigned int dma_bits = 32;
module_param(dma_bits, uint, 0444);
MODULE_PARM_DESC(dma_bits, "bits of the addresses that memory of the default region may have, where it comes from elsewhere: 32 to 64");

int sa_cma_check(void)
{
	if (dma_bits < 32 || dma_bits > 64) {
		pr_err("dma_bits=%u must be 32 to 64\n", dma_bits);
		return -EINVAL;
	}
	/* The pages would be decrypted, and mappings for processors not. */
	if (sa_memory_encrypted()) {
		pr_err("this machine's memory is encrypted; use a dma-heap\n");
		return -EOPNOTSUPP;
	}
	return 0;
}

int sa_cma_prepare(struct sa_cma *cma)
{
	struct device *dev = &cma->pdev->dev;

	/* The largest piece that the page allocator gives. */
	if (!IS_ENABLED(CONFIG_DMA_CMA))
		cma->sa.size = (u64)MAX_ORDER_NR_PAGES << PAGE_SHIFT;
	dma_set_max_seg_size(dev, UINT_MAX);
	return dma_coerce_mask_and_coherent(dev, DMA_BIT_MASK(cma->named ? 64 :
							      dma_bits));
}

int sa_cma_allocate(struct simple_allocator *sa, struct sa_memory *memory)
{
	struct sa_cma *cma = to_cma(sa);
	struct device *dev = &cma->pdev->dev;
	gfp_t gfp = GFP_KERNEL | __GFP_NOWARN;
	struct page *page;

	/*
	 * Of a known range nothing else will do: the page allocator, which is
	 * asked next, shall not search for what is given back at once. Of the
	 * default region its pages count for the task's control group.
	 */
	gfp |= cma->end ? __GFP_NORETRY : __GFP_RETRY_MAYFAIL | __GFP_ACCOUNT;
	page = dma_alloc_pages(dev, memory->size, &memory->address,
			       DMA_TO_DEVICE, gfp);
	if (!page)
		return -ENOMEM;
	memory->page = page;
	memory->phys = page_to_phys(page);
	if (cma->end && (memory->phys < cma->base ||
			 memory->phys + memory->size > cma->end)) {
		dma_free_pages(dev, memory->size, page, memory->address,
			       DMA_TO_DEVICE);
		return -ENOMEM;
	}
	/*
	 * The zeros may be in the caches alone, and a device that writes less
	 * than the buffer would leave what the last owner wrote.
	 */
	dma_sync_single_for_device(dev, memory->address, memory->size,
				   DMA_TO_DEVICE);
	return 0;
}

void sa_cma_free(struct simple_allocator *sa, struct sa_memory *memory)
{
	dma_free_pages(&to_cma(sa)->pdev->dev, memory->size, memory->page,
		       memory->address, DMA_TO_DEVICE);
}
