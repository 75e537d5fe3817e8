// SPDX-License-Identifier: MIT
/// @file heap_element.hpp
/// The element `saheap`: frames that pass it lie in memory of a libsa heap.
#pragma once

#include <gst/base/gstbasetransform.h>

G_BEGIN_DECLS
#define GST_TYPE_SA_HEAP (gst_sa_heap_get_type())
G_DECLARE_FINAL_TYPE(GstSaHeap, gst_sa_heap, GST, SA_HEAP, GstBaseTransform)
G_END_DECLS
