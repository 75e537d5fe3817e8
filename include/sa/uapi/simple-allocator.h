/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * The Simple Allocator kernel interface: one device node per memory region, one
 * ioctl, and every allocation a dma-buf file descriptor that close() frees.
 */
#ifndef _UAPI_LINUX_SIMPLE_ALLOCATOR_H
#define _UAPI_LINUX_SIMPLE_ALLOCATOR_H

#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * struct simple_allocate_data - argument of SA_IOC_ALLOC
 * @version:	in, must be 0
 * @length:	in, bytes wanted; out, bytes the buffer has
 * @flags:	in, flags of the new descriptor: O_RDWR, O_CLOEXEC
 * @reserved1:	in, must be 0
 * @fd:		out, the dma-buf
 * @reserved2:	in, must be 0
 */
struct simple_allocate_data {
	__u64 version;
	__u64 length;
	__u32 flags;
	__u32 reserved1;
	__s32 fd;
	__u32 reserved2;
};

#define SA_IOC_MAGIC	'S'

/**
 * SA_IOC_ALLOC - allocate a buffer from the region behind the device node
 */
#define SA_IOC_ALLOC	_IOWR(SA_IOC_MAGIC, 0, struct simple_allocate_data)

#endif /* _UAPI_LINUX_SIMPLE_ALLOCATOR_H */
