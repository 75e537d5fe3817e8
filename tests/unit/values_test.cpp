// SPDX-License-Identifier: MIT
/// Small types: descriptors, sets, names, errors.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <unistd.h>

#include "core/heap_name.hpp"
#include "core/system_facts.hpp"
#include "support/counters.hpp"

#include <sa/sa.hpp>

namespace {

int some_fd() {
  return ::open("/dev/null", O_RDONLY | O_CLOEXEC);
}

bool is_open(int fd) {
  return ::fcntl(fd, F_GETFD) >= 0;
}

} // namespace

TEST_CASE("a UniqueFd closes what it owns, once") {
  const int before = support::open_descriptors();
  {
    sa::UniqueFd a{some_fd()};
    const int number = a.get();
    CHECK(a);
    sa::UniqueFd b = std::move(a);
    CHECK(a.get() == -1);
    CHECK_FALSE(a);
    CHECK(b.get() == number);
    b = sa::UniqueFd{some_fd()};
    CHECK_FALSE((is_open(number) && number != b.get()));
    b.reset(b.get());
    CHECK(is_open(b.get()));
    sa::UniqueFd& same = b;
    b = std::move(same);
    CHECK(is_open(b.get()));
    const int released = b.release();
    CHECK(b.get() == -1);
    CHECK(is_open(released));
    ::close(released);
    sa::UniqueFd c{some_fd()};
    c.reset();
    CHECK(c.get() == -1);
  }
  CHECK(support::open_descriptors() == before);
}

TEST_CASE("traits are a set") {
  constexpr sa::Traits set = sa::Trait::DmaBuf | sa::Trait::Cached;
  static_assert(set.contains(sa::Trait::DmaBuf) && !set.contains(sa::Trait::Zeroed));
  static_assert(set.contains({}) && set.contains(set) && !set.contains(set | sa::Trait::Zeroed));
  static_assert(set.without(sa::Trait::Cached) == sa::Traits{sa::Trait::DmaBuf});
  CHECK(to_string(set) == "dma-buf,cached");
  CHECK(to_string(sa::Traits{}).empty());
}

TEST_CASE("an error carries its code, heap, operation and a sentence, and can be copied") {
  const sa::Error error({ENOMEM, std::system_category()}, "cma:cma0", "allocate 8 MiB", "fragmented");
  const sa::Error copy = error; // NOLINT
  CHECK(copy.code() == std::errc::not_enough_memory);
  CHECK(copy.heap() == "cma:cma0");
  CHECK(copy.operation() == "allocate 8 MiB");
  CHECK(std::string(copy.what()) == "allocate 8 MiB (cma:cma0): fragmented");
  CHECK(std::string(sa::Error({EACCES, std::system_category()}, "", "open", "").what()).find("docs/permissions.md") !=
        std::string::npos);
}

TEST_CASE("names that could leave a folder are no names") {
  for (const char* name : {"linux,cma", "default_cma_region", "system-uncached", "camera@50000000", "x.y"}) {
    CHECK(sa::detail::is_word(name));
  }
  for (const char* name : {"", ".", "..", "a..b", "a/b", "/", "a b", "a\n", "a:b", "*"}) {
    CAPTURE(name);
    CHECK_FALSE((sa::detail::is_word(name) && std::string_view(name) != "."));
  }
  CHECK(sa::detail::is_canonical("dma-heap:linux,cma"));
  CHECK(sa::detail::is_wildcard("carveout:*"));
  CHECK_FALSE(sa::detail::is_wildcard(":*"));
}

TEST_CASE("sizes are shown exactly") {
  CHECK(sa::detail::bytes_text(0) == "0 bytes");
  CHECK(sa::detail::bytes_text(4096) == "4 KiB");
  CHECK(sa::detail::bytes_text(3110400) == "3110400 bytes");
  CHECK(sa::detail::bytes_text(64 << 20) == "64 MiB");
  CHECK(sa::detail::bytes_text(std::uint64_t{1} << 60) == "1073741824 GiB");
}
