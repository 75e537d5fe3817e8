/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Simple Allocator: differences between kernels, by features. Kbuild looks for
 * those that the compiler does not see, and defines SA_HAS_... for each.
 */
#ifndef _SA_COMPAT_H
#define _SA_COMPAT_H

#include <linux/dma-buf.h>

/* Whether memory is encrypted, for processors or for a guest's host. */
#ifdef SA_HAS_CC_PLATFORM
#include <linux/cc_platform.h>

static inline bool sa_memory_encrypted(void)
{
	return cc_platform_has(CC_ATTR_MEM_ENCRYPT);
}
#else
#include <linux/mem_encrypt.h>

static inline bool sa_memory_encrypted(void)
{
	return mem_encrypt_active();
}
#endif

/*
 * Makes sa_vmap() and sa_vunmap(), as struct dma_buf_ops wants them, of one that
 * returns an address or NULL, and one that takes it back.
 */
#if defined(SA_HAS_IOSYS_MAP) || defined(SA_HAS_DMA_BUF_MAP)
#ifdef SA_HAS_IOSYS_MAP
#include <linux/iosys-map.h>
#else
#include <linux/dma-buf-map.h>
#define iosys_map		dma_buf_map
#define iosys_map_set_vaddr	dma_buf_map_set_vaddr
#define iosys_map_clear		dma_buf_map_clear
#endif
#define SA_DEFINE_VMAP(get, put)					\
static int sa_vmap(struct dma_buf *dmabuf, struct iosys_map *map)	\
{									\
	void *vaddr = get(dmabuf);					\
									\
	if (!vaddr)							\
		return -ENOMEM;						\
	iosys_map_set_vaddr(map, vaddr);				\
	return 0;							\
}									\
									\
static void sa_vunmap(struct dma_buf *dmabuf, struct iosys_map *map)	\
{									\
	put(dmabuf);							\
	iosys_map_clear(map);						\
}
#else
#define SA_DEFINE_VMAP(get, put)					\
static void *sa_vmap(struct dma_buf *dmabuf)				\
{									\
	return get(dmabuf);						\
}									\
									\
static void sa_vunmap(struct dma_buf *dmabuf, void *vaddr)		\
{									\
	put(dmabuf);							\
}
#endif

/* MODULE_IMPORT_NS() takes a word on some kernels, and a string on others. */
#define SA_IMPORT_NS(name)	MODULE_INFO(import_ns, name)

#endif /* _SA_COMPAT_H */
