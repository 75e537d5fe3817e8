/* SPDX-License-Identifier: MIT */
/* What the interface refuses: null handles and pointers, structures of other versions, unknown bits, malformed texts. */
#include "check.h"

#include <fcntl.h>
#include <unistd.h>

static int never(void* data, const struct sa_heap_info* info) {
  (void)data;
  return info == NULL;
}

static void null_heaps(void) {
  sa_heap* heap = NULL;
  sa_dmabuf* buffer = NULL;
  sa_image* image = NULL;
  struct sa_request request = SA_REQUEST_INIT;
  struct sa_pool_statistics statistics = SA_POOL_STATISTICS_INIT;
  struct sa_heap_info info = SA_HEAP_INFO_INIT;
  struct sa_layout layout = SA_LAYOUT_INIT;
  request.size = 4096;
  CHECK(sa_layout_make("R8", 16, 16, NULL, &layout) == 0);
  CHECK_REFUSED(sa_heap_pool(NULL, NULL, &heap), EBADF);
  CHECK_REFUSED(sa_heap_reserve(NULL, 1, &request), EBADF);
  CHECK_REFUSED(sa_heap_trim(NULL), EBADF);
  CHECK_REFUSED(sa_heap_statistics(NULL, &statistics), EBADF);
  CHECK_REFUSED(sa_heap_get_info(NULL, &info), EBADF);
  CHECK_REFUSED(sa_dmabuf_alloc(NULL, &request, &buffer), EBADF);
  CHECK_REFUSED(sa_image_alloc(NULL, &layout, NULL, &image), EBADF);
  CHECK(sa_heap_ref(NULL) == NULL);
  sa_heap_unref(NULL);
}

static void null_buffers(void) {
  void* first = NULL;
  uint64_t number = 0;
  CHECK_REFUSED(sa_dmabuf_fd(NULL), EBADF);
  CHECK_REFUSED(sa_dmabuf_dup(NULL), EBADF);
  CHECK_REFUSED(sa_dmabuf_memfd(NULL), EBADF);
  CHECK(sa_dmabuf_size(NULL) == 0 && sa_dmabuf_traits(NULL) == 0);
  CHECK(sa_dmabuf_heap(NULL) == NULL && sa_dmabuf_claimed_heap(NULL) == NULL && sa_dmabuf_name(NULL) == NULL);
  CHECK_REFUSED(sa_dmabuf_set_name(NULL, "x"), EBADF);
  CHECK_REFUSED(sa_dmabuf_phys(NULL, &number), EBADF);
  CHECK_REFUSED(sa_dmabuf_id(NULL, &number, &number), EBADF);
  CHECK_REFUSED(sa_dmabuf_map(NULL, SA_READ, &first), EBADF);
  CHECK_REFUSED(sa_dmabuf_begin(NULL, SA_READ, &first), EBADF);
  CHECK_REFUSED(sa_dmabuf_end(NULL, SA_READ), EBADF);
  CHECK_REFUSED(sa_dmabuf_wait(NULL, SA_READ, 0), EBADF);
  CHECK_REFUSED(sa_dmabuf_export_fence(NULL, SA_READ), EBADF);
  CHECK_REFUSED(sa_dmabuf_import_fence(NULL, SA_READ, 0), EBADF);
  CHECK_REFUSED(sa_dmabuf_send(0, NULL), EBADF);
  CHECK(sa_dmabuf_ref(NULL) == NULL);
  sa_dmabuf_unref(NULL);
}

static void null_images(void) {
  void* planes[4];
  struct sa_layout layout = SA_LAYOUT_INIT;
  CHECK(sa_layout_make("R8", 16, 16, NULL, &layout) == 0);
  CHECK_REFUSED(sa_image_get_layout(NULL, &layout), EBADF);
  CHECK_REFUSED(sa_image_set_layout(NULL, &layout), EBADF);
  CHECK_REFUSED(sa_image_begin(NULL, SA_READ, planes), EBADF);
  CHECK_REFUSED(sa_image_end(NULL, SA_READ), EBADF);
  CHECK_REFUSED(sa_image_send(0, NULL, 0), EBADF);
  CHECK(sa_image_buffer(NULL, 0) == NULL && sa_image_ref(NULL) == NULL);
  sa_image_unref(NULL);
}

static void null_pointers(void) {
  const uint32_t nv12 = 0x3231564e; /* in both tables */
  sa_heap* heap = plain_heap();
  sa_heap* other = NULL;
  sa_heap* pool = NULL;
  sa_dmabuf* buffer = buffer_of(heap, 4096, NULL);
  sa_dmabuf* no_buffer = NULL;
  sa_image* image = NULL;
  struct sa_request request = SA_REQUEST_INIT;
  struct sa_image_request asked = SA_IMAGE_REQUEST_INIT;
  struct sa_layout layout = SA_LAYOUT_INIT;
  uint64_t number = 0;
  char line[512];
  request.size = 4096;
  asked.width = asked.height = 64;
  CHECK(sa_layout_make("R8", 16, 16, NULL, &layout) == 0);
  CHECK(sa_heap_pool(heap, NULL, &pool) == 0);
  CHECK_REFUSED(sa_heap_list(NULL, NULL), EINVAL);
  CHECK_REFUSED(sa_heap_find("memfd:4k", NULL), EINVAL);
  CHECK_REFUSED(sa_heap_for_devices(NULL, 0, NULL, 0, NULL), EINVAL);
  CHECK_REFUSED(sa_heap_pool(heap, NULL, NULL), EINVAL);
  CHECK_REFUSED(sa_heap_reserve(pool, 1, NULL), EINVAL);
  CHECK_REFUSED(sa_heap_statistics(pool, NULL), EINVAL);
  CHECK_REFUSED(sa_heap_get_info(heap, NULL), EINVAL);
  CHECK_REFUSED(sa_dmabuf_alloc(heap, NULL, &no_buffer), EINVAL);
  CHECK_REFUSED(sa_dmabuf_alloc(heap, &request, NULL), EINVAL);
  CHECK_REFUSED(sa_dmabuf_import(sa_dmabuf_dup(buffer), NULL), EINVAL); /* and closed */
  CHECK_REFUSED(sa_dmabuf_id(buffer, NULL, &number), EINVAL);
  CHECK_REFUSED(sa_dmabuf_id(buffer, &number, NULL), EINVAL);
  CHECK_REFUSED(sa_dmabuf_phys(buffer, NULL), EOPNOTSUPP); /* not known */
  CHECK_REFUSED(sa_dmabuf_map(buffer, SA_READ, NULL), EINVAL);
  CHECK_REFUSED(sa_dmabuf_receive(0, NULL), EINVAL);
  CHECK_REFUSED(sa_format_find("NV12", NULL), EINVAL);
  CHECK_REFUSED(sa_format_find_drm(nv12, NULL), EINVAL);
  CHECK_REFUSED(sa_format_find_v4l2(nv12, NULL), EINVAL);
  CHECK_REFUSED(sa_format_list(NULL, NULL), EINVAL);
  CHECK_REFUSED(sa_layout_make("NV12", 16, 16, NULL, NULL), EINVAL);
  CHECK_REFUSED(sa_layout_parse("NV12", NULL), EINVAL);
  CHECK_REFUSED(sa_layout_text(NULL, line, sizeof line), EINVAL);
  CHECK_REFUSED(sa_layout_text(&layout, NULL, 1), EINVAL);
  CHECK_REFUSED(sa_image_choose(NULL, 0, NULL, &layout, &other), EINVAL);
  CHECK_REFUSED(sa_image_choose(NULL, 0, &asked, NULL, &other), EINVAL);
  CHECK_REFUSED(sa_image_choose(NULL, 0, &asked, &layout, NULL), EINVAL);
  CHECK(sa_layout_make("R8", 16, 16, NULL, &layout) == 0);
  CHECK_REFUSED(sa_image_alloc(heap, NULL, NULL, &image), EINVAL);
  CHECK_REFUSED(sa_image_alloc(heap, &layout, NULL, NULL), EINVAL);
  CHECK_REFUSED(sa_image_import(NULL, &buffer, 1, &image), EINVAL);
  CHECK_REFUSED(sa_image_import(&layout, NULL, 1, &image), EBADF);
  CHECK_REFUSED(sa_image_import(&layout, &buffer, 1, NULL), EINVAL);
  CHECK_REFUSED(sa_image_receive(0, NULL, &number), EINVAL);
  CHECK(sa_image_alloc(heap, &layout, NULL, &image) == 0);
  CHECK_REFUSED(sa_image_get_layout(image, NULL), EINVAL);
  CHECK_REFUSED(sa_image_set_layout(image, NULL), EINVAL);
  CHECK_REFUSED(sa_image_begin(image, SA_READ, NULL), EINVAL);
  /* Texts that must be there. */
  CHECK_REFUSED(sa_layout_parse(NULL, &layout), EINVAL);
  CHECK(sa_format_find(NULL, NULL) < 0 && sa_layout_make(NULL, 16, 16, NULL, &layout) < 0);
  sa_image_unref(image);
  sa_dmabuf_unref(buffer);
  sa_heap_unref(pool);
  sa_heap_unref(heap);
}

static void accesses(void) {
  const int no_access[] = {0, 4, 7, -1};
  sa_heap* heap = plain_heap();
  sa_dmabuf* buffer = buffer_of(heap, 4096, NULL);
  struct sa_layout layout = SA_LAYOUT_INIT;
  sa_image* image = NULL;
  void* planes[4];
  size_t i = 0;
  CHECK(sa_layout_make("R8", 16, 16, NULL, &layout) == 0 && sa_image_alloc(heap, &layout, NULL, &image) == 0);
  for (i = 0; i < sizeof no_access / sizeof *no_access; ++i) {
    CHECK_REFUSED(sa_dmabuf_map(buffer, no_access[i], planes), EINVAL);
    CHECK_REFUSED(sa_dmabuf_begin(buffer, no_access[i], NULL), EINVAL);
    CHECK_REFUSED(sa_dmabuf_end(buffer, no_access[i]), EINVAL);
    CHECK_REFUSED(sa_image_begin(image, no_access[i], planes), EINVAL);
    CHECK_REFUSED(sa_image_end(image, no_access[i]), EINVAL);
  }
  sa_image_unref(image);
  sa_dmabuf_unref(buffer);
  sa_heap_unref(heap);
}

/* A buffer is refused, and nothing is handed out. */
static void refuse_request(sa_heap* heap, const struct sa_request* request, int error) {
  sa_dmabuf* left = buffer_of(heap, 4096, NULL);
  sa_dmabuf* out = left;
  CHECK_REFUSED(sa_dmabuf_alloc(heap, request, &out), error);
  CHECK(out == NULL);
  sa_dmabuf_unref(left);
}

static void requests(void) {
  const char* malformed[] = {
      "fast",          "align",           "align=3",      "align=0",        "segments=x", "cached,,coherent",
      "cached,cached", "cached,uncached", "contiguous=1", "max-address=1Q", ","};
  sa_heap* heap = plain_heap();
  struct sa_request request = SA_REQUEST_INIT;
  size_t i = 0;
  refuse_request(heap, &request, EINVAL); /* size 0 */
  request.size = SIZE_MAX;
  refuse_request(heap, &request, ENOMEM);
  request.size = 4096;
  for (i = 0; i < sizeof malformed / sizeof *malformed; ++i) {
    request.constraints = malformed[i];
    refuse_request(heap, &request, EINVAL);
  }
  request.constraints = NULL;
  request.flags = 2;
  refuse_request(heap, &request, EINVAL);
  request.flags = 0;
  request.require = 1U << 31; /* no trait */
  refuse_request(heap, &request, EINVAL);
  request.require = 0;
  request.name = "tab\there";
  refuse_request(heap, &request, EINVAL);
  sa_heap_unref(heap);
}

static void imports(void) {
  sa_dmabuf* out = NULL;
  int pair[2] = {-1, -1};
  int file = -1;
  CHECK_REFUSED(sa_dmabuf_import(-1, &out), EBADF);
  CHECK_REFUSED(sa_dmabuf_import(1 << 20, &out), EBADF);
  CHECK(pipe2(pair, O_CLOEXEC) == 0);
  CHECK_REFUSED(sa_dmabuf_import(pair[0], &out), EINVAL);
  CHECK(fcntl(pair[0], F_GETFD) == -1); /* closed: it was the library's */
  close(pair[1]);
  file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  CHECK_REFUSED(sa_dmabuf_import(file, &out), EINVAL);
  CHECK(out == NULL);
}

static void names_of_heaps(void) {
  const char* malformed[] = {"",      "|",  "memfd:4k||system", "memfd:4k|", "|memfd:4k",
                             "a/b:c", "..", "memfd:4k system",  ":",         "a:b:c\n"};
  size_t i = 0;
  for (i = 0; i < sizeof malformed / sizeof *malformed; ++i) {
    sa_heap* heap = NULL;
    CHECK_REFUSED(sa_heap_find(malformed[i], &heap), EINVAL);
    CHECK(heap == NULL);
    CHECK_REFUSED(sa_alloc_fd(malformed[i], 4096, NULL), EINVAL);
  }
}

/* Each structure with what a later header may have added. */
enum { later = 16 };
#define LATER(type)                                                                                                              \
  struct later_##type {                                                                                                          \
    struct type now;                                                                                                             \
    unsigned char more[later];                                                                                                   \
  }
LATER(sa_request);
LATER(sa_pool_options);
LATER(sa_pool_statistics);
LATER(sa_heap_info);
LATER(sa_format);
LATER(sa_layout);
LATER(sa_image_request);

/* CALL with STRUCTURE.now as it is (works), smaller, of size 0, and larger with a tail of zeroes (works) or not: NEWER, or for 0
   an answer, whose tail is written with zeroes. */
#define CHECK_VERSIONS(structure, call, undo, newer)                                                                             \
  do {                                                                                                                           \
    const size_t right = sizeof(structure).now;                                                                                  \
    CHECK((call) == 0);                                                                                                          \
    undo;                                                                                                                        \
    (structure).now.struct_size = 0;                                                                                             \
    CHECK_REFUSED(call, EINVAL);                                                                                                 \
    (structure).now.struct_size = sizeof(size_t);                                                                                \
    CHECK_REFUSED(call, EINVAL);                                                                                                 \
    (structure).now.struct_size = right - 1;                                                                                     \
    CHECK_REFUSED(call, EINVAL);                                                                                                 \
    (structure).now.struct_size = right + later;                                                                                 \
    CHECK((call) == 0);                                                                                                          \
    undo;                                                                                                                        \
    (structure).now.struct_size = right + later;                                                                                 \
    (structure).more[later - 1] = 1;                                                                                             \
    if ((newer) != 0) {                                                                                                          \
      CHECK_REFUSED(call, newer);                                                                                                \
    } else {                                                                                                                     \
      CHECK((call) == 0 && (structure).more[later - 1] == 0);                                                                    \
    }                                                                                                                            \
    (structure).more[later - 1] = 0;                                                                                             \
    (structure).now.struct_size = right;                                                                                         \
  } while (0)

static void versions_of_requests(void) {
  sa_heap* heap = plain_heap();
  sa_heap* pool = NULL;
  sa_heap* chosen = NULL;
  sa_dmabuf* buffer = NULL;
  struct sa_layout layout = SA_LAYOUT_INIT;
  struct later_sa_request request = {SA_REQUEST_INIT, {0}};
  struct later_sa_pool_options options = {SA_POOL_OPTIONS_INIT, {0}};
  struct later_sa_image_request asked = {SA_IMAGE_REQUEST_INIT, {0}};
  request.now.size = 4096;
  CHECK_VERSIONS(request, sa_dmabuf_alloc(heap, &request.now, &buffer), sa_dmabuf_unref(buffer), EOPNOTSUPP);
  CHECK_VERSIONS(options, sa_heap_pool(heap, &options.now, &pool), sa_heap_unref(pool), EOPNOTSUPP);
  options.now.reserved = 1;
  CHECK_REFUSED(sa_heap_pool(heap, &options.now, &pool), EOPNOTSUPP);
  CHECK(sa_heap_pool(heap, NULL, &pool) == 0);
  CHECK_VERSIONS(request, sa_heap_reserve(pool, 1, &request.now), sa_heap_trim(pool), EOPNOTSUPP);
  asked.now.width = asked.now.height = 64;
  asked.now.formats = "NV12";
  CHECK_VERSIONS(asked, sa_image_choose(NULL, 0, &asked.now, &layout, &chosen), sa_heap_unref(chosen), EOPNOTSUPP);
  asked.now.flags = 2;
  CHECK_REFUSED(sa_image_choose(NULL, 0, &asked.now, &layout, &chosen), EINVAL);
  sa_heap_unref(pool);
  sa_heap_unref(heap);
}

static void versions_of_answers(void) {
  sa_heap* heap = plain_heap();
  sa_heap* pool = NULL;
  struct later_sa_heap_info info = {SA_HEAP_INFO_INIT, {0}};
  struct later_sa_pool_statistics statistics = {SA_POOL_STATISTICS_INIT, {0}};
  struct later_sa_format format = {SA_FORMAT_INIT, {0}};
  CHECK(sa_heap_pool(heap, NULL, &pool) == 0);
  CHECK_VERSIONS(info, sa_heap_get_info(heap, &info.now), CHECK(strcmp(info.now.name, "memfd:4k") == 0), 0);
  CHECK_VERSIONS(statistics, sa_heap_statistics(pool, &statistics.now), CHECK(statistics.now.live == 0), 0);
  CHECK_VERSIONS(format, sa_format_find("NV12", &format.now), CHECK(format.now.plane_count == 2), 0);
  sa_heap_unref(pool);
  sa_heap_unref(heap);
}

static void versions_of_layouts(void) {
  sa_heap* heap = plain_heap();
  sa_image* image = NULL;
  struct later_sa_layout layout = {SA_LAYOUT_INIT, {0}};
  CHECK_VERSIONS(layout, sa_layout_make("NV12", 64, 64, NULL, &layout.now), CHECK(layout.now.plane_count == 2), 0);
  CHECK_VERSIONS(layout, sa_image_alloc(heap, &layout.now, NULL, &image), sa_image_unref(image), EOPNOTSUPP);
  CHECK(sa_image_alloc(heap, &layout.now, NULL, &image) == 0);
  CHECK_VERSIONS(layout, sa_image_set_layout(image, &layout.now), (void)0, EOPNOTSUPP);
  CHECK_VERSIONS(layout, sa_image_get_layout(image, &layout.now), CHECK(layout.now.width == 64), 0);
  layout.now.reserved[3] = 1;
  CHECK_REFUSED(sa_image_set_layout(image, &layout.now), EOPNOTSUPP);
  layout.now.reserved[3] = 0;
  layout.now.planes[1].reserved = 1;
  CHECK_REFUSED(sa_image_set_layout(image, &layout.now), EOPNOTSUPP);
  sa_image_unref(image);
  sa_heap_unref(heap);
}

void refusal_tests(void) {
  CHECK(sa_heap_list(never, NULL) == 0);
  run("a null heap is EBADF", null_heaps);
  run("a null buffer is EBADF", null_buffers);
  run("a null image is EBADF", null_images);
  run("a null pointer where something must be is EINVAL", null_pointers);
  run("a number that is no access is EINVAL", accesses);
  run("a request that cannot be is refused, and hands out nothing", requests);
  run("a descriptor of another file is refused and closed", imports);
  run("a malformed name of a heap is EINVAL", names_of_heaps);
  run("a request of another version is granted where it asks for nothing unknown", versions_of_requests);
  run("an answer has the version that was asked for", versions_of_answers);
  run("a layout of another version is taken where it says nothing unknown", versions_of_layouts);
}
