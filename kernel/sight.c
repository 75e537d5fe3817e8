// SPDX-License-Identifier: GPL-2.0-only
/*
 * Simple Allocator core: limits, and what can be seen of a region in sysfs and
 * debugfs (docs/kernel.md).
 */
#include <linux/cred.h>
#include <linux/debugfs.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/sysfs.h>

#include "region.h"

static struct dentry *sa_debug_root;

static struct sa_user *sa_find_user(struct sa_region *region, kuid_t uid)
{
	struct sa_user *user;

	list_for_each_entry(user, &region->users, node)
		if (uid_eq(user->uid, uid))
			return user;
	return NULL;
}

/**
 * sa_charge - charges the calling user with memory of a region
 * @charge:	filled on success; given back by sa_uncharge()
 * @region:	the region
 * @bytes:	how much
 *
 * Return: 0, -EDQUOT over the user's limit, -ENOMEM, also for more than can be
 * counted.
 */
int sa_charge(struct sa_charge *charge, struct sa_region *region, u64 bytes)
{
	struct sa_user *user, *fresh;
	int ret = 0;

	fresh = kzalloc(sizeof(*fresh), GFP_KERNEL);
	if (!fresh)
		return -ENOMEM;

	mutex_lock(&region->lock);
	user = sa_find_user(region, current_uid());
	if (bytes > U64_MAX - region->allocated) {
		ret = -ENOMEM;
	} else if (region->max_bytes_per_user &&
		   bytes > region->max_bytes_per_user -
			   min(region->max_bytes_per_user,
			       user ? user->bytes : 0)) {
		ret = -EDQUOT;
	} else {
		if (!user) {
			user = fresh;
			fresh = NULL;
			user->uid = current_uid();
			list_add(&user->node, &region->users);
		}
		user->bytes += bytes;
		user->count++;
		region->allocated += bytes;
		region->count++;
		get_device(&region->dev);
		*charge = (struct sa_charge){ region, user, bytes };
	}
	mutex_unlock(&region->lock);
	kfree(fresh);
	return ret;
}

void sa_uncharge(struct sa_charge *charge)
{
	struct sa_region *region = charge->region;
	struct sa_user *user = charge->user;

	mutex_lock(&region->lock);
	region->allocated -= charge->bytes;
	region->count--;
	user->bytes -= charge->bytes;
	if (--user->count)
		user = NULL;
	else
		list_del(&user->node);
	mutex_unlock(&region->lock);
	kfree(user);
	put_device(&region->dev);
}

static struct sa_region *to_region(struct device *dev)
{
	return container_of(dev, struct sa_region, dev);
}

static ssize_t size_show(struct device *dev, struct device_attribute *attr,
			 char *text)
{
	struct sa_region *region = to_region(dev);
	ssize_t ret = -ENODEV;

	down_read(&region->gate);
	if (region->sa)
		ret = sysfs_emit(text, "%llu\n", region->sa->size);
	up_read(&region->gate);
	return ret;
}
static DEVICE_ATTR_RO(size);

static ssize_t label_show(struct device *dev, struct device_attribute *attr,
			  char *text)
{
	struct sa_region *region = to_region(dev);
	ssize_t ret = -ENODEV;

	down_read(&region->gate);
	if (region->sa)
		ret = sysfs_emit(text, "%s\n", region->sa->label ?
				 region->sa->label : region->sa->name);
	up_read(&region->gate);
	return ret;
}
static DEVICE_ATTR_RO(label);

static ssize_t largest_free_show(struct device *dev,
				 struct device_attribute *attr, char *text)
{
	struct sa_region *region = to_region(dev);
	ssize_t ret = -ENODEV;

	down_read(&region->gate);
	if (region->sa && region->sa->largest_free)
		ret = sysfs_emit(text, "%llu\n",
				 region->sa->largest_free(region->sa));
	else if (region->sa)
		ret = -EOPNOTSUPP;
	up_read(&region->gate);
	return ret;
}
static DEVICE_ATTR_RO(largest_free);

#define SA_COUNTER(field, member)					\
static ssize_t field##_show(struct device *dev,				\
			    struct device_attribute *attr, char *text)	\
{									\
	struct sa_region *region = to_region(dev);			\
	u64 value;							\
									\
	mutex_lock(&region->lock);					\
	value = region->member;						\
	mutex_unlock(&region->lock);					\
	return sysfs_emit(text, "%llu\n", value);			\
}

SA_COUNTER(allocated, allocated)
static DEVICE_ATTR_RO(allocated);
SA_COUNTER(buffers, count)
static DEVICE_ATTR_RO(buffers);
SA_COUNTER(failures, failures)
static DEVICE_ATTR_RO(failures);
SA_COUNTER(max_bytes_per_user, max_bytes_per_user)

static ssize_t max_bytes_per_user_store(struct device *dev,
					struct device_attribute *attr,
					const char *text, size_t length)
{
	struct sa_region *region = to_region(dev);
	u64 value;
	int ret = kstrtou64(text, 0, &value);

	if (ret)
		return ret;
	mutex_lock(&region->lock);
	region->max_bytes_per_user = value;
	mutex_unlock(&region->lock);
	return length;
}
static DEVICE_ATTR_RW(max_bytes_per_user);

static struct attribute *sa_region_attrs[] = {
	&dev_attr_label.attr,
	&dev_attr_size.attr,
	&dev_attr_allocated.attr,
	&dev_attr_buffers.attr,
	&dev_attr_failures.attr,
	&dev_attr_largest_free.attr,
	&dev_attr_max_bytes_per_user.attr,
	NULL
};

static umode_t sa_attr_visible(struct kobject *kobj, struct attribute *attr,
			       int index)
{
	struct sa_region *region = to_region(kobj_to_dev(kobj));

	if (attr == &dev_attr_largest_free.attr && !region->sa->largest_free)
		return 0;
	return attr->mode;
}

static const struct attribute_group sa_region_group = {
	.attrs		= sa_region_attrs,
	.is_visible	= sa_attr_visible,
};

const struct attribute_group *sa_region_groups[] = {
	&sa_region_group,
	NULL
};

/* Live buffers: inode, physical address, size, user, process, task. */
static int sa_list_show(struct seq_file *file, void *unused)
{
	struct sa_region *region = file->private;
	struct sa_buffer *buffer;

	seq_puts(file, "inode phys size uid pid comm\n");
	mutex_lock(&region->lock);
	list_for_each_entry(buffer, &region->buffers, node)
		seq_printf(file, "%lu %pa %zu %u %d %s\n",
			   buffer->inode,
			   &buffer->memory.phys, buffer->memory.size,
			   from_kuid_munged(&init_user_ns,
					    buffer->charge.user->uid),
			   buffer->pid, buffer->comm);
	mutex_unlock(&region->lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(sa_list);

void sa_debug_init(void)
{
	sa_debug_root = debugfs_create_dir("simple_allocator", NULL);
}

void sa_debug_exit(void)
{
	debugfs_remove_recursive(sa_debug_root);
}

void sa_debug_add(struct sa_region *region)
{
	region->debug = debugfs_create_dir(dev_name(&region->dev),
					   sa_debug_root);
	debugfs_create_file("buffers", 0400, region->debug, region,
			    &sa_list_fops);
}
