/* SPDX-License-Identifier: MIT */
/* Layout, a value, and the table of formats. */
#include "module.h"

#include <string.h>

PyObject* layout_object(State* state, const struct sa_layout* value) {
  Layout* self = PyObject_New(Layout, state->layout);
  if (self != NULL) {
    self->value = *value;
  }
  return (PyObject*)self;
}

static void layout_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_Del(self);
  Py_DECREF(type);
}

static PyObject* layout_make(PyObject* type, PyObject* args, PyObject* kwargs) {
  static char* names[] = {"format", "width", "height", "rule", NULL};
  const char *format, *rule = NULL;
  Py_ssize_t width, height;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "snn|z", names, &format, &width, &height, &rule)) {
    return NULL;
  }
  struct sa_layout value = SA_LAYOUT_INIT;
  if (width < 0 || width > UINT32_MAX || height < 0 || height > UINT32_MAX) {
    PyErr_SetString(PyExc_ValueError, "a picture has 1 to 65535 pixels on each side");
    return NULL;
  }
  const int status = sa_layout_make(format, (uint32_t)width, (uint32_t)height, rule, &value);
  return status < 0 ? fail_value(status) : layout_object(PyType_GetModuleState((PyTypeObject*)type), &value);
}

static PyObject* layout_parse(PyObject* type, PyObject* args) {
  const char* text;
  if (!PyArg_ParseTuple(args, "s", &text)) {
    return NULL;
  }
  struct sa_layout value = SA_LAYOUT_INIT;
  const int status = sa_layout_parse(text, &value);
  return status < 0 ? fail_value(status) : layout_object(PyType_GetModuleState((PyTypeObject*)type), &value);
}

/* Four planes of five numbers, and some more. */
enum { text_size = 1024 };

/* Its text, which tells all of it. 0, or -1 with an exception. */
static int text_of(PyObject* self, char text[text_size]) {
  const int length = sa_layout_text(&((Layout*)self)->value, text, text_size);
  if (length < 0 || length >= text_size) {
    length < 0 ? fail(length) : PyErr_NoMemory();
    return -1;
  }
  return 0;
}

static PyObject* layout_str(PyObject* self) {
  char text[text_size];
  return text_of(self, text) != 0 ? NULL : text_object(text);
}

static PyObject* layout_repr(PyObject* self) {
  char text[text_size];
  return text_of(self, text) != 0 ? NULL : PyUnicode_FromFormat("Layout.parse('%s')", text);
}

static Py_hash_t layout_hash(PyObject* self) {
  PyObject* text = layout_str(self);
  const Py_hash_t hash = text == NULL ? -1 : PyObject_Hash(text);
  Py_XDECREF(text);
  return hash;
}

static PyObject* layout_compare(PyObject* self, PyObject* other, int operation) {
  char texts[2][text_size];
  if (!PyObject_TypeCheck(other, Py_TYPE(self)) || (operation != Py_EQ && operation != Py_NE)) {
    Py_RETURN_NOTIMPLEMENTED;
  }
  if (text_of(self, texts[0]) != 0 || text_of(other, texts[1]) != 0) {
    return NULL;
  }
  return PyBool_FromLong((strcmp(texts[0], texts[1]) == 0) == (operation == Py_EQ));
}

static PyObject* layout_format(PyObject* self, void* closure) {
  (void)closure;
  return text_object(((Layout*)self)->value.format);
}

/* A number of the value; closure: which. */
enum { WIDTH, HEIGHT, MODIFIER, PRIMARIES, TRANSFER, MATRIX };
static PyObject* layout_number(PyObject* self, void* closure) {
  const struct sa_layout* value = &((Layout*)self)->value;
  const uint64_t numbers[] = {value->width, value->height, value->modifier, value->primaries, value->transfer, value->matrix};
  return PyLong_FromUnsignedLongLong(numbers[(uintptr_t)closure]);
}

static PyObject* layout_full_range(PyObject* self, void* closure) {
  (void)closure;
  return PyBool_FromLong(((Layout*)self)->value.full_range);
}

static PyStructSequence_Field layout_plane_fields[] = {
    {"buffer", "which of the image's buffers, from 0"},
    {"offset", "bytes from the beginning of the buffer to the first row"},
    {"stride", "bytes from one row to the next"},
    {"rows", "that there is room for"},
    {"row_bytes", "visible bytes of a row"},
    {"visible_rows", "visible rows"},
    {NULL, NULL},
};
PyStructSequence_Desc layout_plane_desc = {"simple_allocator.LayoutPlane", "Where one plane lies.", layout_plane_fields, 6};

static PyObject* layout_planes(PyObject* self, void* closure) {
  (void)closure;
  const struct sa_layout* value = &((Layout*)self)->value;
  PyObject* planes = PyTuple_New((Py_ssize_t)value->plane_count);
  for (unsigned i = 0; planes != NULL && i < value->plane_count; ++i) {
    const struct sa_plane* plane = &value->planes[i];
    PyObject* const items[] = {
        PyLong_FromUnsignedLong(plane->buffer),    PyLong_FromUnsignedLongLong(plane->offset),
        PyLong_FromUnsignedLong(plane->stride),    PyLong_FromUnsignedLong(plane->rows),
        PyLong_FromUnsignedLong(plane->row_bytes), PyLong_FromUnsignedLong(plane->visible_rows),
    };
    PyObject* tuple = named_tuple(state_of(self)->layout_plane, items, 6);
    if (tuple == NULL || PyTuple_SetItem(planes, (Py_ssize_t)i, tuple) != 0) {
      Py_CLEAR(planes);
    }
  }
  return planes;
}

static PyObject* layout_sizes(PyObject* self, void* closure) {
  (void)closure;
  const struct sa_layout* value = &((Layout*)self)->value;
  PyObject* sizes = PyTuple_New((Py_ssize_t)value->buffer_count);
  for (unsigned i = 0; sizes != NULL && i < value->buffer_count; ++i) {
    PyObject* size = PyLong_FromUnsignedLongLong(value->sizes[i]);
    if (size == NULL || PyTuple_SetItem(sizes, (Py_ssize_t)i, size) != 0) {
      Py_CLEAR(sizes);
    }
  }
  return sizes;
}

static PyMethodDef layout_methods[] = {
    {"make", CLASS_KEYWORDS(layout_make),
     "make($type, format, width, height, rule=None)\n--\n\n"
     "Makes the smallest layout of a picture that obeys a rule: words with commas between them, listed in\n"
     "docs/images.md. ValueError: the reason why there is none.\n\n"
     ">>> print(sa.Layout.make(\"NV12\", 640, 480, rule=\"stride-align=256\"))\n"
     "NV12 640x480 planes=0+0/768*480,0+368640/768*240 sizes=552960\n"
     ">>> sa.Layout.make(\"NV12\", 0, 480)  # doctest: +ELLIPSIS\n"
     "Traceback (most recent call last):\n"
     "ValueError: ...\n"},
    {"parse", layout_parse, METH_VARARGS | METH_CLASS,
     "parse($type, text, /)\n--\n\n"
     "Reads the line that str() of a layout writes. ValueError: the text is malformed; it names the wrong word.\n\n"
     ">>> layout = sa.Layout.parse(\"R8 4x2 planes=0+0/64*2 sizes=128\")\n"
     ">>> layout.planes[0].stride\n"
     "64\n"
     ">>> sa.Layout.parse(str(layout)) == layout\n"
     "True\n"},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef layout_attributes[] = {
    {"format", layout_format, NULL, "The format's name, \"NV12\"; find_format() knows the rest.", NULL},
    {"width", layout_number, NULL, "Visible pixels.", (void*)WIDTH},
    {"height", layout_number, NULL, "Visible pixels.", (void*)HEIGHT},
    {"modifier", layout_number, NULL, "As in drm_fourcc.h; 0: linear.", (void*)MODIFIER},
    {"planes", layout_planes, NULL, "Where each plane of the format lies, a tuple of LayoutPlane.", NULL},
    {"sizes", layout_sizes, NULL, "Bytes that each buffer has at least, a tuple.", NULL},
    {"primaries", layout_number, NULL, "The colours, by the tables of ITU-T H.273; 2: not said.", (void*)PRIMARIES},
    {"transfer", layout_number, NULL, "The colours, by the tables of ITU-T H.273; 2: not said.", (void*)TRANSFER},
    {"matrix", layout_number, NULL, "The colours, by the tables of ITU-T H.273; 2: not said.", (void*)MATRIX},
    {"full_range", layout_full_range, NULL, "Whether black and white are the ends of the range.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot layout_slots[] = {
    {Py_tp_dealloc, SLOT(layout_dealloc)},
    {Py_tp_str, SLOT(layout_str)},
    {Py_tp_repr, SLOT(layout_repr)},
    {Py_tp_hash, SLOT(layout_hash)},
    {Py_tp_richcompare, SLOT(layout_compare)},
    {Py_tp_methods, layout_methods},
    {Py_tp_getset, layout_attributes},
    {Py_tp_doc, "How a picture lies in its buffers: a value, from Layout.make(), Layout.parse(), choose_image() or\n"
                "Image.layout. str() writes it as one line of text; equal layouts have equal lines."},
    {0, NULL},
};
PyType_Spec layout_spec = {"simple_allocator.Layout", sizeof(Layout), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                           layout_slots};

/* --- formats --- */

static PyStructSequence_Field format_fields[] = {
    {"name", "\"NV12\", \"XRGB8888\", \"SRGGB8\""},
    {"gstreamer", "GstVideoFormat's name, or None"},
    {"drm", "the code in drm_fourcc.h, or None"},
    {"v4l2", "the code in linux/videodev2.h, all planes in one buffer, or None"},
    {"v4l2_split", "the same, a buffer for each plane (\"NM12\"), or None"},
    {"planes", "a tuple of FormatPlane"},
    {NULL, NULL},
};
PyStructSequence_Desc format_desc = {"simple_allocator.Format", "A pixel format.", format_fields, 6};

static PyStructSequence_Field format_plane_fields[] = {
    {"bytes", "that one group takes"},
    {"pixels", "samples of this plane, side by side, that make a group"},
    {"hsub", "pixels of the picture, side by side, that share one sample of this plane"},
    {"vsub", "the same, one above the other"},
    {NULL, NULL},
};
PyStructSequence_Desc format_plane_desc = {"simple_allocator.FormatPlane", "How the pixels of one plane lie in a row.",
                                           format_plane_fields, 4};

static PyObject* format_object(State* state, const struct sa_format* format) {
  PyObject* planes = PyTuple_New((Py_ssize_t)format->plane_count);
  for (unsigned i = 0; planes != NULL && i < format->plane_count; ++i) {
    const struct sa_format_plane* plane = &format->planes[i];
    PyObject* const items[] = {PyLong_FromLong(plane->bytes), PyLong_FromLong(plane->pixels), PyLong_FromLong(plane->hsub),
                               PyLong_FromLong(plane->vsub)};
    PyObject* tuple = named_tuple(state->format_plane, items, 4);
    if (tuple == NULL || PyTuple_SetItem(planes, (Py_ssize_t)i, tuple) != 0) {
      Py_CLEAR(planes);
    }
  }
  PyObject* const items[] = {text_object(format->name),    text_or_none(format->gstreamer),    number_or_none(format->drm),
                             number_or_none(format->v4l2), number_or_none(format->v4l2_split), planes};
  return named_tuple(state->format, items, 6);
}

static PyObject* find_format(PyObject* module, PyObject* args, PyObject* kwargs) {
  static char* names[] = {"name", "drm", "v4l2", NULL};
  const char* name = NULL;
  PyObject *drm = Py_None, *v4l2 = Py_None;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|z$OO", names, &name, &drm, &v4l2)) {
    return NULL;
  }
  if ((name != NULL) + (drm != Py_None) + (v4l2 != Py_None) != 1) {
    PyErr_SetString(PyExc_TypeError, "find_format() takes a name, or drm=, or v4l2=");
    return NULL;
  }
  struct sa_format format = SA_FORMAT_INIT;
  int status;
  if (name != NULL) {
    status = sa_format_find(name, &format);
  } else {
    const unsigned long code = PyLong_AsUnsignedLong(drm != Py_None ? drm : v4l2);
    if (PyErr_Occurred()) {
      return NULL;
    }
    const uint32_t short_code = code > UINT32_MAX ? 0 : (uint32_t)code; /* no format has the code 0 */
    status = drm != Py_None ? sa_format_find_drm(short_code, &format) : sa_format_find_v4l2(short_code, &format);
  }
  return status < 0 ? fail_value(status) : format_object(PyModule_GetState(module), &format);
}

typedef struct {
  State* state;
  PyObject* list;
} Formats;

static int add_format(void* data, const struct sa_format* format) {
  const Formats* formats = data;
  PyObject* object = format_object(formats->state, format);
  const int status = object == NULL ? 1 : PyList_Append(formats->list, object);
  Py_XDECREF(object);
  return status == 0 ? 0 : 1;
}

static PyObject* list_formats(PyObject* module, PyObject* none) {
  (void)none;
  Formats formats = {PyModule_GetState(module), PyList_New(0)};
  const int status = formats.list == NULL ? 1 : sa_format_list(add_format, &formats);
  if (status != 0) {
    Py_CLEAR(formats.list);
  }
  return status < 0 ? fail(status) : formats.list;
}

PyMethodDef layout_functions[] = {
    {"find_format", KEYWORDS(find_format),
     "find_format(name=None, *, drm=None, v4l2=None)\n--\n\n"
     "Finds a Format by its name, GStreamer's name, a code behind \"drm:\" or \"v4l2:\" (\"drm:RG16\"), or a code as a\n"
     "number. ValueError: there is none.\n\n"
     ">>> sa.find_format(\"NV12\").planes[1]\n"
     "simple_allocator.FormatPlane(bytes=2, pixels=1, hsub=2, vsub=2)\n"
     ">>> sa.find_format(v4l2=int.from_bytes(b\"YUYV\", \"little\")).name\n"
     "'YUYV'\n"
     ">>> sa.find_format(\"ABCD\")  # doctest: +ELLIPSIS\n"
     "Traceback (most recent call last):\n"
     "ValueError: ...\n"},
    {"formats", list_formats, METH_NOARGS,
     "formats()\n--\n\n"
     "Every Format that the library knows, a list.\n\n"
     ">>> \"NV12\" in [format.name for format in sa.formats()]\n"
     "True\n"},
    {NULL, NULL, 0, NULL},
};
