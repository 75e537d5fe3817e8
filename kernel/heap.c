// SPDX-License-Identifier: GPL-2.0-only
/*
 * Simple Allocator core: a dma-heap for each region, where the kernel lets
 * modules add heaps, for programs that know no other interface.
 *
 * The kernel cannot remove a heap: it keeps the heap's name and a pointer to
 * sa_heap_allocate(), so this module cannot be unloaded any more. A backend's
 * module can. Its heap answers -ENODEV then, and serves the next region of the
 * same name.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/dma-heap.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "compat.h"
#include "region.h"

static bool dma_heap = true;
module_param(dma_heap, bool, 0444);
MODULE_PARM_DESC(dma_heap, "whether each region is a dma-heap too; the module cannot be unloaded then");

/**
 * struct sa_heap - a dma-heap; never freed
 * @node:	in the list of all
 * @gate:	held for reading while a request runs, for writing to change
 *		@region
 * @region:	the region; NULL while there is none of this name
 * @name:	its name
 */
struct sa_heap {
	struct list_head node;
	struct rw_semaphore gate;
	struct sa_region *region;
	char name[];
};

static LIST_HEAD(sa_heaps);
static DEFINE_MUTEX(sa_heaps_lock);

static struct dma_buf *sa_heap_allocate(struct dma_heap *registered,
					unsigned long length, u32 fd_flags,
					u64 heap_flags)
{
	struct sa_heap *heap = dma_heap_get_drvdata(registered);
	struct dma_buf *dmabuf = ERR_PTR(-ENODEV);

	down_read(&heap->gate);
	if (heap->region)
		dmabuf = sa_region_allocate(heap->region, length, fd_flags);
	up_read(&heap->gate);
	return dmabuf;
}

static const struct dma_heap_ops sa_heap_ops = {
	.allocate	= sa_heap_allocate,
};

static struct sa_heap *sa_find_heap(const char *name)
{
	struct sa_heap *heap;

	list_for_each_entry(heap, &sa_heaps, node)
		if (!strcmp(heap->name, name))
			return heap;
	return NULL;
}

/*
 * Whether another heap has this name: dma_heap_add() would refuse it,
 * but only after a backtrace in the log. Devices without a parent are in one
 * folder, below that of their class: the region's own, and the heaps.
 */
static bool sa_name_is_taken(struct sa_region *region, const char *name)
{
	struct kobject *devices = region->dev.kobj.parent->parent;
	struct kernfs_node *heaps = sysfs_get_dirent(devices->sd, "dma_heap");
	struct kernfs_node *heap = NULL;

	if (heaps)
		heap = sysfs_get_dirent(heaps, name);
	sysfs_put(heap);
	sysfs_put(heaps);
	return heap;
}

static int sa_new_heap(struct sa_region *region, const char *name)
{
	struct dma_heap_export_info info = { .ops = &sa_heap_ops };
	size_t length = strlen(name) + 1;
	struct dma_heap *registered;
	struct sa_heap *heap;

	heap = kzalloc(struct_size(heap, name, length), GFP_KERNEL);
	if (!heap)
		return -ENOMEM;
	init_rwsem(&heap->gate);
	heap->region = region;
	memcpy(heap->name, name, length);

	info.name = heap->name;
	info.priv = heap;
	__module_get(THIS_MODULE); /* for as long as the heap is there */
	registered = dma_heap_add(&info);
	if (IS_ERR(registered)) {
		module_put(THIS_MODULE);
		kfree(heap);
		return PTR_ERR(registered);
	}
	list_add_tail(&heap->node, &sa_heaps);
	region->heap = heap;
	return 0;
}

/**
 * sa_heap_add - makes a region a dma-heap too
 * @region:	the region, whose device is public
 * @name:	the heap's name; NULL: no heap
 *
 * If the name is taken, the region gets no heap.
 */
void sa_heap_add(struct sa_region *region, const char *name)
{
	struct sa_heap *heap;
	int ret = 0;

	if (!dma_heap || !name)
		return;
	mutex_lock(&sa_heaps_lock);
	heap = sa_find_heap(name);
	if (!*name || strchr(name, '/')) {
		ret = -EINVAL;
	} else if (heap && !heap->region) {
		down_write(&heap->gate);
		heap->region = region;
		up_write(&heap->gate);
		region->heap = heap;
	} else if (heap || sa_name_is_taken(region, name)) {
		ret = -EEXIST;
	} else {
		ret = sa_new_heap(region, name);
	}
	mutex_unlock(&sa_heaps_lock);
	if (ret)
		pr_warn("%s is no dma-heap with the name \"%s\": %d\n",
			dev_name(&region->dev), name, ret);
}

/**
 * sa_heap_remove - takes a region from its dma-heap
 * @region:	the region
 *
 * Waits for the requests that run.
 */
void sa_heap_remove(struct sa_region *region)
{
	struct sa_heap *heap = region->heap;

	if (!heap)
		return;
	mutex_lock(&sa_heaps_lock);
	down_write(&heap->gate);
	heap->region = NULL;
	up_write(&heap->gate);
	mutex_unlock(&sa_heaps_lock);
	region->heap = NULL;
}

SA_IMPORT_NS("DMA_BUF_HEAP");
