// SPDX-License-Identifier: GPL-2.0-only
/*
 * Simple Allocator core: a device node per region, one ioctl, and every
 * allocation a dma-buf file descriptor.
 */
#include <linux/debugfs.h>
#include <linux/dma-buf.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/idr.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "region.h"
#include "uapi/simple-allocator.h"

#define SA_MINORS	64

static unsigned long long max_bytes_per_user;
module_param(max_bytes_per_user, ullong, 0444);
MODULE_PARM_DESC(max_bytes_per_user, "bytes that one user may hold of a region, until its attribute is written; 0: no limit");

static dev_t sa_devt;
static DEFINE_IDA(sa_minors);

static struct sa_region *to_region(struct device *dev)
{
	return container_of(dev, struct sa_region, dev);
}

static void sa_count_failure(struct sa_region *region)
{
	mutex_lock(&region->lock);
	region->failures++;
	mutex_unlock(&region->lock);
}

/**
 * sa_region_allocate - asks a region's backend for a buffer
 * @region:	the region
 * @length:	bytes, not 0
 * @flags:	O_RDONLY, O_WRONLY or O_RDWR: what mappings may do
 *
 * Return: a dma-buf the caller owns, or an ERR_PTR: -ENOMEM, -EDQUOT, -ENODEV
 * when the backend has gone.
 */
struct dma_buf *sa_region_allocate(struct sa_region *region, u64 length,
				   unsigned int flags)
{
	struct dma_buf *dmabuf = ERR_PTR(-ENODEV);

	down_read(&region->gate);
	if (region->sa)
		dmabuf = sa_buffer_create(region, region->sa, length, flags);
	up_read(&region->gate);
	if (IS_ERR(dmabuf))
		sa_count_failure(region);
	return dmabuf;
}

static long sa_ioctl_alloc(struct sa_region *region, void __user *argument)
{
	struct simple_allocate_data data;
	struct dma_buf *dmabuf;
	int fd;

	if (copy_from_user(&data, argument, sizeof(data)))
		return -EFAULT;
	if (data.version || data.reserved1 || data.reserved2 || !data.length ||
	    (data.flags & ~(O_RDWR | O_CLOEXEC)))
		return -EINVAL;

	dmabuf = sa_region_allocate(region, data.length, data.flags);
	if (IS_ERR(dmabuf))
		return PTR_ERR(dmabuf);
	fd = get_unused_fd_flags(data.flags & O_CLOEXEC);
	if (fd < 0) {
		dma_buf_put(dmabuf);
		sa_count_failure(region);
		return fd;
	}
	data.length = dmabuf->size;
	data.fd = fd;
	/* The descriptor becomes visible only when the caller knows of it. */
	if (copy_to_user(argument, &data, sizeof(data))) {
		put_unused_fd(fd);
		dma_buf_put(dmabuf);
		return -EFAULT;
	}
	fd_install(fd, dmabuf->file);
	return 0;
}

static long sa_ioctl(struct file *file, unsigned int command,
		     unsigned long argument)
{
	if (command != SA_IOC_ALLOC)
		return -ENOTTY;
	return sa_ioctl_alloc(file->private_data, (void __user *)argument);
}

static int sa_open(struct inode *inode, struct file *file)
{
	struct sa_region *region =
		container_of(inode->i_cdev, struct sa_region, cdev);

	/* The open cdev holds the device, and the device the region. */
	file->private_data = region;
	return 0;
}

static const struct file_operations sa_fops = {
	.owner		= THIS_MODULE,
	.open		= sa_open,
	.unlocked_ioctl	= sa_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.llseek		= noop_llseek,
};

static void sa_region_release(struct device *dev)
{
	struct sa_region *region = to_region(dev);

	ida_free(&sa_minors, MINOR(dev->devt));
	mutex_destroy(&region->lock);
	kfree(region);
}

/* Without an opinion of the class its nodes are of mode 0600. */
static struct class sa_class = {
	.name		= "simple_allocator",
	.dev_groups	= sa_region_groups,
	.dev_release	= sa_region_release,
};

/**
 * simple_allocator_register - offers a region to user space
 * @sa: the region; the caller keeps it until after it is unregistered
 *
 * Makes /dev/@sa->name. Requests can come before this returns.
 *
 * Return: 0, or a negative errno: -EINVAL for an incomplete description,
 * -EEXIST for a name that is taken, -ENOSPC when the minor numbers ran out.
 */
int simple_allocator_register(struct simple_allocator *sa)
{
	struct sa_region *region;
	int minor, ret;

	if (!sa->name || !sa->owner || !sa->allocate || !sa->free)
		return -EINVAL;

	region = kzalloc(sizeof(*region), GFP_KERNEL);
	if (!region)
		return -ENOMEM;
	minor = ida_alloc_max(&sa_minors, SA_MINORS - 1, GFP_KERNEL);
	if (minor < 0) {
		kfree(region);
		return minor;
	}

	init_rwsem(&region->gate);
	mutex_init(&region->lock);
	INIT_LIST_HEAD(&region->buffers);
	INIT_LIST_HEAD(&region->users);
	region->max_bytes_per_user = max_bytes_per_user;
	region->sa = sa;
	sa->region = region;
	device_initialize(&region->dev);
	region->dev.class = &sa_class;
	region->dev.devt = MKDEV(MAJOR(sa_devt), minor);
	cdev_init(&region->cdev, &sa_fops);
	region->cdev.owner = THIS_MODULE;

	ret = dev_set_name(&region->dev, "%s", sa->name);
	if (!ret)
		ret = cdev_device_add(&region->cdev, &region->dev);
	if (ret) {
		/* The node may have been open for a moment. */
		down_write(&region->gate);
		region->sa = NULL;
		up_write(&region->gate);
		sa->region = NULL;
		put_device(&region->dev);
		return ret;
	}
	sa_debug_add(region);
	sa_heap_add(region, sa->heap);
	return 0;
}
EXPORT_SYMBOL_GPL(simple_allocator_register);

/**
 * simple_allocator_unregister - takes a region back
 * @sa: what was registered
 *
 * Waits for the requests that run. Later ones, through descriptors of the node
 * that are still open, get -ENODEV. Buffers hold the backend's module: a backend
 * that unregisters only when it is unloaded, and whose initialisation does not
 * fail after it has registered a region, has none left.
 */
void simple_allocator_unregister(struct simple_allocator *sa)
{
	struct sa_region *region = sa->region;

	sa_heap_remove(region);
	down_write(&region->gate);
	region->sa = NULL;
	up_write(&region->gate);
	debugfs_remove_recursive(region->debug);
	cdev_device_del(&region->cdev, &region->dev);
	sa->region = NULL;
	put_device(&region->dev);
}
EXPORT_SYMBOL_GPL(simple_allocator_unregister);

static int __init sa_init(void)
{
	int ret;

	ret = alloc_chrdev_region(&sa_devt, 0, SA_MINORS, "simple_allocator");
	if (ret)
		return ret;
	ret = class_register(&sa_class);
	if (ret) {
		unregister_chrdev_region(sa_devt, SA_MINORS);
		return ret;
	}
	sa_debug_init();
	return 0;
}

static void __exit sa_exit(void)
{
	sa_debug_exit();
	class_unregister(&sa_class);
	unregister_chrdev_region(sa_devt, SA_MINORS);
	ida_destroy(&sa_minors);
}

module_init(sa_init);
module_exit(sa_exit);

MODULE_DESCRIPTION("Simple Allocator: contiguous memory as dma-bufs by one ioctl");
MODULE_AUTHOR("The Simple Allocator authors");
MODULE_LICENSE("GPL");
MODULE_VERSION(SA_VERSION);
SA_IMPORT_NS("DMA_BUF");
