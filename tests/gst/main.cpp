// SPDX-License-Identifier: MIT
/// The GStreamer plugin on a real kernel, in scripts/vm. GST_PLUGIN_PATH says where it is.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <gst/gst.h>

int main(int argc, char** argv) {
  gst_init(nullptr, nullptr);
  doctest::Context context(argc, argv);
  const int result = context.run();
  gst_deinit();
  return result;
}
