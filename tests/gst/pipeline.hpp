// SPDX-License-Identifier: MIT
/// A pipeline of gst-launch-1.0's words, looked at while it runs.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>

#include <gst/gst.h>

namespace gst_tests {

class Pipeline {
public:
  /// REQUIREs that all its elements exist.
  explicit Pipeline(const std::string& description);
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;
  ~Pipeline();

  /// Borrowed, as what is in it.
  [[nodiscard]] GstElement* get() const { return pipeline_; }
  [[nodiscard]] GstElement* element(const char* name) const;

  /// Calls @p look, in the streaming thread, with each buffer that comes to an element of that name.
  void watch(const char* name, std::function<void(GstBuffer*)> look);

  /// Says for an element of that name, a fakesink, that it reads GstVideoMeta.
  void reads_metas(const char* name);

  /// Sets a state and waits until it is reached. The sentence of the error that was posted; empty: none.
  std::string reach(GstState state);

  /// Plays until the end. The sentence of the error that was posted; empty: none. 60 seconds are an error.
  std::string play();

  /// Waits for the end or an error.
  std::string wait_for_end();

  /// "passed", "copied" or "allocated" of the element `heap`.
  [[nodiscard]] std::uint64_t statistic(const char* which) const;
  [[nodiscard]] std::string heap_used() const;

private:
  GstElement* pipeline_;
};

/// The inode of each of a buffer's dma-bufs; empty: one of its memories is none.
std::set<std::uint64_t> inodes(GstBuffer* buffer);

} // namespace gst_tests
