/* SPDX-License-Identifier: MIT */
/* Pictures: formats, layouts, negotiation, planes, other processes. */
#include "check.h"

#include <sys/socket.h>
#include <unistd.h>

#define FOURCC(a, b, c, d) ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

static const char* const nv12_text = "NV12 1920x1080 planes=0+0/1920*1080,0+2073600/1920*540 sizes=3110400";

static int same_text(const struct sa_layout* layout, const char* text) {
  char line[512];
  const int length = sa_layout_text(layout, line, sizeof line);
  CHECK(length == (int)strlen(text));
  if (strcmp(line, text) != 0) {
    fprintf(stderr, "\"%s\" in place of \"%s\"\n", line, text);
  }
  return strcmp(line, text) == 0;
}

/* Each name and code of a format leads back to it. */
static int found_again(void* data, const struct sa_format* format) {
  struct sa_format other = SA_FORMAT_INIT;
  char name[64];
  ++*(int*)data;
  CHECK(format->struct_size == sizeof *format && format->plane_count >= 1 && format->plane_count <= 4);
  CHECK(sa_format_find(format->name, &other) == 0 && strcmp(other.name, format->name) == 0);
  CHECK(other.drm == format->drm && other.v4l2 == format->v4l2 && other.plane_count == format->plane_count);
  if (format->drm != 0) {
    CHECK(sa_format_find_drm(format->drm, &other) == 0 && strcmp(other.name, format->name) == 0);
  }
  if (format->v4l2 != 0) {
    CHECK(sa_format_find_v4l2(format->v4l2, &other) == 0 && strcmp(other.name, format->name) == 0);
    if ((format->v4l2 & 0x80808080) == 0) { /* big-endian codes have no text */
      snprintf(name, sizeof name, "v4l2:%.4s", (const char*)&format->v4l2);
      CHECK(sa_format_find(name, &other) == 0 && strcmp(other.name, format->name) == 0);
    }
  }
  if (format->v4l2_split != 0) {
    CHECK(sa_format_find_v4l2(format->v4l2_split, &other) == 0 && strcmp(other.name, format->name) == 0);
  }
  return 0;
}

static int stops(void* data, const struct sa_format* format) {
  (void)format;
  ++*(int*)data;
  return -7;
}

static void formats(void) {
  struct sa_format format = SA_FORMAT_INIT;
  int count = 0;
  CHECK(sa_format_list(found_again, &count) == 0 && count > 20);
  count = 0;
  CHECK(sa_format_list(stops, &count) == -7 && count == 1);
  CHECK(sa_format_find("NV12", &format) == 0 && format.plane_count == 2);
  CHECK(format.drm == FOURCC('N', 'V', '1', '2') && format.v4l2 == FOURCC('N', 'V', '1', '2'));
  CHECK(format.v4l2_split == FOURCC('N', 'M', '1', '2') && strcmp(format.gstreamer, "NV12") == 0);
  CHECK(format.planes[0].bytes == 1 && format.planes[0].hsub == 1 && format.planes[0].vsub == 1);
  CHECK(format.planes[1].bytes == 2 && format.planes[1].hsub == 2 && format.planes[1].vsub == 2);
  CHECK(sa_format_find("drm:RG16", &format) == 0 && strcmp(format.name, "RGB565") == 0);
  CHECK(sa_format_find("v4l2:RG16", &format) == 0 && strcmp(format.name, "RGB565") != 0);
  CHECK_REFUSED(sa_format_find("NV13", &format), ENOENT);
  CHECK_REFUSED(sa_format_find_drm(FOURCC('N', 'M', '1', '2'), &format), ENOENT);
  CHECK_REFUSED(sa_format_find_v4l2(0, &format), ENOENT);
}

static void layouts(void) {
  struct sa_layout layout = SA_LAYOUT_INIT;
  struct sa_layout again = SA_LAYOUT_INIT;
  char line[512];
  CHECK(sa_layout_make("NV12", 1920, 1080, NULL, &layout) == 0);
  CHECK(strcmp(layout.format, "NV12") == 0 && layout.width == 1920 && layout.height == 1080 && layout.modifier == 0);
  CHECK(layout.plane_count == 2 && layout.buffer_count == 1 && layout.sizes[0] == 3110400 && layout.sizes[1] == 0);
  CHECK(layout.planes[1].offset == 2073600 && layout.planes[1].stride == 1920 && layout.planes[1].rows == 540);
  CHECK(layout.planes[1].row_bytes == 1920 && layout.planes[1].visible_rows == 540);
  CHECK(same_text(&layout, nv12_text));
  CHECK(sa_layout_parse(nv12_text, &again) == 0 && memcmp(&layout, &again, sizeof layout) == 0);
  /* As snprintf: the length, however little fits. */
  CHECK(sa_layout_text(&layout, NULL, 0) == (int)strlen(nv12_text));
  memset(line, 'x', sizeof line);
  CHECK(sa_layout_text(&layout, line, 5) == (int)strlen(nv12_text) && strcmp(line, "NV12") == 0 && line[5] == 'x');
  CHECK(sa_layout_text(&layout, line, 1) == (int)strlen(nv12_text) && line[0] == '\0');
  /* What is written by the library is not read. */
  layout.plane_count = 77;
  layout.planes[0].row_bytes = 1;
  layout.format = "drm:NV12";
  CHECK(same_text(&layout, nv12_text));
  CHECK(sa_layout_make("NV12", 1918, 1080, "stride-align=256,buffers=separate", &layout) == 0);
  CHECK(layout.buffer_count == 2 && layout.planes[0].stride == 2048 && layout.planes[1].buffer == 1);
  CHECK(layout.planes[0].row_bytes == 1918);
  CHECK_REFUSED(sa_layout_make("NV12", 0, 1080, NULL, &layout), EINVAL);
  CHECK_REFUSED(sa_layout_make("NV12", 65536, 1080, NULL, &layout), EINVAL);
  CHECK_REFUSED(sa_layout_make("NV12", 1920, 1080, "stride-align=", &layout), EINVAL);
  CHECK(strstr(sa_message(), "stride-align") != NULL);
  CHECK_REFUSED(sa_layout_make("NV13", 1920, 1080, NULL, &layout), ENOENT);
  CHECK_REFUSED(sa_layout_parse("NV12 1920x1080 planes=0+0", &layout), EINVAL);
  CHECK_REFUSED(sa_layout_parse("", &layout), EINVAL);
  layout.planes[0].stride = 1; /* shorter than a row */
  CHECK_REFUSED(sa_layout_text(&layout, line, sizeof line), EINVAL);
}

static void colours(void) {
  struct sa_layout layout = SA_LAYOUT_INIT;
  struct sa_layout again = SA_LAYOUT_INIT;
  char line[512];
  CHECK(sa_layout_make("NV12", 64, 64, NULL, &layout) == 0);
  CHECK(layout.primaries == 2 && layout.transfer == 2 && layout.matrix == 2 && layout.full_range == 0);
  layout.primaries = 1;
  layout.transfer = 16;
  layout.matrix = 5;
  layout.full_range = 1;
  CHECK(sa_layout_text(&layout, line, sizeof line) > 0);
  CHECK(sa_layout_parse(line, &again) == 0);
  CHECK(again.primaries == 1 && again.transfer == 16 && again.matrix == 5 && again.full_range == 1);
}

/* Each byte that is to be seen of a plane depends on its place. */
static unsigned char pixel(uint32_t plane, uint32_t x, uint32_t y) {
  return (unsigned char)(plane * 100 + y * 7 + x);
}

static void draw(sa_image* image) {
  struct sa_layout layout = SA_LAYOUT_INIT;
  void* planes[4];
  uint32_t plane = 0;
  CHECK(sa_image_get_layout(image, &layout) == 0);
  CHECK(sa_image_begin(image, SA_WRITE, planes) == 0);
  for (plane = 0; plane < 4; ++plane) {
    uint32_t x = 0;
    uint32_t y = 0;
    if (plane >= layout.plane_count) {
      CHECK(planes[plane] == NULL);
      continue;
    }
    for (y = 0; y < layout.planes[plane].visible_rows; ++y) {
      unsigned char* row = (unsigned char*)planes[plane] + (size_t)y * layout.planes[plane].stride;
      for (x = 0; x < layout.planes[plane].row_bytes; ++x) {
        row[x] = pixel(plane, x, y);
      }
    }
  }
  CHECK(sa_image_end(image, SA_WRITE) == 0);
}

static int drawn(sa_image* image) {
  struct sa_layout layout = SA_LAYOUT_INIT;
  void* planes[4];
  uint32_t plane = 0;
  int wrong = 0;
  CHECK(sa_image_get_layout(image, &layout) == 0);
  CHECK(sa_image_begin(image, SA_READ, planes) == 0);
  for (plane = 0; plane < layout.plane_count; ++plane) {
    uint32_t x = 0;
    uint32_t y = 0;
    for (y = 0; y < layout.planes[plane].visible_rows; ++y) {
      const unsigned char* row = (const unsigned char*)planes[plane] + (size_t)y * layout.planes[plane].stride;
      for (x = 0; x < layout.planes[plane].row_bytes; ++x) {
        wrong += row[x] == pixel(plane, x, y) ? 0 : 1;
      }
    }
  }
  CHECK(sa_image_end(image, SA_READ) == 0);
  return wrong == 0;
}

static sa_image* image_of(sa_heap* heap, const char* format, const char* rule) {
  struct sa_layout layout = SA_LAYOUT_INIT;
  sa_image* image = NULL;
  CHECK(sa_layout_make(format, 322, 200, rule, &layout) == 0);
  CHECK(sa_image_alloc(heap, &layout, "picture", &image) == 0 && image != NULL);
  return image;
}

static void lies_as_its_layout(void) {
  sa_heap* heap = plain_heap();
  sa_image* image = image_of(heap, "NV12", "stride-align=256,buffers=separate");
  struct sa_layout layout = SA_LAYOUT_INIT;
  sa_dmabuf* chroma = sa_image_buffer(image, 1);
  unsigned char* first = NULL;
  void* mapped = NULL;
  sa_heap_unref(heap);
  CHECK(sa_image_ref(image) == image);
  sa_image_unref(image);
  CHECK(sa_image_buffer(image, 0) != NULL && chroma != NULL && sa_image_buffer(image, 2) == NULL);
  CHECK(sa_image_buffer(image, UINT32_MAX) == NULL);
  CHECK(strcmp(sa_dmabuf_name(chroma), "picture") == 0);
  draw(image);
  CHECK(drawn(image));
  CHECK(sa_image_get_layout(image, &layout) == 0 && layout.planes[1].stride == 512 && layout.buffer_count == 2);
  /* Where the layout says, in the buffer itself; which outlives the image. */
  CHECK(sa_dmabuf_ref(chroma) == chroma);
  sa_image_unref(image);
  CHECK(sa_dmabuf_begin(chroma, SA_READ, &mapped) == 0);
  first = (unsigned char*)mapped + layout.planes[1].offset;
  CHECK(first[512 * 3 + 5] == pixel(1, 5, 3));
  CHECK(sa_dmabuf_end(chroma, SA_READ) == 0);
  sa_dmabuf_unref(chroma);
}

/* Of each buffer, once, where it is a dma-buf. */
static void brackets(sa_heap* heap, int each) {
  sa_image* image = image_of(heap, "NV12", "buffers=separate");
  void* planes[4];
  int begun = 0;
  int ended = 0;
  int access = 0;
  for (access = SA_READ; access <= SA_READWRITE; ++access) {
    begun = syncs_begun;
    ended = syncs_ended;
    CHECK(sa_image_begin(image, access, planes) == 0);
    CHECK(syncs_begun == begun + 2 * each && syncs_ended == ended);
    CHECK(sa_image_end(image, access) == 0);
    CHECK(syncs_begun == begun + 2 * each && syncs_ended == ended + 2 * each);
  }
  begun = syncs_begun;
  CHECK(sa_dmabuf_begin(sa_image_buffer(image, 0), SA_READ, NULL) == 0 && syncs_begun == begun + each);
  CHECK(sa_dmabuf_end(sa_image_buffer(image, 0), SA_READ) == 0);
  CHECK(sa_dmabuf_map(sa_image_buffer(image, 0), SA_READ, planes) == 0 && syncs_begun == begun + each);
  sa_image_unref(image);
}

static void brackets_each_buffer(void) {
  sa_heap* heap = plain_heap();
  brackets(heap, 0);
  sa_heap_unref(heap);
  heap = dma_buf_heap();
  if (heap != NULL) {
    brackets(heap, 1);
    sa_heap_unref(heap);
  }
}

static void imports(void) {
  sa_heap* heap = plain_heap();
  struct sa_layout layout = SA_LAYOUT_INIT;
  struct sa_layout shifted = SA_LAYOUT_INIT;
  sa_dmabuf* buffers[2] = {NULL, NULL};
  sa_dmabuf* small[2] = {NULL, NULL};
  sa_dmabuf* none[2] = {NULL, NULL};
  sa_image* image = NULL;
  CHECK(sa_layout_make("NV12", 320, 200, "buffers=separate", &layout) == 0);
  buffers[0] = buffer_of(heap, 100000, NULL);
  buffers[1] = buffer_of(heap, 100000, NULL);
  small[0] = buffers[0];
  small[1] = buffer_of(heap, 4096, NULL);
  CHECK_REFUSED(sa_image_import(&layout, small, 2, &image), EINVAL);
  CHECK_REFUSED(sa_image_import(&layout, buffers, 1, &image), EINVAL);
  CHECK_REFUSED(sa_image_import(&layout, none, 2, &image), EBADF);
  CHECK(image == NULL);
  CHECK(sa_image_import(&layout, buffers, 2, &image) == 0);
  CHECK(sa_image_buffer(image, 0) == buffers[0] && sa_image_buffer(image, 1) == buffers[1]);
  sa_dmabuf_unref(buffers[0]);
  sa_dmabuf_unref(buffers[1]);
  sa_dmabuf_unref(small[1]);
  draw(image);
  CHECK(drawn(image));
  shifted = layout;
  shifted.planes[0].offset = 128; /* a driver that begins its pixels later */
  shifted.sizes[0] += 128;
  CHECK(sa_image_set_layout(image, &shifted) == 0);
  CHECK(!drawn(image));
  draw(image);
  CHECK(drawn(image));
  shifted.planes[0].offset = 1000000;
  CHECK_REFUSED(sa_image_set_layout(image, &shifted), EINVAL);
  CHECK(sa_image_get_layout(image, &shifted) == 0 && shifted.planes[0].offset == 128);
  sa_image_unref(image);
  sa_heap_unref(heap);
}

static int receives(int socket) {
  sa_image* image = NULL;
  struct sa_layout layout = SA_LAYOUT_INIT;
  uint64_t number = 0;
  CHECK(sa_image_receive(socket, &image, &number) == 0 && number == UINT64_MAX - 1);
  CHECK(sa_image_get_layout(image, &layout) == 0 && strcmp(layout.format, "NV12") == 0 && layout.buffer_count == 2);
  CHECK(drawn(image));
  CHECK(sa_image_send(socket, image, 2) == 0);
  sa_image_unref(image);
  return child_failed();
}

static void processes(void) {
  sa_heap* heap = plain_heap();
  sa_image* image = image_of(heap, "NV12", "buffers=separate");
  sa_image* returned = NULL;
  sa_dmabuf* buffer = buffer_of(heap, 4096, NULL);
  int pair[2] = {-1, -1};
  int child = -1;
  draw(image);
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
  fflush(NULL);
  child = fork();
  if (child == 0) {
    sa_image_unref(image); /* its copies of the handles */
    sa_dmabuf_unref(buffer);
    sa_heap_unref(heap);
    _exit(receives(pair[1]));
  }
  CHECK(sa_image_send(pair[0], image, UINT64_MAX - 1) == 0);
  CHECK(sa_image_receive(pair[0], &returned, NULL) == 0 && drawn(returned));
  CHECK(child_passed(child));
  sa_image_unref(returned);
  CHECK(sa_dmabuf_send(pair[1], buffer) == 0); /* without a layout */
  returned = image;
  CHECK_REFUSED(sa_image_receive(pair[0], &returned, NULL), EBADMSG);
  CHECK(returned == NULL);
  close(pair[0]);
  close(pair[1]);
  sa_dmabuf_unref(buffer);
  sa_image_unref(image);
  sa_heap_unref(heap);
}

/* Asks for a picture that the devices share, takes it from a pool, and draws. */
static void negotiate(const char* const* devices, size_t count, const char* wanted, uint32_t flags) {
  struct sa_image_request request = SA_IMAGE_REQUEST_INIT;
  struct sa_layout layout = SA_LAYOUT_INIT;
  struct sa_pool_statistics statistics = SA_POOL_STATISTICS_INIT;
  sa_heap* heap = NULL;
  sa_heap* pool = NULL;
  sa_image* image = NULL;
  int round = 0;
  request.width = 640;
  request.height = 360;
  request.formats = wanted;
  request.flags = flags;
  if (!CHECK(sa_image_choose(devices, count, &request, &layout, &heap) == 0)) {
    return;
  }
  CHECK(layout.width == 640 && layout.height == 360 && layout.plane_count >= 1 && layout.buffer_count >= 1);
  if (wanted != NULL) {
    CHECK(strstr(wanted, layout.format) != NULL);
  }
  CHECK(sa_heap_pool(heap, NULL, &pool) == 0);
  sa_heap_unref(heap);
  for (round = 0; round < 3; ++round) {
    CHECK(sa_image_alloc(pool, &layout, "negotiated", &image) == 0);
    if (count > 0) {
      CHECK((sa_dmabuf_traits(sa_image_buffer(image, 0)) & SA_TRAIT_DMABUF) != 0);
    }
    draw(image);
    CHECK(drawn(image));
    sa_image_unref(image);
  }
  CHECK(sa_heap_statistics(pool, &statistics) == 0 && statistics.hits == 2 * layout.buffer_count && statistics.live == 0);
  sa_heap_unref(pool);
}

static void for_no_device(void) {
  struct sa_image_request request = SA_IMAGE_REQUEST_INIT;
  struct sa_layout layout = SA_LAYOUT_INIT;
  sa_heap* heap = NULL;
  negotiate(NULL, 0, "NV12|XRGB8888", 0);
  negotiate(NULL, 0, NULL, 0);
  request.width = 1920;
  request.height = 1080;
  request.formats = "NV12";
  request.constraints = "cached";
  request.require = SA_TRAIT_ZEROED;
  CHECK(sa_image_choose(NULL, 0, &request, &layout, &heap) == 0 && same_text(&layout, nv12_text));
  sa_heap_unref(heap);
  request.formats = "NV12|NV13";
  CHECK_REFUSED(sa_image_choose(NULL, 0, &request, &layout, &heap), ENOENT);
  CHECK(heap == NULL);
  request.formats = "NV12";
  request.width = 0;
  CHECK_REFUSED(sa_image_choose(NULL, 0, &request, &layout, &heap), EINVAL);
  request.width = 1920;
  request.constraints = "cached,uncached";
  CHECK_REFUSED(sa_image_choose(NULL, 0, &request, &layout, &heap), EINVAL);
}

static void for_devices(void) {
  sa_heap* heap = NULL;
  sa_dmabuf* buffer = NULL;
  uint32_t flags = 0;
  for (flags = 0; flags <= SA_PROBE; ++flags) {
    CHECK(sa_heap_for_devices(nodes, node_count, NULL, flags, &heap) == 0);
    buffer = buffer_of(heap, 640 * 360 * 4, "for devices");
    CHECK((sa_dmabuf_traits(buffer) & SA_TRAIT_DMABUF) != 0);
    sa_dmabuf_unref(buffer);
    sa_heap_unref(heap);
    negotiate(nodes, node_count, NULL, flags);
    negotiate(nodes, node_count, "XRGB8888|RGB565", flags);
  }
}

static void refuses_devices(void) {
  const char* missing[] = {"/dev/no-such-device"};
  const char* no_device[] = {"/dev/null"};
  const char* null[] = {NULL};
  struct sa_image_request request = SA_IMAGE_REQUEST_INIT;
  struct sa_layout layout = SA_LAYOUT_INIT;
  sa_heap* heap = NULL;
  request.width = 64;
  request.height = 64;
  CHECK_REFUSED(sa_heap_for_devices(missing, 1, NULL, 0, &heap), ENOENT);
  CHECK(strstr(sa_message(), "/dev/no-such-device") != NULL);
  CHECK_REFUSED(sa_image_choose(missing, 1, &request, &layout, &heap), ENOENT);
  CHECK(sa_heap_for_devices(no_device, 1, NULL, 0, &heap) < 0 && strstr(sa_message(), "/dev/null") != NULL);
  CHECK_REFUSED(sa_heap_for_devices(null, 1, NULL, 0, &heap), EINVAL);
  CHECK_REFUSED(sa_heap_for_devices(NULL, 1, NULL, 0, &heap), EINVAL);
  CHECK_REFUSED(sa_heap_for_devices(NULL, 0, NULL, 2, &heap), EINVAL);
  CHECK_REFUSED(sa_heap_for_devices(NULL, 0, "cached,uncached", 0, &heap), EINVAL);
  CHECK_REFUSED(sa_heap_for_devices(NULL, 0, "fast", 0, &heap), EINVAL);
}

void image_tests(void) {
  run("a format is found by each of its names and codes", formats);
  run("a layout becomes a line of text and is read back", layouts);
  run("colours stay with the layout", colours);
  run("a picture lies as its layout says", lies_as_its_layout);
  run("an access begins and ends in each buffer, once", brackets_each_buffer);
  run("buffers and a layout make a picture, which may lie otherwise later", imports);
  run("a picture goes to another process and back", processes);
  run("a picture for no device is the smallest", for_no_device);
  if (node_count > 0) {
    run("a picture for devices is one that all of them take", for_devices);
  }
  run("a device that cannot be asked is refused", refuses_devices);
}
