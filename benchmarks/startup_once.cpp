// SPDX-License-Identifier: MIT
/// For startup.cpp: discovers the heaps and allocates once.
#include <sa/sa.hpp>

int main() {
  return sa::Registry::system().allocate("system", {.size = 4096}) ? 0 : 1;
}
