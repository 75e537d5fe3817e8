/* SPDX-License-Identifier: MIT */
/* DmaBuf: one buffer; and what goes over sockets. */
#include "module.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

PyObject* buffer_object(State* state, sa_dmabuf* handle) {
  Buffer* self = PyObject_New(Buffer, state->buffer);
  if (self == NULL) {
    sa_dmabuf_unref(handle);
    return NULL;
  }
  self->owner.accesses = 0;
  self->handle = handle;
  return (PyObject*)self;
}

sa_dmabuf* buffer_handle(PyObject* self) {
  sa_dmabuf* handle = ((Buffer*)self)->handle;
  if (handle == NULL) {
    PyErr_SetString(PyExc_ValueError, "the buffer is closed");
  }
  return handle;
}

static void let_go(Buffer* self) {
  sa_dmabuf* handle = self->handle;
  self->handle = NULL;
  if (handle != NULL) {
    Py_BEGIN_ALLOW_THREADS
      sa_dmabuf_unref(handle);
    Py_END_ALLOW_THREADS
  }
}

static void buffer_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  let_go((Buffer*)self);
  PyObject_Del(self);
  Py_DECREF(type);
}

static PyObject* buffer_close(PyObject* self, PyObject* none) {
  (void)none;
  if (none_lasts(&((Buffer*)self)->owner) != 0) {
    return NULL;
  }
  let_go((Buffer*)self);
  Py_RETURN_NONE;
}

static PyObject* buffer_enter(PyObject* self, PyObject* none) {
  (void)none;
  if (buffer_handle(self) == NULL) {
    return NULL;
  }
  Py_INCREF(self);
  return self;
}

static PyObject* buffer_exit(PyObject* self, PyObject* args) {
  PyObject *type = Py_None, *value, *traceback;
  if (!PyArg_ParseTuple(args, "OOO", &type, &value, &traceback)) {
    return NULL;
  }
  if (type == Py_None) {
    return buffer_close(self, NULL);
  }
  /* The exception is what matters; its traceback may hold views. Those keep the memory as long as they live. */
  let_go((Buffer*)self);
  Py_RETURN_NONE;
}

static PyObject* buffer_import_fd(PyObject* type, PyObject* object) {
  const int fd = PyObject_AsFileDescriptor(object);
  if (fd < 0) {
    return NULL;
  }
  const int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (own < 0) {
    return PyErr_SetFromErrno(PyExc_OSError);
  }
  sa_dmabuf* handle = NULL;
  int status;
  Py_BEGIN_ALLOW_THREADS
    status = sa_dmabuf_import(own, &handle);
  Py_END_ALLOW_THREADS
  return status < 0 ? fail(status) : buffer_object(PyType_GetModuleState((PyTypeObject*)type), handle);
}

static PyObject* number_or_failure(int status) {
  return status < 0 ? fail(status) : PyLong_FromLong(status);
}

static PyObject* buffer_fileno(PyObject* self, PyObject* none) {
  (void)none;
  const sa_dmabuf* handle = buffer_handle(self);
  return handle == NULL ? NULL : number_or_failure(sa_dmabuf_fd(handle));
}

static PyObject* buffer_memfd(PyObject* self, PyObject* none) {
  (void)none;
  const sa_dmabuf* handle = buffer_handle(self);
  return handle == NULL ? NULL : number_or_failure(sa_dmabuf_memfd(handle));
}

static PyObject* buffer_access(PyObject* self, PyObject* args, PyObject* kwargs) {
  static char* names[] = {"access", NULL};
  const char* text = "rw";
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|s", names, &text)) {
    return NULL;
  }
  const int mode = access_mode(text);
  return mode == 0 ? NULL : begin_access(state_of(self), self, mode);
}

static PyObject* buffer_wait(PyObject* self, PyObject* args, PyObject* kwargs) {
  static char* names[] = {"access", "timeout", NULL};
  const char* text = "rw";
  PyObject* timeout = Py_None;
  double seconds;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|sO", names, &text, &timeout)) {
    return NULL;
  }
  const int mode = access_mode(text);
  if (mode == 0 || to_seconds(timeout, &seconds) != 0 || buffer_handle(self) == NULL) {
    return NULL;
  }
  /* In pieces, between which signals are seen (Ctrl-C). */
  const int piece = 100;
  const Deadline deadline = deadline_after(seconds);
  sa_dmabuf* handle = sa_dmabuf_ref(((Buffer*)self)->handle); /* close() from another thread */
  int status, left;
  do {
    left = deadline_left(&deadline, piece);
    Py_BEGIN_ALLOW_THREADS
      status = sa_dmabuf_wait(handle, mode, left);
    Py_END_ALLOW_THREADS
  } while (status == -ETIMEDOUT && left == piece && PyErr_CheckSignals() == 0);
  PyObject* result = NULL;
  if (!PyErr_Occurred()) {
    result = status < 0 ? fail(status) : Py_None;
    Py_XINCREF(result);
  }
  sa_dmabuf_unref(handle);
  return result;
}

static PyObject* buffer_export_fence(PyObject* self, PyObject* args, PyObject* kwargs) {
  static char* names[] = {"access", NULL};
  const char* text = "rw";
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|s", names, &text)) {
    return NULL;
  }
  const int mode = access_mode(text);
  sa_dmabuf* handle = mode == 0 ? NULL : buffer_handle(self);
  return handle == NULL ? NULL : number_or_failure(sa_dmabuf_export_fence(handle, mode));
}

static PyObject* buffer_import_fence(PyObject* self, PyObject* args, PyObject* kwargs) {
  static char* names[] = {"fence", "access", NULL};
  PyObject* fence;
  const char* text = "rw";
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|s", names, &fence, &text)) {
    return NULL;
  }
  const int fd = PyObject_AsFileDescriptor(fence);
  const int mode = fd < 0 ? 0 : access_mode(text);
  sa_dmabuf* handle = mode == 0 ? NULL : buffer_handle(self);
  if (handle == NULL) {
    return NULL;
  }
  const int status = sa_dmabuf_import_fence(handle, mode, fd);
  if (status < 0) {
    return fail(status);
  }
  Py_RETURN_NONE;
}

/* --- sockets --- */

/* The answer of socket.gettimeout(), also for a bare descriptor; -1: no bound. 0, or -1 with an exception. */
static int timeout_of(PyObject* socket, int fd, double* seconds) {
  if (PyObject_HasAttrString(socket, "gettimeout")) {
    PyObject* timeout = PyObject_CallMethod(socket, "gettimeout", NULL);
    const int status = timeout == NULL ? -1 : to_seconds(timeout, seconds);
    Py_XDECREF(timeout);
    return status;
  }
  const int flags = fcntl(fd, F_GETFL);
  *seconds = flags >= 0 && (flags & O_NONBLOCK) != 0 ? 0 : -1;
  return 0;
}

/* Waits until a socket is ready, as Python's own functions do: no longer than its timeout, and no longer than until a signal's
   handler raises. @return its descriptor, or -1 with an exception */
static int ready(PyObject* socket, short event) {
  const int fd = PyObject_AsFileDescriptor(socket);
  double seconds;
  if (fd < 0 || timeout_of(socket, fd, &seconds) != 0) {
    return -1;
  }
  if (seconds == 0) {
    return fd; /* the library says whether it is ready */
  }
  const Deadline deadline = deadline_after(seconds);
  struct pollfd one = {fd, event, 0};
  int count, left, error;
  do {
    left = deadline_left(&deadline, 1000);
    Py_BEGIN_ALLOW_THREADS
      count = poll(&one, 1, left);
      error = errno;
    Py_END_ALLOW_THREADS
    if (PyErr_CheckSignals() != 0) {
      return -1;
    }
  } while ((count < 0 && error == EINTR) || (count == 0 && left == 1000));
  if (count == 0) {
    PyErr_SetString(PyExc_TimeoutError, "timed out");
    return -1;
  }
  return fd; /* what poll() refuses, the library refuses with a sentence */
}

static PyObject* buffer_send(PyObject* self, PyObject* socket) {
  const int fd = buffer_handle(self) == NULL ? -1 : ready(socket, POLLOUT);
  sa_dmabuf* handle = fd < 0 ? NULL : buffer_handle(self);
  if (handle == NULL) {
    return NULL;
  }
  int status;
  sa_dmabuf_ref(handle); /* close() from another thread */
  Py_BEGIN_ALLOW_THREADS
    status = sa_dmabuf_send(fd, handle);
  Py_END_ALLOW_THREADS
  PyObject* result = status < 0 ? fail(status) : Py_None;
  Py_XINCREF(result);
  sa_dmabuf_unref(handle);
  return result;
}

PyObject* image_send(PyObject* self, PyObject* args, PyObject* kwargs) {
  static char* names[] = {"socket", "number", NULL};
  PyObject *socket, *object = NULL;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O", names, &socket, &object)) {
    return NULL;
  }
  const uint64_t number = object == NULL ? 0 : PyLong_AsUnsignedLongLong(object);
  if (PyErr_Occurred()) {
    return NULL;
  }
  const int fd = image_handle(self) == NULL ? -1 : ready(socket, POLLOUT);
  sa_image* handle = fd < 0 ? NULL : image_handle(self);
  if (handle == NULL) {
    return NULL;
  }
  int status;
  sa_image_ref(handle);
  Py_BEGIN_ALLOW_THREADS
    status = sa_image_send(fd, handle, number);
  Py_END_ALLOW_THREADS
  PyObject* result = status < 0 ? fail(status) : Py_None;
  Py_XINCREF(result);
  sa_image_unref(handle);
  return result;
}

static PyObject* receive(PyObject* module, PyObject* socket) {
  const int fd = ready(socket, POLLIN);
  if (fd < 0) {
    return NULL;
  }
  sa_dmabuf* handle = NULL;
  int status;
  Py_BEGIN_ALLOW_THREADS
    status = sa_dmabuf_receive(fd, &handle);
  Py_END_ALLOW_THREADS
  return status < 0 ? fail(status) : buffer_object(PyModule_GetState(module), handle);
}

static PyObject* receive_image(PyObject* module, PyObject* socket) {
  const int fd = ready(socket, POLLIN);
  if (fd < 0) {
    return NULL;
  }
  sa_image* handle = NULL;
  uint64_t number = 0;
  int status;
  Py_BEGIN_ALLOW_THREADS
    status = sa_image_receive(fd, &handle, &number);
  Py_END_ALLOW_THREADS
  if (status < 0) {
    return fail(status);
  }
  PyObject* image = image_object(PyModule_GetState(module), handle);
  return image == NULL ? NULL : Py_BuildValue("(NK)", image, (unsigned long long)number);
}

PyMethodDef socket_functions[] = {
    {"receive", receive, METH_O,
     "receive(socket, /)\n--\n\n"
     "Receives a DmaBuf that another process sent over a Unix socket. The sender's words are checked:\n"
     "size and traits are derived from the descriptor.\n\n"
     "A timeout of the socket counts, as in socket.recv(): TimeoutError, or BlockingIOError for 0.\n\n"
     ">>> import socket\n"
     ">>> here, there = socket.socketpair()\n"
     ">>> sa.Heap(\"memfd:4k\").allocate(5000, name=\"frame\").send(here)\n"
     ">>> sa.receive(there)\n"
     "<simple_allocator.DmaBuf \"frame\", 8192 bytes of import>\n"
     ">>> here.close()\n"
     ">>> sa.receive(there)  # doctest: +ELLIPSIS\n"
     "Traceback (most recent call last):\n"
     "ConnectionResetError: [Errno 104] ...\n"
     ">>> there.close()\n"},
    {"receive_image", receive_image, METH_O,
     "receive_image(socket, /)\n--\n\n"
     "An Image that another process sent, and the number that it gave it. It is checked that each plane\n"
     "lies in its buffer. Timeouts as in receive().\n\n"
     ">>> import socket\n"
     ">>> here, there = socket.socketpair()\n"
     ">>> layout = sa.Layout.make(\"NV12\", 640, 480)\n"
     ">>> sa.Image.allocate(sa.Heap(\"memfd:4k\"), layout).send(here, number=7)\n"
     ">>> image, number = sa.receive_image(there)\n"
     ">>> image.layout == layout, number\n"
     "(True, 7)\n"
     ">>> here.close(), there.close()\n"
     "(None, None)\n"},
    {NULL, NULL, 0, NULL},
};

/* --- attributes --- */

static PyObject* buffer_size(PyObject* self, void* closure) {
  (void)closure;
  const sa_dmabuf* handle = buffer_handle(self);
  return handle == NULL ? NULL : PyLong_FromSize_t(sa_dmabuf_size(handle));
}

static PyObject* buffer_traits(PyObject* self, void* closure) {
  (void)closure;
  const sa_dmabuf* handle = buffer_handle(self);
  return handle == NULL ? NULL : PyObject_CallFunction(state_of(self)->trait, "I", (unsigned)sa_dmabuf_traits(handle));
}

static PyObject* buffer_heap(PyObject* self, void* closure) {
  (void)closure;
  const sa_dmabuf* handle = buffer_handle(self);
  return handle == NULL ? NULL : text_object(sa_dmabuf_heap(handle));
}

static PyObject* buffer_claimed_heap(PyObject* self, void* closure) {
  (void)closure;
  const sa_dmabuf* handle = buffer_handle(self);
  return handle == NULL ? NULL : text_object(sa_dmabuf_claimed_heap(handle));
}

static PyObject* buffer_name(PyObject* self, void* closure) {
  (void)closure;
  const sa_dmabuf* handle = buffer_handle(self);
  return handle == NULL ? NULL : text_object(sa_dmabuf_name(handle));
}

static PyObject* buffer_phys_addr(PyObject* self, void* closure) {
  (void)closure;
  const sa_dmabuf* handle = buffer_handle(self);
  uint64_t address;
  if (handle == NULL) {
    return NULL;
  }
  if (sa_dmabuf_phys(handle, &address) < 0) {
    Py_RETURN_NONE;
  }
  return PyLong_FromUnsignedLongLong(address);
}

static PyObject* buffer_id(PyObject* self, void* closure) {
  (void)closure;
  const sa_dmabuf* handle = buffer_handle(self);
  uint64_t device, inode;
  if (handle == NULL) {
    return NULL;
  }
  if (sa_dmabuf_id(handle, &device, &inode) < 0) {
    Py_RETURN_NONE;
  }
  return Py_BuildValue("(KK)", (unsigned long long)device, (unsigned long long)inode);
}

static PyObject* buffer_closed(PyObject* self, void* closure) {
  (void)closure;
  return PyBool_FromLong(((Buffer*)self)->handle == NULL);
}

static PyObject* buffer_repr(PyObject* self) {
  const sa_dmabuf* handle = ((Buffer*)self)->handle;
  if (handle == NULL) {
    return PyUnicode_FromString("<simple_allocator.DmaBuf, closed>");
  }
  return PyUnicode_FromFormat("<simple_allocator.DmaBuf \"%s\", %zu bytes of %s>", sa_dmabuf_name(handle), sa_dmabuf_size(handle),
                              sa_dmabuf_heap(handle));
}

static PyMethodDef buffer_methods[] = {
    {"import_fd", buffer_import_fd, METH_O | METH_CLASS,
     "import_fd($type, fd, /)\n--\n\n"
     "A buffer that somebody else made: a dma-buf, or a memfd that is sealed against shrinking, or can be and\n"
     "is then. fd is a number or has fileno(); it is duplicated, and the caller closes his own.\n\n"
     ">>> import os\n"
     ">>> fd = os.memfd_create(\"mine\", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)\n"
     ">>> os.truncate(fd, 8192)\n"
     ">>> sa.DmaBuf.import_fd(fd)\n"
     "<simple_allocator.DmaBuf \"\", 8192 bytes of import>\n"
     ">>> os.close(fd)\n"},
    {"access", KEYWORDS(buffer_access),
     "access($self, access=\"rw\")\n--\n\n"
     "Maps the buffer, once, and begins CPU access, \"r\", \"w\" or \"rw\": an Access, which a with statement\n"
     "ends. Waits, without end, for devices that use the buffer in a conflicting way; wait() before it waits\n"
     "with a bound. Accesses may overlap.\n\n"
     ">>> with sa.Heap(\"memfd:4k\").allocate(4096) as buffer:\n"
     "...     with buffer.access() as view:\n"
     "...         view[0:4] = b\"abcd\"\n"
     "...         bytes(view[:6])\n"
     "b'abcd\\x00\\x00'\n"},
    {"fileno", buffer_fileno, METH_NOARGS,
     "fileno($self)\n--\n\n"
     "The descriptor, for devices. It is the buffer's: valid until close(), and not to be closed.\n\n"
     ">>> import os\n"
     ">>> buffer = sa.Heap(\"memfd:4k\").allocate(4096)\n"
     ">>> os.fstat(buffer.fileno()).st_size\n"
     "4096\n"},
    {"memfd", buffer_memfd, METH_NOARGS,
     "memfd($self)\n--\n\n"
     "The memory file behind the buffer, the buffer's as in fileno(): of memfd heaps the descriptor itself, of\n"
     "udmabuf heaps the file of the dma-buf. OSError (EOPNOTSUPP): there is none.\n\n"
     ">>> buffer = sa.Heap(\"memfd:4k\").allocate(4096)\n"
     ">>> buffer.memfd() == buffer.fileno()\n"
     "True\n"},
    {"wait", KEYWORDS(buffer_wait),
     "wait($self, access=\"rw\", timeout=None)\n--\n\n"
     "Waits for devices that work on the buffer: \"r\" for those that write, the others for all. timeout is in\n"
     "seconds; TimeoutError when it is over. OSError (EOPNOTSUPP): no dma-buf, which has no fences.\n\n"
     ">>> sa.Heap(\"memfd:4k\").allocate(4096).wait(timeout=1)  # doctest: +ELLIPSIS\n"
     "Traceback (most recent call last):\n"
     "OSError: [Errno 95] ...\n"},
    {"export_fence", KEYWORDS(buffer_export_fence),
     "export_fence($self, access=\"rw\")\n--\n\n"
     "The fences that a new access would have to wait for, as a sync_file: a descriptor, the caller's to close.\n\n"
     ">>> sa.Heap(\"memfd:4k\").allocate(4096).export_fence()  # doctest: +ELLIPSIS\n"
     "Traceback (most recent call last):\n"
     "OSError: [Errno 95] ...\n"},
    {"import_fence", KEYWORDS(buffer_import_fence),
     "import_fence($self, fence, access=\"rw\")\n--\n\n"
     "Adds a fence, a sync_file that stays the caller's: others wait for it as for an access of a device.\n\n"
     ">>> sa.Heap(\"memfd:4k\").allocate(4096).import_fence(0)  # doctest: +ELLIPSIS\n"
     "Traceback (most recent call last):\n"
     "OSError: [Errno 95] ...\n"},
    {"send", buffer_send, METH_O,
     "send($self, socket, /)\n--\n\n"
     "Sends the buffer over a Unix socket of type SEQPACKET or STREAM, for receive() or sa_dmabuf_receive().\n"
     "The sender keeps its own hold on it. A timeout of the socket counts, as in socket.send().\n\n"
     ">>> import socket\n"
     ">>> here, there = socket.socketpair()\n"
     ">>> with sa.Heap(\"memfd:4k\").allocate(4096) as buffer:\n"
     "...     buffer.send(here)\n"
     "...     sa.receive(there).id == buffer.id\n"
     "True\n"
     ">>> here.close(), there.close()\n"
     "(None, None)\n"},
    {"close", buffer_close, METH_NOARGS,
     "close($self)\n--\n\n"
     "Lets go of the memory, as the end of a with statement does. BufferError while an access lasts. A closed\n"
     "buffer raises ValueError.\n\n"
     ">>> buffer = sa.Heap(\"memfd:4k\").allocate(4096)\n"
     ">>> buffer.close()\n"
     ">>> buffer.size\n"
     "Traceback (most recent call last):\n"
     "ValueError: the buffer is closed\n"},
    {"__enter__", buffer_enter, METH_NOARGS, NULL},
    {"__exit__", buffer_exit, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef buffer_attributes[] = {
    {"size", buffer_size, NULL, "The size in bytes: the requested size, rounded up.", NULL},
    {"traits", buffer_traits, NULL,
     "Its properties, a Trait.\n\n"
     ">>> sa.Trait.CACHED in sa.Heap(\"memfd:4k\").allocate(4096).traits\n"
     "True\n",
     NULL},
    {"heap", buffer_heap, NULL, "The name of the heap that made it; \"import\" for a buffer from elsewhere.", NULL},
    {"claimed_heap", buffer_claimed_heap, NULL,
     "The heap that the sender of a received buffer named; the library cannot check it. Else as heap.", NULL},
    {"name", buffer_name, NULL, "Its name; \"\" if it has none.", NULL},
    {"phys_addr", buffer_phys_addr, NULL, "Its physical address; None: not known.", NULL},
    {"id", buffer_id, NULL,
     "Which memory it is, on this machine: two numbers that are the same for each descriptor of it in each\n"
     "process (st_dev and st_ino). None: memory without a descriptor of its own.",
     NULL},
    {"closed", buffer_closed, NULL, "Whether it is closed.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot buffer_slots[] = {
    {Py_tp_dealloc, SLOT(buffer_dealloc)},
    {Py_tp_repr, SLOT(buffer_repr)},
    {Py_tp_methods, buffer_methods},
    {Py_tp_getset, buffer_attributes},
    {Py_tp_doc, "One buffer, from Heap.allocate(), receive() or DmaBuf.import_fd(). A with statement, close(), or the end of\n"
                "the object lets go of the memory: it is freed, or goes back to its pool."},
    {0, NULL},
};
PyType_Spec buffer_spec = {"simple_allocator.DmaBuf", sizeof(Buffer), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                           buffer_slots};
