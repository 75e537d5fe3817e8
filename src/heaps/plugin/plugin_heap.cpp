// SPDX-License-Identifier: MIT
#include "heaps/plugin/plugin_heap.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <mutex>
#include <optional>
#include <string_view>

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include <fmt/format.h>

#include "core/base/failure.hpp"
#include "core/base/fork.hpp"
#include "core/base/heap_name.hpp"
#include "core/base/system_facts.hpp"
#include "core/base/unproven.hpp"
#include "core/buffer/import.hpp"
#include "heaps/plugin/load.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

static_assert(SA_PLUGIN_DMABUF == static_cast<unsigned>(Trait::DmaBuf));
static_assert(SA_PLUGIN_CONTIGUOUS == static_cast<unsigned>(Trait::Contiguous));
static_assert(SA_PLUGIN_CACHED == static_cast<unsigned>(Trait::Cached));
static_assert(SA_PLUGIN_ZEROED == static_cast<unsigned>(Trait::Zeroed));
static_assert(SA_PLUGIN_PHYS_ADDR == static_cast<unsigned>(Trait::PhysAddr));
static_assert(SA_PLUGIN_HUGE_PAGES == static_cast<unsigned>(Trait::HugePages));
static_assert(SA_PLUGIN_PROTECTED == static_cast<unsigned>(Trait::Protected));
static_assert(SA_PLUGIN_DEVICE_MEMORY == static_cast<unsigned>(Trait::DeviceMemory));

constexpr std::array every_trait{Trait::DmaBuf,   Trait::Contiguous, Trait::Cached,    Trait::Zeroed,
                                 Trait::PhysAddr, Trait::HugePages,  Trait::Protected, Trait::DeviceMemory};

constexpr std::uint32_t max_heaps = 64;   ///< of a plugin: one that never says -ENOENT must end, too
constexpr std::size_t max_text = 512;     ///< bytes of a plugin's text that a message holds
constexpr std::size_t max_heap_name = 95; ///< bytes: what a message between processes takes (core/ipc/message.hpp)
constexpr std::size_t max_path = 4095;    ///< bytes (PATH_MAX)
constexpr int max_errno = 4095;           ///< linux/err.h, MAX_ERRNO

/// A plugin's text, cut to @p most bytes, with nothing that a terminal or a log would obey; empty for null.
std::string text_of(const char* text, std::size_t most) {
  std::string copy(text == nullptr ? "" : text, text == nullptr ? 0 : ::strnlen(text, most));
  std::replace_if(
      copy.begin(), copy.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }, '?');
  return copy;
}

bool is_errno(int said) noexcept {
  return said < 0 && said >= -max_errno;
}

/// Which memory a descriptor is of; no two that live have the same (stat(2)).
struct Identity {
  dev_t device = 0;
  ino_t inode = 0;

  friend bool operator==(const Identity&, const Identity&) = default;
};

/// Memory from plugins that buffers have, and by which descriptor.
struct Claim {
  Identity memory;
  int fd;
};
std::mutex claims_lock; // held for bookkeeping only
std::vector<Claim> claims;

[[maybe_unused]] const int registered =
    ::pthread_atfork([] { claims_lock.lock(); }, [] { claims_lock.unlock(); }, [] { claims_lock.unlock(); });

/// The descriptor by which a living buffer has @p memory; claims it by @p fd where there is none.
std::optional<int> claim(const Identity& memory, int fd) {
  const std::lock_guard lock(claims_lock);
  const auto found = std::find_if(claims.begin(), claims.end(), [&](const Claim& one) { return one.memory == memory; });
  if (found != claims.end()) {
    return found->fd;
  }
  claims.push_back({memory, fd});
  return std::nullopt;
}

void unclaim(const Identity& memory) noexcept {
  const std::lock_guard lock(claims_lock);
  std::erase_if(claims, [&](const Claim& one) { return one.memory == memory; });
}

/// The state that a buffer keeps: it ends after the descriptor, and calls the plugin.
class Kept {
public:
  Kept(const sa_heap_plugin& table, void* data) noexcept : table_(table), data_(data) {}
  Kept(const Kept&) = delete;
  Kept& operator=(const Kept&) = delete;
  ~Kept() {
    if (claimed) {
      unclaim(*claimed); // before the plugin can hand the memory out again
    }
    // A child's copy of a buffer is not what the plugin made: its parent still has that.
    if (made_ && table_.release != nullptr && process_ == fork_generation() && !exit_began()) {
      table_.release(data_, memory_);
    }
  }

  /// The plugin has made @p memory, and is told of its end.
  void made(void* memory) noexcept {
    made_ = true;
    memory_ = memory;
  }

  std::optional<Identity> claimed{};

private:
  const sa_heap_plugin& table_;
  void* data_;
  void* memory_ = nullptr;
  bool made_ = false;
  unsigned process_ = fork_generation();
};

class PluginHeap final : public Heap {
public:
  PluginHeap(HeapInfo info, const sa_heap_plugin& table, void* data) : info_(std::move(info)), table_(table), data_(data) {}

  [[nodiscard]] const HeapInfo& info() const noexcept override { return info_; }

protected:
  DmaBuf do_allocate(const AllocRequest& request, std::error_code& ec) override {
    if (exit_began()) {
      return refuse(ec, ECANCELED,
                    [&] { return fmt::format("the process is ending, and the plugin {} is called no more", info_.backend); });
    }
    char name[max_name_length + 1] = {};
    request.name.copy(name, max_name_length);
    const sa_plugin_request asked{sizeof(asked),
                                  rounded_size(request),
                                  name,
                                  request.constraints.alignment,
                                  request.constraints.max_address,
                                  request.constraints.max_segments,
                                  0};
    sa_plugin_memory made{};
    made.struct_size = sizeof(made);
    made.fd = -1;
    std::array<char, max_text> sentence{};
    const auto kept = std::make_shared<Kept>(table_, data_); // now: later it could not be made, and the memory would be lost
    const int said = table_.allocate(data_, &asked, &made, sentence.data(), sentence.size());
    if (is_errno(said)) {
      return refuse(ec, -said, [&] {
        const std::string text = text_of(sentence.data(), sentence.size());
        return text.empty() ? kernel_said(fmt::format("the plugin {}", info_.backend), -said) : text;
      });
    }
    if (said != 0) {
      return lie(ec, [&] { return fmt::format("returned {}, which is neither 0 nor -errno", said); });
    }
    kept->made(made.memory);
    UniqueFd fd = checked(UniqueFd{made.fd}, asked, made, *kept, ec); // ends before what is kept, however this ends
    if (ec) {
      return {};
    }
    Memory memory;
    memory.keep = kept;
    memory.descriptor = info_.traits.contains(Trait::DmaBuf) ? Descriptor::DmaBuf : Descriptor::Memfd;
    memory.size = asked.size;
    memory.traits = info_.traits;
    if (info_.traits.contains(Trait::PhysAddr)) {
      memory.phys_addr = made.phys_addr;
    }
    memory.fd = std::move(fd);
    return adopt(std::move(memory), request.name);
  }

private:
  /// Reports a fault of allocate(): @p sentence returns the words after "allocate()".
  template <typename Sentence>
  DmaBuf lie(std::error_code& ec, Sentence&& sentence) const {
    return refuse(ec, EIO, [&] { return fmt::format("the plugin {} is wrong: allocate() {}", info_.backend, sentence()); });
  }

  /// @p fd, if what the plugin made is what it said, and what was asked for. Only a descriptor without another owner is closed.
  UniqueFd checked(UniqueFd fd, const sa_plugin_request& asked, const sa_plugin_memory& made, Kept& kept,
                   std::error_code& ec) const {
    const auto wrong = [&](auto&& sentence) {
      (void)lie(ec, sentence);
      return UniqueFd{};
    };
    const int number = made.fd;
    if (number < 0) {
      return wrong([&] { return fmt::format("returned 0 and gave no descriptor, but {}", number); });
    }
    const int flags = ::fcntl(number, F_GETFD);
    if (flags < 0) {
      (void)fd.release(); // another thread may open that number now
      return wrong([&] { return fmt::format("gave the descriptor {}, which is not open", number); });
    }
    ForeignMemory found;
    std::string why;
    {
      const Explanation said;
      found = prove(number, ec);
      why = said.text();
    }
    if (ec) {
      close_unproven(std::move(fd));
      if (ec.value() != EINVAL && ec.value() != EBADF) { // the kernel refused a question, and not the plugin's descriptor
        fail(ec, ec.value(), [&] { return why; });
        return {};
      }
      return wrong([&] { return fmt::format("gave a descriptor that is no memory to share: {}", why); });
    }
    struct stat status {};
    if (::fstat(number, &status) != 0) {
      const int error = errno;
      fail(ec, error, "fstat");
      return {};
    }
    const Identity memory{status.st_dev, status.st_ino};
    if (const auto living = claim(memory, number)) {
      if (*living == number) {
        (void)fd.release(); // that buffer's
      }
      return wrong([&] {
        return fmt::format("gave {}, which another buffer still has",
                           *living == number ? fmt::format("the descriptor {} again", number) : "the same memory again");
      });
    }
    kept.claimed = memory;
    const bool says_dma_buf = info_.traits.contains(Trait::DmaBuf);
    if (says_dma_buf != (found.descriptor == Descriptor::DmaBuf)) {
      return wrong([&] {
        return says_dma_buf ? "gave a memory file, though the heap says that it has dma-bufs"
                            : "gave a dma-buf, though the heap says that it has memory files";
      });
    }
    if (found.size < asked.size) {
      return wrong([&] { return fmt::format("gave {}, but {} were requested", bytes_text(found.size), bytes_text(asked.size)); });
    }
    if (found.frozen || (::fcntl(number, F_GETFL) & O_ACCMODE) != O_RDWR) {
      return wrong([] { return "gave a descriptor that cannot be written"; });
    }
    if (info_.traits.contains(Trait::PhysAddr)) {
      const std::uint64_t end = made.phys_addr + asked.size;
      if (made.phys_addr == 0 || end < made.phys_addr || made.phys_addr % asked.alignment != 0 ||
          (asked.max_address != 0 && end > asked.max_address) || (info_.max_address != 0 && end > info_.max_address)) {
        return wrong([&] { return fmt::format("gave memory at {:#x}, which is not the promised address", made.phys_addr); });
      }
    }
    if ((flags & FD_CLOEXEC) == 0) {
      ::fcntl(number, F_SETFD, flags | FD_CLOEXEC); // programs that this one starts are not to inherit it
    }
    return fd;
  }

  HeapInfo info_;
  const sa_heap_plugin& table_;
  void* data_;
};

/// Why @p told is no description of a heap; empty when it is, and then @p info is what it says.
std::string read_description(const std::string& plugin, const sa_plugin_heap& told, HeapInfo& info) {
  const std::string instance = text_of(told.instance, max_heap_name + 1);
  info.name = fmt::format("{}:{}", plugin, instance);
  if (!is_word(instance) || info.name.size() > max_heap_name) {
    return fmt::format("an instance is called \"{}\"; a name is of letters, digits and ,._+-@#, {} bytes with the plugin's",
                       instance.substr(0, max_heap_name), max_heap_name);
  }
  info.backend = plugin;
  info.node = text_of(told.node, max_path);
  info.reason = text_of(told.reason, max_text);
  info.usable = info.reason.empty();
  std::uint32_t unknown = told.traits;
  for (const Trait trait : every_trait) {
    if ((told.traits & static_cast<unsigned>(trait)) != 0) {
      info.traits = info.traits | trait;
      unknown &= ~static_cast<unsigned>(trait);
    }
  }
  if (unknown != 0) {
    return fmt::format("{} has traits that this library does not know, {:#x}", info.name, unknown);
  }
  const std::uint64_t granularity = told.granularity == 0 ? page_size() : told.granularity;
  if (granularity % page_size() != 0 || (told.max_alignment != 0 && !std::has_single_bit(told.max_alignment)) ||
      granularity > SIZE_MAX || told.max_alignment > SIZE_MAX) {
    return fmt::format("{} has granularity {} and max_alignment {}; they are a multiple of the page size, and a power of two",
                       info.name, told.granularity, told.max_alignment);
  }
  info.granularity = static_cast<std::size_t>(granularity);
  info.max_alignment = static_cast<std::size_t>(told.max_alignment);
  info.max_size =
      told.max_size == 0 ? total_memory() : static_cast<std::size_t>(std::min<std::uint64_t>(told.max_size, PTRDIFF_MAX));
  info.max_address = told.max_address;
  return {};
}

} // namespace

PluginHeaps plugin_heaps(const std::string& name, const sa_heap_plugin& table) {
  PluginHeaps result;
  const auto refused = [](std::string why) { return PluginHeaps{{}, std::move(why)}; };
  if (exit_began()) {
    return refused("the process is ending");
  }
  for (std::uint32_t index = 0;; ++index) {
    sa_plugin_heap told{};
    told.struct_size = sizeof(told);
    const int said = table.describe(index, &told);
    if (said == -ENOENT) {
      break;
    }
    if (said != 0) {
      return refused(is_errno(said) ? kernel_said(fmt::format("describe({})", index), -said)
                                    : fmt::format("describe({}) returned {}, which is neither 0 nor -errno", index, said));
    }
    if (index == max_heaps) {
      return refused(fmt::format("it describes more than {} heaps", max_heaps));
    }
    HeapInfo info;
    if (auto why = read_description(name, told, info); !why.empty()) {
      return refused(std::move(why));
    }
    if (std::any_of(result.heaps.begin(), result.heaps.end(), [&](const auto& one) { return one->info().name == info.name; })) {
      return refused(fmt::format("it describes {} twice", info.name));
    }
    result.heaps.push_back(std::make_shared<PluginHeap>(std::move(info), table, told.data));
  }
  return result.heaps.empty() ? refused("it has no heap on this machine") : result;
}

}}} // namespace sa::v0::detail
