// SPDX-License-Identifier: MIT
/// Small types: descriptors, sets, names, errors.
#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <string>

#include <fcntl.h>
#include <unistd.h>

#include "core/base/byte_size.hpp"
#include "core/base/heap_name.hpp"
#include "core/base/system_facts.hpp"
#include "paths.hpp"
#include "support/counters.hpp"

#include <sa/sa.hpp>

namespace {

int some_fd() {
  return ::open("/dev/null", O_RDONLY | O_CLOEXEC);
}

bool is_open(int fd) {
  return ::fcntl(fd, F_GETFD) >= 0;
}

template <typename T>
concept shows_bytes_of_a_temporary = requires(T&& object) {
  std::forward<T>(object).bytes();
};

} // namespace

TEST_CASE("the bytes of a CPU access are not to be had of a temporary, which ends with the statement") {
  static_assert(!shows_bytes_of_a_temporary<sa::CpuAccess> && !shows_bytes_of_a_temporary<const sa::CpuAccess>);
  static_assert(shows_bytes_of_a_temporary<const sa::CpuAccess&>);
  static_assert(shows_bytes_of_a_temporary<sa::Mapping>); // the buffer stays mapped without it
}

TEST_CASE("the version is that of the file VERSION, in numbers, as a text, and as the library tells it") {
  std::ifstream file(SA_VERSION_FILE);
  std::string text;
  CHECK(std::getline(file, text));
  CHECK(text == SA_VERSION);
  CHECK(text ==
        std::to_string(SA_VERSION_MAJOR) + "." + std::to_string(SA_VERSION_MINOR) + "." + std::to_string(SA_VERSION_PATCH));
  CHECK(sa::compiled_version == text);
  CHECK(sa::version() == text);
}

TEST_CASE("a program can ask for a version or a later one when it is compiled") {
  static_assert(SA_VERSION_AT_LEAST(SA_VERSION_MAJOR, SA_VERSION_MINOR, SA_VERSION_PATCH));
  static_assert(SA_VERSION_AT_LEAST(0, 2, 0));
  static_assert(!SA_VERSION_AT_LEAST(SA_VERSION_MAJOR, SA_VERSION_MINOR, SA_VERSION_PATCH + 1));
  static_assert(!SA_VERSION_AT_LEAST(SA_VERSION_MAJOR, SA_VERSION_MINOR + 1, 0));
  static_assert(!SA_VERSION_AT_LEAST(SA_VERSION_MAJOR + 1, 0, 0));
}

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

TEST_CASE("the memory of the machine is what /proc/meminfo says, or all that a program can map") {
  const std::uint64_t bytes = sa::detail::meminfo("MemTotal").value() + sa::detail::meminfo("SwapTotal").value();
  CHECK(sa::detail::total_memory() == std::min<std::uint64_t>(bytes, PTRDIFF_MAX));
}

TEST_CASE("sizes are shown exactly") {
  CHECK(sa::detail::bytes_text(0) == "0 bytes");
  CHECK(sa::detail::bytes_text(4096) == "4 KiB");
  CHECK(sa::detail::bytes_text(3110400) == "3110400 bytes");
  CHECK(sa::detail::bytes_text(64 << 20) == "64 MiB");
  CHECK(sa::detail::bytes_text(std::uint64_t{1} << 60) == "1073741824 GiB");
}

TEST_CASE("a size is read exactly, or not at all") {
  using sa::detail::parse_bytes;
  const std::pair<const char*, std::uint64_t> right[] = {
      {"0", 0},
      {"4096", 4096},
      {"007", 7},
      {"0x30000000", 0x30000000},
      {"0XfF", 255},
      {"1K", 1024},
      {"64M", 64 << 20},
      {"3G", std::uint64_t{3} << 30},
      {"1T", std::uint64_t{1} << 40},
      {"5P", std::uint64_t{5} << 50},
      {"15E", std::uint64_t{15} << 60},
      {"0x1E", 0x1e}, // a digit
      {"0x10M", 16 << 20},
      {"18446744073709551615", UINT64_MAX},
      {"0xffffffffffffffff", UINT64_MAX},
  };
  for (const auto& one : right) {
    CAPTURE(one.first);
    const auto parsed = parse_bytes(one.first);
    CHECK(parsed);
    CHECK(parsed.bytes == one.second);
  }
  for (const char* text : {"", " 1", "1 ", "+1", "-1", "1k", "1KB", "1KiB", "1.5M", "M", "0x", "0x-1", "0x0x1", "x1", "1,0",
                           "99999999999999999999x"}) {
    CAPTURE(text);
    CHECK(parse_bytes(text).error == std::errc::invalid_argument);
    CHECK(parse_bytes(text).bytes == 0);
  }
  for (const char* text : {"18446744073709551616", "0x10000000000000000", "16E", "64E", "16384P", "99999999999999999999K"}) {
    CAPTURE(text);
    CHECK(parse_bytes(text).error == std::errc::result_out_of_range);
    CHECK(parse_bytes(text).bytes == 0);
  }
}

TEST_CASE("a size is written in the largest unit that is exact, and read back") {
  using sa::detail::exact_bytes;
  CHECK(exact_bytes(0) == "0");
  CHECK(exact_bytes(1023) == "1023");
  CHECK(exact_bytes(1024) == "1K");
  CHECK(exact_bytes(1536) == "1536");
  CHECK(exact_bytes(1536 << 10) == "1536K");
  CHECK(exact_bytes(std::uint64_t{1} << 63) == "8E");
  CHECK(exact_bytes(UINT64_MAX) == "18446744073709551615");
  for (unsigned bit = 0; bit < 64; ++bit) {
    for (const std::uint64_t low : {0, 1, 3}) {
      const std::uint64_t bytes = (std::uint64_t{1} << bit) + low;
      CHECK(sa::detail::parse_bytes(exact_bytes(bytes)).bytes == bytes);
    }
  }
}
