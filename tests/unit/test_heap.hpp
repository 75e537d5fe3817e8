// SPDX-License-Identifier: MIT
/// A heap whose answers a test chooses.
#pragma once

#include <atomic>
#include <string>

#include <sa/sa.hpp>

#include "unit/page.hpp"

namespace unit {

class TestHeap final : public sa::Heap {
public:
  explicit TestHeap(std::string name, sa::Traits traits = sa::Trait::Cached | sa::Trait::Zeroed) {
    info_.backend = name.substr(0, name.find(':'));
    info_.name = std::move(name);
    info_.traits = traits;
    info_.granularity = 4096;
    info_.max_size = std::size_t{1} << 30;
    info_.usable = true;
  }

  [[nodiscard]] const sa::HeapInfo& info() const noexcept override { return info_; }
  sa::HeapInfo& change() { return info_; }

  int error = 0;         ///< errno to refuse with; 0: allocate
  int errors_left = -1;  ///< how often; -1: always
  int error_from = 1;    ///< the call from which on that is so
  int refuse_from = 0;   ///< the call from which on the answer is EIO; 0: none
  std::size_t extra = 0; ///< bytes by which buffers are larger than rounded_size()
  bool throws = false;   ///< breaks the promise of do_allocate()
  bool unsealed = false; ///< forgets F_SEAL_SHRINK
  std::size_t lacks = 0; ///< bytes by which descriptors are smaller than their buffers
  std::atomic<int> asked{0};
  bool remembers = false;   ///< what was demanded
  sa::Constraints demanded; ///< by the last request, if it remembers

protected:
  sa::DmaBuf do_allocate(const sa::AllocRequest& request, std::error_code& ec) override;

private:
  sa::HeapInfo info_;
};

/// Memory from memfd:4k, for tests that need a real buffer.
sa::DmaBuf real_buffer(std::size_t size = page, std::string_view name = {});

} // namespace unit
