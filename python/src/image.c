/* SPDX-License-Identifier: MIT */
/* Image: a picture in buffers. */
#include "module.h"

PyObject* image_object(State* state, sa_image* handle) {
  Image* self = PyObject_New(Image, state->image);
  if (self == NULL) {
    sa_image_unref(handle);
    return NULL;
  }
  self->owner.accesses = 0;
  self->handle = handle;
  return (PyObject*)self;
}

sa_image* image_handle(PyObject* self) {
  sa_image* handle = ((Image*)self)->handle;
  if (handle == NULL) {
    PyErr_SetString(PyExc_ValueError, "the image is closed");
  }
  return handle;
}

/* Image(layout, buffers) */
static PyObject* image_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  static char* names[] = {"layout", "buffers", NULL};
  State* state = PyType_GetModuleState(type);
  PyObject *layout, *sequence;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O", names, state->layout, &layout, &sequence)) {
    return NULL;
  }
  PyObject* buffers = PySequence_List(sequence);
  if (buffers == NULL) {
    return NULL;
  }
  const Py_ssize_t count = PyList_Size(buffers);
  PyObject* result = NULL;
  sa_dmabuf** handles = PyMem_Calloc((size_t)count + 1, sizeof *handles);
  if (handles == NULL) {
    PyErr_NoMemory();
    goto end;
  }
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* buffer = PyList_GetItem(buffers, i);
    if (!PyObject_TypeCheck(buffer, state->buffer)) {
      PyErr_SetString(PyExc_TypeError, "buffers are a list of DmaBuf");
      goto end;
    }
    handles[i] = buffer_handle(buffer);
    if (handles[i] == NULL) {
      goto end;
    }
  }
  sa_image* handle = NULL;
  const int status = sa_image_import(&((Layout*)layout)->value, handles, (size_t)count, &handle);
  result = status < 0 ? fail(status) : image_object(state, handle);
end:
  PyMem_Free(handles);
  Py_DECREF(buffers);
  return result;
}

static void let_go(Image* self) {
  sa_image* handle = self->handle;
  self->handle = NULL;
  if (handle != NULL) {
    Py_BEGIN_ALLOW_THREADS
      sa_image_unref(handle);
    Py_END_ALLOW_THREADS
  }
}

static void image_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  let_go((Image*)self);
  PyObject_Del(self);
  Py_DECREF(type);
}

static PyObject* image_allocate(PyObject* type, PyObject* args, PyObject* kwargs) {
  static char* names[] = {"heap", "layout", "name", NULL};
  State* state = PyType_GetModuleState((PyTypeObject*)type);
  PyObject *heap, *layout;
  const char* name = NULL;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O!|$z", names, state->heap, &heap, state->layout, &layout, &name)) {
    return NULL;
  }
  sa_image* handle = NULL;
  int status;
  Py_BEGIN_ALLOW_THREADS
    status = sa_image_alloc(((Heap*)heap)->handle, &((Layout*)layout)->value, name, &handle);
  Py_END_ALLOW_THREADS
  return status < 0 ? fail(status) : image_object(state, handle);
}

static PyObject* image_close(PyObject* self, PyObject* none) {
  (void)none;
  if (none_lasts(&((Image*)self)->owner) != 0) {
    return NULL;
  }
  let_go((Image*)self);
  Py_RETURN_NONE;
}

static PyObject* image_enter(PyObject* self, PyObject* none) {
  (void)none;
  if (image_handle(self) == NULL) {
    return NULL;
  }
  Py_INCREF(self);
  return self;
}

static PyObject* image_exit(PyObject* self, PyObject* args) {
  PyObject *type = Py_None, *value, *traceback;
  if (!PyArg_ParseTuple(args, "OOO", &type, &value, &traceback)) {
    return NULL;
  }
  if (type == Py_None) {
    return image_close(self, NULL);
  }
  let_go((Image*)self); /* as a buffer's */
  Py_RETURN_NONE;
}

static PyObject* image_access(PyObject* self, PyObject* args, PyObject* kwargs) {
  static char* names[] = {"access", NULL};
  const char* text = "rw";
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|s", names, &text)) {
    return NULL;
  }
  const int mode = access_mode(text);
  return mode == 0 ? NULL : begin_image_access(state_of(self), self, mode);
}

static PyObject* image_layout(PyObject* self, void* closure) {
  (void)closure;
  struct sa_layout layout = SA_LAYOUT_INIT;
  const sa_image* handle = image_handle(self);
  const int status = handle == NULL ? 0 : sa_image_get_layout(handle, &layout);
  return handle == NULL ? NULL : status < 0 ? fail(status) : layout_object(state_of(self), &layout);
}

static PyObject* image_buffers(PyObject* self, void* closure) {
  (void)closure;
  sa_image* handle = sa_image_ref(image_handle(self)); /* what is made may run code that closes it */
  PyObject* list = handle == NULL ? NULL : PyList_New(0);
  sa_dmabuf* buffer;
  for (unsigned i = 0; list != NULL && (buffer = sa_image_buffer(handle, i)) != NULL; ++i) {
    PyObject* object = buffer_object(state_of(self), sa_dmabuf_ref(buffer));
    if (object == NULL || PyList_Append(list, object) != 0) {
      Py_CLEAR(list);
    }
    Py_XDECREF(object);
  }
  sa_image_unref(handle);
  PyObject* tuple = list == NULL ? NULL : PyList_AsTuple(list);
  Py_XDECREF(list);
  return tuple;
}

static PyObject* image_closed(PyObject* self, void* closure) {
  (void)closure;
  return PyBool_FromLong(((Image*)self)->handle == NULL);
}

static PyObject* image_repr(PyObject* self) {
  struct sa_layout layout = SA_LAYOUT_INIT;
  const sa_image* handle = ((Image*)self)->handle;
  if (handle == NULL || sa_image_get_layout(handle, &layout) < 0) {
    return PyUnicode_FromString("<simple_allocator.Image, closed>");
  }
  return PyUnicode_FromFormat("<simple_allocator.Image, %s %ux%u>", layout.format, (unsigned)layout.width,
                              (unsigned)layout.height);
}

static PyMethodDef image_methods[] = {
    {"allocate", CLASS_KEYWORDS(image_allocate),
     "allocate($type, heap, layout, *, name=None)\n--\n\n"
     "Allocates a picture of that Layout: all of its buffers, or none. heap is from choose_image(), a pool around\n"
     "that, or any other.\n\n"
     ">>> layout = sa.Layout.make(\"NV12\", 640, 480)\n"
     ">>> with sa.Image.allocate(sa.Heap(\"memfd:4k\"), layout, name=\"frame\") as image:\n"
     "...     with image.access(\"w\") as planes:\n"
     "...         for y in range(len(planes[0])):\n"
     "...             planes[0][y] = bytes([16]) * 640\n"
     "...     image\n"
     "<simple_allocator.Image, NV12 640x480>\n"},
    {"access", KEYWORDS(image_access),
     "access($self, access=\"rw\")\n--\n\n"
     "Maps all buffers and begins CPU access, as DmaBuf.access(): an ImageAccess, whose with statement gives a\n"
     "tuple of Plane."},
    {"send", KEYWORDS(image_send),
     "send($self, socket, number=0)\n--\n\n"
     "Sends buffers and layout in one message, for receive_image(), sa::receive_image() or sa_image_receive().\n"
     "number is for the receiver: the number of a frame, or of a slot. Otherwise as DmaBuf.send()."},
    {"close", image_close, METH_NOARGS,
     "close($self)\n--\n\n"
     "Gives the buffers back, as the end of a with statement does. BufferError while an access lasts. A closed\n"
     "image raises ValueError."},
    {"__enter__", image_enter, METH_NOARGS, NULL},
    {"__exit__", image_exit, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef image_attributes[] = {
    {"layout", image_layout, NULL, "How the picture lies in its buffers: a Layout.", NULL},
    {"buffers", image_buffers, NULL,
     "The buffers, a tuple of DmaBuf, each of which holds the memory on its own.\n\n"
     ">>> layout = sa.Layout.make(\"NV12\", 640, 480, rule=\"buffers=separate\")\n"
     ">>> image = sa.Image.allocate(sa.Heap(\"memfd:4k\"), layout)\n"
     ">>> [buffer.size for buffer in image.buffers]\n"
     "[307200, 155648]\n",
     NULL},
    {"closed", image_closed, NULL, "Whether it is closed.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot image_slots[] = {
    {Py_tp_new, SLOT(image_new)},
    {Py_tp_dealloc, SLOT(image_dealloc)},
    {Py_tp_repr, SLOT(image_repr)},
    {Py_tp_methods, image_methods},
    {Py_tp_getset, image_attributes},
    {Py_tp_doc, "Image(layout, buffers)\n--\n\n"
                "A picture: one to four buffers, and how it lies in them. This puts a Layout and a list of DmaBuf together,\n"
                "as many as the layout has, of which it takes a hold of its own; Image.allocate() makes new ones.\n\n"
                ">>> layout = sa.Layout.make(\"NV12\", 640, 480)\n"
                ">>> sa.Image(layout, [sa.Heap(\"memfd:4k\").allocate(layout.sizes[0])])\n"
                "<simple_allocator.Image, NV12 640x480>\n"
                ">>> sa.Image(layout, [sa.Heap(\"memfd:4k\").allocate(4096)])  # doctest: +ELLIPSIS\n"
                "Traceback (most recent call last):\n"
                "OSError: [Errno 22] ...\n"},
    {0, NULL},
};
PyType_Spec image_spec = {"simple_allocator.Image", sizeof(Image), 0, Py_TPFLAGS_DEFAULT, image_slots};
