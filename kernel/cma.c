// SPDX-License-Identifier: GPL-2.0-only
/*
 * Simple Allocator over CMA: a node for each region that exported kernel
 * interfaces reach. That is the default region, which a device of ours has as
 * every device, and each region that a device-tree node with the compatible
 * "simple-allocator,cma" names by memory-region, through
 * of_reserved_mem_device_init_by_idx(). How memory comes out of a region is in
 * cma_area.c and in cma_dma.c.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/device.h>
#include <linux/module.h>
#include <linux/of.h>
#include <linux/of_reserved_mem.h>
#include <linux/platform_device.h>
#include <linux/slab.h>

#include "cma.h"

#define SA_CMA_MAX	16

static struct sa_cma *regions[SA_CMA_MAX];
static unsigned int region_count;

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

/*
 * @number: of the node; 0 for the default region
 * @node: where the region is named; NULL for the default region
 */
static int sa_cma_add(unsigned int number, struct device_node *node, int index)
{
	struct sa_cma *cma;
	int ret;

	if (region_count == SA_CMA_MAX)
		return -ENOSPC;
	cma = kzalloc(sizeof(*cma), GFP_KERNEL);
	if (!cma)
		return -ENOMEM;
	cma->pdev = platform_device_register_simple("simple_allocator_cma",
						    number, NULL, 0);
	if (IS_ERR(cma->pdev)) {
		ret = PTR_ERR(cma->pdev);
		kfree(cma);
		return ret;
	}
	snprintf(cma->name, sizeof(cma->name), "cma%u", number);
	cma->sa.name = cma->name;
	cma->sa.owner = THIS_MODULE;
	cma->sa.allocate = sa_cma_allocate;
	cma->sa.free = sa_cma_free;
	cma->named = node;
	if (node)
		ret = sa_cma_take_region(cma, node, index);
	else
		ret = sa_cma_take_default(cma);
	if (!ret)
		ret = sa_cma_prepare(cma);
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
	unsigned int number = 0;
	int ret;

	ret = sa_cma_check();
	if (ret)
		return ret;
	ret = sa_cma_add(number, NULL, 0);
	if (ret == -ENODEV) /* No default region; others keep their numbers. */
		ret = 0;
	for_each_compatible_node(node, NULL, "simple-allocator,cma") {
		int i, count;

		if (!of_device_is_available(node))
			continue;
		count = of_count_phandle_with_args(node, "memory-region", NULL);
		if (count <= 0)
			pr_warn("%pOF has no memory-region\n", node);
		for (i = 0; !ret && i < count; i++)
			ret = sa_cma_add(++number, node, i);
		if (ret) {
			of_node_put(node);
			break;
		}
	}
	if (!ret && !region_count) {
		pr_err("no CMA region: start the kernel with cma=, or name one in the device tree\n");
		return -ENODEV;
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
MODULE_VERSION(SA_VERSION);
/*
 * So that udev loads the module where the device tree has such a node. By hand:
 * a table of of_device_id cannot be read by a 64-bit modpost for 32 bits.
 */
MODULE_ALIAS("of:N*T*Csimple-allocator,cma");
MODULE_ALIAS("of:N*T*Csimple-allocator,cmaC*");
