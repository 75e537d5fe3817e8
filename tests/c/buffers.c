/* SPDX-License-Identifier: MIT */
/* Buffers: contents, names, descriptors, references, fences, other processes. */
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { frame = 1920 * 1080 * 3 / 2 };

static void writes_and_reads(void) {
  sa_heap* heap = plain_heap();
  sa_dmabuf* buffer = buffer_of(heap, frame, "frame");
  void* mapped = NULL;
  void* begun = NULL;
  sa_heap_unref(heap); /* the buffer keeps what it needs */
  CHECK(sa_dmabuf_size(buffer) >= (size_t)frame && sa_dmabuf_size(buffer) % 4096 == 0);
  CHECK(strcmp(sa_dmabuf_heap(buffer), "memfd:4k") == 0);
  CHECK(strcmp(sa_dmabuf_claimed_heap(buffer), "memfd:4k") == 0);
  CHECK(strcmp(sa_dmabuf_name(buffer), "frame") == 0);
  CHECK((sa_dmabuf_traits(buffer) & (SA_TRAIT_CACHED | SA_TRAIT_ZEROED)) == (SA_TRAIT_CACHED | SA_TRAIT_ZEROED));
  CHECK((sa_dmabuf_traits(buffer) & SA_TRAIT_DMABUF) == 0);
  CHECK(sa_dmabuf_map(buffer, SA_READWRITE, &mapped) == 0 && mapped != NULL);
  CHECK(sa_dmabuf_begin(buffer, SA_WRITE, &begun) == 0 && begun == mapped);
  memset(begun, 0x5a, frame);
  CHECK(sa_dmabuf_end(buffer, SA_WRITE) == 0);
  CHECK(sa_dmabuf_begin(buffer, SA_READ, NULL) == 0);
  CHECK(((unsigned char*)mapped)[frame - 1] == 0x5a);
  CHECK(sa_dmabuf_end(buffer, SA_READ) == 0);
  sa_dmabuf_unref(buffer);
}

static void names(void) {
  sa_heap* heap = plain_heap();
  sa_dmabuf* buffer = buffer_of(heap, 4096, NULL);
  CHECK(strcmp(sa_dmabuf_name(buffer), "") == 0);
  CHECK(sa_dmabuf_set_name(buffer, "0123456789012345678901234567890") == 0);
  CHECK_REFUSED(sa_dmabuf_set_name(buffer, "01234567890123456789012345678901"), ENAMETOOLONG);
  CHECK_REFUSED(sa_dmabuf_set_name(buffer, "a\nb"), EINVAL);
  CHECK(strcmp(sa_dmabuf_name(buffer), "0123456789012345678901234567890") == 0);
  CHECK(sa_dmabuf_set_name(buffer, NULL) == 0);
  CHECK(strcmp(sa_dmabuf_name(buffer), "") == 0);
  sa_dmabuf_unref(buffer);
  sa_heap_unref(heap);
}

static void references(void) {
  sa_heap* heap = plain_heap();
  sa_dmabuf* buffer = buffer_of(heap, 4096, NULL);
  struct sa_heap_info info = SA_HEAP_INFO_INIT;
  int fd = sa_dmabuf_fd(buffer);
  CHECK(sa_dmabuf_ref(buffer) == buffer);
  sa_dmabuf_unref(buffer);
  CHECK(sa_dmabuf_size(buffer) == 4096 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
  sa_dmabuf_unref(buffer);
  CHECK(fcntl(fd, F_GETFD) == -1);
  CHECK(sa_heap_ref(heap) == heap);
  sa_heap_unref(heap);
  CHECK(sa_heap_get_info(heap, &info) == 0);
  sa_heap_unref(heap);
}

static void descriptors_of(sa_heap* heap) {
  sa_dmabuf* buffer = buffer_of(heap, 8192, "shared");
  sa_dmabuf* imported = NULL;
  void* ours = NULL;
  void* theirs = NULL;
  struct stat file;
  uint64_t id[4] = {0, 0, 0, 0};
  int copy = sa_dmabuf_dup(buffer);
  int memfd = -1;
  CHECK(sa_dmabuf_fd(buffer) >= 0 && copy >= 0 && copy != sa_dmabuf_fd(buffer));
  CHECK(fcntl(copy, F_GETFD) == FD_CLOEXEC);
  CHECK(sa_dmabuf_id(buffer, &id[0], &id[1]) == 0);
  CHECK(fstat(copy, &file) == 0 && file.st_ino == id[1] && file.st_dev == id[0]);
  CHECK(sa_dmabuf_import(copy, &imported) == 0);
  CHECK(strcmp(sa_dmabuf_heap(imported), "import") == 0 && sa_dmabuf_size(imported) == 8192);
  CHECK(strcmp(sa_dmabuf_name(imported), "") == 0);
  CHECK(sa_dmabuf_id(imported, &id[2], &id[3]) == 0 && id[0] == id[2] && id[1] == id[3]);
  CHECK(sa_dmabuf_begin(buffer, SA_WRITE, &ours) == 0);
  memset(ours, 7, 8192);
  CHECK(sa_dmabuf_end(buffer, SA_WRITE) == 0);
  CHECK(sa_dmabuf_begin(imported, SA_READ, &theirs) == 0 && theirs != ours);
  CHECK(((unsigned char*)theirs)[8191] == 7);
  CHECK(sa_dmabuf_end(imported, SA_READ) == 0);
  memfd = sa_dmabuf_memfd(buffer);
  if (memfd >= 0) { /* of memfd and udmabuf heaps */
    unsigned char last = 0;
    CHECK(pread(memfd, &last, 1, 8191) == 1 && last == 7);
  } else {
    CHECK_REFUSED(memfd, EOPNOTSUPP);
  }
  sa_dmabuf_unref(imported);
  sa_dmabuf_unref(buffer);
}

static void descriptors_of_plain(void) {
  sa_heap* heap = plain_heap();
  sa_dmabuf* buffer = buffer_of(heap, 4096, NULL);
  CHECK(sa_dmabuf_memfd(buffer) == sa_dmabuf_fd(buffer));
  sa_dmabuf_unref(buffer);
  descriptors_of(heap);
  sa_heap_unref(heap);
}

static void descriptors_of_dma_buf(void) {
  sa_heap* heap = dma_buf_heap();
  if (heap != NULL) {
    descriptors_of(heap);
    sa_heap_unref(heap);
  }
}

static void read_only(void) {
  sa_heap* heap = plain_heap();
  sa_dmabuf* buffer = buffer_of(heap, 4096, NULL);
  sa_dmabuf* imported = NULL;
  void* first = NULL;
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", sa_dmabuf_fd(buffer));
  CHECK(sa_dmabuf_import(open(path, O_RDONLY | O_CLOEXEC), &imported) == 0);
  CHECK_REFUSED(sa_dmabuf_begin(imported, SA_WRITE, &first), EACCES);
  CHECK_REFUSED(sa_dmabuf_map(imported, SA_READWRITE, &first), EACCES);
  CHECK(sa_dmabuf_begin(imported, SA_READ, &first) == 0 && sa_dmabuf_end(imported, SA_READ) == 0);
  sa_dmabuf_unref(imported);
  sa_dmabuf_unref(buffer);
  sa_heap_unref(heap);
}

static void fences(void) {
  sa_heap* heap = dma_buf_heap();
  sa_heap* plain = plain_heap();
  sa_dmabuf* unfenced = buffer_of(plain, 4096, NULL);
  CHECK_REFUSED(sa_dmabuf_wait(unfenced, SA_READ, 0), EOPNOTSUPP);
  CHECK_REFUSED(sa_dmabuf_export_fence(unfenced, SA_READ), EOPNOTSUPP);
  CHECK_REFUSED(sa_dmabuf_import_fence(unfenced, SA_READ, 0), EOPNOTSUPP);
  sa_dmabuf_unref(unfenced);
  sa_heap_unref(plain);
  if (heap != NULL) {
    sa_dmabuf* buffer = buffer_of(heap, 4096, NULL);
    int fence = -1;
    CHECK(sa_dmabuf_wait(buffer, SA_READWRITE, 0) == 0);
    CHECK_REFUSED(sa_dmabuf_wait(buffer, SA_READ, -1), EINVAL);
    CHECK_REFUSED(sa_dmabuf_wait(buffer, 4, 0), EINVAL);
    fence = sa_dmabuf_export_fence(buffer, SA_WRITE);
    CHECK(fence >= 0);
    CHECK(sa_dmabuf_import_fence(buffer, SA_READ, fence) == 0);
    CHECK_REFUSED(sa_dmabuf_import_fence(buffer, SA_READ, -1), EINVAL);
    close(fence);
    sa_dmabuf_unref(buffer);
    sa_heap_unref(heap);
  }
}

/* A physical address where SA_TRAIT_PHYS_ADDR says so. */
static int tells_address(void* data, const struct sa_heap_info* info) {
  sa_heap* heap = NULL;
  sa_dmabuf* buffer = NULL;
  uint64_t address = 0;
  (void)data;
  if (!has_page(info) || !CHECK(sa_heap_find(info->name, &heap) == 0)) {
    return 0;
  }
  buffer = buffer_of(heap, 4096, NULL);
  if ((info->traits & SA_TRAIT_PHYS_ADDR) != 0) {
    CHECK(sa_dmabuf_phys(buffer, &address) == 0 && address != 0);
  } else {
    CHECK_REFUSED(sa_dmabuf_phys(buffer, &address), EOPNOTSUPP);
  }
  sa_dmabuf_unref(buffer);
  sa_heap_unref(heap);
  return 0;
}

static void physical_addresses(void) {
  CHECK(sa_heap_list(tells_address, NULL) == 0);
}

/* The child knows the buffer by the socket alone. */
static int receives(int socket) {
  sa_dmabuf* received = NULL;
  void* first = NULL;
  CHECK(sa_dmabuf_receive(socket, &received) == 0);
  CHECK(sa_dmabuf_size(received) >= (size_t)frame);
  CHECK(strcmp(sa_dmabuf_name(received), "sent") == 0);
  CHECK(strcmp(sa_dmabuf_heap(received), "import") == 0);
  CHECK(strcmp(sa_dmabuf_claimed_heap(received), "memfd:4k") == 0);
  CHECK(sa_dmabuf_begin(received, SA_READWRITE, &first) == 0);
  CHECK(((unsigned char*)first)[frame - 1] == 1);
  memset(first, 2, frame);
  CHECK(sa_dmabuf_end(received, SA_READWRITE) == 0);
  CHECK(sa_dmabuf_set_name(received, "returned") == 0);
  CHECK(sa_dmabuf_send(socket, received) == 0);
  sa_dmabuf_unref(received);
  return child_failed();
}

static void processes(void) {
  const int types[] = {SOCK_SEQPACKET, SOCK_STREAM};
  size_t i = 0;
  for (i = 0; i < 2; ++i) {
    sa_heap* heap = plain_heap();
    sa_dmabuf* buffer = buffer_of(heap, frame, "sent");
    sa_dmabuf* returned = NULL;
    void* first = NULL;
    uint64_t id[4] = {0, 0, 0, 0};
    int pair[2] = {-1, -1};
    int child = -1;
    CHECK(socketpair(AF_UNIX, types[i] | SOCK_CLOEXEC, 0, pair) == 0);
    CHECK(sa_dmabuf_begin(buffer, SA_WRITE, &first) == 0);
    memset(first, 1, frame);
    CHECK(sa_dmabuf_end(buffer, SA_WRITE) == 0);
    CHECK(sa_dmabuf_send(pair[0], buffer) == 0);
    fflush(NULL);
    child = fork();
    if (child == 0) {
      sa_dmabuf_unref(buffer); /* its copies of the handles */
      sa_heap_unref(heap);
      _exit(receives(pair[1]));
    }
    CHECK(sa_dmabuf_receive(pair[0], &returned) == 0);
    CHECK(child_passed(child));
    CHECK(strcmp(sa_dmabuf_name(returned), "returned") == 0);
    CHECK(sa_dmabuf_id(buffer, &id[0], &id[1]) == 0 && sa_dmabuf_id(returned, &id[2], &id[3]) == 0);
    CHECK(id[0] == id[2] && id[1] == id[3]);
    CHECK(sa_dmabuf_begin(buffer, SA_READ, &first) == 0);
    CHECK(((unsigned char*)first)[0] == 2 && ((unsigned char*)first)[frame - 1] == 2);
    CHECK(sa_dmabuf_end(buffer, SA_READ) == 0);
    sa_dmabuf_unref(returned);
    close(pair[1]);
    CHECK_REFUSED(sa_dmabuf_send(pair[0], buffer), EPIPE);
    returned = buffer;
    CHECK_REFUSED(sa_dmabuf_receive(pair[0], &returned), ECONNRESET);
    CHECK(returned == NULL);
    close(pair[0]);
    sa_dmabuf_unref(buffer);
    sa_heap_unref(heap);
  }
}

static void empty_sockets(void) {
  sa_dmabuf* received = NULL;
  int pair[2] = {-1, -1};
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
  CHECK_REFUSED(sa_dmabuf_receive(pair[0], &received), EAGAIN);
  CHECK(send(pair[1], "no buffer", 9, 0) == 9);
  CHECK_REFUSED(sa_dmabuf_receive(pair[0], &received), EBADMSG);
  close(pair[0]);
  close(pair[1]);
}

static void bare_descriptors(void) {
  struct stat file;
  int fd = sa_alloc_fd("no-such:heap|memfd:4k", 5000, "bare");
  CHECK(fd >= 0 && fstat(fd, &file) == 0 && file.st_size == 8192 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
  close(fd);
  CHECK_REFUSED(sa_alloc_fd("no-such:heap", 5000, NULL), ENOENT);
  CHECK(strstr(sa_message(), "no-such:heap") != NULL && strstr(sa_message(), "memfd:4k") != NULL); /* those that are there */
  CHECK_REFUSED(sa_alloc_fd("sytem", 4096, NULL), ENOENT);
  CHECK(strstr(sa_message(), "there is no heap \"sytem\"; did you mean system? (there are: ") != NULL);
  CHECK_REFUSED(sa_alloc_fd("memfd:4k", 0, NULL), EINVAL);
  CHECK_REFUSED(sa_alloc_fd("memfd:4k", SIZE_MAX, NULL), ENOMEM);
  CHECK_REFUSED(sa_alloc_fd("memfd:4k", 4096, "01234567890123456789012345678901"), ENAMETOOLONG);
  CHECK_REFUSED(sa_alloc_fd("memfd", 4096, NULL), ENOENT);
  fd = sa_alloc_fd(NULL, 4096, NULL); /* a dma-buf, where this machine has any */
  if (fd >= 0) {
    close(fd);
  } else {
    CHECK(*sa_message() != '\0');
  }
}

void buffer_tests(void) {
  run("a buffer holds what was written, once and for all accesses mapped", writes_and_reads);
  run("a buffer has the name that it was given last", names);
  run("a buffer lives as long as the last reference", references);
  run("a descriptor of a buffer is the same memory", descriptors_of_plain);
  run("a descriptor of a dma-buf is the same memory", descriptors_of_dma_buf);
  run("a read-only buffer refuses to be written", read_only);
  run("a dma-buf has fences, a memfd none", fences);
  run("a physical address is known where the traits say so", physical_addresses);
  run("a buffer goes to another process and back", processes);
  run("a socket without a buffer gives none", empty_sockets);
  run("a bare descriptor comes from the first heap that has it", bare_descriptors);
}
