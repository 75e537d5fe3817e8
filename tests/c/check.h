/* SPDX-License-Identifier: MIT */
/* What the C tests are made of: check.c counts, each other file has the tests of one matter. C11, and C++17 without exceptions.
 */
#ifndef CHECK_H
#define CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <sa/sa.h>

/* A condition; its text is printed where it does not hold. */
#define CHECK(condition) check((condition) ? 1 : 0, #condition, __FILE__, __LINE__)
/* A call that is to be refused so, and to leave a sentence. */
#define CHECK_REFUSED(call, error) check_refused((call), (error), #call, __FILE__, __LINE__)

int check(int good, const char* what, const char* file, int line);
int check_refused(int result, int error, const char* what, const char* file, int line);

/* Runs a test, and sees that it leaves descriptors and shared mappings as they were. */
void run(const char* sentence, void (*test)(void));

/* DMA_BUF_IOCTL_SYNC calls of this program so far: on a coherent machine a forgotten one never shows as wrong pixels. */
extern int syncs_begun;
extern int syncs_ended;

/* Of a child: whether a check of it failed. */
int child_failed(void);
/* Waits for a child, which exits with child_failed(). */
int child_passed(int pid);

/* The devices that the program was called with. */
extern const char* const* nodes;
extern size_t node_count;

/* A heap that is there everywhere. */
sa_heap* plain_heap(void);
/* The first heap of these that there is and that has dma-bufs; NULL: none on this machine. */
sa_heap* dma_buf_heap(void);
/* Whether a heap has a page to give: huge ones may be few. */
int has_page(const struct sa_heap_info* info);
/* A buffer of that heap. */
sa_dmabuf* buffer_of(sa_heap* heap, size_t size, const char* name);

void buffer_tests(void);
void heap_tests(void);
void image_tests(void);
void refusal_tests(void);

#endif
