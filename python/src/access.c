/* SPDX-License-Identifier: MIT */
/* Access, ImageAccess, Plane: stretches of time in which the CPU touches memory, and the memory as Python sees it.
 *
 * memoryview.release() passes although views of its views live, so the access counts for itself what it handed out by the buffer
 * protocol, and does not end before all of that came back. */
#include "module.h"

#include <string.h>

/* As long as it lasts it has its owner, and one of the two handles. */
typedef struct {
  PyObject_HEAD PyObject* owner; /* the Buffer or the Image, which counts it */
  sa_dmabuf* buffer;             /* a reference of its own */
  sa_image* image;
  void* planes[4]; /* or the buffer's first byte */
  size_t size;     /* of the buffer, bytes */
  int mode;        /* enum sa_access */
  Py_ssize_t exports;
  PyObject* view; /* the memoryview of the with statement; it has this object in turn */
} Access;

typedef struct {
  Access access;
  struct sa_layout layout;
} ImageAccess;

/* One plane of an image that is being accessed. */
typedef struct {
  PyObject_HEAD Access* access;
  unsigned char* first;
  Py_ssize_t shape[2], strides[2]; /* rows, bytes */
} Plane;

static int lasts(const Access* self) {
  return self->buffer != NULL || self->image != NULL;
}

static int check_lasts(const Access* self) {
  if (!lasts(self)) {
    PyErr_SetString(PyExc_ValueError, "the access has ended");
    return -1;
  }
  return 0;
}

int none_lasts(const Owner* owner) {
  if (owner->accesses > 0) {
    PyErr_SetString(PyExc_BufferError, "an access lasts; end it before");
    return -1;
  }
  return 0;
}

/* One that does not last yet. */
static Access* access_object(PyTypeObject* type, size_t size, PyObject* owner, int mode) {
  Access* self = (Access*)PyObject_GC_New(Access, type);
  if (self != NULL) {
    memset((char*)self + sizeof(PyObject), 0, size - sizeof(PyObject));
    self->mode = mode;
    self->owner = owner;
    Py_INCREF(owner);
    ++((Owner*)owner)->accesses; /* from here on close() waits */
  }
  return self;
}

/* Ends it, once. @return what the library says */
static int finish(Access* self) {
  sa_dmabuf* buffer = self->buffer;
  sa_image* image = self->image;
  int status = 0;
  self->buffer = NULL;
  self->image = NULL;
  Py_BEGIN_ALLOW_THREADS
    if (buffer != NULL) {
      status = sa_dmabuf_end(buffer, self->mode);
      sa_dmabuf_unref(buffer);
    }
    if (image != NULL) {
      status = sa_image_end(image, self->mode);
      sa_image_unref(image);
    }
  Py_END_ALLOW_THREADS
  --((Owner*)self->owner)->accesses;
  Py_CLEAR(self->owner);
  return status;
}

static void access_dealloc(PyObject* object) {
  Access* self = (Access*)object;
  PyTypeObject* type = Py_TYPE(object);
  PyObject_GC_UnTrack(object);
  if (self->owner != NULL) {
    finish(self);
  }
  Py_CLEAR(self->view);
  PyObject_GC_Del(object);
  Py_DECREF(type);
}

static int access_traverse(PyObject* object, visitproc visit, void* arg) {
  Access* self = (Access*)object;
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(self->owner);
  Py_VISIT(self->view);
  return 0;
}

static int access_clear(PyObject* object) {
  Py_CLEAR(((Access*)object)->view);
  return 0;
}

PyObject* begin_access(State* state, PyObject* owner, int mode) {
  sa_dmabuf* buffer = sa_dmabuf_ref(buffer_handle(owner)); /* what is made may run code that closes it */
  Access* self = buffer == NULL ? NULL : access_object(state->access, sizeof(Access), owner, mode);
  if (self == NULL) {
    sa_dmabuf_unref(buffer);
    return NULL;
  }
  int status;
  Py_BEGIN_ALLOW_THREADS
    status = sa_dmabuf_begin(buffer, mode, &self->planes[0]);
  Py_END_ALLOW_THREADS
  if (status < 0) {
    fail(status);
    sa_dmabuf_unref(buffer);
    Py_DECREF(self);
    return NULL;
  }
  self->buffer = buffer;
  self->size = sa_dmabuf_size(buffer);
  PyObject_GC_Track((PyObject*)self);
  return (PyObject*)self;
}

PyObject* begin_image_access(State* state, PyObject* owner, int mode) {
  sa_image* image = sa_image_ref(image_handle(owner));
  Access* self = image == NULL ? NULL : access_object(state->image_access, sizeof(ImageAccess), owner, mode);
  if (self == NULL) {
    sa_image_unref(image);
    return NULL;
  }
  struct sa_layout* layout = &((ImageAccess*)self)->layout;
  *layout = (struct sa_layout)SA_LAYOUT_INIT;
  int status = sa_image_get_layout(image, layout);
  if (status >= 0) {
    Py_BEGIN_ALLOW_THREADS
      status = sa_image_begin(image, mode, self->planes);
    Py_END_ALLOW_THREADS
  }
  if (status < 0) {
    fail(status);
    sa_image_unref(image);
    Py_DECREF(self);
    return NULL;
  }
  self->image = image;
  PyObject_GC_Track((PyObject*)self);
  return (PyObject*)self;
}

/* Ends it, unless something still sees the memory. */
static int leave(Access* self) {
  if (!lasts(self)) {
    return 0;
  }
  /* The memoryview of the with statement is one of them, and goes. */
  if (self->view != NULL && self->exports == 1) {
    PyObject* released = PyObject_CallMethod(self->view, "release", NULL);
    if (released != NULL) {
      Py_DECREF(released);
      Py_CLEAR(self->view);
    } else if (PyErr_ExceptionMatches(PyExc_BufferError)) {
      PyErr_Clear(); /* a view of this view: said below */
    } else {
      return -1;
    }
  }
  if (self->exports > 0) {
    PyErr_SetString(
        PyExc_BufferError,
        "a view of this memory lives, a numpy array or a memoryview; delete it: the access ends with it, or by end()");
    return -1;
  }
  Py_CLEAR(self->view);
  const int status = finish(self);
  if (status < 0) {
    fail(status);
    return -1;
  }
  return 0;
}

static PyObject* access_end(PyObject* self, PyObject* none) {
  (void)none;
  if (leave((Access*)self) != 0) {
    return NULL;
  }
  Py_RETURN_NONE;
}

static PyObject* access_exit(PyObject* self, PyObject* args) {
  PyObject *type = Py_None, *value, *traceback;
  if (!PyArg_ParseTuple(args, "OOO", &type, &value, &traceback)) {
    return NULL;
  }
  if (leave((Access*)self) == 0) {
    Py_RETURN_NONE;
  }
  if (type == Py_None || !PyErr_ExceptionMatches(PyExc_BufferError)) {
    return NULL;
  }
  /* The exception is what matters; its traceback may hold the views. The last of them ends the access (access_dealloc()). */
  PyErr_Clear();
  Py_CLEAR(((Access*)self)->view);
  Py_RETURN_NONE;
}

static PyObject* access_enter(PyObject* object, PyObject* none) {
  (void)none;
  Access* self = (Access*)object;
  if (check_lasts(self) != 0) {
    return NULL;
  }
  if (self->view == NULL) {
    self->view = PyMemoryView_FromObject(object);
  }
  Py_XINCREF(self->view);
  return self->view;
}

static int access_getbuffer(PyObject* object, Py_buffer* view, int flags) {
  Access* self = (Access*)object;
  view->obj = NULL;
  if (check_lasts(self) != 0 ||
      PyBuffer_FillInfo(view, object, self->planes[0], (Py_ssize_t)self->size, self->mode == SA_READ, flags) != 0) {
    return -1;
  }
  ++self->exports;
  return 0;
}

static void access_releasebuffer(PyObject* self, Py_buffer* view) {
  (void)view;
  --((Access*)self)->exports;
}

#define END_DOC                                                                                                                  \
  "end($self)\n--\n\n"                                                                                                           \
  "Ends CPU access, once, as the end of a with statement does: then devices see the written data. BufferError\n"                 \
  "while a view of the memory lives; the access then lasts on, and can be ended later."

static PyMethodDef access_methods[] = {
    {"end", access_end, METH_NOARGS,
     END_DOC "\n\n"
             ">>> access = sa.Heap(\"memfd:4k\").allocate(4096).access(\"r\")\n"
             ">>> view = memoryview(access)\n"
             ">>> access.end()  # doctest: +ELLIPSIS\n"
             "Traceback (most recent call last):\n"
             "BufferError: a view of this memory lives...\n"
             ">>> view.release()\n"
             ">>> access.end()\n"},
    {"__enter__", access_enter, METH_NOARGS, NULL},
    {"__exit__", access_exit, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot access_slots[] = {
    {Py_tp_dealloc, SLOT(access_dealloc)},
    {Py_tp_traverse, SLOT(access_traverse)},
    {Py_tp_clear, SLOT(access_clear)},
    {Py_tp_methods, access_methods},
    {Py_bf_getbuffer, SLOT(access_getbuffer)},
    {Py_bf_releasebuffer, SLOT(access_releasebuffer)},
    {Py_tp_doc, "A period in which the CPU may access a buffer, from DmaBuf.access(). It has the buffer protocol; \"r\" is\n"
                "read-only. A with statement gives a memoryview, and ends the access. Where an exception leaves the with\n"
                "statement while views live, the last of them ends the access.\n\n"
                ">>> with sa.Heap(\"memfd:4k\").allocate(4096).access(\"w\") as view:\n"
                "...     view[:] = bytes(range(256)) * 16\n"},
    {0, NULL},
};
PyType_Spec access_spec = {"simple_allocator.Access", sizeof(Access), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, access_slots};

/* --- pictures --- */

static PyObject* plane_object(Access* access, unsigned index) {
  const struct sa_plane* where = &((ImageAccess*)access)->layout.planes[index];
  Plane* self = PyObject_New(Plane, state_of((PyObject*)access)->plane);
  if (self != NULL) {
    self->access = access;
    Py_INCREF((PyObject*)access);
    self->first = access->planes[index];
    self->shape[0] = (Py_ssize_t)where->visible_rows;
    self->shape[1] = (Py_ssize_t)where->row_bytes;
    self->strides[0] = (Py_ssize_t)where->stride;
    self->strides[1] = 1;
  }
  return (PyObject*)self;
}

static PyObject* image_access_planes(PyObject* object, void* closure) {
  (void)closure;
  Access* self = (Access*)object;
  const Py_ssize_t count = (Py_ssize_t)((ImageAccess*)self)->layout.plane_count;
  PyObject* planes = check_lasts(self) != 0 ? NULL : PyTuple_New(count);
  for (Py_ssize_t i = 0; planes != NULL && i < count; ++i) {
    PyObject* plane = plane_object(self, (unsigned)i);
    if (plane == NULL || PyTuple_SetItem(planes, i, plane) != 0) {
      Py_CLEAR(planes);
    }
  }
  return planes;
}

static PyObject* image_access_enter(PyObject* self, PyObject* none) {
  (void)none;
  return image_access_planes(self, NULL);
}

static PyMethodDef image_access_methods[] = {
    {"end", access_end, METH_NOARGS, END_DOC},
    {"__enter__", image_access_enter, METH_NOARGS, NULL},
    {"__exit__", access_exit, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef image_access_attributes[] = {
    {"planes", image_access_planes, NULL, "The planes of the format, a tuple of Plane.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot image_access_slots[] = {
    {Py_tp_dealloc, SLOT(access_dealloc)},
    {Py_tp_traverse, SLOT(access_traverse)},
    {Py_tp_clear, SLOT(access_clear)},
    {Py_tp_methods, image_access_methods},
    {Py_tp_getset, image_access_attributes},
    {Py_tp_doc, "A period in which the CPU may access all buffers of an image, from Image.access(). A with statement\n"
                "gives the planes, and ends the access."},
    {0, NULL},
};
PyType_Spec image_access_spec = {"simple_allocator.ImageAccess", sizeof(ImageAccess), 0,
                                 Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, image_access_slots};

static void plane_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  Py_DECREF(((Plane*)self)->access);
  PyObject_Del(self);
  Py_DECREF(type);
}

static int plane_getbuffer(PyObject* object, Py_buffer* view, int flags) {
  Plane* self = (Plane*)object;
  view->obj = NULL;
  if (check_lasts(self->access) != 0) {
    return -1;
  }
  const int readonly = self->access->mode == SA_READ;
  const int adjoining = self->strides[0] == self->shape[1] || self->shape[0] <= 1;
  const int by_columns = (flags & PyBUF_F_CONTIGUOUS) == PyBUF_F_CONTIGUOUS;
  const int by_rows = (flags & PyBUF_STRIDES) != PyBUF_STRIDES || (flags & PyBUF_C_CONTIGUOUS) == PyBUF_C_CONTIGUOUS ||
                      (flags & PyBUF_ANY_CONTIGUOUS) == PyBUF_ANY_CONTIGUOUS;
  static char bytes[] = "B";
  const char* refused = NULL;
  if (readonly && (flags & PyBUF_WRITABLE) != 0) {
    refused = "the access is read-only";
  } else if (by_columns && !by_rows && self->shape[1] > 1) {
    refused = "a plane lies row by row";
  } else if (by_rows && !adjoining) {
    refused = "the rows of this plane do not adjoin: take strides into account, or copy row by row";
  }
  if (refused != NULL) {
    PyErr_SetString(PyExc_BufferError, refused);
    return -1;
  }
  view->buf = self->first;
  view->len = self->shape[0] * self->shape[1];
  view->itemsize = 1;
  view->readonly = readonly;
  view->ndim = (flags & PyBUF_ND) != 0 ? 2 : 1;
  view->format = (flags & PyBUF_FORMAT) != 0 ? bytes : NULL;
  view->shape = (flags & PyBUF_ND) != 0 ? self->shape : NULL;
  view->strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? self->strides : NULL;
  view->suboffsets = NULL;
  view->internal = NULL;
  Py_INCREF(object);
  view->obj = object;
  ++self->access->exports;
  return 0;
}

static void plane_releasebuffer(PyObject* self, Py_buffer* view) {
  (void)view;
  --((Plane*)self)->access->exports;
}

static Py_ssize_t plane_length(PyObject* self) {
  return ((Plane*)self)->shape[0];
}

/* Row @p y; NULL: an exception. */
static unsigned char* plane_row(Plane* self, Py_ssize_t y) {
  if (check_lasts(self->access) != 0) {
    return NULL;
  }
  if (y < 0 || y >= self->shape[0]) {
    PyErr_SetString(PyExc_IndexError, "the plane has no such row");
    return NULL;
  }
  return self->first + y * self->strides[0];
}

static PyObject* plane_item(PyObject* object, Py_ssize_t y) {
  Plane* self = (Plane*)object;
  const unsigned char* row = plane_row(self, y);
  return row == NULL ? NULL : PyBytes_FromStringAndSize((const char*)row, self->shape[1]);
}

static int plane_assign(PyObject* object, Py_ssize_t y, PyObject* value) {
  Plane* self = (Plane*)object;
  unsigned char* row = plane_row(self, y);
  Py_buffer bytes;
  if (row == NULL) {
    return -1;
  }
  if (value == NULL || self->access->mode == SA_READ) {
    PyErr_SetString(PyExc_TypeError, value == NULL ? "a row cannot be deleted" : "the access is read-only");
    return -1;
  }
  if (PyObject_GetBuffer(value, &bytes, PyBUF_SIMPLE) != 0) {
    return -1;
  }
  const int fits = bytes.len == self->shape[1] && lasts(self->access); /* the value's own code ran */
  if (fits) {
    memmove(row, bytes.buf, (size_t)bytes.len);
  } else {
    PyErr_Format(PyExc_ValueError, "a row of this plane has %zd bytes, not %zd", self->shape[1], bytes.len);
  }
  PyBuffer_Release(&bytes);
  return fits ? 0 : -1;
}

static PyObject* plane_stride(PyObject* self, void* closure) {
  (void)closure;
  return PyLong_FromSsize_t(((Plane*)self)->strides[0]);
}

static PyObject* plane_shape(PyObject* self, void* closure) {
  (void)closure;
  return Py_BuildValue("(nn)", ((Plane*)self)->shape[0], ((Plane*)self)->shape[1]);
}

static PyGetSetDef plane_attributes[] = {
    {"shape", plane_shape, NULL, "Visible rows, and visible bytes of a row.", NULL},
    {"stride", plane_stride, NULL, "Bytes from one row to the next.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot plane_slots[] = {
    {Py_tp_dealloc, SLOT(plane_dealloc)},
    {Py_tp_getset, plane_attributes},
    {Py_bf_getbuffer, SLOT(plane_getbuffer)},
    {Py_bf_releasebuffer, SLOT(plane_releasebuffer)},
    {Py_tp_iter, SLOT(PySeqIter_New)},
    {Py_sq_length, SLOT(plane_length)},
    {Py_sq_item, SLOT(plane_item)},
    {Py_sq_ass_item, SLOT(plane_assign)},
    {Py_tp_doc, "One plane of an image, as long as the access lasts. It has the buffer protocol: bytes in two dimensions,\n"
                "visible rows and the visible bytes of a row, with the stride of the layout; numpy.asarray(plane) copies\n"
                "nothing. plane[y] is a copy of a row, and plane[y] = row writes one.\n\n"
                ">>> layout = sa.Layout.make(\"R8\", 4, 2, rule=\"stride-align=64\")\n"
                ">>> image = sa.Image.allocate(sa.Heap(\"memfd:4k\"), layout)\n"
                ">>> with image.access() as planes:\n"
                "...     planes[0][1] = b\"abcd\"\n"
                "...     planes[0].shape, planes[0].stride, list(planes[0])\n"
                "((2, 4), 64, [b'\\x00\\x00\\x00\\x00', b'abcd'])\n"},
    {0, NULL},
};
PyType_Spec plane_spec = {"simple_allocator.Plane", sizeof(Plane), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                          plane_slots};
