// SPDX-License-Identifier: MIT
/// The findings of sactl doctor: a check is a function that adds findings. Each file checks_*.cpp is a group of them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sa/sa.hpp>

#include "system/machine.hpp"

namespace sactl {

enum class Severity {
  Ok,
  Unknown, ///< could not be told, mostly because only root is: no guess is made, and the exit status is not raised
  Warning, ///< works with less
  Trouble, ///< an alias that a device needs cannot serve, or a limit is reached
};

struct Finding {
  std::string id; ///< of the test, a word that stays
  Severity severity{};
  std::string subject;        ///< the node, module, option, heap or program that it is about
  std::string seen;           ///< the observation, a sentence
  std::string means{};        ///< its meaning for a program that wants buffers
  std::string fix{};          ///< a command line that fixes it, as it is; empty: none does
  bool fix_needs_root = true; ///< false: the user runs it
};

/// The input of all checks, and their findings.
struct Examination {
  std::vector<sa::HeapInfo> heaps;
  std::vector<sa::Alias> aliases;
  std::vector<std::string> devices;            ///< nodes of cameras, codecs, displays
  std::vector<std::string> contiguous_devices; ///< those of them that nothing translates scattered memory for
  ProcessList processes;
  bool trials = true; ///< whether something may be allocated
  std::vector<Finding> findings;

  void add(Finding finding) { findings.push_back(std::move(finding)); }

  /// The heaps that an alias leads to, in order.
  [[nodiscard]] std::vector<const sa::HeapInfo*> candidates(std::string_view alias) const;
  /// Whether one of them can be used and makes dma-bufs.
  [[nodiscard]] bool serves(std::string_view alias) const;
  /// Whether a device of this machine needs memory as the alias gives it.
  [[nodiscard]] bool needed(std::string_view alias) const;
  /// How bad it is that a candidate of the alias cannot be used: Trouble where it is needed and has nothing else.
  [[nodiscard]] Severity without(std::string_view alias) const;
};

// In the order in which they run. Each leaves the machine as it was.
void check_descriptors(Examination& all);
void check_nodes(Examination& all);
void check_permissions(Examination& all);
void check_cma(Examination& all);
void check_contiguous(Examination& all);
void check_udmabuf(Examination& all);
void check_huge_pages(Examination& all);
void check_configuration(Examination& all);
void check_carveouts(Examination& all);
void check_aliases(Examination& all);

} // namespace sactl
