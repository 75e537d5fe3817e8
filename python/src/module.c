/* SPDX-License-Identifier: MIT */
/* The module: its functions, and what is made when it is imported. */
#include "module.h"

State* state_of(PyObject* object) {
  return PyType_GetModuleState(Py_TYPE(object));
}

typedef struct {
  State* state;
  PyObject* list;
  PyThreadState* thread;
} Heaps;

static int add_heap(void* data, const struct sa_heap_info* info) {
  Heaps* heaps = data;
  PyEval_RestoreThread(heaps->thread);
  PyObject* object = heap_info_object(heaps->state, info);
  const int status = object == NULL ? 1 : PyList_Append(heaps->list, object);
  Py_XDECREF(object);
  heaps->thread = PyEval_SaveThread();
  return status == 0 ? 0 : 1;
}

static PyObject* list_heaps(PyObject* module, PyObject* none) {
  (void)none;
  Heaps heaps = {PyModule_GetState(module), PyList_New(0), NULL};
  if (heaps.list == NULL) {
    return NULL;
  }
  heaps.thread = PyEval_SaveThread();
  const int status = sa_heap_list(add_heap, &heaps);
  PyEval_RestoreThread(heaps.thread);
  if (status != 0) {
    Py_CLEAR(heaps.list);
  }
  return status < 0 ? fail(status) : heaps.list;
}

static PyObject* refresh(PyObject* module, PyObject* none) {
  (void)module;
  (void)none;
  int status;
  Py_BEGIN_ALLOW_THREADS
    status = sa_refresh();
  Py_END_ALLOW_THREADS
  if (status < 0) {
    return fail(status);
  }
  Py_RETURN_NONE;
}

static PyObject* alloc_fd(PyObject* module, PyObject* args, PyObject* kwargs) {
  (void)module;
  static char* names[] = {"heap", "size", "name", NULL};
  const char *heap, *name = NULL;
  Py_ssize_t size;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "zn|z", names, &heap, &size, &name)) {
    return NULL;
  }
  if (size <= 0) {
    PyErr_SetString(PyExc_ValueError, "a size is above 0");
    return NULL;
  }
  int fd;
  Py_BEGIN_ALLOW_THREADS
    fd = sa_alloc_fd(heap, (size_t)size, name);
  Py_END_ALLOW_THREADS
  return fd < 0 ? fail(fd) : PyLong_FromLong(fd);
}

static PyObject* choose_image(PyObject* module, PyObject* args, PyObject* kwargs) {
  static char* names[] = {"nodes", "width", "height", "formats", "constraints", "require", "probe", NULL};
  State* state = PyModule_GetState(module);
  struct sa_image_request request = SA_IMAGE_REQUEST_INIT;
  PyObject *nodes, *formats = NULL, *result = NULL;
  Py_ssize_t width, height;
  int probe = 0;
  Paths paths = {NULL, NULL, 0};
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "Onn|$O&zO&p", names, &nodes, &width, &height, to_formats, &formats,
                                   &request.constraints, to_traits, &request.require, &probe)) {
    return NULL;
  }
  if (width < 0 || width > UINT32_MAX || height < 0 || height > UINT32_MAX) {
    PyErr_SetString(PyExc_ValueError, "a picture has 1 to 65535 pixels on each side");
    goto end;
  }
  if (formats != NULL) {
    request.formats = PyUnicode_AsUTF8AndSize(formats, NULL);
    if (request.formats == NULL) {
      goto end;
    }
  }
  if (paths_of(nodes, &paths) != 0) {
    goto end;
  }
  request.width = (uint32_t)width;
  request.height = (uint32_t)height;
  request.flags = probe ? SA_PROBE : 0;
  struct sa_layout layout = SA_LAYOUT_INIT;
  sa_heap* handle = NULL;
  int status;
  Py_BEGIN_ALLOW_THREADS
    status = sa_image_choose(paths.items, paths.count, &request, &layout, &handle);
  Py_END_ALLOW_THREADS
  paths_drop(&paths);
  if (status < 0) {
    fail(status);
    goto end;
  }
  PyObject* heap = heap_object(state, handle);
  PyObject* chosen = heap == NULL ? NULL : layout_object(state, &layout);
  result = chosen == NULL ? NULL : PyTuple_Pack(2, chosen, heap);
  Py_XDECREF(chosen);
  Py_XDECREF(heap);
end:
  Py_XDECREF(formats);
  return result;
}

static PyMethodDef functions[] = {
    {"heaps", list_heaps, METH_NOARGS,
     "heaps()\n--\n\n"
     "A HeapInfo of every heap of the machine, also of those that cannot be used, with the reason.\n\n"
     ">>> \"memfd:4k\" in [heap.name for heap in sa.heaps()]\n"
     "True\n"},
    {"refresh", refresh, METH_NOARGS,
     "refresh()\n--\n\n"
     "Looks again at what this machine has: modules load later, permissions change. Heaps that were found keep\n"
     "working.\n\n"
     ">>> sa.refresh()\n"},
    {"alloc_fd", KEYWORDS(alloc_fd),
     "alloc_fd(heap, size, name=None)\n--\n\n"
     "A buffer as a bare descriptor, the caller's to close. heap as in Heap().\n\n"
     ">>> import os\n"
     ">>> fd = sa.alloc_fd(\"cma|memfd:4k\", 5000, \"frame\")\n"
     ">>> os.fstat(fd).st_size\n"
     "8192\n"
     ">>> os.close(fd)\n"},
    {"choose_image", KEYWORDS(choose_image),
     "choose_image(nodes, width, height, *, formats=None, constraints=None, require=0, probe=False)\n--\n\n"
     "Chooses format, layout and heap together for a picture that all devices take: (Layout, Heap). The devices\n"
     "are asked what they demand, which changes nothing there. Ask once, at start.\n\n"
     "formats are names, preferred first; None: any that all devices share. The rest as in Heap.for_devices() and\n"
     "Heap.allocate(). OSError (EOPNOTSUPP): nothing serves them all; the sentence has the reasons.\n\n"
     ">>> layout, heap = sa.choose_image([], 640, 480, formats=[\"NV12\", \"XRGB8888\"])\n"
     ">>> layout.format\n"
     "'NV12'\n"},
    {"set_log", KEYWORDS(set_log), set_log_doc},
    {NULL, NULL, 0, NULL},
};

static PyObject* trait_type(void) {
  const struct {
    const char* name;
    unsigned value;
  } traits[] = {
      {"DMABUF", SA_TRAIT_DMABUF},       {"CONTIGUOUS", SA_TRAIT_CONTIGUOUS},       {"CACHED", SA_TRAIT_CACHED},
      {"ZEROED", SA_TRAIT_ZEROED},       {"PHYS_ADDR", SA_TRAIT_PHYS_ADDR},         {"HUGE_PAGES", SA_TRAIT_HUGE_PAGES},
      {"PROTECTED", SA_TRAIT_PROTECTED}, {"DEVICE_MEMORY", SA_TRAIT_DEVICE_MEMORY},
  };
  PyObject* members = PyDict_New();
  for (size_t i = 0; members != NULL && i < sizeof traits / sizeof *traits; ++i) {
    PyObject* value = PyLong_FromUnsignedLong(traits[i].value);
    if (value == NULL || PyDict_SetItemString(members, traits[i].name, value) != 0) {
      Py_CLEAR(members);
    }
    Py_XDECREF(value);
  }
  PyObject* module = members == NULL ? NULL : PyImport_ImportModule("enum");
  PyObject* base = module == NULL ? NULL : PyObject_GetAttrString(module, "IntFlag");
  PyObject* args = base == NULL ? NULL : Py_BuildValue("(sO)", "Trait", members);
  PyObject* kwargs = args == NULL ? NULL : Py_BuildValue("{ss}", "module", "simple_allocator");
  PyObject* trait = kwargs == NULL ? NULL : PyObject_Call(base, args, kwargs);
  PyObject* doc = trait == NULL
                      ? NULL
                      : PyUnicode_FromString(
                            "Properties of memory, an enum.IntFlag.\n\n"
                            "DMABUF        the descriptor is a real dma-buf: devices can import it\n"
                            "CONTIGUOUS    one physical run\n"
                            "CACHED        CPU reads are cached\n"
                            "ZEROED        fresh memory reads as zero\n"
                            "PHYS_ADDR     DmaBuf.phys_addr knows it\n"
                            "HUGE_PAGES    backed by 2 MiB pages, as far as the kernel finds them\n"
                            "PROTECTED     the CPU cannot map it\n"
                            "DEVICE_MEMORY mapped without gathering or unaligned access: bulk copies, and numpy, may fault\n");
  if (trait != NULL && (doc == NULL || PyObject_SetAttrString(trait, "__doc__", doc) != 0)) {
    Py_CLEAR(trait);
  }
  Py_XDECREF(doc);
  Py_XDECREF(kwargs);
  Py_XDECREF(args);
  Py_XDECREF(base);
  Py_XDECREF(module);
  Py_XDECREF(members);
  return trait;
}

static int module_exec(PyObject* module) {
  /* The log is the process's, and so is the library. */
  if (PyInterpreterState_GetID(PyInterpreterState_Get()) != 0) {
    PyErr_SetString(PyExc_ImportError, "simple_allocator is for the main interpreter alone");
    return -1;
  }
  State* state = PyModule_GetState(module);
  const struct {
    PyTypeObject** type;
    PyType_Spec* spec;
  } types[] = {
      {&state->heap, &heap_spec},
      {&state->buffer, &buffer_spec},
      {&state->access, &access_spec},
      {&state->image, &image_spec},
      {&state->image_access, &image_access_spec},
      {&state->plane, &plane_spec},
      {&state->layout, &layout_spec},
  };
  for (size_t i = 0; i < sizeof types / sizeof *types; ++i) {
    *types[i].type = (PyTypeObject*)PyType_FromModuleAndSpec(module, types[i].spec, NULL);
    if (*types[i].type == NULL || PyModule_AddType(module, *types[i].type) != 0) {
      return -1;
    }
  }
  const struct {
    PyTypeObject** type;
    PyStructSequence_Desc* desc;
  } tuples[] = {
      {&state->heap_info, &heap_info_desc},       {&state->pool_statistics, &pool_statistics_desc},
      {&state->layout_plane, &layout_plane_desc}, {&state->format, &format_desc},
      {&state->format_plane, &format_plane_desc},
  };
  for (size_t i = 0; i < sizeof tuples / sizeof *tuples; ++i) {
    *tuples[i].type = PyStructSequence_NewType(tuples[i].desc);
    if (*tuples[i].type == NULL || PyModule_AddType(module, *tuples[i].type) != 0) {
      return -1;
    }
  }
  state->trait = trait_type();
  return state->trait == NULL || PyModule_AddObjectRef(module, "Trait", state->trait) != 0 ||
                 PyModule_AddStringConstant(module, "__version__", SIMPLE_ALLOCATOR_VERSION) != 0 ||
                 PyModule_AddFunctions(module, layout_functions) != 0 || PyModule_AddFunctions(module, socket_functions) != 0
             ? -1
             : 0;
}

static int module_traverse(PyObject* module, visitproc visit, void* arg) {
  State* state = PyModule_GetState(module);
  Py_VISIT(state->heap);
  Py_VISIT(state->buffer);
  Py_VISIT(state->access);
  Py_VISIT(state->image);
  Py_VISIT(state->image_access);
  Py_VISIT(state->plane);
  Py_VISIT(state->layout);
  Py_VISIT(state->heap_info);
  Py_VISIT(state->pool_statistics);
  Py_VISIT(state->layout_plane);
  Py_VISIT(state->format);
  Py_VISIT(state->format_plane);
  Py_VISIT(state->trait);
  return 0;
}

static int module_clear(PyObject* module) {
  State* state = PyModule_GetState(module);
  Py_CLEAR(state->heap);
  Py_CLEAR(state->buffer);
  Py_CLEAR(state->access);
  Py_CLEAR(state->image);
  Py_CLEAR(state->image_access);
  Py_CLEAR(state->plane);
  Py_CLEAR(state->layout);
  Py_CLEAR(state->heap_info);
  Py_CLEAR(state->pool_statistics);
  Py_CLEAR(state->layout_plane);
  Py_CLEAR(state->format);
  Py_CLEAR(state->format_plane);
  Py_CLEAR(state->trait);
  return 0;
}

static void module_free(void* module) {
  module_clear(module);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, SLOT(module_exec)},
    {0, NULL},
};

PyModuleDef simple_allocator_module = {
    PyModuleDef_HEAD_INIT,   .m_name = "_simple_allocator", .m_size = sizeof(State), .m_methods = functions,
    .m_slots = module_slots, .m_traverse = module_traverse, .m_clear = module_clear, .m_free = module_free,
};

PyMODINIT_FUNC PyInit__simple_allocator(void);
PyMODINIT_FUNC PyInit__simple_allocator(void) {
  return PyModuleDef_Init(&simple_allocator_module);
}
