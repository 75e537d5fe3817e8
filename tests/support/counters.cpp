// SPDX-License-Identifier: MIT
#include "support/counters.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

namespace support {

namespace fs = std::filesystem;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool under_sanitizer = true;
#else
constexpr bool under_sanitizer = false;
#endif

} // namespace

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

int open_descriptors() {
  int count = 0;
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    (void)entry;
    ++count;
  }
  return count - 1; // the one that lists them
}

int mappings(std::string_view text) {
  std::ifstream maps("/proc/self/maps");
  int count = 0;
  for (std::string line; std::getline(maps, line);) {
    // A sanitizer maps private memory of its own, whenever its allocator meets a new size.
    const bool ours = !under_sanitizer || line.at(line.find(' ') + 4) == 's';
    count += ours && line.find(text) != std::string::npos ? 1 : 0;
  }
  return count;
}

std::map<std::string, std::int64_t> kernel_counters() {
  std::map<std::string, std::int64_t> counters;
  std::istringstream bufinfo(read_file("/sys/kernel/debug/dma_buf/bufinfo"));
  for (std::string line; std::getline(bufinfo, line);) {
    long long objects = 0;
    long long bytes = 0;
    if (std::sscanf(line.c_str(), "Total %lld objects, %lld bytes", &objects, &bytes) == 2) {
      counters["bufinfo objects"] = objects;
      counters["bufinfo bytes"] = bytes;
    }
  }
  std::error_code ec;
  for (const auto& area : fs::directory_iterator("/sys/kernel/debug/cma", ec)) {
    counters["CMA used"] += std::atoll(read_file(area.path() / "used").c_str()) * 4096;
  }
  for (const auto& heap : fs::directory_iterator("/sys/kernel/debug/ion", ec)) {
    counters["ION bytes"] += std::atoll(read_file(heap.path() / "num_of_alloc_bytes").c_str());
  }
  std::istringstream meminfo(read_file("/proc/meminfo"));
  for (std::string line; std::getline(meminfo, line);) {
    long long value = 0;
    if (std::sscanf(line.c_str(), "Shmem: %lld", &value) == 1) {
      counters["Shmem"] = value * 1024;
    } else if (std::sscanf(line.c_str(), "HugePages_Rsvd: %lld", &value) == 1) {
      counters["HugePages_Rsvd"] = value;
    }
  }
  return counters;
}

Counts count() {
  return {open_descriptors(), mappings(), kernel_counters()};
}

namespace {

std::string difference(const Counts& before, const Counts& now) {
  std::ostringstream text;
  const auto compare = [&](const std::string& what, std::int64_t was, std::int64_t is, std::int64_t tolerance) {
    if (std::abs(is - was) > tolerance) {
      text << what << ": " << was << " -> " << is << "; ";
    }
  };
  compare("descriptors", before.descriptors, now.descriptors, 0);
  compare("mappings", before.mappings, now.mappings, 0);
  for (const auto& [name, was] : before.kernel) {
    const std::int64_t is = now.kernel.at(name);
    // ION's system heap frees late, by a thread of the kernel: what was counted before may have been free already.
    compare(name, was, name == "ION bytes" ? std::max(was, is) : is, name == "Shmem" ? 1 << 20 : 0);
  }
  return text.str();
}

} // namespace

std::string leaked_since(const Counts& before) {
  std::string text = difference(before, count());
  for (int i = 0; i < 40 && !text.empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    text = difference(before, count());
  }
  return text;
}

} // namespace support
