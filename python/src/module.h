/* SPDX-License-Identifier: MIT */
/* Declarations that the files of the module share. */
#ifndef SIMPLE_ALLOCATOR_MODULE_H
#define SIMPLE_ALLOCATOR_MODULE_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000 /* the buffer protocol is part of it from 3.11 on */
#include <Python.h>

#include <sa/sa.h>

/* The state of one import of the module. */
typedef struct {
  PyTypeObject *heap, *buffer, *access, *image, *image_access, *plane, *layout;
  PyTypeObject *heap_info, *pool_statistics, *layout_plane, *format, *format_plane; /* named tuples */
  PyObject* trait;                                                                  /* an enum.IntFlag */
} State;

extern PyModuleDef simple_allocator_module;
State* state_of(PyObject* object);

/* A buffer or an image: it counts the accesses that last. */
typedef struct {
  PyObject_HEAD Py_ssize_t accesses;
} Owner;

typedef struct {
  Owner owner;
  sa_dmabuf* handle; /* NULL: closed */
} Buffer;

typedef struct {
  Owner owner;
  sa_image* handle; /* NULL: closed */
} Image;

typedef struct {
  PyObject_HEAD sa_heap* handle;
} Heap;

typedef struct {
  PyObject_HEAD struct sa_layout value;
} Layout;

extern PyType_Spec heap_spec, buffer_spec, access_spec, image_spec, image_access_spec, plane_spec, layout_spec;
extern PyStructSequence_Desc heap_info_desc, pool_statistics_desc, layout_plane_desc, format_desc, format_plane_desc;
extern PyMethodDef layout_functions[], socket_functions[];

/* A slot's function. ISO C has no conversion of a function's address to void*. */
#define SLOT(function) ((void*)(uintptr_t)(function))
#define KEYWORDS(function) ((PyCFunction)(void (*)(void))(function)), METH_VARARGS | METH_KEYWORDS
#define CLASS_KEYWORDS(function) ((PyCFunction)(void (*)(void))(function)), METH_VARARGS | METH_KEYWORDS | METH_CLASS

/* --- objects that take over the reference that they are made of; NULL: an exception --- */
PyObject* heap_object(State* state, sa_heap* handle);
PyObject* buffer_object(State* state, sa_dmabuf* handle);
PyObject* image_object(State* state, sa_image* handle);
PyObject* layout_object(State* state, const struct sa_layout* value);
PyObject* heap_info_object(State* state, const struct sa_heap_info* info);

/* Their handles; NULL: an exception (ValueError for a closed one). */
sa_dmabuf* buffer_handle(PyObject* self);
sa_image* image_handle(PyObject* self);

/* --- access.c --- */
PyObject* begin_access(State* state, PyObject* buffer, int mode);
PyObject* begin_image_access(State* state, PyObject* image, int mode);
/* Checks in close() that an owner is not being accessed: 0, or -1 with BufferError. */
int none_lasts(const Owner* owner);

/* --- buffer.c --- */
PyObject* image_send(PyObject* self, PyObject* args, PyObject* kwargs);

/* --- arguments.c --- */
/* Raises what the last call of the library reported, as OSError(errno, sentence). @return NULL */
PyObject* fail(int error);
/* The same for what names no thing of the machine: ValueError(sentence). */
PyObject* fail_value(int error);
/* "r", "w", "rw" as enum sa_access; 0: an exception. */
int access_mode(const char* text);
/* Converters for "O&". */
int to_traits(PyObject* object, void* traits);
int to_formats(PyObject* object, void* text); /* PyObject**, which the caller drops: a str, or NULL for None */
/* A text of the library's. */
PyObject* text_object(const char* text);
/* The same; None for "". */
PyObject* text_or_none(const char* text);
PyObject* number_or_none(uint64_t number);
/* A named tuple of items, whose references it takes; NULL where one of them is NULL. */
PyObject* named_tuple(PyTypeObject* type, PyObject* const* items, Py_ssize_t count);

/* Paths of device nodes. */
typedef struct {
  PyObject* bytes; /* owns the texts */
  const char** items;
  size_t count;
} Paths;
int paths_of(PyObject* sequence, Paths* paths); /* 0, or -1 with an exception */
void paths_drop(Paths* paths);

/* The rest of a bounded time. */
typedef struct {
  double until; /* of the monotonic clock, seconds; below 0: no bound */
} Deadline;
Deadline deadline_after(double seconds); /* below 0: none */
/* Milliseconds that are left, at most @p most, rounded up; @p most where there is no bound. */
int deadline_left(const Deadline* deadline, int most);
/* Seconds of a Python argument: None is -1. 0, or -1 with an exception. */
int to_seconds(PyObject* object, double* seconds);

/* --- log.c --- */
PyObject* set_log(PyObject* module, PyObject* args, PyObject* kwargs);
extern const char set_log_doc[];

#endif
