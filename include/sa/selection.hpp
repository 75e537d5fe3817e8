// SPDX-License-Identifier: MIT
/// @file selection.hpp
/// Which heaps serve some devices, best first, and why the others do not: what Registry::select() answers.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include <sa/constraints.hpp>
#include <sa/heap.hpp>

namespace sa { inline namespace v0 {

/// How much is known of a choice.
enum class Certainty {
  Proven, ///< every device imported memory of this heap, now or remembered
  Suits,  ///< nothing that is known speaks against it
  Unknown ///< it depends on what no interface tells; Choice::note says on what
};

struct Choice {
  std::shared_ptr<Heap> heap;
  Certainty certainty = Certainty::Suits;
  std::string note; ///< what is to be known of it; may be empty
};

struct Refusal {
  std::string heap;   ///< canonical name
  std::string reason; ///< a sentence, with the fix where there is one
};

struct Selection {
  Constraints constraints;       ///< what all the devices and the caller demand together
  std::vector<Choice> choices;   ///< best first
  std::vector<Refusal> refusals; ///< every heap that is no choice
};

struct SelectOptions {
  std::size_t size = 0; ///< bytes that will be asked for; 0: not known
  /// Proves the answer: allocates from each candidate, has each device import it and let go of it (Device::try_import()),
  /// and remembers the verdict in this process, by device path, driver, module parameters, IOMMU group, kernel and heap.
  /// Whether a device takes scattered memory is asked with a buffer scattered on purpose, which needs /dev/udmabuf; where
  /// it could not be asked, the acceptance of scattered memory proves nothing and is not remembered.
  bool probe = false;
};

}} // namespace sa::v0
