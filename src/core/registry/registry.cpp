// SPDX-License-Identifier: MIT
#include <sa/registry.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <functional>
#include <mutex>

#include <pthread.h>

#include <fmt/format.h>

#include <sa/adaptors/limit.hpp>

#include "core/base/failure.hpp"
#include "core/base/heap_name.hpp"
#include "core/base/log.hpp"
#include "core/base/spin_lock.hpp"
#include "core/base/system_facts.hpp"
#include "core/base/words.hpp"
#include "core/heap/alias_heap.hpp"
#include "core/heap/backend.hpp"
#include "core/heap/request.hpp"
#include "core/registry/aliases.hpp"
#include "core/registry/snapshot.hpp"

namespace sa { inline namespace v0 {
namespace {

using detail::Aliases;
using detail::fail;
using detail::Heaps;
using detail::Snapshot;

// Of all registries, since a fork() must find them free: the child would wait for ever for a thread that it does not have.
// Programs have one registry, which changes a handful of times.
constinit std::mutex writers;         ///< held for bookkeeping only, never during a system call
constinit detail::SpinLock published; ///< of each State::current; for a search and a count, the innermost of all locks

[[maybe_unused]] const int registered = ::pthread_atfork(
    [] {
      writers.lock();
      published.lock();
    },
    [] {
      published.unlock();
      writers.unlock();
    },
    [] {
      published.unlock();
      writers.unlock();
    });

Heaps discover(const Configuration& configuration) {
  Heaps found;
  for (const auto& backend : detail::backends()) {
    try {
      for (auto& heap : backend({configuration.carveouts, configuration.plugins})) {
        // A region that two backends reach belongs to the first: a carveout to the kernel module before /dev/mem.
        if (std::none_of(found.begin(), found.end(), [&](const auto& one) { return one->info().name == heap->info().name; })) {
          found.push_back(std::move(heap));
        }
      }
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& error) { // one backend's trouble must not hide the others' heaps
      detail::log_warning([&] { return fmt::format("a backend could not look for its heaps: {}", error.what()); });
    }
  }
  return found;
}

/// Says once what is wrong, not at each refresh().
void warn_of(const std::vector<Error>& refused) {
  static std::atomic<std::size_t> said{0}; // a hash, so that no lock can be held over a fork()
  std::string all;
  for (const auto& error : refused) {
    all += error.what();
  }
  const std::size_t hash = refused.empty() ? 0 : std::hash<std::string>{}(all);
  if (said.exchange(hash, std::memory_order_relaxed) != hash) {
    for (const auto& error : refused) {
      detail::log_warning([&] { return fmt::format("{}; nothing of this file is used", error.what()); });
    }
  }
}

} // namespace

struct Registry::State {
  Heaps discovered;
  Heaps added;
  std::shared_ptr<const Configuration> configuration = std::make_shared<Configuration>();
  Aliases own; ///< that the program defined
  Aliases aliases = detail::layered(*configuration, own);
  std::shared_ptr<const Snapshot> current = std::make_shared<Snapshot>();

  /// The heap that a quota wraps, and the quota: the same object as long as neither changes, since it counts what is in use.
  struct Limited {
    std::vector<detail::Candidate> heaps; ///< a heap, or an alias' candidates
    Quota quota;
    std::shared_ptr<Heap> limit;
  };
  std::vector<Limited> limited;

  [[nodiscard]] const Quota* quota_of(std::string_view name) const noexcept {
    const auto& quotas = configuration->quotas;
    const auto found = std::find_if(quotas.begin(), quotas.end(), [&](const Quota& one) { return one.heap == name; });
    return found == quotas.end() ? nullptr : &*found;
  }

  /// @p make makes what the quota is around
  template <typename Make>
  [[nodiscard]] Limited limit(std::vector<detail::Candidate> heaps, const Quota& quota, Make&& make) const {
    const auto same = std::find_if(limited.begin(), limited.end(),
                                   [&](const Limited& one) { return one.heaps == heaps && one.quota == quota; });
    if (same != limited.end()) {
      return *same;
    }
    auto made = std::make_shared<Limit>(make(), LimitOptions{quota.max_bytes, quota.max_buffers, {}});
    return {std::move(heaps), quota, std::move(made)};
  }

  /// Every name there is after a change, and in @p limits what is around which heap.
  [[nodiscard]] std::shared_ptr<const Snapshot> snapshot(std::vector<Limited>& limits) const {
    Heaps heaps = discovered;
    heaps.insert(heaps.end(), added.begin(), added.end());
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->configuration = configuration;
    snapshot->wishes.profiles = configuration->devices;
    for (const std::string& wanted : configuration->order) {
      for (const std::string_view leaf : detail::leaves(wanted, aliases)) {
        snapshot->wishes.order.emplace_back(leaf);
      }
    }
    for (auto& heap : heaps) {
      if (const Quota* quota = quota_of(heap->info().name); quota != nullptr) {
        limits.push_back(limit({{heap->info().name, heap}}, *quota, [&] { return heap; }));
        heap = limits.back().limit;
      }
    }
    for (const auto& heap : heaps) {
      snapshot->entries.push_back({heap->info().name, heap});
    }
    for (const auto& [name, stands_for] : aliases) {
      std::vector<detail::Candidate> candidates = detail::resolve(name, heaps, aliases);
      std::shared_ptr<Heap> alias;
      if (const Quota* quota = quota_of(name); quota != nullptr) {
        limits.push_back(
            limit(candidates, *quota, [&, &called = name] { return std::make_shared<detail::AliasHeap>(called, candidates); }));
        alias = limits.back().limit;
      } else {
        const auto* before = current->find(name);
        const auto* same = before == nullptr ? nullptr : dynamic_cast<const detail::AliasHeap*>(before->get());
        alias = same != nullptr && same->candidates() == candidates
                    ? *before
                    : std::make_shared<detail::AliasHeap>(name, std::move(candidates));
      }
      snapshot->entries.push_back({name, std::move(alias)});
    }
    snapshot->heaps = std::move(heaps);
    return snapshot;
  }

  /// Publishes a change, and lets go of the lock of writers: what has left ends after it, since its destructor is a heap's.
  /// When memory runs out, @p undo takes the change back.
  template <typename Undo>
  void publish(std::unique_lock<std::mutex> lock, Undo&& undo) {
    std::vector<Limited> limits;
    std::shared_ptr<const Snapshot> made;
    try {
      made = snapshot(limits);
    } catch (...) {
      undo();
      throw;
    }
    limited.swap(limits);
    {
      const std::lock_guard reading(published);
      current.swap(made);
    }
    lock.unlock();
  }

  [[nodiscard]] std::shared_ptr<const Snapshot> now() const noexcept {
    const std::lock_guard lock(published);
    return current;
  }

  /// The heap or alias of that one name.
  [[nodiscard]] std::shared_ptr<Heap> find(std::string_view name) const noexcept {
    const std::lock_guard lock(published);
    const auto* heap = current->find(name);
    return heap == nullptr ? nullptr : *heap;
  }
};

Registry::Registry() : state_(std::make_unique<State>()) {
  state_->publish(std::unique_lock(writers), [] {});
}

Registry::~Registry() = default;

std::shared_ptr<const Snapshot> Registry::now() const noexcept {
  return state_->now();
}

Registry& Registry::system() {
  static Registry* const instance = [] { // never destroyed: buffers may be freed by other objects' destructors at exit
    auto made = std::make_unique<Registry>();
    made->refresh();
    return made.release();
  }();
  return *instance;
}

void Registry::refresh() {
  detail::or_throw(
      "", [] { return std::string("look for heaps"); }, [&](std::error_code& ec) { refresh(ec); });
}

void Registry::refresh(std::error_code& ec) noexcept {
  detail::or_code(ec, [&] {
    LoadedConfiguration loaded = load_configuration();
    warn_of(loaded.refused);
    std::shared_ptr<const Configuration> configuration = std::make_shared<Configuration>(std::move(loaded.configuration));
    const Heaps found = discover(*configuration); // those that are not needed end after the lock
    Heaps discovered;
    std::unique_lock lock(writers);
    bool changed = false;
    for (const auto& heap : found) {
      // A heap that a program added keeps its name, also if a heap with that name is discovered now.
      if (std::any_of(state_->added.begin(), state_->added.end(),
                      [&](const auto& added) { return added->info().name == heap->info().name; })) {
        continue;
      }
      const auto same = std::find_if(state_->discovered.begin(), state_->discovered.end(),
                                     [&](const auto& old) { return old->info() == heap->info(); });
      changed = changed || same == state_->discovered.end();
      discovered.push_back(same == state_->discovered.end() ? heap : *same);
    }
    changed = changed || discovered.size() != state_->discovered.size();
    if (*configuration == *state_->configuration) {
      configuration = state_->configuration;
    }
    if (changed || configuration != state_->configuration) {
      Aliases aliases = detail::layered(*configuration, state_->own);
      const auto exchange = [&] {
        state_->discovered.swap(discovered);
        state_->configuration.swap(configuration);
        state_->aliases.swap(aliases);
      };
      exchange();
      state_->publish(std::move(lock), exchange);
    }
  });
}

void Registry::add(std::shared_ptr<Heap> heap) {
  const std::string name = heap == nullptr ? std::string() : heap->info().name;
  detail::or_throw(
      name, [] { return std::string("add a heap"); }, [&](std::error_code& ec) { add(std::move(heap), ec); });
}

void Registry::add(std::shared_ptr<Heap> heap, std::error_code& ec) noexcept {
  detail::or_code(ec, [&] {
    if (heap == nullptr || !detail::is_canonical(heap->info().name)) {
      fail(ec, EINVAL, [] { return std::string("a heap's name is \"backend:instance\", of letters, digits and ,._+-@#"); });
      return;
    }
    std::unique_lock lock(writers);
    if (state_->current->find(heap->info().name) != nullptr) {
      fail(ec, EEXIST, [&] { return fmt::format("there is a heap {} already; use another instance name", heap->info().name); });
      return;
    }
    state_->added.push_back(std::move(heap));
    state_->publish(std::move(lock), [&] { state_->added.pop_back(); });
  });
}

void Registry::alias(std::string name, std::vector<std::string> candidates) {
  const std::string shown = name;
  detail::or_throw(
      shown, [] { return std::string("define an alias"); },
      [&](std::error_code& ec) { alias(std::move(name), std::move(candidates), ec); });
}

void Registry::alias(std::string name, std::vector<std::string> candidates, std::error_code& ec) noexcept {
  detail::or_code(ec, [&] {
    const bool formed =
        detail::is_word(name) && !candidates.empty() &&
        std::all_of(candidates.begin(), candidates.end(), [](const auto& candidate) { return detail::is_candidate(candidate); });
    if (!formed) {
      fail(ec, EINVAL, [] {
        return std::string(
            "an alias is one word without a colon; its candidates are heaps, aliases or \"backend:*\", at least one");
      });
      return;
    }
    std::unique_lock lock(writers);
    Aliases changed = state_->aliases;
    Aliases own = state_->own;
    changed.insert_or_assign(name, candidates);
    if (detail::loops(name, changed)) {
      fail(ec, ELOOP, [] { return std::string("the alias would lead back to itself"); });
      return;
    }
    own.insert_or_assign(std::move(name), std::move(candidates));
    const auto exchange = [&] {
      state_->aliases.swap(changed);
      state_->own.swap(own);
    };
    exchange();
    state_->publish(std::move(lock), exchange);
  });
}

void Registry::remove(std::string_view name) {
  detail::or_throw(
      "", [&] { return fmt::format("remove \"{}\"", name); }, [&](std::error_code& ec) { remove(name, ec); });
}

void Registry::remove(std::string_view name, std::error_code& ec) noexcept {
  detail::or_code(ec, [&] {
    std::unique_lock lock(writers);
    Heaps added = state_->added;
    Aliases own = state_->own;
    std::erase_if(added, [&](const auto& heap) { return heap->info().name == name; });
    if (const auto alias = own.find(name); alias != own.end()) {
      own.erase(alias);
    }
    if (added.size() == state_->added.size() && own.size() == state_->own.size()) {
      if (state_->current->find(name) == nullptr) {
        fail(ec, ENOENT, [] { return std::string("there is none of that name"); });
      } else {
        fail(ec, EINVAL, [] {
          return std::string(
              "only heaps from add() and aliases from alias() can be removed; this one comes from the machine, from the library "
              "or from the configuration");
        });
      }
      return;
    }
    Aliases aliases = detail::layered(*state_->configuration, own);
    if (detail::loops(name, aliases)) {
      fail(ec, ELOOP, [] { return std::string("the library's own alias of that name would lead back to itself"); });
      return;
    }
    const auto exchange = [&] {
      state_->added.swap(added);
      state_->own.swap(own);
      state_->aliases.swap(aliases);
    };
    exchange();
    state_->publish(std::move(lock), exchange);
  });
}

std::shared_ptr<Heap> Registry::find(std::string_view name) const noexcept {
  auto found = state_->find(name);
  if (found == nullptr && detail::is_list(name)) {
    std::error_code ec;
    found = detail::or_code(ec, [&] { return detail::list_of(name, *now(), ec); });
  }
  return found;
}

std::shared_ptr<Heap> Registry::at(std::string_view name) const {
  return detail::or_throw(
      "", [&] { return fmt::format("find \"{}\"", detail::shown(name)); }, [&](std::error_code& ec) { return at(name, ec); });
}

std::shared_ptr<Heap> Registry::at(std::string_view name, std::error_code& ec) const noexcept {
  return detail::or_code(ec, [&] {
    auto found = state_->find(name);
    if (found != nullptr) {
      return found;
    }
    if (detail::is_list(name)) {
      found = detail::list_of(name, *now(), ec);
    } else if (detail::is_heap_name(name)) {
      fail(ec, ENOENT, [&] { return fmt::format("there is no heap \"{}\"; {}", name, now()->names_for(name)); });
    } else {
      fail(ec, EINVAL, [&] {
        return fmt::format("\"{}\" is not a heap name (an alias, or \"backend:instance\"); {}", detail::shown(name),
                           now()->names_for(name));
      });
    }
    return found;
  });
}

std::shared_ptr<const Configuration> Registry::configuration() const noexcept {
  return state_->now()->configuration;
}

std::vector<HeapInfo> Registry::heaps() const {
  std::vector<HeapInfo> infos;
  const auto now = state_->now();
  for (const auto& heap : now->heaps) {
    infos.push_back(heap->info());
  }
  return infos;
}

std::vector<Alias> Registry::aliases() const {
  const std::lock_guard lock(writers);
  std::vector<Alias> all;
  for (const auto& [name, candidates] : state_->aliases) {
    all.push_back({name, candidates});
  }
  return all;
}

DmaBuf Registry::allocate(std::string_view heap, const AllocRequest& request) {
  return detail::or_throw(
      heap, [&] { return fmt::format("allocate {}", detail::bytes_text(request.size)); },
      [&](std::error_code& ec) { return allocate(heap, request, ec); });
}

DmaBuf Registry::allocate(std::string_view heap, const AllocRequest& request, std::error_code& ec) noexcept {
  const auto found = at(heap, ec);
  return found == nullptr ? DmaBuf{} : found->allocate(request, ec);
}

}} // namespace sa::v0
