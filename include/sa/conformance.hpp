// SPDX-License-Identifier: MIT
/// @file conformance.hpp
/// The conformance suite: tests that every heap of the library passes, to be run on a heap of your own
/// (docs/conformance.md). It is a separate library: pkg-config libsa-conformance. sa.hpp does not include this header.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <sa/heap.hpp>

namespace sa { inline namespace v0 { namespace conformance {

struct Options {
  /// Makes another heap object for the same memory. With it, the suite tests that a buffer outlives its heap. Empty: the suite
  /// tests only that a buffer outlives its registry.
  std::function<std::shared_ptr<Heap>()> make{};
  /// Makes the heap free all memory that it keeps for later use; for a Pool, trim(). The suite calls it before it
  /// counts leaked resources. Empty: the heap keeps nothing.
  std::function<void()> settle{};
  /// Arguments for doctest: "-tc=*zero*" runs the tests whose names match, "-ltc" lists all tests, "-s" also prints the
  /// checks that passed.
  std::vector<std::string> arguments{};
};

/// Runs the conformance suite on @p heap and prints the failures. The suite holds up to 16 MiB at once and, where
/// info().max_size allows it, one buffer of 64 MiB; of a heap with Trait::PhysAddr, one of max_size. max_size must be
/// 4 MiB at least. The suite forks, kills its own
/// children, and compares descriptors, mappings and the kernel's memory counters before and after. So run it on a quiet
/// machine, in a program without other threads.
///
/// The library replaces the program's ioctl(2) by a function that counts DMA_BUF_IOCTL_SYNC and passes every call on.
/// @return 0: all tests passed. 1: a test failed, or no test could run because the heap is null, unusable or has a
///   malformed name; a message on standard error says which.
int run(const std::shared_ptr<Heap>& heap, const Options& options = {});

}}} // namespace sa::v0::conformance
