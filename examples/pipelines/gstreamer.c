// SPDX-License-Identifier: MIT
/// An application whose pictures are in memory that a device shares: a pool of libsa's heap, and appsrc.
///   gstreamer [HEAP [SINK]]     gstreamer cma 'kmssink driver-name=vkms'
/// Needs GStreamer with libsa's plugin; knows libsa by two names, of a type and of a heap.
#include <stdio.h>

#include <gst/app/gstappsrc.h>
#include <gst/video/video.h>

enum { width = 640, height = 480, frames = 60, rate = 30 };

/// A grey wedge that moves.
static gboolean draw(GstBuffer* frame, const GstVideoInfo* info, int number) {
  GstVideoFrame picture; // knows the strides, which the buffer tells
  if (!gst_video_frame_map(&picture, info, frame, GST_MAP_WRITE)) {
    return FALSE;
  }
  for (int y = 0; y < height; ++y) {
    guint8* row = (guint8*)GST_VIDEO_FRAME_PLANE_DATA(&picture, 0) + y * GST_VIDEO_FRAME_PLANE_STRIDE(&picture, 0);
    for (int x = 0; x < width; ++x) {
      row[4 * x] = row[4 * x + 1] = row[4 * x + 2] = (guint8)(x + y + number);
    }
  }
  gst_video_frame_unmap(&picture);
  return TRUE;
}

static GstBufferPool* make_pool(const char* heap, GstCaps* caps, guint size) {
  GstPlugin* plugin = gst_plugin_load_by_name("sa");
  if (plugin == NULL) {
    return NULL;
  }
  gst_object_unref(plugin);
  GstBufferPool* pool = g_object_new(g_type_from_name("GstSaBufferPool"), "heap", heap, "stride-align", 64, NULL);
  GstStructure* config = gst_buffer_pool_get_config(pool);
  gst_buffer_pool_config_set_params(config, caps, size, 3, 6);
  gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
  if (!gst_buffer_pool_set_config(pool, config) || !gst_buffer_pool_set_active(pool, TRUE)) {
    gst_clear_object(&pool);
  }
  return pool;
}

int main(int argc, char** argv) {
  gst_init(NULL, NULL);
  char* words = g_strdup_printf("appsrc name=source format=time ! %s", argc > 2 ? argv[2] : "fakesink");
  GstElement* pipeline = gst_parse_launch(words, NULL);
  GstElement* source = gst_bin_get_by_name(GST_BIN(pipeline), "source");
  GstVideoInfo info;
  gst_video_info_set_format(&info, GST_VIDEO_FORMAT_BGRx, width, height);
  info.fps_n = rate;
  GstCaps* caps = gst_video_info_to_caps(&info);
  gst_app_src_set_caps(GST_APP_SRC(source), caps);
  GstBufferPool* pool = make_pool(argc > 1 ? argv[1] : "dma-buf", caps, (guint)info.size);
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  int number = 0;
  for (GstBuffer* frame; pool != NULL && number < frames; ++number) {
    if (gst_buffer_pool_acquire_buffer(pool, &frame, NULL) != GST_FLOW_OK || !draw(frame, &info, number)) {
      break;
    }
    GST_BUFFER_PTS(frame) = gst_util_uint64_scale((guint64)number, GST_SECOND, rate);
    if (gst_app_src_push_buffer(GST_APP_SRC(source), frame) != GST_FLOW_OK) {
      break;
    }
  }
  gst_app_src_end_of_stream(GST_APP_SRC(source));
  GstBus* bus = gst_element_get_bus(pipeline);
  GstMessage* end = gst_bus_timed_pop_filtered(bus, 30 * GST_SECOND, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  const gboolean done = number == frames && end != NULL && GST_MESSAGE_TYPE(end) == GST_MESSAGE_EOS;
  printf("%d frames: %s\n", number, done ? "all shown" : "it failed; GST_DEBUG=2 says why");
  gst_element_set_state(pipeline, GST_STATE_NULL);
  g_clear_pointer(&end, gst_message_unref);
  gst_clear_object(&pool);
  gst_caps_unref(caps);
  gst_object_unref(bus);
  gst_object_unref(source);
  gst_object_unref(pipeline);
  g_free(words);
  return done ? 0 : 1;
}
