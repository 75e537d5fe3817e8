// SPDX-License-Identifier: GPL-2.0-only
/*
 * Simple Allocator over carveouts: physical memory that Linux does not own,
 * named by module parameters (base=, size=, name=) or by device-tree
 * reserved-memory nodes with no-map that a node with the compatible
 * "simple-allocator,carveout" names by memory-region.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/genalloc.h>
#include <linux/io.h>
#include <linux/ioport.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/of.h>
#include <linux/of_address.h>
#include <linux/of_reserved_mem.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "compat.h"
#include "simple_allocator.h"

#define SA_CARVEOUT_MAX	16

static unsigned long long base[SA_CARVEOUT_MAX];
static unsigned int base_count;
module_param_array(base, ullong, &base_count, 0444);
MODULE_PARM_DESC(base, "physical addresses, bytes, multiples of the page size");

static unsigned long long size[SA_CARVEOUT_MAX];
static unsigned int size_count;
module_param_array(size, ullong, &size_count, 0444);
MODULE_PARM_DESC(size, "sizes, bytes, multiples of the page size");

static char *name[SA_CARVEOUT_MAX];
static unsigned int name_count;
module_param_array(name, charp, &name_count, 0444);
MODULE_PARM_DESC(name, "names, shown in /proc/iomem and in the attribute label");

static bool cached[SA_CARVEOUT_MAX];
static unsigned int cached_count;
module_param_array(cached, bool, &cached_count, 0444);
MODULE_PARM_DESC(cached, "whether processors may cache the memory: only where all DMA to it is coherent. On x86 always");

struct sa_carveout {
	struct simple_allocator sa;
	char node[16];
	char *label;
	struct resource *resource;
	struct gen_pool *pool;
};

static struct sa_carveout *regions[SA_CARVEOUT_MAX];
static unsigned int region_count;

static struct sa_carveout *to_carveout(struct simple_allocator *sa)
{
	return container_of(sa, struct sa_carveout, sa);
}

/*
 * By pieces: kernels of 32 bits have few addresses for a mapping, and gigabytes
 * of uncached memory take seconds, in which others run and a signal ends it.
 */
static int sa_carveout_zero(struct simple_allocator *sa,
			    struct sa_memory *memory)
{
	size_t done = 0;

	while (done < memory->size) {
		size_t piece = min_t(size_t, memory->size - done, SZ_1M);
		void *vaddr = memremap(memory->phys + done, piece,
				       sa->cached ? MEMREMAP_WB : MEMREMAP_WC);

		if (!vaddr)
			return -ENOMEM;
		memset(vaddr, 0, piece);
		memunmap(vaddr);
		done += piece;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

static int sa_carveout_allocate(struct simple_allocator *sa,
				struct sa_memory *memory)
{
	struct sa_carveout *carveout = to_carveout(sa);
	int ret;

	memory->phys = gen_pool_alloc(carveout->pool, memory->size);
	if (!memory->phys)
		return -ENOMEM;
	/* It holds what its last owner, or the one before the boot, wrote. */
	ret = sa_carveout_zero(sa, memory);
	if (ret)
		gen_pool_free(carveout->pool, memory->phys, memory->size);
	return ret;
}

static void sa_carveout_free(struct simple_allocator *sa,
			     struct sa_memory *memory)
{
	gen_pool_free(to_carveout(sa)->pool, memory->phys, memory->size);
}

static void sa_largest_gap(struct gen_pool *pool,
			   struct gen_pool_chunk *chunk, void *data)
{
	unsigned long bits = (chunk->end_addr - chunk->start_addr + 1) >>
			     pool->min_alloc_order;
	unsigned long start = 0, *largest = data;

	while (start < bits) {
		unsigned long end;

		start = find_next_zero_bit(chunk->bits, bits, start);
		end = find_next_bit(chunk->bits, bits, start);
		*largest = max(*largest, end - start);
		start = end;
	}
}

static u64 sa_carveout_largest_free(struct simple_allocator *sa)
{
	unsigned long pages = 0;

	gen_pool_for_each_chunk(to_carveout(sa)->pool, sa_largest_gap, &pages);
	return (u64)pages << PAGE_SHIFT;
}

static void sa_carveout_destroy(struct sa_carveout *carveout)
{
	if (carveout->pool)
		gen_pool_destroy(carveout->pool);
	if (carveout->resource)
		release_mem_region(carveout->resource->start,
				   resource_size(carveout->resource));
	kfree(carveout->label);
	kfree(carveout);
}

static int sa_carveout_add(u64 start, u64 length, const char *label,
			   bool coherent)
{
	struct sa_carveout *carveout;
	int ret = -ENOMEM;

	if (region_count == SA_CARVEOUT_MAX)
		return -ENOSPC;
	if (!start || !length || !PAGE_ALIGNED(start) || !PAGE_ALIGNED(length)) {
		pr_err("base %#llx and size %#llx must be multiples of the page size, %lu bytes, and not 0\n",
		       start, length, PAGE_SIZE);
		return -EINVAL;
	}
	if (start + length - 1 < start || start + length - 1 > ULONG_MAX) {
		pr_err("base %#llx and size %#llx end above the largest address, %#lx\n",
		       start, length, ULONG_MAX);
		return -EINVAL;
	}
	if (region_intersects(start, length, IORESOURCE_SYSTEM_RAM,
			      IORES_DESC_NONE) != REGION_DISJOINT) {
		pr_err("%#llx is System RAM\n", start);
		return -EBUSY;
	}

	carveout = kzalloc(sizeof(*carveout), GFP_KERNEL);
	if (!carveout)
		return -ENOMEM;
	if (label) {
		carveout->label = kstrdup(label, GFP_KERNEL);
		if (!carveout->label)
			goto destroy;
	}
	/* Refuses overlaps, and shows in /proc/iomem who has the range. */
	carveout->resource = request_mem_region(start, length, label ?
						carveout->label :
						"simple_allocator_carveout");
	if (!carveout->resource) {
		pr_err("%#llx is in use, see /proc/iomem\n", start);
		ret = -EBUSY;
		goto destroy;
	}
	carveout->pool = gen_pool_create(PAGE_SHIFT, NUMA_NO_NODE);
	if (!carveout->pool)
		goto destroy;
	ret = gen_pool_add(carveout->pool, start, length, NUMA_NO_NODE);
	if (ret)
		goto destroy;
	gen_pool_set_algo(carveout->pool, gen_pool_best_fit, NULL);

	snprintf(carveout->node, sizeof(carveout->node), "carveout%u",
		 region_count);
	carveout->sa.name = carveout->node;
	carveout->sa.label = carveout->label;
	carveout->sa.heap = label ? carveout->label : carveout->node;
	carveout->sa.owner = THIS_MODULE;
	carveout->sa.size = length;
	carveout->sa.cached = coherent || IS_ENABLED(CONFIG_X86);
	carveout->sa.allocate = sa_carveout_allocate;
	carveout->sa.free = sa_carveout_free;
	carveout->sa.largest_free = sa_carveout_largest_free;
	regions[region_count++] = carveout;
	return 0;

destroy:
	sa_carveout_destroy(carveout);
	return ret;
}

static void sa_carveout_remove_all(void)
{
	while (region_count) {
		struct sa_carveout *carveout = regions[--region_count];

		if (carveout->sa.region)
			simple_allocator_unregister(&carveout->sa);
		sa_carveout_destroy(carveout);
	}
}

static int sa_carveout_add_tree(void)
{
	struct device_node *node;
	int ret = 0;

	for_each_compatible_node(node, NULL, "simple-allocator,carveout") {
		struct device_node *target;
		int i;

		if (!of_device_is_available(node))
			continue;
		for (i = 0; !ret; i++) {
			struct reserved_mem *memory;
			char label[32];

			target = of_parse_phandle(node, "memory-region", i);
			if (!target)
				break;
			memory = of_reserved_mem_lookup(target);
			/* The node's name without its address. */
			snprintf(label, sizeof(label), "%pOFn", target);
			if (memory)
				ret = sa_carveout_add(memory->base,
						      memory->size, label,
						      of_dma_is_coherent(node));
			else
				pr_warn("%pOF: memory-region %d, %s, is no reserved memory\n",
					node, i, label);
			of_node_put(target);
		}
		if (ret) {
			of_node_put(node);
			break;
		}
	}
	return ret;
}

static int __init sa_carveout_init(void)
{
	unsigned int i;
	int ret = 0;

	/* Processors would have it encrypted, and devices not. */
	if (sa_memory_encrypted()) {
		pr_err("this machine's memory is encrypted; use a dma-heap\n");
		return -EOPNOTSUPP;
	}
	if (base_count != size_count || name_count > base_count ||
	    cached_count > base_count) {
		pr_err("give as many size= as base=, and at most as many name= and cached=\n");
		return -EINVAL;
	}
	for (i = 0; !ret && i < base_count; i++)
		ret = sa_carveout_add(base[i], size[i], i < name_count ?
				      name[i] : NULL, cached[i]);
	if (!ret)
		ret = sa_carveout_add_tree();
	if (!ret && !region_count) {
		pr_err("no region: give base= and size=, or a device-tree node\n");
		ret = -ENODEV;
	}
	/* Nothing is public before everything is known to be right. */
	for (i = 0; !ret && i < region_count; i++)
		ret = simple_allocator_register(&regions[i]->sa);
	if (ret && region_count && regions[0]->sa.region) {
		/* Others may have buffers of those that are public. */
		pr_warn("a region was left out: %d\n", ret);
		ret = 0;
	}
	if (ret)
		sa_carveout_remove_all();
	return ret;
}

static void __exit sa_carveout_exit(void)
{
	sa_carveout_remove_all();
}

module_init(sa_carveout_init);
module_exit(sa_carveout_exit);

MODULE_DESCRIPTION("Simple Allocator over reserved physical memory");
MODULE_AUTHOR("The Simple Allocator authors");
MODULE_LICENSE("GPL");
MODULE_VERSION(SA_VERSION);
/*
 * So that udev loads the module where the device tree has such a node. By hand:
 * a table of of_device_id cannot be read by a 64-bit modpost for 32 bits.
 */
MODULE_ALIAS("of:N*T*Csimple-allocator,carveout");
MODULE_ALIAS("of:N*T*Csimple-allocator,carveoutC*");
