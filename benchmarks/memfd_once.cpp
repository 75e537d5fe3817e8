// SPDX-License-Identifier: MIT
/// For scripts/sizes: opens the registry and allocates one buffer that every machine has.
#include <sa/sa.hpp>

int main() {
  return sa::Registry::system().allocate("memfd:4k", {.size = 4096}) ? 0 : 1;
}
