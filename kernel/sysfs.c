// SPDX-License-Identifier: GPL-2.0-only
/*
 * Simple Allocator core: a region's attributes (docs/kernel.md).
 */
#include <linux/sysfs.h>

#include "region.h"

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
