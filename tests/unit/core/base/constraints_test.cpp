// SPDX-License-Identifier: MIT
/// Constraints: their text, and that merging them is a lattice's join.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <string>
#include <utility>

#include <sa/constraints.hpp>
#include <sa/error.hpp>

using sa::Constraints;

namespace {

/// What the throwing twin of @p call says, empty when it returns; the noexcept twin must agree.
template <typename Call>
std::string said(Call&& call) {
  std::error_code ec = std::make_error_code(std::errc::io_error); // to be cleared
  const Constraints quiet = call(ec);
  try {
    const Constraints loud = call();
    CHECK(loud == quiet);
    CHECK_FALSE(ec);
    return {};
  } catch (const sa::Error& error) {
    CHECK(error.code() == std::errc::invalid_argument);
    CHECK(ec == error.code());
    CHECK(quiet == Constraints{});
    return error.what();
  }
}

std::string refusal(std::string_view text) {
  return said([&](auto&... ec) { return sa::parse_constraints(text, ec...); });
}

std::string refusal(const Constraints& a, const Constraints& b) {
  return said([&](auto&... ec) { return sa::merge(a, b, ec...); });
}

constexpr std::uint64_t gigabyte = std::uint64_t{1} << 30;

} // namespace

TEST_CASE("constraints are read from words in any order, and written in one") {
  const std::pair<const char*, Constraints> forms[] = {
      {"", {}},
      {"contiguous", {.max_segments = 1}},
      {"segments=2", {.max_segments = 2}},
      {"segments=4294967295", {.max_segments = UINT32_MAX}},
      {"align=4K", {.alignment = 4096}},
      {"align=8E", {.alignment = std::uint64_t{1} << 63}},
      {"size-align=1536", {.size_alignment = 1536}},
      {"size-align=18446744073709551615", {.size_alignment = UINT64_MAX}},
      {"max-address=4G", {.max_address = 4 * gigabyte}},
      {"cached,coherent,dma-buf", {.cached = true, .coherent = true, .dma_buf = true}},
      {"uncached", {.uncached = true}},
      {"protected", {.protected_memory = true}},
      {"contiguous,align=1M,size-align=3,max-address=4G,uncached,coherent,dma-buf",
       {.alignment = 1 << 20,
        .size_alignment = 3,
        .max_address = 4 * gigabyte,
        .max_segments = 1,
        .uncached = true,
        .coherent = true,
        .dma_buf = true}},
  };
  for (const auto& form : forms) {
    CAPTURE(form.first);
    CHECK(sa::parse_constraints(form.first) == form.second);
    CHECK(to_string(form.second) == form.first);
  }
  const std::pair<const char*, const char*> loose[] = {
      {" \t\r\n ", ""},
      {"segments=1", "contiguous"},
      {"segments=007", "segments=7"},
      {"align=0x1000", "align=4K"},
      {"align=1", ""},
      {"size-align=1", ""},
      {"size-align=1K", "size-align=1K"},
      {"size-align=0x1E", "size-align=30"},
      {"max-address=4096M", "max-address=4G"},
      {" dma-buf ,\tcached\n", "cached,dma-buf"},
      {"max-address=4G, align=64K ,contiguous", "contiguous,align=64K,max-address=4G"},
  };
  for (const auto& form : loose) {
    CAPTURE(form.first);
    CHECK(to_string(sa::parse_constraints(form.first)) == form.second);
  }
}

TEST_CASE("a text that is no list of constraints is refused with a sentence") {
  const std::string known = "; the constraints are: contiguous, segments=N, align=BYTES, size-align=BYTES, max-address=BYTES, "
                            "cached, uncached, coherent, dma-buf, protected";
  const std::string empty = "there is an empty word; one comma separates two words";
  const std::string form = ": BYTES is decimal or 0x hexadecimal, with K, M, G, T, P or E for a power of 1024";
  const std::string number = ": N is a decimal number from 1 to 4294967295";
  const std::pair<std::string, std::string> wrong[] = {
      {"fast", "\"fast\" is not a constraint" + known},
      {"Cached", "\"Cached\" is not a constraint" + known},
      {"cache", "\"cache\" is not a constraint" + known},
      {"cachedx", "\"cachedx\" is not a constraint" + known},
      {"cached coherent", "\"cached coherent\" is not a constraint" + known},
      {"cached;coherent", "\"cached;coherent\" is not a constraint" + known},
      {"align =4K", "\"align =4K\" is not a constraint" + known},
      {"=4K", "\"=4K\" is not a constraint" + known},
      {",", empty},
      {"cached,,coherent", empty},
      {",cached", empty},
      {"cached,", empty},
      {"cached, ,coherent", empty},
      {"cached,cached", "cached is repeated"},
      {"align=4K,align=4K", "align is repeated"},
      {"align=1,align=1", "align is repeated"},
      {"segments=3,coherent,segments=2", "segments is repeated"},
      {"contiguous,contiguous", "contiguous is repeated"},
      {"contiguous,segments=1", "contiguous and segments both limit the physical runs; leave one out"},
      {"segments=4,contiguous", "contiguous and segments both limit the physical runs; leave one out"},
      {"align", "\"align\" lacks its value, align=BYTES"},
      {"max-address=", "\"max-address=\" lacks its value, max-address=BYTES"},
      {"segments", "\"segments\" lacks its value, segments=N"},
      {"segments=", "\"segments=\" lacks its value, segments=N"},
      {"cached=1", "\"cached=1\": cached takes no value"},
      {"contiguous=", "\"contiguous=\": contiguous takes no value"},
      {"max-address=64E", "\"max-address=64E\" is 2^64 or more"},
      {"size-align=18446744073709551616", "\"size-align=18446744073709551616\" is 2^64 or more"},
      {"align=4k", "\"align=4k\"" + form},
      {"align=4KB", "\"align=4KB\"" + form},
      {"align= 4K", "\"align= 4K\"" + form},
      {"align=-1", "\"align=-1\"" + form},
      {"align=+1", "\"align=+1\"" + form},
      {"align==1", "\"align==1\"" + form},
      {"max-address=4.5G", "\"max-address=4.5G\"" + form},
      {"max-address=0x", "\"max-address=0x\"" + form},
      {"max-address=0", "\"max-address=0\" is not above 0"},
      {"align=0x0K", "\"align=0x0K\" is not above 0"},
      {"size-align=0", "\"size-align=0\" is not above 0"},
      {"segments=0", "\"segments=0\"" + number},
      {"segments=4294967296", "\"segments=4294967296\"" + number},
      {"segments=0x2", "\"segments=0x2\"" + number},
      {"segments=2K", "\"segments=2K\"" + number},
      {"segments=-1", "\"segments=-1\"" + number},
      {"align=3K", "align=3K is not a power of two"},
      {"cached,coherent,uncached", "cached and uncached exclude each other"},
      {"protected,cached", "protected and cached exclude each other: the CPU cannot map protected memory at all"},
      {"uncached,protected", "protected and uncached exclude each other: the CPU cannot map protected memory at all"},
      {"align=8G,max-address=4G", "align=8G and max-address=4G leave no address but 0, which is never handed out"},
      {"max-address=4G,align=4G", "align=4G and max-address=4G leave no address but 0, which is never handed out"},
      {"max-address=1", "align=1 and max-address=1 leave no address but 0, which is never handed out"},
  };
  for (const auto& one : wrong) {
    std::string what = "read the constraints \"";
    what.append(one.first).append("\": ").append(one.second);
    CHECK(refusal(one.first) == what);
  }
}

TEST_CASE("a refusal's quotation is short and printable") {
  using namespace std::string_literals;
  const std::string control = refusal("a\0\x1b\n\xff"s);
  CHECK(control.starts_with("read the constraints \"a????\": \"a????\" is not a constraint"));
  const std::string lengthy = refusal(std::string(100000, 'x'));
  CHECK(lengthy.size() < 400);
  CHECK(lengthy.starts_with("read the constraints \"" + std::string(60, 'x') + "...\": "));
}

TEST_CASE("merging demands what either demands") {
  const Constraints camera{.alignment = 4096, .size_alignment = 6, .max_address = 4 * gigabyte, .max_segments = 1};
  const Constraints display{.alignment = 65536,
                            .size_alignment = 4,
                            .max_address = 8 * gigabyte,
                            .max_segments = 16,
                            .uncached = true,
                            .dma_buf = true};
  const Constraints merged = sa::merge(camera, display);
  CHECK(to_string(merged) == "contiguous,align=64K,size-align=12,max-address=4G,uncached,dma-buf");
  CHECK(sa::merge(merged, camera) == merged);
  CHECK(sa::merge({.max_segments = 3}, {}).max_segments == 3);
  CHECK(sa::merge({}, {.max_address = gigabyte}).max_address == gigabyte);
  CHECK(sa::merge({.size_alignment = std::uint64_t{3} << 62}, {.size_alignment = std::uint64_t{1} << 62}).size_alignment ==
        std::uint64_t{3} << 62);
}

TEST_CASE("demands that no memory satisfies are refused, and so is a value out of its range") {
  struct Case {
    Constraints a;
    Constraints b;
    std::string sentence;
  };
  const Case cases[] = {
      {{.cached = true}, {.uncached = true}, "merge \"cached\" with \"uncached\": cached and uncached exclude each other"},
      {{.uncached = true}, {.cached = true}, "merge \"uncached\" with \"cached\": cached and uncached exclude each other"},
      {{.protected_memory = true},
       {.cached = true},
       "merge \"protected\" with \"cached\": protected and cached exclude each other: the CPU cannot map protected memory at "
       "all"},
      {{.uncached = true},
       {.protected_memory = true},
       "merge \"uncached\" with \"protected\": protected and uncached exclude each other: the CPU cannot map protected memory at "
       "all"},
      {{.alignment = 8 * gigabyte},
       {.max_address = 4 * gigabyte},
       "merge \"align=8G\" with \"max-address=4G\": align=8G and max-address=4G leave no address but 0, which is never handed "
       "out"},
      {{.max_address = 4 * gigabyte},
       {.alignment = 4 * gigabyte, .max_address = 16 * gigabyte},
       "merge \"max-address=4G\" with \"align=4G,max-address=16G\": align=4G and max-address=4G leave no address but 0, which is "
       "never handed out"},
      {{.size_alignment = UINT64_MAX},
       {.size_alignment = 2},
       "merge \"size-align=18446744073709551615\" with \"size-align=2\": size-align=18446744073709551615 and size-align=2 have "
       "no common multiple in 64 bits"},
      {{.alignment = 0}, {}, "merge \"align=0\" with \"\": align=0 is not a power of two"},
      {{}, {.alignment = 12288}, "merge \"\" with \"align=12K\": align=12K is not a power of two"},
      {{.size_alignment = 0}, {}, "merge \"size-align=0\" with \"\": size-align=0 is not above 0"},
      {{.cached = true, .uncached = true}, {}, "merge \"cached,uncached\" with \"\": cached and uncached exclude each other"},
      {{},
       {.alignment = 2, .max_address = 2},
       "merge \"\" with \"align=2,max-address=2\": align=2 and max-address=2 leave no address but 0, which is never handed out"},
  };
  for (const Case& one : cases) {
    CHECK(refusal(one.a, one.b) == one.sentence);
    CHECK_FALSE(refusal(one.b, one.a).empty());
  }
}

// --- any values --------------------------------------------------------------------------------------------------------

namespace {

/// splitmix64: the same numbers everywhere, for nearly no time.
class Random {
public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  std::uint64_t below(std::uint64_t limit) { return next() % limit; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }

private:
  std::uint64_t state_;
};

/// Any multiple: small ones, which often share factors, and ones near which 32 and 64 bits run over.
std::uint64_t random_multiple(Random& random) {
  switch (random.below(8)) {
  case 0:
    return (std::uint64_t{1} << random.below(64)) | (std::uint64_t{1} << random.below(64));
  case 1:
    return random.next() >> random.below(64) | 1;
  case 2:
    return std::uint64_t{UINT32_MAX} - 1 + random.below(4);
  case 3:
    return UINT64_MAX - random.below(3);
  case 4:
    return 1;
  default:
    return 1 + random.below(24);
  }
}

/// Mostly values that merge() takes; few demands each, so that three of them often go together.
Constraints random_constraints(Random& random) {
  Constraints c;
  if (random.one_in(3)) {
    c.alignment = std::uint64_t{1} << random.below(random.one_in(4) ? 64 : 20);
  }
  if (random.one_in(3)) {
    c.size_alignment = random_multiple(random);
  }
  if (random.one_in(3)) {
    c.max_address = (std::uint64_t{1} << random.below(64)) + random.below(3) - 1; // max-address=0 among them
  }
  if (random.one_in(3)) {
    c.max_segments = static_cast<std::uint32_t>(random.one_in(2) ? random.below(4) : random.next());
  }
  c.cached = random.one_in(6);
  c.uncached = random.one_in(8);
  c.coherent = random.one_in(3);
  c.dma_buf = random.one_in(3);
  c.protected_memory = random.one_in(10);
  if (random.one_in(64)) { // out of its range
    const std::array members{&Constraints::alignment, &Constraints::size_alignment};
    c.*members[random.below(2)] = random.one_in(2) ? 0 : random.next();
  }
  return c;
}

/// The rules once more, written so differently that the same mistake is unlikely.
bool possible(const Constraints& c) {
  const unsigned ways = (c.cached ? 1U : 0U) + (c.uncached ? 1U : 0U) + (c.protected_memory ? 1U : 0U);
  const bool in_range = std::popcount(c.alignment) == 1 && c.size_alignment > 0;
  return in_range && ways <= 1 && (c.max_address == 0 || c.max_address - 1 >= c.alignment);
}

/// Whether 64 bits hold a multiple of both: the smallest is a * (b / divisor).
bool common(std::uint64_t a, std::uint64_t b) {
  std::uint64_t divisor = a;
  for (std::uint64_t rest = b; rest != 0;) {
    divisor = std::exchange(rest, divisor % rest);
  }
  std::uint64_t multiple = 0;
  return !__builtin_mul_overflow(a, b / divisor, &multiple);
}

/// Whether what is @p offered is also all that is @p asked.
bool satisfies(const Constraints& offered, const Constraints& asked) {
  const auto implies = [](bool if_this, bool then_that) { return !if_this || then_that; };
  return offered.alignment % asked.alignment == 0 && offered.size_alignment % asked.size_alignment == 0 &&
         (asked.max_address == 0 || (offered.max_address != 0 && offered.max_address <= asked.max_address)) &&
         (asked.max_segments == 0 || (offered.max_segments != 0 && offered.max_segments <= asked.max_segments)) &&
         implies(asked.cached, offered.cached) && implies(asked.uncached, offered.uncached) &&
         implies(asked.coherent, offered.coherent) && implies(asked.dma_buf, offered.dma_buf) &&
         implies(asked.protected_memory, offered.protected_memory);
}

/// merge() as a value: the conflict merges with everything to itself. Not std::optional, of which g++ 12 warns.
struct Merged {
  Constraints value;
  bool conflict = false;

  friend bool operator==(const Merged&, const Merged&) = default;
};

constexpr Merged conflict{{}, true};

Merged join(const Merged& a, const Merged& b) {
  if (a.conflict || b.conflict) {
    return conflict;
  }
  std::error_code ec;
  const Constraints merged = sa::merge(a.value, b.value, ec);
  return {merged, static_cast<bool>(ec)};
}

/// The first law that these three break, null when they keep all; @p all is what they merge to.
const char* broken_law(const Constraints& a, const Constraints& b, const Constraints& c, Merged& all) {
  const Merged ab = join({a}, {b});
  if (join({b}, {a}) != ab) {
    return "commutative";
  }
  all = join(ab, {c});
  if (join({a}, join({b}, {c})) != all) {
    return "associative";
  }
  const Merged alone = possible(a) ? Merged{a} : conflict;
  if (join({a}, {a}) != alone) {
    return "idempotent";
  }
  if (join({a}, {}) != alone) {
    return "neutral element";
  }
  if (!possible(a) || !possible(b)) {
    return ab.conflict ? nullptr : "what is impossible stays so";
  }
  if (!ab.conflict && (!possible(ab.value) || !satisfies(ab.value, a) || !satisfies(ab.value, b))) {
    return "satisfies both";
  }
  // With the laws above: whatever satisfies a and b satisfies their merge, so nothing more is demanded.
  if (satisfies(a, b) != (ab == Merged{a})) {
    return "nothing more";
  }
  // A conflict has a cause: what cannot be in the members, each merged alone.
  if (ab.conflict) {
    Constraints lowest{.alignment = std::max(a.alignment, b.alignment)};
    lowest.max_address = a.max_address == 0   ? b.max_address
                         : b.max_address == 0 ? a.max_address
                                              : std::min(a.max_address, b.max_address);
    lowest.cached = a.cached || b.cached;
    lowest.uncached = a.uncached || b.uncached;
    lowest.protected_memory = a.protected_memory || b.protected_memory;
    if (possible(lowest) && common(a.size_alignment, b.size_alignment)) {
      return "a conflict has a cause";
    }
  }
  return nullptr;
}

} // namespace

TEST_CASE("merging keeps its laws: a million pairs, and a million times three") {
  constexpr std::uint64_t seed = 0x5a5a0001;
  Random random(seed);
  constexpr int rounds = 1000000;
  int merged = 0;
  int conflicts = 0;
  for (int round = 0; round < rounds; ++round) {
    const Constraints a = random_constraints(random);
    const Constraints b = random.one_in(16) ? a : random_constraints(random);
    const Constraints c = random_constraints(random);
    Merged all;
    if (const char* const law = broken_law(a, b, c, all); law != nullptr) {
      FAIL("seed ", seed, ", round ", round, ", ", law, ": \"", to_string(a), "\", \"", to_string(b), "\", \"", to_string(c),
           "\"");
    }
    ++(all.conflict ? conflicts : merged);
  }
  // Otherwise the laws were kept by few.
  CHECK(merged > rounds / 5);
  CHECK(conflicts > rounds / 5);
}

TEST_CASE("any constraints are read back as they were written") {
  constexpr std::uint64_t seed = 0x5a5a0002;
  Random random(seed);
  int refused = 0;
  for (int round = 0; round < 200000; ++round) {
    const Constraints value = random_constraints(random);
    const std::string text = to_string(value);
    std::error_code ec;
    const Constraints read = sa::parse_constraints(text, ec);
    refused += ec ? 1 : 0;
    if (possible(value) ? ec || read != value || to_string(read) != text : !ec || read != Constraints{}) {
      FAIL("seed ", seed, ", round ", round, ": \"", text, "\" was read as \"", to_string(read), "\", ", ec.message());
    }
  }
  CHECK(refused > 2000);
  CHECK(refused < 100000);
}
