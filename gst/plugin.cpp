// SPDX-License-Identifier: MIT
/// The plugin `sa`: the element saheap, and the types GstSaAllocator and GstSaBufferPool for applications.
#include <gst/gst.h>

#include "allocator.hpp"
#include "buffer_pool.hpp"
#include "heap_element.hpp"

#include <sa/version.h>

static gboolean plugin_init(GstPlugin* plugin) {
  g_type_ensure(GST_TYPE_SA_ALLOCATOR);
  g_type_ensure(GST_TYPE_SA_BUFFER_POOL);
  return gst_element_register(plugin, "saheap", GST_RANK_NONE, GST_TYPE_SA_HEAP);
}

#define PACKAGE "libsa"
GST_PLUGIN_DEFINE(GST_VERSION_MAJOR, GST_VERSION_MINOR, sa, "Memory that devices share, of libsa's heaps", plugin_init,
                  SA_VERSION, "MIT/X11", "Simple Allocator", "Unknown package origin")
