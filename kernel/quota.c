// SPDX-License-Identifier: GPL-2.0-only
/*
 * Simple Allocator core: the bytes of a region that each user holds and may
 * hold.
 */
#include <linux/cred.h>
#include <linux/slab.h>

#include "region.h"

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
 * @bytes:	number of bytes
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
