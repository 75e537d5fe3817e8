// SPDX-License-Identifier: MIT
/// @file selection.hpp
/// Which heaps serve some devices, and in which layout a picture does, best first, and why the others do not: what
/// Registry::select() and Registry::select_image() answer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include <sa/constraints.hpp>
#include <sa/export.hpp>
#include <sa/format.hpp>
#include <sa/heap.hpp>
#include <sa/layout.hpp>

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

/// A layout that all devices take, in memory that they take.
struct ImageChoice {
  ImageLayout layout;
  std::shared_ptr<Heap> heap; ///< of each of its buffers
  /// Proven: every device imported memory of this heap and a picture of this layout
  Certainty certainty = Certainty::Suits;
  std::vector<std::string> sources; ///< who made the layout what it is: "/dev/video0: VIDIOC_TRY_FMT"
  std::string note;                 ///< what is to be known of it; may be empty
};

/// A format that is no choice, or a heap that is none for any format.
struct ImageRefusal {
  Format format;                     ///< none: of every format
  std::string heap;                  ///< canonical name; empty: of every heap
  std::string reason;                ///< a sentence, with the fix where there is one
  std::uint32_t width_that_fits = 0; ///< pixels: the next larger width that all devices take; 0: none is known
};

struct ImageSelection {
  Constraints constraints;            ///< what all the devices and the caller demand of memory together
  std::vector<ImageChoice> choices;   ///< best first
  std::vector<ImageRefusal> refusals; ///< formats in the order in which they were asked for, then heaps
};

/// A heap that gives what a selection chose: it tries the choices, best first, and asks each for what the devices and the caller
/// demand together. What is not known to serve is tried only where nothing is known. For a program that allocates often, and for
/// a Pool around it.
/// @return never null from the throwing one. info().name has the names of the heaps with "|" between them.
/// @throws Error EOPNOTSUPP: there is no choice; the sentence has every refusal
[[nodiscard]] SA_API std::shared_ptr<Heap> make_heap(const Selection& selection);
[[nodiscard]] SA_API std::shared_ptr<Heap> make_heap(const Selection& selection, std::error_code& ec) noexcept;
/// The same for pictures of the first choice's layout: the heaps of all choices that have that layout.
/// Heap::allocate(layout, ...) makes the picture.
[[nodiscard]] SA_API std::shared_ptr<Heap> make_heap(const ImageSelection& selection);
[[nodiscard]] SA_API std::shared_ptr<Heap> make_heap(const ImageSelection& selection, std::error_code& ec) noexcept;

struct SelectOptions {
  std::size_t size = 0; ///< bytes that will be asked for; 0: not known
  /// Proves the answer: allocates from each candidate, has each device import it and let go of it (Device::try_import()),
  /// and remembers the verdict in this process, by device path, driver, module parameters, IOMMU group, kernel and heap.
  /// Whether a device takes scattered memory is asked with memory scattered on purpose, which needs /dev/udmabuf: the same
  /// pages in an order and in its reverse, of which one at least is not in one run. Where it could not be asked, the
  /// acceptance of scattered memory proves nothing and is not remembered.
  bool probe = false;
};

}} // namespace sa::v0
