// SPDX-License-Identifier: MIT
/*
 * A program as it was written for the interface of 2017, from its description alone: no header of this project, no
 * library. Built for 64 and for 32 bits.   abi [NODE]
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <linux/types.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

struct simple_allocate_data {
	__u64 version;
	__u64 length;
	__u32 flags;
	__u32 reserved1;
	__s32 fd;
	__u32 reserved2;
};

#define SA_IOC_ALLOC _IOWR('S', 0, struct simple_allocate_data)

int main(int argc, char **argv)
{
	struct simple_allocate_data data;
	unsigned char *memory;
	int device;

	device = open(argc > 1 ? argv[1] : "/dev/cma0", O_RDWR);
	if (device < 0) {
		perror("open");
		return 1;
	}
	memset(&data, 0, sizeof(data));
	data.length = 16384;
	data.flags = O_RDWR | O_CLOEXEC;
	if (ioctl(device, SA_IOC_ALLOC, &data) < 0) {
		perror("SA_IOC_ALLOC");
		return 1;
	}
	memory = mmap(NULL, data.length, PROT_READ | PROT_WRITE, MAP_SHARED, data.fd, 0);
	if (memory == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	memset(memory, 0xff, data.length);
	if (munmap(memory, data.length) < 0 || close(data.fd) < 0 || close(device) < 0) {
		perror("close");
		return 1;
	}
	printf("%u bits: %llu bytes\n", (unsigned)sizeof(void *) * 8, (unsigned long long)data.length);
	return 0;
}
