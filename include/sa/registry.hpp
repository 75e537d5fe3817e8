// SPDX-License-Identifier: MIT
/// @file registry.hpp
/// Registries: sets of heaps by name.
///
/// The canonical name of a heap is "backend:instance", such as "dma-heap:system". An alias is an ordered list of
/// candidates. An allocation from an alias tries them in order. It moves on to the next one when a candidate is absent,
/// is not permitted, cannot satisfy the demands, or is out of memory (EOPNOTSUPP, ENOENT, ENODEV, EACCES, EPERM,
/// ENOMEM, EDQUOT). Any other error ends the attempt. The Error lists every attempt. A candidate whose granularity is
/// larger than the request is tried after the others.
///
/// Wherever a function takes the name of a heap or an alias, it also takes several names with "|" between them, which
/// are tried like an alias: "cma|system".
///
/// Every registry has the aliases `system`, `dma-buf`, `cma` and `contiguous` (docs/heaps.md). The configuration
/// (sa/configuration.hpp) can add others or replace these. A program's own Registry::alias() overrides both.
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

/// A name for a list of heaps, which are tried in order.
struct Alias {
  std::string name;
  std::vector<std::string> candidates; ///< heaps, aliases or "backend:*", as they were given
};

/// A set of heaps by name.
///
/// Threads: any number of threads may use one registry at once, also in a forked child.
class SA_API Registry {
public:
  /// Makes a registry with the standard aliases and no heap. refresh() adds the heaps of this machine, add() a single
  /// one.
  /// @throws std::bad_alloc
  Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;
  ~Registry();

  /// The process-wide registry. The first call looks for this machine's heaps. The registry lives until the process
  /// ends.
  static Registry& system();

  /// Looks for the heaps of this machine again, since modules load later and permissions change. A heap that is
  /// unchanged keeps its object, a vanished heap leaves the registry, and heaps from add() stay. An unreadable file or
  /// node does not make the call fail.
  ///
  /// The call reads the configuration again too: aliases (those that alias() defined stay), carveouts, plugins and
  /// quotas. A file with an error is not used, and is logged as a warning once until the file changes;
  /// load_configuration() returns the errors.
  /// @throws Error ENOMEM
  void refresh();
  void refresh(std::error_code& ec) noexcept;

  /// Adds a heap under its info().name. The registry keeps a reference.
  /// @throws Error EEXIST: the name is taken. EINVAL: null, or a name that is not "backend:instance" of letters,
  ///         digits and ",._+-@#" (`/` and `..` are refused).
  void add(std::shared_ptr<Heap> heap);
  void add(std::shared_ptr<Heap> heap, std::error_code& ec) noexcept;

  /// Defines or redefines an alias. A candidate is a canonical name, an alias, or "backend:*" for every instance of a backend; it
  /// need not exist (yet). The alias overrides one of the same name in the configuration.
  /// @throws Error EINVAL: a malformed name, a name with a colon, or no candidates. ELOOP: the alias would lead back to itself.
  void alias(std::string name, std::vector<std::string> candidates);
  void alias(std::string name, std::vector<std::string> candidates, std::error_code& ec) noexcept;

  /// Removes a heap that add() added, or an alias that alias() defined. A definition of the same name in the
  /// configuration or the library applies again. Holders of the heap, and its buffers, keep it alive.
  /// @throws Error ENOENT: no heap or alias has that name. EINVAL: the name is a heap of this machine, or an alias of
  ///         the configuration or the library. ELOOP: the library's alias of that name would lead back to itself
  ///         through another alias of the program.
  void remove(std::string_view name);
  void remove(std::string_view name, std::error_code& ec) noexcept;

  /// The configuration that the last refresh() read; Configuration{} before the first refresh(). Never null. The object
  /// does not change afterwards.
  [[nodiscard]] std::shared_ptr<const Configuration> configuration() const noexcept;

  /// Finds the heap with a canonical name, an alias, or several names with "|" between them; null when there is none.
  /// Unusable heaps are found too. The result owns the heap, also after the heap has left the registry or the registry
  /// has ended.
  [[nodiscard]] std::shared_ptr<Heap> find(std::string_view name) const noexcept;

  /// Finds a heap as find() does, and reports an error when there is none.
  /// @return never null from the throwing overload
  /// @throws Error ENOENT: no heap has that name, or any of these names; the sentence lists the heaps. EINVAL: a malformed name.
  [[nodiscard]] std::shared_ptr<Heap> at(std::string_view name) const;
  [[nodiscard]] std::shared_ptr<Heap> at(std::string_view name, std::error_code& ec) const noexcept;

  /// The descriptions of all heaps. An unusable heap has its reason in HeapInfo::reason.
  /// Aliases are not listed.
  /// @throws std::bad_alloc
  [[nodiscard]] std::vector<HeapInfo> heaps() const;

  /// All aliases, sorted by name.
  /// @throws std::bad_alloc
  [[nodiscard]] std::vector<Alias> aliases() const;

  /// Allocates a buffer from the heap or alias with that name, or from several with "|" between them.
  /// @throws Error as at() and Heap::allocate()
  [[nodiscard]] DmaBuf allocate(std::string_view heap, const AllocRequest& request);
  [[nodiscard]] DmaBuf allocate(std::string_view heap, const AllocRequest& request, std::error_code& ec) noexcept;

  /// Selects the heaps that serve @p devices under @p constraints, best first, and gives a reason for each other heap.
  /// It makes no system call unless SelectOptions::probe is set.
  ///
  /// Heaps are ordered by Certainty: Proven, Suits, Unknown. Heaps of the same certainty are in the order of the
  /// configuration. After that, scattered memory comes before contiguous memory, which is scarce, unless a demand needs
  /// contiguous memory.
  /// @throws Error EINVAL: the demands contradict each other; the sentence says which. std::bad_alloc
  [[nodiscard]] Selection select(const Constraints& constraints, const std::vector<Device>& devices = {},
                                 const SelectOptions& options = {}) const;
  [[nodiscard]] Selection select(const Constraints& constraints, const std::vector<Device>& devices, const SelectOptions& options,
                                 std::error_code& ec) const noexcept;

  /// Allocates a buffer from the heaps that select() finds for the request, best first. It moves on to the next heap on the same
  /// errors as an alias.
  /// @throws Error as select(). EOPNOTSUPP: no heap suits. Else the error of the attempt that came nearest to success; the
  ///         sentence lists every attempt and every refusal.
  [[nodiscard]] DmaBuf allocate(const AllocRequest& request) { return allocate(std::vector<Device>{}, request); }
  [[nodiscard]] DmaBuf allocate(const AllocRequest& request, std::error_code& ec) noexcept {
    return allocate(std::vector<Device>{}, request, ec);
  }

  /// Allocates a buffer that serves all @p devices. Call select() with SelectOptions::probe once, at the start of the program:
  /// the results of the probes are remembered.
  /// @param devices all of them can import the buffer
  /// @param request size, name and further constraints
  /// @param minimum heaps with less certainty are not tried. Without it, a heap of Certainty::Unknown is tried only if every heap
  ///        is: a camera that needs contiguous memory does not get scattered memory because CMA is used up.
  /// @throws Error as allocate() of a request without devices
  [[nodiscard]] DmaBuf allocate(const std::vector<Device>& devices, const AllocRequest& request,
                                std::optional<Certainty> minimum = std::nullopt);
  [[nodiscard]] DmaBuf allocate(const std::vector<Device>& devices, const AllocRequest& request, std::error_code& ec,
                                std::optional<Certainty> minimum = std::nullopt) noexcept;

  /// Selects the formats, layouts and heaps in which a picture serves all @p devices, best first, and gives a reason
  /// for each other format and heap. It asks each device for its demands (Device::rules()), once for each format and
  /// size as long as a copy of the Device lives. With SelectOptions::probe it also proves the best layout of each
  /// format by real imports (Device::try_import()). It makes no other system calls.
  ///
  /// Choices are ordered by Certainty: Proven, Suits, Unknown. Choices of the same certainty are in the order of the
  /// request's formats, then in the order of heaps that select() gives.
  /// @throws Error EINVAL: a size out of range, or demands on memory that contradict each other. std::bad_alloc
  [[nodiscard]] ImageSelection select_image(const std::vector<Device>& devices, const ImageRequest& request,
                                            const SelectOptions& options = {}) const;
  [[nodiscard]] ImageSelection select_image(const std::vector<Device>& devices, const ImageRequest& request,
                                            const SelectOptions& options, std::error_code& ec) const noexcept;

  /// Allocates an image by the choices that select_image() finds, best first. It moves on to the next choice on the same errors
  /// as an alias. All buffers of the image come from one heap; either all are allocated, or none.
  /// @param devices all of them take the picture
  /// @param request size in pixels, formats, and further demands on the memory
  /// @param minimum choices with less certainty are not tried; nothing: as in allocate() of a buffer for devices
  /// @throws Error as select_image(). EOPNOTSUPP: no choice suits. Else the error of the attempt that came nearest to success;
  ///         the sentence lists every attempt and every refusal, with a width that fits if only the width does not.
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
