// SPDX-License-Identifier: MIT
/// A plugin that contains the library: it exports one function.
#include <sa/sa.hpp>

extern "C" void* plugin_start() {
  return &sa::Registry::system();
}
