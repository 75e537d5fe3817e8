// SPDX-License-Identifier: GPL-2.0-only
/*
 * Simple Allocator core: the list of a region's buffers, for root (docs/kernel.md).
 */
#include <linux/debugfs.h>
#include <linux/seq_file.h>

#include "region.h"

static struct dentry *sa_debug_root;

/* Live buffers: inode, physical address, size, user, process, task. */
static int sa_list_show(struct seq_file *file, void *unused)
{
	struct sa_region *region = file->private;
	struct sa_buffer *buffer;

	seq_puts(file, "inode phys size uid pid comm\n");
	mutex_lock(&region->lock);
	list_for_each_entry(buffer, &region->buffers, node) {
		seq_printf(file, "%lu %pa %zu %u %d ",
			   buffer->inode,
			   &buffer->memory.phys, buffer->memory.size,
			   from_kuid_munged(&init_user_ns,
					    buffer->charge.user->uid),
			   buffer->pid);
		/* A task names itself, with a newline if it likes. */
		seq_escape(file, buffer->comm, " \t\n\\");
		seq_putc(file, '\n');
	}
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
