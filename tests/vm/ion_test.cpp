// SPDX-License-Identifier: MIT
/// `ion:*` where the kernel has it: by the kernel's names, behind the dma-heaps, and refused with what to do.
#include <doctest/doctest.h>

#include <functional>
#include <string>

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include "support/process.hpp"
#include "vm/guest.hpp"

#include <sa/sa.hpp>

namespace {

/// What calls in a child see of this guest's file system, changed by @p change; whether @p body passed there.
bool passes_with(const std::function<bool()>& change, const std::function<int()>& body) {
  return support::in_child([&] {
           return ::unshare(CLONE_NEWNS) == 0 && ::mount("", "/", "", MS_REC | MS_PRIVATE, nullptr) == 0 && change() ? body()
                                                                                                                     : 100;
         }) == support::passed;
}

bool says(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

std::string refusal_of(const char* heap, std::errc code) {
  try {
    (void)sa::Registry::system().allocate(heap, {.size = 4096});
  } catch (const sa::Error& error) {
    return error.code() == code ? error.what() : "refused, but: " + error.code().message();
  }
  return "not refused";
}

} // namespace

TEST_CASE("ION's heaps are listed by the kernel's names, with what their memory is" * doctest::skip(!guest::is("ion"))) {
  constexpr sa::Traits plain = sa::Trait::DmaBuf | sa::Trait::Cached | sa::Trait::Zeroed;
  const auto info = [](const char* name) {
    const auto heap = sa::Registry::system().find(name);
    REQUIRE(heap != nullptr);
    CHECK(heap->info().usable);
    CHECK(heap->info().node == "/dev/ion");
    return heap->info();
  };
  CHECK(info("ion:ion_system_heap").traits == plain);
  CHECK(info("ion:reserved").traits == (plain | sa::Trait::Contiguous));
  CHECK(info("ion:reserved").max_size == 128 << 20); // cma=128M
  CHECK(info("ion:ion_system_contig_heap").traits == (plain | sa::Trait::Contiguous));
  CHECK(info("ion:ion_system_contig_heap").max_size == 4 << 20); // 2^10 pages
}

TEST_CASE("where there are no dma-heaps the aliases find ION's heaps" * doctest::skip(!guest::is("ion"))) {
  CHECK(sa::Registry::system().allocate("system", {.size = 4096}).heap() == "dma-heap:system");
  CHECK(sa::Registry::system().allocate("cma", {.size = 4096}).heap() == "dma-heap:reserved");
  CHECK(passes_with([] { return ::mount("none", "/dev/dma_heap", "tmpfs", 0, nullptr) == 0; },
                    [] {
                      auto& registry = sa::Registry::system();
                      registry.refresh();
                      for (const char* alias : {"system", "dma-buf"}) {
                        if (registry.allocate(alias, {.size = 4096}).heap() != "ion:ion_system_heap") {
                          return 2;
                        }
                      }
                      for (const char* alias : {"cma", "contiguous"}) {
                        if (registry.allocate(alias, {.size = 4096}).heap() != "ion:reserved") {
                          return 3;
                        }
                      }
                      return support::passed;
                    }));
}

TEST_CASE("the interface of before 4.12 is recognised and refused, and an alias moves on" * doctest::skip(!guest::is("ion"))) {
  // A node that knows none of the requests stands for it: to both it answers ENOTTY.
  CHECK(passes_with(
      [] {
        return ::mount("/dev/null", "/dev/ion", "", MS_BIND, nullptr) == 0 &&
               ::mount("none", "/dev/dma_heap", "tmpfs", 0, nullptr) == 0;
      },
      [] {
        auto& registry = sa::Registry::system();
        const auto known = registry.find("ion:reserved"); // from before
        if (!says(refusal_of("ion:reserved", std::errc::operation_not_supported), "kernels before 4.12")) {
          return 2; // 4.10 and 4.11: the heaps can be asked for, but not allocated from
        }
        registry.refresh();
        const auto heap = registry.find("ion:ion_system_heap");
        if (heap == nullptr || heap->info().usable || !says(heap->info().reason, "kernels before 4.12") ||
            registry.find("ion:reserved") != nullptr) {
          return 3;
        }
        if (!says(refusal_of("ion:ion_system_heap", std::errc::operation_not_supported), "use another heap")) {
          return 4;
        }
        return registry.allocate("system", {.size = 4096}).heap() == "udmabuf:4k" ? support::passed : 5;
      }));
}

TEST_CASE("without permission ION says who may, and with it the next allocation works" * doctest::skip(!guest::is("ion"))) {
  CHECK(support::in_child([] {
          if (::setegid(65534) != 0 || ::seteuid(65534) != 0) {
            return 100;
          }
          auto& registry = sa::Registry::system();
          registry.refresh();
          const auto heap = registry.find("ion:ion_system_heap");
          if (heap == nullptr || heap->info().usable || !says(heap->info().reason, "/dev/ion: permission denied")) {
            return 2;
          }
          if (!says(refusal_of("ion:ion_system_heap", std::errc::permission_denied), "group video")) {
            return 3;
          }
          if (::seteuid(0) != 0) {
            return 100;
          }
          return heap->allocate({.size = 4096}).size() == 4096 ? support::passed : 4;
        }) == support::passed);
}
