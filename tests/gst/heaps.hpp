// SPDX-License-Identifier: MIT
/// Heaps of the tests, in the process-wide registry, where the plugin finds them by name.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include <sa/sa.hpp>

#include "vm/importers.hpp"

namespace heaps {

/// Gives dma-bufs of the heap `dma-heap:system` until none are left to give.
class Few final : public sa::Heap {
public:
  explicit Few(int count) : left_(count) {
    info_ = sa::Registry::system().at("dma-heap:system")->info();
    info_.name = "few:test";
  }
  [[nodiscard]] const sa::HeapInfo& info() const noexcept override { return info_; }

protected:
  sa::DmaBuf do_allocate(const sa::AllocRequest& request, std::error_code& ec) override {
    if (left_.fetch_sub(1) <= 0) {
      return refuse(ec, ENOMEM, [] { return std::string("all buffers of the test are in use"); });
    }
    return sa::Registry::system().allocate("dma-heap:system", request, ec);
  }

private:
  sa::HeapInfo info_;
  std::atomic<int> left_;
};

/// Gives dma-bufs whose pages never lie in one run.
class Scattered final : public sa::Heap {
public:
  Scattered() {
    info_ = sa::Registry::system().at("udmabuf:4k")->info();
    info_.name = "scattered:test";
  }
  [[nodiscard]] const sa::HeapInfo& info() const noexcept override { return info_; }

protected:
  sa::DmaBuf do_allocate(const sa::AllocRequest& request, std::error_code& ec) override {
    return sa::DmaBuf::import(importers::scattered_dma_buf((request.size + 4095) / 4096), ec);
  }

private:
  sa::HeapInfo info_;
};

/// A heap that is in the registry for as long as the object lives.
class Added {
public:
  explicit Added(std::shared_ptr<sa::Heap> heap) : name_(heap->info().name) { sa::Registry::system().add(std::move(heap)); }
  Added(const Added&) = delete;
  Added& operator=(const Added&) = delete;
  ~Added() { sa::Registry::system().remove(name_); }

private:
  std::string name_;
};

} // namespace heaps
