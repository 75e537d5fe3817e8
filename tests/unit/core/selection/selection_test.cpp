// SPDX-License-Identifier: MIT
/// Registry::select() and allocate() by constraints, on heaps and devices that the test describes.
#include <doctest/doctest.h>

#include <cerrno>
#include <string>

#include <sa/sa.hpp>

#include "core/base/system_facts.hpp"
#include "core/selection/selection.hpp"
#include "unit/test_heap.hpp"

namespace {

using sa::Certainty;
using sa::Constraints;
using sa::Device;
using sa::Trait;
using unit::TestHeap;

constexpr sa::Traits scattered = Trait::DmaBuf | Trait::Cached | Trait::Zeroed;
constexpr sa::Traits contiguous = scattered | Trait::Contiguous;

/// A board: a heap of each sort.
struct Board {
  Board() {
    for (const auto& heap : {system, cma, carveout, memfd, locked}) {
      registry.add(heap);
    }
    locked->change().usable = false;
    locked->change().reason = "/dev/dma_heap/locked: permission denied";
    carveout->change().max_address = 0x40000000;
  }
  std::shared_ptr<TestHeap> system = std::make_shared<TestHeap>("dma-heap:system", scattered);
  std::shared_ptr<TestHeap> cma = std::make_shared<TestHeap>("cma:cma0", contiguous);
  std::shared_ptr<TestHeap> carveout = std::make_shared<TestHeap>("carveout:camera", contiguous);
  std::shared_ptr<TestHeap> memfd = std::make_shared<TestHeap>("memfd:4k");
  std::shared_ptr<TestHeap> locked = std::make_shared<TestHeap>("dma-heap:locked", scattered);
  sa::Registry registry;
};

std::string names(const sa::Selection& selection) {
  std::string text;
  for (const auto& choice : selection.choices) {
    text += (text.empty() ? "" : " ") + choice.heap->info().name;
  }
  return text;
}

std::string reason(const sa::Selection& selection, const std::string& heap) {
  for (const auto& refusal : selection.refusals) {
    if (refusal.heap == heap) {
      return refusal.reason;
    }
  }
  return {};
}

bool says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

} // namespace

TEST_CASE("every heap is either chosen or refused with a reason") {
  const Board board;
  for (const char* text : {"", "contiguous", "dma-buf,max-address=4G", "uncached", "protected", "align=1M"}) {
    CAPTURE(text);
    const sa::Selection selection = board.registry.select(sa::parse_constraints(text));
    CHECK(selection.choices.size() + selection.refusals.size() == 5);
    for (const auto& refusal : selection.refusals) {
      CHECK_FALSE(refusal.reason.empty());
    }
  }
}

TEST_CASE("contiguous memory, which is scarce, comes last where it is not needed, and first where only it will do") {
  const Board board;
  CHECK(names(board.registry.select({})) == "dma-heap:system memfd:4k cma:cma0 carveout:camera");
  const sa::Selection selection = board.registry.select({.max_segments = 1});
  CHECK(names(selection) == "cma:cma0 carveout:camera");
  CHECK(says(reason(selection, "dma-heap:system"), "scattered"));
  CHECK(reason(selection, "dma-heap:locked") == "/dev/dma_heap/locked: permission denied");
}

TEST_CASE("a heap whose buffers are small enough has few segments whatever its memory") {
  const Board board;
  CHECK(names(board.registry.select({.max_segments = 4}, {}, {.size = 4 * unit::page})) ==
        "dma-heap:system memfd:4k cma:cma0 carveout:camera");
  CHECK(names(board.registry.select({.max_segments = 4}, {}, {.size = 4 * unit::page + 1})) == "cma:cma0 carveout:camera");
  CHECK(names(board.registry.select({.max_segments = 4})) == "cma:cma0 carveout:camera");
}

TEST_CASE("each demand refuses its heaps, and the sentence says why") {
  const Board board;
  board.memfd->change().max_size = 1 << 20;
  const auto refused = [&](const Constraints& constraints, const char* heap, std::size_t size = 0) {
    return reason(board.registry.select(constraints, {}, {.size = size}), heap);
  };
  CHECK(says(refused({.dma_buf = true}, "memfd:4k"), "no dma-buf"));
  CHECK(says(refused({.alignment = 65536}, "cma:cma0"), "64 KiB"));
  CHECK(says(refused({.uncached = true}, "cma:cma0"), "uncached"));
  CHECK(says(refused({.protected_memory = true}, "cma:cma0"), "protected"));
  CHECK(says(refused({.max_address = 0x30000000}, "carveout:camera"), "0x40000000"));
  CHECK(refused({.max_address = 0x40000000}, "carveout:camera").empty());
  CHECK(says(refused({}, "memfd:4k", (1 << 20) + 1), "1 MiB"));
  CHECK(refused({}, "memfd:4k", 1 << 20).empty());
  board.cma->change().traits = Trait::DmaBuf | Trait::Contiguous | Trait::Protected;
  CHECK(says(refused({.cached = true}, "cma:cma0"), "cannot map"));
  CHECK(refused({.protected_memory = true}, "cma:cma0").empty());
  board.cma->change().traits = Trait::DmaBuf | Trait::Contiguous;
  CHECK(says(refused({.cached = true}, "cma:cma0"), "not cached"));
  CHECK(refused({.uncached = true}, "cma:cma0").empty());
}

TEST_CASE("protected memory is chosen where it is demanded, and nowhere else") {
  Board board;
  board.system->change().traits = Trait::DmaBuf | Trait::Protected;
  CHECK(says(reason(board.registry.select({}), "dma-heap:system"), "the CPU cannot map it"));
  CHECK(board.registry.allocate({.size = 4096}).heap() == "memfd:4k");
  CHECK(board.registry.allocate("dma-heap:system", {.size = 4096}).heap() == "dma-heap:system"); // by its name
  CHECK(names(board.registry.select({.protected_memory = true})) == "dma-heap:system");
  CHECK(board.registry.allocate({.size = 4096, .constraints = {.protected_memory = true}}).heap() == "dma-heap:system");
}

TEST_CASE("memory from anywhere is refused below an address that the machine's memory exceeds; a region is not known") {
  const Board board;
  const sa::Selection selection = board.registry.select({.max_address = 0x1000000}); // 16 MiB: every machine has more
  CHECK(says(reason(selection, "dma-heap:system"), "0x1000000"));
  REQUIRE(names(selection) == "cma:cma0");
  CHECK(selection.choices[0].certainty == Certainty::Unknown);
  CHECK(says(selection.choices[0].note, "not known"));
}

TEST_CASE("the demands of all devices and of the caller count, and the sentence names the device") {
  const Board board;
  const Device display = Device::described("display", {.dma_buf = true});
  const Device codec = Device::described("codec", {.max_segments = 1});
  CHECK(names(board.registry.select({}, {display})) == "dma-heap:system cma:cma0 carveout:camera");
  const sa::Selection selection = board.registry.select({.cached = true}, {display, codec});
  CHECK(names(selection) == "cma:cma0 carveout:camera");
  CHECK(says(reason(selection, "dma-heap:system"), "(codec)"));
  CHECK(says(reason(selection, "memfd:4k"), "(display)"));
  CHECK(selection.constraints == sa::parse_constraints("contiguous,cached,dma-buf"));
  CHECK(selection.choices[0].certainty == Certainty::Suits); // nobody has tried
}

TEST_CASE("demands that contradict each other are an error that names both") {
  const Board board;
  const Device a = Device::described("a", {.cached = true});
  const Device b = Device::described("b", {.uncached = true});
  std::string said;
  try {
    (void)board.registry.select({}, {a, b});
  } catch (const sa::Error& error) {
    CHECK(error.code() == std::errc::invalid_argument);
    said = error.what();
  }
  CHECK(says(said, "cached"));
  CHECK(says(said, "uncached"));
  std::error_code ec;
  CHECK(board.registry.select({}, {a, b}, {}, ec).choices.empty());
  CHECK(ec == std::errc::invalid_argument);
  CHECK(board.registry.select({}, {Device{}}, {}, ec).choices.empty());
  CHECK(ec == std::errc::invalid_argument);
}

TEST_CASE("a profile is the whole truth about its device") {
  const Board board;
  const std::vector<std::shared_ptr<sa::Heap>> heaps{board.system, board.cma};
  const Device described = Device::described("/dev/video7", {.dma_buf = true});
  const sa::detail::Wishes wishes{{}, {{"/dev/video7", sa::Constraints{.max_segments = 1}, {}}}};
  std::error_code ec;
  const auto with = sa::detail::select_heaps(heaps, {}, {described}, wishes, {}, ec);
  CHECK_FALSE(ec);
  CHECK(names(with) == "cma:cma0");
  CHECK(says(reason(with, "dma-heap:system"), "profile"));
  CHECK(names(sa::detail::select_heaps(heaps, {}, {described}, {}, {}, ec)) == "dma-heap:system cma:cma0");
}

TEST_CASE("the order that is wished for goes before the usual one, among what is equally certain") {
  const Board board;
  const std::vector<std::shared_ptr<sa::Heap>> heaps{board.system, board.cma, board.carveout, board.memfd};
  std::error_code ec;
  CHECK(names(sa::detail::select_heaps(heaps, {}, {}, {{"carveout:*", "memfd:4k"}, {}}, {}, ec)) ==
        "carveout:camera memfd:4k dma-heap:system cma:cma0");
}

TEST_CASE("allocating by constraints moves on where memory or permission lacks, and on nothing else") {
  Board board;
  board.cma->error = ENOMEM;
  CHECK(board.registry.allocate({.size = 2 * unit::page, .constraints = {.max_segments = 1}}).heap() == "carveout:camera");
  board.carveout->error = EACCES;
  std::string said;
  try {
    (void)board.registry.allocate({.size = 2 * unit::page, .constraints = {.max_segments = 1}});
  } catch (const sa::Error& error) {
    CHECK(error.code() == std::errc::not_enough_memory); // nearest to success
    said = error.what();
  }
  for (const char* part : {"cma:cma0", "carveout:camera", "dma-heap:system", "scattered", "dma-heap:locked", "contiguous"}) {
    CAPTURE(part);
    CHECK(says(said, part));
  }
  board.cma->error = EIO;
  board.carveout->error = 0;
  std::error_code ec;
  CHECK_FALSE(board.registry.allocate({.size = 2 * unit::page, .constraints = {.max_segments = 1}}, ec));
  CHECK(ec.value() == EIO);
}

TEST_CASE("where a heap that suits ran out, one that is not known to serve is not taken in silence") {
  Board board;
  board.carveout->change().max_address = 0x1000000;
  const Constraints low{.max_address = 0x1000000}; // 16 MiB, every machine has more; where cma lies is not known
  const std::vector<Device> camera{Device::described("camera", low)};
  const sa::Selection selection = board.registry.select({}, camera);
  REQUIRE(names(selection) == "carveout:camera cma:cma0");
  REQUIRE(selection.choices[0].certainty == Certainty::Suits);
  REQUIRE(selection.choices[1].certainty == Certainty::Unknown);
  board.carveout->error = ENOMEM;
  std::string said;
  try {
    (void)board.registry.allocate(camera, {.size = 8192});
  } catch (const sa::Error& error) {
    CHECK(error.code() == std::errc::not_enough_memory);
    said = error.what();
  }
  CAPTURE(said);
  CHECK(says(said, "[carveout:camera: the test's system call: Cannot allocate memory"));
  CHECK(says(said, "[cma:cma0: not asked, since it is not known to serve: where its region lies"));
  CHECK(board.cma->asked == 0);
  CHECK(board.registry.allocate(camera, {.size = 8192}, Certainty::Unknown).heap() == "cma:cma0");
  board.registry.remove("carveout:camera");
  CHECK(board.registry.allocate(camera, {.size = 8192}).heap() == "cma:cma0"); // nothing better is known
  std::error_code ec;
  CHECK_FALSE(board.registry.allocate(camera, {.size = 8192}, ec, Certainty::Suits));
  CHECK(ec.value() == EOPNOTSUPP);
}

TEST_CASE("no heap that suits is EOPNOTSUPP with every reason") {
  Board board;
  std::error_code ec;
  CHECK_FALSE(board.registry.allocate({.size = 4096, .constraints = {.protected_memory = true}}, ec));
  CHECK(ec.value() == EOPNOTSUPP);
  CHECK_FALSE(board.registry.allocate(std::vector<Device>{}, {.size = 0}, ec));
  CHECK(ec == std::errc::invalid_argument);
}

TEST_CASE("the size is a multiple of what the devices and the heap want") {
  Board board;
  const sa::DmaBuf buffer =
      board.registry.allocate({.size = 5000, .constraints = {.size_alignment = 3 * 4096, .max_segments = 1}});
  CHECK(buffer.size() == 3 * 4096);
  CHECK(board.registry.allocate({.size = 5000, .constraints = {.size_alignment = 24}}).size() == 3 * 4096); // 24 and a page
  std::error_code ec;
  CHECK_FALSE(board.registry.allocate({.size = 4096, .constraints = {.size_alignment = std::uint64_t{1} << 63}}, ec));
  CHECK(ec);
}

TEST_CASE("devices that are none") {
  std::error_code ec;
  CHECK(Device::open("/dev/null", ec).info().name.empty());
  CHECK(ec.value() == ENODEV);
  CHECK(Device::open("/dev/no-such-node", ec).info().name.empty());
  CHECK(ec.value() == ENOENT);
  CHECK(Device{}.try_import(unit::real_buffer()).verdict == sa::ImportVerdict::Unknown);
  CHECK(Device::described("x", {.alignment = 3}, ec).info().name.empty());
  CHECK(ec.value() == EINVAL);
  const Device described = Device::described("accelerator", {});
  CHECK(described.try_import(unit::real_buffer()).verdict == sa::ImportVerdict::Refused); // a memfd is no dma-buf
}

TEST_CASE("a heap of a selection tries the choices in their order, with the demands of all") {
  Board board;
  const Device camera = Device::described("camera", {.alignment = 65536, .max_segments = 1});
  board.cma->change().max_alignment = 65536;
  board.carveout->change().max_alignment = 65536;
  board.carveout->remembers = true;
  board.cma->error = ENOMEM;
  const auto heap = sa::make_heap(board.registry.select({}, {camera}));
  CHECK(heap->info().name == "cma:cma0|carveout:camera");
  CHECK(heap->info().usable);
  const sa::DmaBuf buffer = heap->allocate({.size = 4096, .constraints = {.size_alignment = 131072}});
  CHECK(buffer.heap() == "carveout:camera");
  CHECK(buffer.size() == 131072);
  CHECK(board.carveout->demanded == Constraints{.alignment = 65536, .size_alignment = 131072, .max_segments = 1});
  std::error_code ec;
  CHECK_FALSE(heap->allocate({.size = 4096, .constraints = {.alignment = 1 << 20}}, ec)); // what nobody promises
  CHECK(ec == std::errc::operation_not_supported);
}

TEST_CASE("a heap of a selection without a choice says every refusal") {
  Board board;
  try {
    (void)sa::make_heap(board.registry.select({.protected_memory = true}));
    FAIL("not refused");
  } catch (const sa::Error& error) {
    CHECK(error.code() == std::errc::operation_not_supported);
    CHECK(says(error.what(), "no heap suits"));
    CHECK(says(error.what(), "[cma:cma0: the CPU can map it"));
    CHECK(says(error.what(), "[dma-heap:locked: "));
  }
}

TEST_CASE("a heap of a selection skips unknown choices where one is known to serve") {
  Board board;
  const Constraints low{.max_address = 0x50000000, .max_segments = 1};
  const auto heap = sa::make_heap(board.registry.select(low));
  // Where the region of cma0 lies is not known; on a machine without memory above the limit it serves as well.
  CHECK(heap->allocate({.size = 4096}).heap() == (sa::detail::highest_memory() > 0x50000000 ? "carveout:camera" : "cma:cma0"));
}
