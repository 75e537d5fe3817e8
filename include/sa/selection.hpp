// SPDX-License-Identifier: MIT
/// @file selection.hpp
/// Selections: the answers of Registry::select() and Registry::select_image(). They have the heaps that serve some
/// devices, the layouts in which a picture serves them, and a reason for each heap and format that does not.
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

/// How certain it is that a choice serves all devices.
enum class Certainty {
  Proven, ///< every device has imported memory of this heap in a probe of this process
  Suits,  ///< all known demands are satisfied
  Unknown ///< it depends on a fact that no interface tells; Choice::note names it
};

/// A heap that serves all devices.
struct Choice {
  std::shared_ptr<Heap> heap;
  Certainty certainty = Certainty::Suits;
  std::string note; ///< a remark for a person; may be empty
};

/// A heap that does not serve all devices.
struct Refusal {
  std::string heap;   ///< canonical name
  std::string reason; ///< a sentence, with the fix where there is one
};

/// The answer of Registry::select().
struct Selection {
  Constraints constraints;       ///< the merged demands of all devices and the caller
  std::vector<Choice> choices;   ///< best first
  std::vector<Refusal> refusals; ///< every heap that is not a choice
};

/// A layout and a heap that serve all devices.
struct ImageChoice {
  ImageLayout layout;
  std::shared_ptr<Heap> heap; ///< the heap for all buffers of the picture
  /// Proven: every device imported memory of this heap and a picture of this layout
  Certainty certainty = Certainty::Suits;
  std::vector<std::string> sources; ///< sources of the layout's rules: "/dev/video0: VIDIOC_TRY_FMT"
  std::string note;                 ///< a remark for a person; may be empty
};

/// A format that does not serve all devices, or a heap that does not serve them with any format.
struct ImageRefusal {
  Format format;                     ///< none: the refusal is for every format
  std::string heap;                  ///< canonical name; empty: the refusal is for every heap
  std::string reason;                ///< a sentence, with the fix where there is one
  std::uint32_t width_that_fits = 0; ///< pixels: the next larger width that all devices take; 0: not known
};

/// The answer of Registry::select_image().
struct ImageSelection {
  Constraints constraints;            ///< the merged demands on memory of all devices and the caller
  std::vector<ImageChoice> choices;   ///< best first
  std::vector<ImageRefusal> refusals; ///< formats in the order of the request, then heaps
};

/// Makes a heap of a selection, for a program that allocates often, and for a Pool around it. The heap tries the
/// choices, best first, and asks each for memory that satisfies the selection's constraints. It tries a choice of
/// Certainty::Unknown only if every choice is.
/// @return never null from the throwing overload. info().name has the names of the heaps with "|" between them.
/// @throws Error EOPNOTSUPP: the selection has no choices; the sentence has every refusal
[[nodiscard]] SA_API std::shared_ptr<Heap> make_heap(const Selection& selection);
[[nodiscard]] SA_API std::shared_ptr<Heap> make_heap(const Selection& selection, std::error_code& ec) noexcept;
/// Makes a heap for pictures in the layout of the first choice, from the heaps of all choices with that layout.
/// Heap::allocate(layout, ...) makes a picture.
/// @return never null from the throwing overload
/// @throws Error EOPNOTSUPP: the selection has no choices; the sentence has every refusal
[[nodiscard]] SA_API std::shared_ptr<Heap> make_heap(const ImageSelection& selection);
[[nodiscard]] SA_API std::shared_ptr<Heap> make_heap(const ImageSelection& selection, std::error_code& ec) noexcept;

/// Options of Registry::select() and Registry::select_image().
struct SelectOptions {
  std::size_t size = 0; ///< bytes of the buffers that will be allocated; 0: not known
  /// Whether to prove the answer: allocates from each candidate, tests whether each device imports the buffer
  /// (Device::try_import()), and remembers the verdict in this process, by device path, driver, module parameters,
  /// IOMMU group, kernel and heap; of layouts, those that it took. To test whether a device takes scattered memory, the probe
  /// makes scattered memory by /dev/udmabuf: the same pages in one order and in the reverse order, at least one of which is not
  /// one run. Without /dev/udmabuf, an accepted buffer of scattered memory proves nothing, and is not remembered.
  bool probe = false;
};

}} // namespace sa::v0
