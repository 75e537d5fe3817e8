// SPDX-License-Identifier: GPL-2.0-only
/*
 * Simple Allocator core: the dma-buf exporter.
 *
 * Memory with pages is cached everywhere and synchronised for each device that
 * has it mapped. Memory without pages (a carveout) is mapped cached where its
 * backend says that all DMA is coherent with it, and else normal uncached (write
 * combining): the kernel has no address by which it could maintain a cache over
 * it.
 */
#include <linux/dma-buf.h>
#include <linux/dma-direct.h>
#include <linux/dma-mapping.h>
#include <linux/fcntl.h>
#include <linux/highmem.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "compat.h"
#include "region.h"

/* A device that uses the buffer. */
struct sa_attachment {
	struct list_head node;
	struct device *dev;
	struct sg_table table;
	dma_addr_t address;
	enum dma_data_direction direction;
	bool mapped;
};

static int sa_attach(struct dma_buf *dmabuf,
		     struct dma_buf_attachment *attachment)
{
	struct sa_buffer *buffer = dmabuf->priv;
	struct sa_attachment *a;
	int ret;

	a = kzalloc(sizeof(*a), GFP_KERNEL);
	if (!a)
		return -ENOMEM;
	ret = sg_alloc_table(&a->table, 1, GFP_KERNEL);
	if (ret) {
		kfree(a);
		return ret;
	}
	if (buffer->memory.page)
		sg_set_page(a->table.sgl, buffer->memory.page,
			    buffer->memory.size, 0);
	else
		/*
		 * An importer that maps the pages itself, for an IOMMU of its
		 * own, finds none: a NULL page would be taken for memory at an
		 * address that it has not.
		 */
		a->table.orig_nents = 0;
	a->dev = attachment->dev;
	attachment->priv = a;

	mutex_lock(&buffer->lock);
	list_add(&a->node, &buffer->attachments);
	mutex_unlock(&buffer->lock);
	return 0;
}

static void sa_detach(struct dma_buf *dmabuf,
		      struct dma_buf_attachment *attachment)
{
	struct sa_buffer *buffer = dmabuf->priv;
	struct sa_attachment *a = attachment->priv;

	mutex_lock(&buffer->lock);
	list_del(&a->node);
	mutex_unlock(&buffer->lock);
	a->table.orig_nents = 1; /* as it was allocated */
	sg_free_table(&a->table);
	kfree(a);
}

/*
 * Whether the kernel's map of memory covers a carveout. It does where the range
 * lies between System RAM. The pages have no owner, but stand for an address.
 */
static bool sa_is_mapped_hole(struct sa_buffer *buffer)
{
	return pfn_valid(PHYS_PFN(buffer->memory.phys));
}

static void sa_unmap_carveout(struct sa_buffer *buffer, struct device *dev,
			      dma_addr_t address,
			      enum dma_data_direction direction)
{
	if (sa_is_mapped_hole(buffer))
		dma_unmap_page_attrs(dev, address, buffer->memory.size,
				     direction, DMA_ATTR_SKIP_CPU_SYNC);
	else
		dma_unmap_resource(dev, address, buffer->memory.size, direction,
				   0);
}

/*
 * Memory without pages: an address for the device, and nothing to sync.
 * dma_map_resource() is for other devices' registers. Some kernels refuse a
 * range there that the map of memory covers, with a backtrace.
 */
static dma_addr_t sa_map_carveout(struct sa_buffer *buffer, struct device *dev,
				  enum dma_data_direction direction)
{
	phys_addr_t phys = buffer->memory.phys;
	size_t size = buffer->memory.size;
	bool translated = device_iommu_mapped(dev);
	dma_addr_t address;

	/* The next functions warn of memory that the device does not reach. */
	if (!translated && !dma_capable(dev, phys, size, false))
		return DMA_MAPPING_ERROR;
	if (sa_is_mapped_hole(buffer))
		address = dma_map_page_attrs(dev, pfn_to_page(PHYS_PFN(phys)),
					     0, size, direction,
					     DMA_ATTR_SKIP_CPU_SYNC);
	else
		address = dma_map_resource(dev, phys, size, direction, 0);
	/*
	 * Another address is that of a copy, or, of a device that sees memory at
	 * an offset, that of other memory.
	 */
	if (!dma_mapping_error(dev, address) && !translated &&
	    address != phys_to_dma(dev, phys)) {
		sa_unmap_carveout(buffer, dev, address, direction);
		address = DMA_MAPPING_ERROR;
	}
	return address;
}

/*
 * One run of memory is one address. The table is for the importer alone: it may
 * be scrambled while it is out (CONFIG_DMABUF_DEBUG).
 */
static int sa_map_address(struct sa_buffer *buffer, struct sa_attachment *a,
			  enum dma_data_direction direction)
{
	struct scatterlist *sg = a->table.sgl;
	dma_addr_t address;

	if (buffer->memory.page)
		address = dma_map_page(a->dev, buffer->memory.page, 0,
				       buffer->memory.size, direction);
	else
		address = sa_map_carveout(buffer, a->dev, direction);
	if (dma_mapping_error(a->dev, address))
		return -ENOMEM;
	a->address = address;
	sg->length = buffer->memory.size;
	sg_dma_address(sg) = address;
	sg_dma_len(sg) = buffer->memory.size;
	a->table.nents = 1;
	return 0;
}

static struct sg_table *sa_map(struct dma_buf_attachment *attachment,
			       enum dma_data_direction direction)
{
	struct sa_buffer *buffer = attachment->dmabuf->priv;
	struct sa_attachment *a = attachment->priv;
	int ret;

	ret = sa_map_address(buffer, a, direction);
	if (ret)
		return ERR_PTR(ret);

	mutex_lock(&buffer->lock);
	a->direction = direction;
	a->mapped = true;
	mutex_unlock(&buffer->lock);
	return &a->table;
}

static void sa_unmap(struct dma_buf_attachment *attachment,
		     struct sg_table *table, enum dma_data_direction direction)
{
	struct sa_buffer *buffer = attachment->dmabuf->priv;
	struct sa_attachment *a = attachment->priv;

	mutex_lock(&buffer->lock);
	a->mapped = false;
	mutex_unlock(&buffer->lock);

	if (buffer->memory.page)
		dma_unmap_page(a->dev, a->address, buffer->memory.size,
			       direction);
	else
		sa_unmap_carveout(buffer, a->dev, a->address, direction);
}

static int sa_begin_cpu_access(struct dma_buf *dmabuf,
			       enum dma_data_direction direction)
{
	struct sa_buffer *buffer = dmabuf->priv;
	struct sa_attachment *a;

	if (!buffer->memory.page)
		return 0;
	mutex_lock(&buffer->lock);
	if (buffer->vmap_count)
		invalidate_kernel_vmap_range(buffer->vaddr,
					     buffer->memory.size);
	/*
	 * A CPU that only writes needs no data that devices wrote. To drop the
	 * caches would drop what another writer has in them.
	 */
	list_for_each_entry(a, &buffer->attachments, node)
		if (a->mapped && direction != DMA_TO_DEVICE)
			dma_sync_single_for_cpu(a->dev, a->address,
						buffer->memory.size,
						a->direction);
	mutex_unlock(&buffer->lock);
	return 0;
}

static int sa_end_cpu_access(struct dma_buf *dmabuf,
			     enum dma_data_direction direction)
{
	struct sa_buffer *buffer = dmabuf->priv;
	struct sa_attachment *a;

	if (!buffer->memory.page)
		return 0;
	mutex_lock(&buffer->lock);
	if (buffer->vmap_count)
		flush_kernel_vmap_range(buffer->vaddr, buffer->memory.size);
	list_for_each_entry(a, &buffer->attachments, node)
		if (a->mapped)
			dma_sync_single_for_device(a->dev, a->address,
						   buffer->memory.size,
						   a->direction);
	mutex_unlock(&buffer->lock);
	return 0;
}

static int sa_mmap(struct dma_buf *dmabuf, struct vm_area_struct *vma)
{
	struct sa_buffer *buffer = dmabuf->priv;

	/* Writes to a private mapping never reach the buffer. */
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	/* The whole of it at once; dma_buf_mmap() has checked the range. */
	if (!buffer->memory.page && !buffer->sa->cached)
		vma->vm_page_prot = pgprot_writecombine(vma->vm_page_prot);
	return remap_pfn_range(vma, vma->vm_start,
			       PHYS_PFN(buffer->memory.phys) + vma->vm_pgoff,
			       vma->vm_end - vma->vm_start, vma->vm_page_prot);
}

static void *sa_kernel_map(struct sa_buffer *buffer)
{
	size_t i, count = buffer->memory.size >> PAGE_SHIFT;
	struct page **pages;
	void *vaddr;

	if (!buffer->memory.page)
		return memremap(buffer->memory.phys, buffer->memory.size,
				buffer->sa->cached ? MEMREMAP_WB : MEMREMAP_WC);
	pages = kvmalloc_array(count, sizeof(*pages), GFP_KERNEL);
	if (!pages)
		return NULL;
	for (i = 0; i < count; i++)
		pages[i] = buffer->memory.page + i;
	vaddr = vmap(pages, count, VM_MAP, PAGE_KERNEL);
	kvfree(pages);
	return vaddr;
}

static void *sa_get_vaddr(struct dma_buf *dmabuf)
{
	struct sa_buffer *buffer = dmabuf->priv;
	void *vaddr;

	mutex_lock(&buffer->lock);
	if (!buffer->vmap_count)
		buffer->vaddr = sa_kernel_map(buffer);
	vaddr = buffer->vaddr;
	if (vaddr)
		buffer->vmap_count++;
	mutex_unlock(&buffer->lock);
	return vaddr;
}

static void sa_put_vaddr(struct dma_buf *dmabuf)
{
	struct sa_buffer *buffer = dmabuf->priv;

	mutex_lock(&buffer->lock);
	if (!--buffer->vmap_count) {
		if (buffer->memory.page)
			vunmap(buffer->vaddr);
		else
			memunmap(buffer->vaddr);
		buffer->vaddr = NULL;
	}
	mutex_unlock(&buffer->lock);
}

SA_DEFINE_VMAP(sa_get_vaddr, sa_put_vaddr)

static void sa_release(struct dma_buf *dmabuf)
{
	struct sa_buffer *buffer = dmabuf->priv;
	struct sa_region *region = buffer->charge.region;

	mutex_lock(&region->lock);
	list_del(&buffer->node);
	mutex_unlock(&region->lock);
	buffer->sa->free(buffer->sa, &buffer->memory);
	sa_uncharge(&buffer->charge);
	mutex_destroy(&buffer->lock);
	kfree(buffer);
}

static const struct dma_buf_ops sa_dma_buf_ops = {
	.attach			= sa_attach,
	.detach			= sa_detach,
	.map_dma_buf		= sa_map,
	.unmap_dma_buf		= sa_unmap,
	.begin_cpu_access	= sa_begin_cpu_access,
	.end_cpu_access		= sa_end_cpu_access,
	.mmap			= sa_mmap,
	.vmap			= sa_vmap,
	.vunmap			= sa_vunmap,
	.release		= sa_release,
};

/**
 * sa_buffer_create - makes a buffer
 * @region:	the region, whose gate the caller holds
 * @sa:		its backend
 * @length:	bytes, not 0; rounded up to whole pages
 * @flags:	O_RDONLY, O_WRONLY or O_RDWR: what mappings may do
 *
 * Return: a dma-buf the caller owns, or an ERR_PTR: -ENOMEM, -EDQUOT.
 */
struct dma_buf *sa_buffer_create(struct sa_region *region,
				 struct simple_allocator *sa, u64 length,
				 unsigned int flags)
{
	DEFINE_DMA_BUF_EXPORT_INFO(info);
	struct sa_buffer *buffer;
	struct dma_buf *dmabuf;
	int ret;

	/* One entry of a scatterlist, whose length has 32 bits. */
	if (length > (u64)UINT_MAX + 1 - PAGE_SIZE ||
	    (sa->size && length > sa->size))
		return ERR_PTR(-ENOMEM);
	if (!try_module_get(sa->owner))
		return ERR_PTR(-ENODEV);

	buffer = kzalloc(sizeof(*buffer), GFP_KERNEL);
	if (!buffer) {
		ret = -ENOMEM;
		goto put_module;
	}
	mutex_init(&buffer->lock);
	INIT_LIST_HEAD(&buffer->attachments);
	buffer->sa = sa;
	buffer->memory.size = PAGE_ALIGN(length);
	buffer->pid = task_tgid_nr(current);
	get_task_comm(buffer->comm, current);

	ret = sa_charge(&buffer->charge, region, buffer->memory.size);
	if (ret)
		goto free_buffer;
	ret = sa->allocate(sa, &buffer->memory);
	if (ret)
		goto uncharge;

	info.exp_name = "simple_allocator";
	info.owner = sa->owner;
	info.ops = &sa_dma_buf_ops;
	info.size = buffer->memory.size;
	info.flags = flags & O_ACCMODE;
	info.priv = buffer;
	dmabuf = dma_buf_export(&info);
	if (IS_ERR(dmabuf)) {
		ret = PTR_ERR(dmabuf);
		goto free_memory;
	}
	buffer->inode = file_inode(dmabuf->file)->i_ino;
	mutex_lock(&region->lock);
	list_add_tail(&buffer->node, &region->buffers);
	mutex_unlock(&region->lock);
	module_put(sa->owner); /* the dma-buf has one of its own */
	return dmabuf;

free_memory:
	sa->free(sa, &buffer->memory);
uncharge:
	sa_uncharge(&buffer->charge);
free_buffer:
	mutex_destroy(&buffer->lock);
	kfree(buffer);
put_module:
	module_put(sa->owner);
	return ERR_PTR(ret);
}
