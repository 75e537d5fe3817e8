/* SPDX-License-Identifier: MIT */
/* Heap: a source of buffers. */
#include "module.h"

#include <errno.h>
#include <math.h>

PyObject* heap_object(State* state, sa_heap* handle) {
  Heap* self = PyObject_New(Heap, state->heap);
  if (self == NULL) {
    sa_heap_unref(handle);
    return NULL;
  }
  self->handle = handle;
  return (PyObject*)self;
}

/* One of the state's, of what a function handed out. */
static PyObject* heap_or_failure(State* state, int status, sa_heap* handle) {
  return status < 0 ? fail(status) : heap_object(state, handle);
}

static PyObject* heap_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  static char* names[] = {"name", NULL};
  const char* name = NULL;
  sa_heap* handle = NULL;
  int status;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|z", names, &name)) {
    return NULL;
  }
  Py_BEGIN_ALLOW_THREADS
    status = sa_heap_find(name, &handle);
  Py_END_ALLOW_THREADS
  return heap_or_failure(PyType_GetModuleState(type), status, handle);
}

static void heap_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  sa_heap* handle = ((Heap*)self)->handle;
  Py_BEGIN_ALLOW_THREADS
    sa_heap_unref(handle);
  Py_END_ALLOW_THREADS
  PyObject_Del(self);
  Py_DECREF(type);
}

static PyObject* heap_for_devices(PyObject* type, PyObject* args, PyObject* kwargs) {
  static char* names[] = {"nodes", "constraints", "probe", NULL};
  PyObject* nodes;
  const char* constraints = NULL;
  int probe = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$zp", names, &nodes, &constraints, &probe)) {
    return NULL;
  }
  Paths paths;
  if (paths_of(nodes, &paths) != 0) {
    return NULL;
  }
  sa_heap* handle = NULL;
  int status;
  Py_BEGIN_ALLOW_THREADS
    status = sa_heap_for_devices(paths.items, paths.count, constraints, probe ? SA_PROBE : 0, &handle);
  Py_END_ALLOW_THREADS
  paths_drop(&paths);
  return heap_or_failure(PyType_GetModuleState((PyTypeObject*)type), status, handle);
}

/* Milliseconds of max_age; 0 with an exception. */
static uint32_t age_of(PyObject* object) {
  double seconds;
  if (object == NULL) {
    return 10 * 1000;
  }
  if (to_seconds(object, &seconds) != 0) {
    return 0;
  }
  const double milliseconds = ceil(seconds * 1000);
  if (seconds < 0 || milliseconds >= UINT32_MAX) {
    return UINT32_MAX; /* never */
  }
  return milliseconds < 1 ? 1 : (uint32_t)milliseconds;
}

static PyObject* heap_pool(PyObject* self, PyObject* args, PyObject* kwargs) {
  static char* names[] = {"max_free_bytes", "max_age", "recycle_always", "zero", NULL};
  struct sa_pool_options options = SA_POOL_OPTIONS_INIT;
  Py_ssize_t max_free_bytes = 256 << 20;
  PyObject* max_age = NULL;
  int recycle_always = 0, zero = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$nOpp", names, &max_free_bytes, &max_age, &recycle_always, &zero)) {
    return NULL;
  }
  if (max_free_bytes <= 0) {
    PyErr_SetString(PyExc_ValueError, "max_free_bytes is above 0");
    return NULL;
  }
  options.max_free_bytes = (uint64_t)max_free_bytes;
  options.max_age_ms = age_of(max_age);
  options.recycle = recycle_always ? SA_RECYCLE_ALWAYS : SA_RECYCLE_WHEN_UNSHARED;
  options.zero = zero ? 1 : 0;
  if (options.max_age_ms == 0) {
    return NULL;
  }
  sa_heap* pool = NULL;
  const int status = sa_heap_pool(((Heap*)self)->handle, &options, &pool);
  return heap_or_failure(state_of(self), status, pool);
}

/* Reads size, name, constraints, require and prefault, and before them a count where there is to be one. */
static int request_of(PyObject* args, PyObject* kwargs, struct sa_request* request, Py_ssize_t* count) {
  static char* names[] = {"count", "size", "name", "constraints", "require", "prefault", NULL};
  Py_ssize_t size;
  int prefault = 0, good;
  if (count != NULL) {
    good = PyArg_ParseTupleAndKeywords(args, kwargs, "nn|$zzO&p", names, count, &size, &request->name, &request->constraints,
                                       to_traits, &request->require, &prefault);
  } else {
    good = PyArg_ParseTupleAndKeywords(args, kwargs, "n|$zzO&p", names + 1, &size, &request->name, &request->constraints,
                                       to_traits, &request->require, &prefault);
  }
  if (good && (size <= 0 || (count != NULL && *count < 0))) {
    PyErr_SetString(PyExc_ValueError, size <= 0 ? "a size is above 0" : "a count is not negative");
    good = 0;
  }
  request->size = good ? (size_t)size : 0;
  request->flags = prefault ? SA_PREFAULT : 0;
  return good;
}

static PyObject* heap_allocate(PyObject* self, PyObject* args, PyObject* kwargs) {
  struct sa_request request = SA_REQUEST_INIT;
  sa_dmabuf* handle = NULL;
  int status;
  if (!request_of(args, kwargs, &request, NULL)) {
    return NULL;
  }
  Py_BEGIN_ALLOW_THREADS
    status = sa_dmabuf_alloc(((Heap*)self)->handle, &request, &handle);
  Py_END_ALLOW_THREADS
  return status < 0 ? fail(status) : buffer_object(state_of(self), handle);
}

static PyObject* heap_reserve(PyObject* self, PyObject* args, PyObject* kwargs) {
  struct sa_request request = SA_REQUEST_INIT;
  Py_ssize_t count;
  int status;
  if (!request_of(args, kwargs, &request, &count)) {
    return NULL;
  }
  Py_BEGIN_ALLOW_THREADS
    status = sa_heap_reserve(((Heap*)self)->handle, (size_t)count, &request);
  Py_END_ALLOW_THREADS
  if (status < 0) {
    return fail(status);
  }
  Py_RETURN_NONE;
}

static PyObject* heap_trim(PyObject* self, PyObject* none) {
  (void)none;
  int status;
  Py_BEGIN_ALLOW_THREADS
    status = sa_heap_trim(((Heap*)self)->handle);
  Py_END_ALLOW_THREADS
  if (status < 0) {
    return fail(status);
  }
  Py_RETURN_NONE;
}

static PyStructSequence_Field pool_statistics_fields[] = {
    {"hits", "allocations served by a free buffer"},
    {"misses", "allocations that went to the heap and succeeded"},
    {"live", "buffers in use"},
    {"free_buffers", "buffers kept free"},
    {"set_aside", "buffers kept that somebody else had when they came back"},
    {"free_bytes", "bytes of both"},
    {"freed_shared", "freed, not kept: given away, and perhaps still seen by somebody"},
    {"freed_full", "freed, not kept: no room under max_free_bytes"},
    {"freed_old", "kept free, then given back for its age"},
    {NULL, NULL},
};
PyStructSequence_Desc pool_statistics_desc = {
    "simple_allocator.PoolStatistics", "Counts of a pool. Exact while no other thread uses the pool.", pool_statistics_fields, 9};

static PyObject* heap_statistics(PyObject* self, PyObject* none) {
  (void)none;
  struct sa_pool_statistics is = SA_POOL_STATISTICS_INIT;
  const int status = sa_heap_statistics(((Heap*)self)->handle, &is);
  if (status < 0) {
    return fail(status);
  }
  const uint64_t numbers[] = {is.hits,       is.misses,       is.live,       is.free_buffers, is.set_aside,
                              is.free_bytes, is.freed_shared, is.freed_full, is.freed_old};
  PyObject* items[9];
  for (int i = 0; i < 9; ++i) {
    items[i] = PyLong_FromUnsignedLongLong(numbers[i]);
  }
  return named_tuple(state_of(self)->pool_statistics, items, 9);
}

static PyStructSequence_Field heap_info_fields[] = {
    {"name", "\"dma-heap:system\"; an alias, or names with \"|\" between them"},
    {"backend",
     "\"memfd\", \"udmabuf\", \"dma-heap\", \"ion\", \"cma\", \"carveout\", \"drm\"; \"alias\" for an alias or a list"},
    {"node", "the device node, or None"},
    {"reason", "why it is not usable, and the remedy, or None"},
    {"traits", "a Trait: properties of its memory"},
    {"usable", "whether an allocation could succeed when the library last looked"},
    {"granularity", "bytes; sizes are rounded up to a multiple"},
    {"max_size", "bytes, the largest request that can ever succeed, as far as the kernel tells"},
    {"max_alignment", "bytes, the largest alignment that it can promise"},
    {"max_address", "bytes; every physical address of its memory is lower. None: not known"},
    {NULL, NULL},
};
PyStructSequence_Desc heap_info_desc = {"simple_allocator.HeapInfo", "The description of a heap.", heap_info_fields, 10};

PyObject* heap_info_object(State* state, const struct sa_heap_info* info) {
  PyObject* const items[] = {
      text_object(info->name),
      text_object(info->backend),
      text_or_none(info->node),
      text_or_none(info->reason),
      PyObject_CallFunction(state->trait, "I", (unsigned)info->traits),
      PyBool_FromLong(info->usable != 0),
      PyLong_FromUnsignedLongLong(info->granularity),
      PyLong_FromUnsignedLongLong(info->max_size),
      PyLong_FromUnsignedLongLong(info->max_alignment != 0 ? info->max_alignment : info->granularity),
      number_or_none(info->max_address),
  };
  return named_tuple(state->heap_info, items, 10);
}

static PyObject* heap_info(PyObject* self, void* closure) {
  (void)closure;
  struct sa_heap_info info = SA_HEAP_INFO_INIT;
  const int status = sa_heap_get_info(((Heap*)self)->handle, &info);
  return status < 0 ? fail(status) : heap_info_object(state_of(self), &info);
}

static PyObject* heap_repr(PyObject* self) {
  struct sa_heap_info info = SA_HEAP_INFO_INIT;
  const int status = sa_heap_get_info(((Heap*)self)->handle, &info);
  return status < 0 ? fail(status) : PyUnicode_FromFormat("<simple_allocator.Heap \"%s\">", info.name);
}

static PyMethodDef heap_methods[] = {
    {"for_devices", CLASS_KEYWORDS(heap_for_devices),
     "for_devices($type, nodes, *, constraints=None, probe=False)\n--\n\n"
     "Makes a heap for devices: it tries the heaps whose memory all of them can import, best first.\n\n"
     "nodes are paths, [\"/dev/video0\", \"/dev/dri/card0\"]; set a camera's format before. constraints are\n"
     "further demands on the memory, as in allocate(). probe=True proves the choice by real imports, which\n"
     "takes some milliseconds for each device and heap.\n\n"
     ">>> sa.Heap.for_devices([], constraints=\"size-align=64K\").allocate(100).size % 65536\n"
     "0\n"},
    {"allocate", KEYWORDS(heap_allocate),
     "allocate($self, size, *, name=None, constraints=None, require=0, prefault=False)\n--\n\n"
     "Allocates a DmaBuf of at least size bytes.\n\n"
     "name       at most 31 bytes; a list of dma-bufs shows it\n"
     "constraints demands of a device, or the CPU, on the memory: words with commas between them out of\n"
     "           contiguous, segments=N, align=BYTES, size-align=BYTES, max-address=BYTES, cached, uncached,\n"
     "           coherent, dma-buf, protected; BYTES takes K, M and G\n"
     "require    a Trait that the memory must have\n"
     "prefault   no page fault at first touch, where the memory allows it\n\n"
     ">>> heap = sa.Heap(\"memfd:4k\")\n"
     ">>> with heap.allocate(5000, name=\"frame\") as buffer:\n"
     "...     buffer.size, buffer.name, buffer.heap\n"
     "(8192, 'frame', 'memfd:4k')\n"
     ">>> heap.allocate(5000, require=sa.Trait.DMABUF)  # doctest: +ELLIPSIS\n"
     "Traceback (most recent call last):\n"
     "OSError: [Errno 95] ...\n"},
    {"pool", KEYWORDS(heap_pool),
     "pool($self, *, max_free_bytes=268435456, max_age=10.0, recycle_always=False, zero=False)\n--\n\n"
     "Makes a pool: a heap that keeps freed buffers, with their mapping, and hands them out again.\n\n"
     "max_free_bytes bytes that the pool keeps at most, reserved buffers included\n"
     "max_age        seconds after which a free buffer is given back; None: never\n"
     "recycle_always reuse also buffers that others still hold: they see and change what the next user writes\n"
     "zero           zero a buffer before it is reused; else it has the contents of its last user\n\n"
     ">>> pool = sa.Heap(\"memfd:4k\").pool(zero=True)\n"
     ">>> for frame in range(3):\n"
     "...     pool.allocate(5000).close()\n"
     ">>> pool.statistics().hits, pool.statistics().misses\n"
     "(2, 1)\n"},
    {"reserve", KEYWORDS(heap_reserve),
     "reserve($self, count, size, *, name=None, constraints=None, require=0, prefault=False)\n--\n\n"
     "Allocates count buffers now, all or none, and keeps them free for requests like this one.\n\n"
     ">>> pool = sa.Heap(\"memfd:4k\").pool()\n"
     ">>> pool.reserve(4, 5000)\n"
     ">>> pool.statistics().free_buffers\n"
     "4\n"},
    {"trim", heap_trim, METH_NOARGS,
     "trim($self)\n--\n\n"
     "Frees all buffers that the pool keeps, reserved ones too.\n\n"
     ">>> pool = sa.Heap(\"memfd:4k\").pool()\n"
     ">>> pool.reserve(4, 5000)\n"
     ">>> pool.trim()\n"
     ">>> pool.statistics().free_bytes\n"
     "0\n"},
    {"statistics", heap_statistics, METH_NOARGS,
     "statistics($self)\n--\n\n"
     "The counts of the pool, a PoolStatistics.\n\n"
     ">>> sa.Heap(\"memfd:4k\").pool().statistics().live\n"
     "0\n"},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef heap_attributes[] = {
    {"info", heap_info, NULL,
     "The description of the heap, a HeapInfo.\n\n"
     ">>> sa.Heap(\"memfd:4k\").info.granularity\n"
     "4096\n",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot heap_slots[] = {
    {Py_tp_new, SLOT(heap_new)},
    {Py_tp_dealloc, SLOT(heap_dealloc)},
    {Py_tp_repr, SLOT(heap_repr)},
    {Py_tp_methods, heap_methods},
    {Py_tp_getset, heap_attributes},
    {Py_tp_doc, "Heap(name=None)\n--\n\n"
                "A source of buffers, found by name: \"backend:instance\", an alias (\"system\", \"dma-buf\", \"cma\",\n"
                "\"contiguous\", and those of the configuration), or several of both with \"|\" between them, which are\n"
                "tried in order. None: \"dma-buf\", any memory that devices can import.\n\n"
                ">>> sa.Heap(\"cma|memfd:4k\")\n"
                "<simple_allocator.Heap \"cma|memfd:4k\">\n"
                ">>> sa.Heap(\"dma-heap:nowhere\")  # doctest: +ELLIPSIS\n"
                "Traceback (most recent call last):\n"
                "FileNotFoundError: [Errno 2] ...\n"},
    {0, NULL},
};
PyType_Spec heap_spec = {"simple_allocator.Heap", sizeof(Heap), 0, Py_TPFLAGS_DEFAULT, heap_slots};
