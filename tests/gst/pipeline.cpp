// SPDX-License-Identifier: MIT
#include "gst/pipeline.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <utility>

#include <gst/allocators/allocators.h>
#include <gst/video/video.h>
#include <sys/stat.h>

namespace gst_tests {

Pipeline::Pipeline(const std::string& description) {
  g_autoptr(GError) error = nullptr;
  pipeline_ = gst_parse_launch(description.c_str(), &error);
  INFO(description, error != nullptr ? error->message : "");
  REQUIRE(pipeline_ != nullptr);
  REQUIRE(error == nullptr);
}

Pipeline::~Pipeline() {
  gst_element_set_state(pipeline_, GST_STATE_NULL);
  gst_object_unref(pipeline_);
}

GstElement* Pipeline::element(const char* name) const {
  GstElement* const found = gst_bin_get_by_name(GST_BIN(pipeline_), name);
  REQUIRE(found != nullptr);
  gst_object_unref(found); // the bin holds it
  return found;
}

void Pipeline::watch(const char* name, std::function<void(GstBuffer*)> look) {
  using Look = std::function<void(GstBuffer*)>;
  GstPad* const pad = gst_element_get_static_pad(element(name), "sink");
  REQUIRE(pad != nullptr);
  gst_pad_add_probe(
      pad, GST_PAD_PROBE_TYPE_BUFFER,
      [](GstPad*, GstPadProbeInfo* info, gpointer look) {
        (*static_cast<Look*>(look))(GST_PAD_PROBE_INFO_BUFFER(info));
        return GST_PAD_PROBE_OK;
      },
      new Look(std::move(look)), [](gpointer look) { delete static_cast<Look*>(look); });
  gst_object_unref(pad);
}

void Pipeline::reads_metas(const char* name) {
  GstPad* const pad = gst_element_get_static_pad(element(name), "sink");
  REQUIRE(pad != nullptr);
  gst_pad_add_probe(
      pad, GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM,
      [](GstPad*, GstPadProbeInfo* info, gpointer) {
        if (GST_QUERY_TYPE(GST_PAD_PROBE_INFO_QUERY(info)) != GST_QUERY_ALLOCATION) {
          return GST_PAD_PROBE_OK;
        }
        gst_query_add_allocation_meta(GST_PAD_PROBE_INFO_QUERY(info), GST_VIDEO_META_API_TYPE, nullptr);
        return GST_PAD_PROBE_HANDLED;
      },
      nullptr, nullptr);
  gst_object_unref(pad);
}

static std::string sentence_of(GstMessage* message) {
  g_autoptr(GError) error = nullptr;
  g_autofree char* details = nullptr;
  gst_message_parse_error(message, &error, &details);
  return std::string(error->message) + " [" + (details != nullptr ? details : "") + "]";
}

std::string Pipeline::reach(GstState state) {
  const GstStateChangeReturn asked = gst_element_set_state(pipeline_, state);
  const bool reached = asked != GST_STATE_CHANGE_FAILURE &&
                       gst_element_get_state(pipeline_, nullptr, nullptr, 20 * GST_SECOND) != GST_STATE_CHANGE_FAILURE;
  GstBus* const bus = gst_element_get_bus(pipeline_);
  GstMessage* const message = gst_bus_pop_filtered(bus, GST_MESSAGE_ERROR);
  gst_object_unref(bus);
  if (message == nullptr) {
    return reached ? "" : "the state was not reached";
  }
  std::string said = sentence_of(message);
  gst_message_unref(message);
  return said;
}

std::string Pipeline::wait_for_end() {
  GstBus* const bus = gst_element_get_bus(pipeline_);
  GstMessage* const message =
      gst_bus_timed_pop_filtered(bus, 60 * GST_SECOND, static_cast<GstMessageType>(GST_MESSAGE_ERROR | GST_MESSAGE_EOS));
  gst_object_unref(bus);
  if (message == nullptr) {
    return "it did not end within 60 seconds";
  }
  std::string said = GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR ? sentence_of(message) : "";
  gst_message_unref(message);
  return said;
}

std::string Pipeline::play() {
  gst_element_set_state(pipeline_, GST_STATE_PLAYING);
  return wait_for_end();
}

std::uint64_t Pipeline::statistic(const char* which) const {
  GstStructure* values = nullptr;
  g_object_get(element("heap"), "stats", &values, nullptr);
  guint64 number = 0;
  CHECK(gst_structure_get_uint64(values, which, &number));
  gst_structure_free(values);
  return number;
}

std::string Pipeline::heap_used() const {
  g_autofree char* name = nullptr;
  g_object_get(element("heap"), "heap-used", &name, nullptr);
  return name != nullptr ? name : "";
}

std::set<std::uint64_t> inodes(GstBuffer* buffer) {
  std::set<std::uint64_t> found;
  for (guint i = 0; i < gst_buffer_n_memory(buffer); ++i) {
    GstMemory* const memory = gst_buffer_peek_memory(buffer, i);
    struct stat about {};
    if (!gst_is_dmabuf_memory(memory) || ::fstat(gst_dmabuf_memory_get_fd(memory), &about) != 0) {
      return {};
    }
    found.insert(about.st_ino);
  }
  return found;
}

} // namespace gst_tests
