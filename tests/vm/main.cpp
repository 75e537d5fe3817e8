// SPDX-License-Identifier: MIT
/// What only a real kernel, with real devices, can show. Runs as root in scripts/vm; SA_VM_KERNEL says which kernel it is.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
