/* SPDX-License-Identifier: MIT */
/* The library's log, in a Python function. */
#include "module.h"

#include <stdatomic.h>

const char set_log_doc[] = "set_log(log, *, debug=False)\n--\n\n"
                           "Sends the library's log to a function instead of standard error; None: standard error again.\n\n"
                           "The function is called with a level of the module logging (30 for a warning, 10 for debugging, the\n"
                           "latter with debug=True) and a sentence, on any thread. Its exceptions go to sys.unraisablehook.\n\n"
                           ">>> import logging\n"
                           ">>> sa.set_log(logging.getLogger(\"simple_allocator\").log, debug=True)\n"
                           ">>> sa.set_log(None)\n";

/* The library keeps one function for the process, and so does this; the lock of the interpreter guards it. */
static PyObject* callable;
/* A thread of the library that asks for the interpreter after its end would never return. */
static atomic_int ended;

static void on_log(void* data, int level, const char* text) {
  (void)data;
  if (atomic_load(&ended)) {
    return;
  }
  const PyGILState_STATE lock = PyGILState_Ensure();
  if (callable != NULL) {
    PyObject *type, *value, *traceback; /* of the code that called the library */
    PyErr_Fetch(&type, &value, &traceback);
    PyObject* function = callable;
    Py_INCREF(function);
    PyObject* sentence = text_object(text);
    PyObject* result =
        sentence == NULL ? NULL : PyObject_CallFunction(function, "iO", level == SA_LOG_WARNING ? 30 : 10, sentence);
    if (result == NULL) {
      PyErr_WriteUnraisable(function);
    }
    Py_XDECREF(result);
    Py_XDECREF(sentence);
    Py_DECREF(function);
    PyErr_Restore(type, value, traceback);
  }
  PyGILState_Release(lock);
}

static PyObject* at_exit(PyObject* self, PyObject* args) {
  (void)self;
  (void)args;
  atomic_store(&ended, 1);
  sa_set_log(NULL, NULL, SA_LOG_WARNING);
  Py_CLEAR(callable);
  Py_RETURN_NONE;
}

static PyMethodDef at_exit_method = {"_end_log", at_exit, METH_NOARGS, NULL};

/* Once: has at_exit() called before the interpreter ends. */
static int guard(void) {
  static int done;
  if (done) {
    return 0;
  }
  PyObject* module = PyImport_ImportModule("atexit");
  PyObject* function = module == NULL ? NULL : PyCFunction_NewEx(&at_exit_method, NULL, NULL);
  PyObject* result = function == NULL ? NULL : PyObject_CallMethod(module, "register", "O", function);
  done = result != NULL;
  Py_XDECREF(result);
  Py_XDECREF(function);
  Py_XDECREF(module);
  return done ? 0 : -1;
}

PyObject* set_log(PyObject* module, PyObject* args, PyObject* kwargs) {
  (void)module;
  static char* names[] = {"log", "debug", NULL};
  PyObject* log;
  int debug = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$p", names, &log, &debug)) {
    return NULL;
  }
  if (log != Py_None && !PyCallable_Check(log)) {
    PyErr_SetString(PyExc_TypeError, "a log is a function of a level and a sentence, or None");
    return NULL;
  }
  if (guard() != 0) {
    return NULL;
  }
  const int status = sa_set_log(log == Py_None ? NULL : on_log, NULL, debug ? SA_LOG_DEBUG : SA_LOG_WARNING);
  if (status < 0) {
    return fail(status);
  }
  PyObject* former = callable;
  callable = log == Py_None ? NULL : log;
  Py_XINCREF(callable);
  Py_XDECREF(former);
  Py_RETURN_NONE;
}
