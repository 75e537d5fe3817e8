// SPDX-License-Identifier: GPL-2.0-only
/*
 * Simple Allocator over CMA: a node for each region that exported kernel
 * interfaces reach. That is the default region, through dma_alloc_pages() of a
 * device of ours, and each region that a device-tree node with the compatible
 * "simple-allocator,cma" names by memory-region, through
 * of_reserved_mem_device_init_by_idx().
 *
 * dma_alloc_pages() takes other memory when the region is exhausted, and for
 * single pages of the default region always. Where the region's range is known,
 * because it is in the device tree, such memory is refused, and single pages
 * come from the region too.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cc_platform.h>
#include <linux/dma-mapping.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/of.h>
#include <linux/of_reserved_mem.h>
#include <linux/platform_device.h>
#include <linux/slab.h>

#include "simple_allocator.h"

#define SA_CMA_MAX	16

static unsigned int dma_bits = 32;
module_param(dma_bits, uint, 0444);
MODULE_PARM_DESC(dma_bits, "bits of the addresses that memory of the default region may have, where it comes from elsewhere: 32 to 64");

struct sa_cma {
	struct simple_allocator sa;
	struct platform_device *pdev;
	char name[16];
	phys_addr_t base;	/* of a region with a known range, else 0 */
	phys_addr_t end;
	bool reserved;
};

static struct sa_cma *regions[SA_CMA_MAX];
static unsigned int region_count;

static struct sa_cma *to_cma(struct simple_allocator *sa)
{
	return container_of(sa, struct sa_cma, sa);
}

static int sa_cma_allocate(struct simple_allocator *sa,
			   struct sa_memory *memory)
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

static void sa_cma_free(struct simple_allocator *sa, struct sa_memory *memory)
{
	dma_free_pages(&to_cma(sa)->pdev->dev, memory->size, memory->page,
		       memory->address, DMA_TO_DEVICE);
}

static void sa_cma_remove(struct sa_cma *cma)
{
	if (cma->reserved)
		of_reserved_mem_device_release(&cma->pdev->dev);
	platform_device_unregister(cma->pdev);
	kfree(cma);
}

static void sa_cma_range(struct sa_cma *cma, struct reserved_mem *memory)
{
	cma->base = memory->base;
	cma->end = memory->base + memory->size;
	cma->sa.size = memory->size;
}

/*
 * The default region may be in the device tree; cma= on the kernel command line
 * replaces it, and then the node has no operations.
 */
static int sa_cma_take_default(struct sa_cma *cma)
{
	struct device_node *node;
	struct reserved_mem *memory = NULL;
	int ret;

	for_each_compatible_node(node, NULL, "shared-dma-pool") {
		if (!of_property_read_bool(node, "linux,cma-default"))
			continue;
		memory = of_reserved_mem_lookup(node);
		of_node_put(node);
		break;
	}
	if (!memory || !memory->ops)
		return 0;
	/* No node names it for this device, as the next function wants. */
	ret = memory->ops->device_init(memory, &cma->pdev->dev);
	if (!ret)
		sa_cma_range(cma, memory);
	return ret;
}

static bool sa_has_region(struct device *dev)
{
#ifdef CONFIG_DMA_CMA
	return dev->cma_area;
#else
	return false;
#endif
}

/* Gives the device its own region, @index of the memory-regions of @node. */
static int sa_cma_take_region(struct sa_cma *cma, struct device_node *node,
			      int index)
{
	struct device_node *target;
	struct reserved_mem *memory;
	int ret;

	ret = of_reserved_mem_device_init_by_idx(&cma->pdev->dev, node, index);
	if (!ret)
		cma->reserved = true;
	target = of_parse_phandle(node, "memory-region", index);
	memory = ret ? NULL : of_reserved_mem_lookup(target);
	/* Another kind of region took the device, a restricted-dma-pool. */
	if (!ret && (!memory || !sa_has_region(&cma->pdev->dev)))
		ret = -ENODEV;
	if (ret)
		pr_err("%pOF: memory-region %d, %pOFn, is no CMA region (compatible \"shared-dma-pool\", reusable): %d\n",
		       node, index, target, ret);
	else
		sa_cma_range(cma, memory);
	of_node_put(target);
	return ret;
}

/* @node: where the region is named; NULL for the default region. */
static int sa_cma_add(struct device_node *node, int index)
{
	struct sa_cma *cma;
	int ret;

	if (region_count == SA_CMA_MAX)
		return -ENOSPC;
	cma = kzalloc(sizeof(*cma), GFP_KERNEL);
	if (!cma)
		return -ENOMEM;
	cma->pdev = platform_device_register_simple("simple_allocator_cma",
						    region_count, NULL, 0);
	if (IS_ERR(cma->pdev)) {
		ret = PTR_ERR(cma->pdev);
		kfree(cma);
		return ret;
	}
	ret = dma_coerce_mask_and_coherent(&cma->pdev->dev,
					   DMA_BIT_MASK(node ? 64 : dma_bits));
	if (ret)
		goto remove;
	dma_set_max_seg_size(&cma->pdev->dev, UINT_MAX);

	snprintf(cma->name, sizeof(cma->name), "cma%u", region_count);
	cma->sa.name = cma->name;
	cma->sa.owner = THIS_MODULE;
	cma->sa.allocate = sa_cma_allocate;
	cma->sa.free = sa_cma_free;
	if (node)
		ret = sa_cma_take_region(cma, node, index);
	else if (IS_ENABLED(CONFIG_DMA_CMA))
		ret = sa_cma_take_default(cma);
	else
		/* What the page allocator gives in one piece. */
		cma->sa.size = (u64)MAX_ORDER_NR_PAGES << PAGE_SHIFT;
	if (!ret)
		ret = simple_allocator_register(&cma->sa);
	if (ret)
		goto remove;
	regions[region_count++] = cma;
	return 0;

remove:
	sa_cma_remove(cma);
	return ret;
}

static void sa_cma_remove_all(void)
{
	while (region_count) {
		struct sa_cma *cma = regions[--region_count];

		simple_allocator_unregister(&cma->sa);
		sa_cma_remove(cma);
	}
}

static int __init sa_cma_init(void)
{
	struct device_node *node;
	int ret;

	if (dma_bits < 32 || dma_bits > 64) {
		pr_err("dma_bits=%u must be 32 to 64\n", dma_bits);
		return -EINVAL;
	}
	/* The pages would be decrypted, and mappings for processors not. */
	if (cc_platform_has(CC_ATTR_GUEST_MEM_ENCRYPT)) {
		pr_err("this machine's memory is encrypted; use a dma-heap\n");
		return -EOPNOTSUPP;
	}
	ret = sa_cma_add(NULL, 0);
	for_each_compatible_node(node, NULL, "simple-allocator,cma") {
		int i, count;

		if (!of_device_is_available(node))
			continue;
		count = of_count_phandle_with_args(node, "memory-region", NULL);
		if (count <= 0)
			pr_warn("%pOF has no memory-region\n", node);
		for (i = 0; !ret && i < count; i++)
			ret = sa_cma_add(node, i);
		if (ret) {
			of_node_put(node);
			break;
		}
	}
	if (ret && region_count) {
		/* Others may have buffers of those that are there already. */
		pr_warn("a region was left out: %d\n", ret);
		ret = 0;
	}
	return ret;
}

static void __exit sa_cma_exit(void)
{
	sa_cma_remove_all();
}

module_init(sa_cma_init);
module_exit(sa_cma_exit);

MODULE_DESCRIPTION("Simple Allocator over CMA regions");
MODULE_AUTHOR("The Simple Allocator authors");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
/*
 * So that udev loads the module where the device tree has such a node. By hand:
 * a table of of_device_id cannot be read by a 64-bit modpost for 32 bits.
 */
MODULE_ALIAS("of:N*T*Csimple-allocator,cma");
MODULE_ALIAS("of:N*T*Csimple-allocator,cmaC*");
