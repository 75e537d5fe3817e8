// SPDX-License-Identifier: MIT
/// @file conformance.hpp
/// The suite that every heap of the library passes, for a heap of your own (docs/conformance.md). It is a library beside libsa:
/// pkg-config libsa-conformance. Not included by sa.hpp.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <sa/heap.hpp>

namespace sa { inline namespace v0 { namespace conformance {

struct Options {
  /// Makes another object for the same memory, by which the suite sees that a buffer outlives its heap. Empty: it sees only
  /// that a buffer outlives its registry.
  std::function<std::shared_ptr<Heap>()> make{};
  /// Gives back what the heap keeps for later, called before the suite counts what is left over: for a Pool, trim(). Empty:
  /// the heap keeps nothing.
  std::function<void()> settle{};
  /// For doctest: "-tc=*zero*" runs the tests whose names match, "-ltc" lists all, "-s" shows what passed.
  std::vector<std::string> arguments{};
};

/// Runs the suite on @p heap and prints what failed. It allocates 16 MiB in all and, where info().max_size allows it, 64 MiB in
/// one; max_size is to be 4 MiB at least. It forks, kills its own children and compares the descriptors, the mappings and the
/// kernel's counters of memory before and after: on a quiet machine, in a program without other threads.
///
/// The program's ioctl(2) is one that counts DMA_BUF_IOCTL_SYNC and passes everything on.
/// @return 0: passed. 1: a test failed, or there is no test to make: a null or unusable heap, a malformed name; stderr says so.
int run(const std::shared_ptr<Heap>& heap, const Options& options = {});

}}} // namespace sa::v0::conformance
