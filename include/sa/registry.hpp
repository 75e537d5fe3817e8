// SPDX-License-Identifier: MIT
/// @file registry.hpp
/// Heaps by name.
///
/// Canonical names are "backend:instance", "dma-heap:system". An alias is an ordered list of candidates; allocating
/// from it tries them in order and moves on when one is absent, not permitted, cannot be what is demanded, or
/// is out of memory (EOPNOTSUPP, ENOENT, ENODEV, EACCES, EPERM, ENOMEM, EDQUOT), and on nothing else. Its Error lists every
/// attempt. A candidate whose granularity is larger than the request is tried after the others.
///
/// Wherever a heap or an alias is found by its name, several with "|" between them are an alias for the moment: "cma|system".
///
/// Aliases that every registry has: `system`, `dma-buf`, `cma`, `contiguous` (docs/heaps.md). The configuration
/// (sa/configuration.hpp) adds others, or defines these anew, and a program's own alias() comes before both.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <sa/configuration.hpp>
#include <sa/constraints.hpp>
#include <sa/device.hpp>
#include <sa/dma_buf.hpp>
#include <sa/export.hpp>
#include <sa/heap.hpp>
#include <sa/image.hpp>
#include <sa/selection.hpp>
#include <sa/types.hpp>

namespace sa { inline namespace v0 {

namespace detail {
struct Snapshot;
}

/// A name for heaps, tried in order.
struct Alias {
  std::string name;
  std::vector<std::string> candidates; ///< as they were given: heaps, aliases, "backend:*"
};

/// A set of heaps by name. Any thread may call it, also in a forked child.
class SA_API Registry {
public:
  /// Knows the standard aliases and no heap; refresh() fills it from this machine, add() by hand.
  /// @throws std::bad_alloc
  Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;
  ~Registry();

  /// The process-wide registry, discovered when first asked for. It lives until the process ends.
  static Registry& system();

  /// Looks again at what this machine has: modules load later, permissions change. Heaps that stay the same keep their
  /// object, vanished ones leave, those added by add() stay. Nothing that is unreadable makes it fail.
  ///
  /// Reads the configuration again: its aliases, except those that alias() defined, and its carveouts. A file that is
  /// wrong is logged as a warning, once as long as it stays as wrong as it is, and not used; load_configuration() tells.
  /// @throws Error ENOMEM
  void refresh();
  void refresh(std::error_code& ec) noexcept;

  /// Adds a heap under its info().name.
  /// @throws Error EEXIST: the name is taken. EINVAL: null, or a name that is not "backend:instance" of letters,
  ///         digits and ",._+-@#" (`/` and `..` are refused).
  void add(std::shared_ptr<Heap> heap);
  void add(std::shared_ptr<Heap> heap, std::error_code& ec) noexcept;

  /// Defines an alias, or defines it anew. A candidate is a canonical name, an alias, or "backend:*" for every
  /// instance of a backend; it need not exist (yet). It stays, whatever the configuration says of that name.
  /// @throws Error EINVAL: a malformed name, one with a colon, or no candidates. ELOOP: it would lead back to itself.
  void alias(std::string name, std::vector<std::string> candidates);
  void alias(std::string name, std::vector<std::string> candidates, std::error_code& ec) noexcept;

  /// Removes a heap that add() added, or an alias that alias() defined: what the configuration or the library says of that name
  /// holds again. Buffers of the heap, and those who found it, keep it.
  /// @throws Error ENOENT: there is none of that name. EINVAL: a heap of this machine, or an alias of the configuration or the
  ///         library. ELOOP: the library's alias of that name would lead back to itself by another one of the program.
  void remove(std::string_view name);
  void remove(std::string_view name, std::error_code& ec) noexcept;

  /// What the last refresh() read; empty before. Never null; it does not change any more.
  [[nodiscard]] std::shared_ptr<const Configuration> configuration() const noexcept;

  /// The heap of that canonical name or alias, or of several with "|" between them; null when there is none. Unusable heaps are
  /// found too. The result is an owner of the heap, also after the heap has left the registry and after the registry has ended.
  [[nodiscard]] std::shared_ptr<Heap> find(std::string_view name) const noexcept;

  /// The same for a program that needs it.
  /// @return never null from the throwing one
  /// @throws Error ENOENT: there is none of that name, or of these; the sentence lists those that are. EINVAL: a malformed name.
  [[nodiscard]] std::shared_ptr<Heap> at(std::string_view name) const;
  [[nodiscard]] std::shared_ptr<Heap> at(std::string_view name, std::error_code& ec) const noexcept;

  /// Every heap, unusable ones with their reason; aliases are not in it.
  /// @throws std::bad_alloc
  [[nodiscard]] std::vector<HeapInfo> heaps() const;

  /// Every alias, by name.
  /// @throws std::bad_alloc
  [[nodiscard]] std::vector<Alias> aliases() const;

  /// A buffer from the heap or alias of that name, or of several with "|" between them.
  /// @throws Error as at() and Heap::allocate()
  [[nodiscard]] DmaBuf allocate(std::string_view heap, const AllocRequest& request);
  [[nodiscard]] DmaBuf allocate(std::string_view heap, const AllocRequest& request, std::error_code& ec) noexcept;

  /// The heaps that serve @p devices under @p constraints, best first, and for each other heap the reason. Makes no system
  /// call unless SelectOptions::probe is set.
  ///
  /// First comes what is proven, then what suits, then what depends on what is not known. Within these, the order that the
  /// configuration wants; then scattered before contiguous memory, which is scarce, where nobody needs it contiguous.
  /// @throws Error EINVAL: the demands contradict each other; the sentence says which. std::bad_alloc
  [[nodiscard]] Selection select(const Constraints& constraints, const std::vector<Device>& devices = {},
                                 const SelectOptions& options = {}) const;
  [[nodiscard]] Selection select(const Constraints& constraints, const std::vector<Device>& devices, const SelectOptions& options,
                                 std::error_code& ec) const noexcept;

  /// A buffer of the best heap that select() finds for the request and that has one: the next is tried on what an alias moves on
  /// at.
  /// @throws Error as select(). EOPNOTSUPP: no heap suits. Else what came nearest to success; lists every attempt and every
  ///         refusal.
  [[nodiscard]] DmaBuf allocate(const AllocRequest& request) { return allocate(std::vector<Device>{}, request); }
  [[nodiscard]] DmaBuf allocate(const AllocRequest& request, std::error_code& ec) noexcept {
    return allocate(std::vector<Device>{}, request, ec);
  }

  /// The same for @p devices. Heaps that were probed are known; ask select() with SelectOptions::probe once, at start.
  /// @param devices all of them can import the buffer
  /// @param request size, name and further constraints
  /// @param minimum what is less certain is not tried. Without it, a heap that is not known to serve is tried only where none
  ///        is known: a camera that needs contiguous memory is not given scattered memory because CMA is used up.
  [[nodiscard]] DmaBuf allocate(const std::vector<Device>& devices, const AllocRequest& request,
                                std::optional<Certainty> minimum = std::nullopt);
  [[nodiscard]] DmaBuf allocate(const std::vector<Device>& devices, const AllocRequest& request, std::error_code& ec,
                                std::optional<Certainty> minimum = std::nullopt) noexcept;

  /// The formats, layouts and heaps in which a picture serves @p devices, best first, and for each other format and heap the
  /// reason. Devices are asked what they demand (Device::rules()), once for each format and size as long as a copy of the
  /// Device lives; else no system call is made unless SelectOptions::probe is set, which proves the best layout of each format
  /// by real imports (Device::try_import()).
  ///
  /// First comes what is proven, then what suits, then what depends on what is not known. Within these, the formats in the
  /// order of the request, and the heaps as above.
  /// @throws Error EINVAL: a size out of range, or demands on memory that contradict each other. std::bad_alloc
  [[nodiscard]] ImageSelection select_image(const std::vector<Device>& devices, const ImageRequest& request,
                                            const SelectOptions& options = {}) const;
  [[nodiscard]] ImageSelection select_image(const std::vector<Device>& devices, const ImageRequest& request,
                                            const SelectOptions& options, std::error_code& ec) const noexcept;

  /// An image of the best choice that select_image() finds and that has the memory: the next is tried on what an alias moves on
  /// at. All of its buffers are from one heap, and there is none of them unless there are all.
  /// @param devices all of them take the picture
  /// @param request size in pixels, formats, and what else the memory must be
  /// @param minimum what is less certain is not tried; nothing: as in allocate() above
  /// @throws Error as select_image(). EOPNOTSUPP: nothing suits. Else what came nearest to success; lists every attempt and every
  ///         refusal, with the width that fits where the width is what does not.
  [[nodiscard]] Image allocate(const std::vector<Device>& devices, const ImageRequest& request,
                               std::optional<Certainty> minimum = std::nullopt);
  [[nodiscard]] Image allocate(const std::vector<Device>& devices, const ImageRequest& request, std::error_code& ec,
                               std::optional<Certainty> minimum = std::nullopt) noexcept;

private:
  struct SA_PRIVATE State;
  [[nodiscard]] SA_PRIVATE std::shared_ptr<const detail::Snapshot> now() const noexcept;
  std::unique_ptr<State> state_;
};

}} // namespace sa::v0
