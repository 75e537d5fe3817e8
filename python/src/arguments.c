/* SPDX-License-Identifier: MIT */
/* Conversions between Python and C: arguments, texts, failures, times. */
#include "module.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <time.h>

static PyObject* sentence(int error) {
  const char* text = sa_message();
  return text_object(*text != '\0' ? text : strerror(-error));
}

PyObject* fail(int error) {
  PyObject* text = sentence(error); /* at once: the next failure of this thread replaces it */
  if (text == NULL) {
    return NULL;
  }
  /* OSError makes itself a FileNotFoundError, PermissionError, ... by the number. */
  PyObject* exception = PyObject_CallFunction(PyExc_OSError, "iN", -error, text);
  if (exception != NULL) {
    PyErr_SetObject((PyObject*)Py_TYPE(exception), exception);
    Py_DECREF(exception);
  }
  return NULL;
}

PyObject* fail_value(int error) {
  if (error != -EINVAL && error != -ENOENT) {
    return fail(error);
  }
  PyObject* text = sentence(error);
  if (text != NULL) {
    PyErr_SetObject(PyExc_ValueError, text);
    Py_DECREF(text);
  }
  return NULL;
}

int access_mode(const char* text) {
  if (strcmp(text, "r") == 0) {
    return SA_READ;
  }
  if (strcmp(text, "w") == 0) {
    return SA_WRITE;
  }
  if (strcmp(text, "rw") == 0) {
    return SA_READWRITE;
  }
  PyErr_Format(PyExc_ValueError, "an access is \"r\", \"w\" or \"rw\", not \"%s\"", text);
  return 0;
}

int to_traits(PyObject* object, void* traits) {
  const unsigned long value = PyLong_AsUnsignedLong(object);
  if (PyErr_Occurred()) {
    return 0;
  }
  if (value > UINT32_MAX) {
    PyErr_SetString(PyExc_ValueError, "no such traits");
    return 0;
  }
  *(uint32_t*)traits = (uint32_t)value;
  return 1;
}

int to_formats(PyObject* object, void* text) {
  PyObject** result = text;
  if (object == NULL) { /* another argument was refused */
    Py_CLEAR(*result);
    return 1;
  }
  if (object == Py_None) {
    *result = NULL;
  } else if (PyUnicode_Check(object)) {
    Py_INCREF(object);
    *result = object;
  } else {
    PyObject* separator = PyUnicode_FromString("|");
    *result = separator == NULL ? NULL : PyUnicode_Join(separator, object);
    Py_XDECREF(separator);
    if (*result == NULL) {
      return 0;
    }
  }
  return Py_CLEANUP_SUPPORTED;
}

PyObject* text_object(const char* text) {
  return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
}

PyObject* text_or_none(const char* text) {
  if (*text == '\0') {
    Py_RETURN_NONE;
  }
  return text_object(text);
}

PyObject* number_or_none(uint64_t number) {
  if (number == 0) {
    Py_RETURN_NONE;
  }
  return PyLong_FromUnsignedLongLong(number);
}

PyObject* named_tuple(PyTypeObject* type, PyObject* const* items, Py_ssize_t count) {
  PyObject* tuple = PyStructSequence_New(type);
  for (Py_ssize_t i = 0; i < count; ++i) {
    if (tuple == NULL || items[i] == NULL) {
      Py_CLEAR(tuple);
      Py_XDECREF(items[i]);
    } else {
      PyStructSequence_SetItem(tuple, i, items[i]);
    }
  }
  return tuple;
}

int paths_of(PyObject* sequence, Paths* paths) {
  *paths = (Paths){NULL, NULL, 0};
  if (PyUnicode_Check(sequence) || PyBytes_Check(sequence)) {
    PyErr_SetString(PyExc_TypeError, "nodes are a list of paths, [\"/dev/video0\"]");
    return -1;
  }
  paths->bytes = PySequence_List(sequence);
  if (paths->bytes == NULL) {
    return -1;
  }
  const Py_ssize_t count = PyList_Size(paths->bytes);
  paths->items = PyMem_Calloc((size_t)count + 1, sizeof *paths->items);
  if (paths->items == NULL) {
    paths_drop(paths);
    PyErr_NoMemory();
    return -1;
  }
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* path = NULL;
    if (!PyUnicode_FSConverter(PyList_GetItem(paths->bytes, i), &path)) {
      paths_drop(paths);
      return -1;
    }
    paths->items[i] = PyBytes_AsString(path);
    PyList_SetItem(paths->bytes, i, path);
  }
  paths->count = (size_t)count;
  return 0;
}

void paths_drop(Paths* paths) {
  PyMem_Free(paths->items);
  Py_CLEAR(paths->bytes);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

Deadline deadline_after(double seconds) {
  return (Deadline){seconds < 0 || isinf(seconds) ? -1 : now() + seconds};
}

int deadline_left(const Deadline* deadline, int most) {
  if (deadline->until < 0) {
    return most;
  }
  const double left = ceil((deadline->until - now()) * 1000);
  return left <= 0 ? 0 : left < most ? (int)left : most;
}

int to_seconds(PyObject* object, double* seconds) {
  *seconds = -1;
  if (object == Py_None) {
    return 0;
  }
  *seconds = PyFloat_AsDouble(object);
  if (PyErr_Occurred()) {
    return -1;
  }
  if (!(*seconds >= 0)) {
    PyErr_SetString(PyExc_ValueError, "a time in seconds is not negative");
    return -1;
  }
  return 0;
}
