// SPDX-License-Identifier: MIT
/// `PLUGIN:INSTANCE`: heaps from shared objects that the system's configuration names (sa/heap_plugin.h, docs/plugins.md).
#include <sa/plugin.hpp>

#include <atomic>
#include <functional>
#include <string>

#include <fmt/format.h>

#include "core/base/failure.hpp"
#include "core/base/log.hpp"
#include "core/base/system_facts.hpp"
#include "core/heap/backend.hpp"
#include "heaps/plugin/load.hpp"
#include "heaps/plugin/plugin_heap.hpp"

#ifndef SA_PLUGIN_FOLDER
#error "the build says where plugins are installed"
#endif

namespace sa { inline namespace v0 { namespace detail {
namespace {

/// `plugin:NAME`: a plugin that is refused, so that a list of heaps tells why.
class RefusedPlugin final : public Heap {
public:
  RefusedPlugin(const std::string& name, std::string reason) {
    info_.name = "plugin:" + name;
    info_.backend = "plugin";
    info_.reason = std::move(reason);
    info_.granularity = page_size();
    info_.max_size = total_memory(); // it says why when it is asked
  }

  [[nodiscard]] const HeapInfo& info() const noexcept override { return info_; }

protected:
  DmaBuf do_allocate(const AllocRequest&, std::error_code& ec) override {
    return refuse(ec, ENODEV, [&] { return info_.reason; });
  }

private:
  HeapInfo info_;
};

/// Says once why plugins are refused, not at each refresh().
void warn_of_plugins(const std::string& refused) {
  static std::atomic<std::size_t> said{0}; // a hash, so that no lock can be held over a fork()
  const std::size_t hash = refused.empty() ? 0 : std::hash<std::string>{}(refused);
  if (said.exchange(hash, std::memory_order_relaxed) != hash && !refused.empty()) {
    log_warning([&] { return refused; });
  }
}

} // namespace

std::vector<std::shared_ptr<Heap>> discover_plugin(const Configured& configured) {
  std::vector<std::shared_ptr<Heap>> heaps;
  std::string refused;
  for (const std::string& name : configured.plugins) {
    const LoadedPlugin loaded = load_plugin(SA_PLUGIN_FOLDER, name);
    PluginHeaps found = loaded.table == nullptr ? PluginHeaps{{}, loaded.refusal} : plugin_heaps(name, *loaded.table);
    if (!found.refusal.empty()) {
      refused += fmt::format("{}the plugin {} is refused: {}", refused.empty() ? "" : "; ", name, found.refusal);
      found.heaps = {std::make_shared<RefusedPlugin>(name, std::move(found.refusal))};
    }
    heaps.insert(heaps.end(), found.heaps.begin(), found.heaps.end());
  }
  warn_of_plugins(refused);
  return heaps;
}

}}} // namespace sa::v0::detail

namespace sa { inline namespace v0 {

std::vector<std::shared_ptr<Heap>> make_plugin_heaps(std::string_view name, const sa_heap_plugin* plugin) {
  const std::string called(name);
  std::string refusal = detail::refused_name(called);
  if (refusal.empty()) {
    refusal = detail::refused_table(plugin);
  }
  detail::PluginHeaps made;
  if (refusal.empty()) {
    detail::watch_exit();
    made = detail::plugin_heaps(called, *plugin);
    refusal = std::move(made.refusal);
  }
  if (!refusal.empty()) {
    throw Error(detail::from_errno(EINVAL), "", fmt::format("use the plugin {}", called), refusal);
  }
  return std::move(made.heaps);
}

}} // namespace sa::v0
