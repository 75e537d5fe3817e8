// SPDX-License-Identifier: MIT
/// Plugins: what is loaded, what is believed, and when they are called. Each wrong one is refused with a sentence, and leaves no
/// descriptor behind.
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <thread>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <sa/heap_plugin.h>
#include <sa/sa.hpp>

#include "core/heap/backend.hpp"
#include "heaps/plugin/load.hpp"
#include "paths.hpp"
#include "planted_plugin.h"
#include "support/counters.hpp"
#include "support/log_capture.hpp"
#include "support/process.hpp"
#include "unit/folder.hpp"
#include "unit/page.hpp"

using sa::detail::load_plugin;
using unit::Folder;

namespace {

constexpr uid_t nobody = 65534;

bool says(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

// --- a plugin within this program, which does what the test says ---------------------------------------------------------------

using Describe = std::function<int(std::uint32_t index, sa_plugin_heap* heap)>;
using Allocate = std::function<int(const sa_plugin_request* request, sa_plugin_memory* memory, char* sentence, std::size_t size)>;

Describe describing;
Allocate allocating;
std::vector<void*> released;

const sa_heap_plugin scripted{
    SA_HEAP_PLUGIN_VERSION,
    0,
    sizeof(sa_heap_plugin),
    [](std::uint32_t index, sa_plugin_heap* heap) { return describing(index, heap); },
    [](void*, const sa_plugin_request* request, sa_plugin_memory* memory, char* sentence, std::size_t size) {
      return allocating(request, memory, sentence, size);
    },
    [](void*, void* memory) { released.push_back(memory); },
};

/// Describes one heap "x" with @p traits.
Describe one_heap(std::uint32_t traits) {
  return [traits](std::uint32_t index, sa_plugin_heap* heap) {
    heap->instance = "x";
    heap->traits = traits;
    return index == 0 ? 0 : -ENOENT;
  };
}

/// A new memory file, sealed by @p seals.
int memory_file(std::size_t size, int seals = F_SEAL_SHRINK) {
  const int fd = ::memfd_create("plugin", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  REQUIRE(::ftruncate(fd, static_cast<off_t>(size)) == 0);
  REQUIRE(::fcntl(fd, F_ADD_SEALS, seals) == 0);
  return fd;
}

std::shared_ptr<sa::Heap> scripted_heap(std::uint32_t traits, Allocate allocate) {
  describing = one_heap(traits);
  allocating = std::move(allocate);
  released.clear();
  const auto heaps = sa::make_plugin_heaps("liar", &scripted);
  REQUIRE(heaps.size() == 1);
  return heaps[0];
}

/// What is said when @p allocate is asked for two pages, and that it leaves nothing behind.
std::string refusal(std::uint32_t traits, const Allocate& allocate, const sa::AllocRequest& request = {.size = 2 * unit::page}) {
  const auto heap = scripted_heap(traits, allocate);
  const int before = support::open_descriptors();
  std::string what = "not refused";
  try {
    (void)heap->allocate(request);
  } catch (const sa::Error& error) {
    CHECK(error.code() == std::errc::io_error);
    what = error.what();
  }
  CHECK(support::open_descriptors() == before);
  CHECK(released.size() == 1); // it has made something
  std::error_code ec;
  released.clear();
  CHECK_FALSE(heap->allocate(request, ec));
  CHECK(ec == std::errc::io_error);
  CHECK(support::open_descriptors() == before);
  return what;
}

/// Gives @p fd, whatever was asked for.
Allocate gives(std::function<int()> fd, std::uint64_t phys_addr = 0) {
  return [fd = std::move(fd), phys_addr](const sa_plugin_request*, sa_plugin_memory* memory, char*, std::size_t) {
    memory->fd = fd();
    memory->phys_addr = phys_addr;
    return 0;
  };
}

/// What is said of a plugin that describes so.
std::string description_refused(Describe describe) {
  describing = std::move(describe);
  try {
    (void)sa::make_plugin_heaps("liar", &scripted);
  } catch (const sa::Error& error) {
    CHECK(error.code() == std::errc::invalid_argument);
    return error.what();
  }
  return "not refused";
}

std::string table_refused(const sa_heap_plugin* table, std::string_view name = "liar") {
  try {
    (void)sa::make_plugin_heaps(name, table);
  } catch (const sa::Error& error) {
    CHECK(error.code() == std::errc::invalid_argument);
    return error.what();
  }
  return "not refused";
}

// --- planted files
// --------------------------------------------------------------------------------------------------------------

/// A folder for plugins that only root may write.
class PluginFolder : public Folder {
public:
  PluginFolder() { ::chmod(path().c_str(), 0755); }
  [[nodiscard]] std::filesystem::path path() const { return (*this / "").parent_path(); }

  /// @p variant, as it was built, under @p name.
  std::filesystem::path plant(const char* variant, const std::string& name = "planted") const {
    const auto file = path() / (name + ".so");
    std::filesystem::copy_file(std::string(PLANTED_PLUGINS "/planted_") + variant + ".so", file);
    ::chmod(file.c_str(), 0755);
    return file;
  }

  [[nodiscard]] std::string refusal(const std::string& name = "planted") const { return load_plugin(path(), name).refusal; }
};

bool is_root() {
  if (::geteuid() == 0) {
    return true;
  }
  MESSAGE("not tested: only root can install plugins");
  return false;
}

/// What the plugin that was loaded from @p file notes.
planted_calls& calls_of(const std::filesystem::path& file) {
  void* const handle = ::dlopen(file.c_str(), RTLD_NOW | RTLD_NOLOAD);
  REQUIRE(handle != nullptr);
  return *static_cast<planted_calls*>(::dlsym(handle, "planted_calls"));
}

std::shared_ptr<sa::Heap> planted_heap(const PluginFolder& folder) {
  const auto loaded = load_plugin(folder.path(), "planted");
  REQUIRE(loaded.refusal == "");
  return sa::make_plugin_heaps("planted", loaded.table).at(0);
}

} // namespace

TEST_CASE("a heap of a plugin is what the plugin says, and its buffers are told of when they end") {
  const auto describe = [](std::uint32_t index, sa_plugin_heap* heap) {
    CHECK(heap->struct_size == sizeof(*heap));
    if (index == 2) {
      return -ENOENT;
    }
    heap->instance = index == 0 ? "near" : "far-2";
    heap->node = index == 0 ? nullptr : "/dev/far";
    heap->reason = index == 0 ? nullptr : "no power;\n switch it on";
    heap->traits = SA_PLUGIN_CACHED | SA_PLUGIN_ZEROED;
    heap->granularity = index == 0 ? 0 : 65536;
    heap->max_size = index == 0 ? 0 : 1 << 20;
    heap->max_alignment = index == 0 ? 0 : 131072;
    heap->max_address = index == 0 ? 0 : std::uint64_t{1} << 32;
    return 0;
  };
  describing = describe;
  const auto heaps = sa::make_plugin_heaps("liar", &scripted);
  REQUIRE(heaps.size() == 2);
  const sa::HeapInfo& near = heaps[0]->info();
  CHECK(near.name == "liar:near");
  CHECK(near.backend == "liar");
  CHECK(near.node.empty());
  CHECK(near.usable);
  CHECK(near.traits == (sa::Trait::Cached | sa::Trait::Zeroed));
  CHECK(near.granularity == static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)));
  CHECK(near.max_size > 0);
  const sa::HeapInfo& far = heaps[1]->info();
  CHECK(far.name == "liar:far-2");
  CHECK(far.node == "/dev/far");
  CHECK_FALSE(far.usable);
  CHECK(far.reason == "no power;? switch it on");
  CHECK(far.granularity == 65536);
  CHECK(far.max_size == 1 << 20);
  CHECK(far.max_alignment == 131072);
  CHECK(far.max_address == std::uint64_t{1} << 32);
  CHECK(sa::make_plugin_heaps("liar", &scripted)[1]->info() == far); // so that a refresh() keeps the object

  sa_plugin_request seen{};
  std::string name;
  int fd = -1;
  int token = 0;
  allocating = [&](const sa_plugin_request* request, sa_plugin_memory* memory, char* sentence, std::size_t size) {
    seen = *request;
    name = request->name;
    CHECK(memory->struct_size == sizeof(*memory));
    CHECK(memory->fd == -1);
    CHECK(size >= 256);
    CHECK(*sentence == '\0');
    fd = ::memfd_create("plugin", MFD_ALLOW_SEALING); // without MFD_CLOEXEC
    REQUIRE(::ftruncate(fd, static_cast<off_t>(request->size + 4096)) == 0);
    memory->fd = fd;
    memory->memory = &token;
    return 0;
  };
  released.clear();
  const int before = support::open_descriptors();
  sa::DmaBuf buffer =
      heaps[1]->allocate({.size = 1,
                          .constraints = {.alignment = 131072, .max_address = std::uint64_t{1} << 32, .max_segments = 3},
                          .name = "frame"});
  CHECK(seen.struct_size == sizeof(seen));
  CHECK(seen.size == 131072);
  CHECK(seen.alignment == 131072);
  CHECK(seen.max_address == std::uint64_t{1} << 32);
  CHECK(seen.max_segments == 3);
  CHECK(name == "frame");
  CHECK(buffer.fd() == fd);
  CHECK(buffer.size() == 131072); // what was asked for, not what the file has besides
  CHECK(buffer.heap() == "liar:far-2");
  CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
  CHECK((::fcntl(fd, F_GET_SEALS) & F_SEAL_SHRINK) != 0);
  CHECK(buffer.map_unsynchronized().bytes().size() == 131072);
  CHECK(released.empty());
  buffer.reset();
  CHECK(released == std::vector<void*>{&token});
  CHECK(support::open_descriptors() == before);
}

TEST_CASE("a plugin's failure is the caller's, with the plugin's errno and its sentence") {
  const auto failure = [](int error, std::string_view sentence) {
    const auto heap = scripted_heap(SA_PLUGIN_CACHED, [=](const auto*, auto* memory, char* text, std::size_t size) {
      memory->fd = 1; // of a failure nothing is believed
      std::memcpy(text, sentence.data(), std::min(sentence.size(), size));
      return -error;
    });
    try {
      (void)heap->allocate({.size = 4096});
    } catch (const sa::Error& refused) {
      CHECK(refused.code().value() == error);
      CHECK(released.empty());
      return std::string(refused.what());
    }
    return std::string("not refused");
  };
  CHECK(failure(ENOSPC, "all 8 frames are in use; free one") == "allocate 4 KiB (liar:x): all 8 frames are in use; free one");
  CHECK(failure(EBUSY, "a\x1b[31m\nb") == "allocate 4 KiB (liar:x): a?[31m?b");
  CHECK(failure(ENOMEM, "") ==
        "allocate 4 KiB (liar:x): the plugin liar: Cannot allocate memory; memory ran out; free buffers, or ask "
        "a heap that has more");
  CHECK(failure(EBUSY, std::string(100000, 'x')).size() < 1000); // one that is not ended
}

TEST_CASE("a kernel that refuses to seal a plugin's file is told as such: that is no lie of the plugin") {
  const auto heap = scripted_heap(0, gives([] {
                                    const int fd = ::memfd_create("plugin", MFD_CLOEXEC | MFD_ALLOW_SEALING);
                                    return ::ftruncate(fd, static_cast<off_t>(2 * unit::page)) == 0 ? fd : -1;
                                  }));
  CHECK(heap->allocate({.size = 2 * unit::page}).size() == 2 * unit::page); // the library seals it
  const int status = support::in_child([&] {
    if (!support::inject({"F_ADD_SEALS", SYS_fcntl, EPERM, 1, ~0U, F_ADD_SEALS})) {
      return 2;
    }
    const int before = support::open_descriptors();
    std::error_code ec;
    (void)heap->allocate({.size = 2 * unit::page}, ec);
    return ec == std::errc::operation_not_permitted && support::open_descriptors() == before ? support::passed : 3;
  });
  CHECK(status == support::passed);
}

TEST_CASE("an answer that lies is refused with a sentence, and nothing of it is left open") {
  constexpr std::uint32_t files = SA_PLUGIN_CACHED;
  const auto says_wrong = [](const std::string& what, std::string_view part) {
    CAPTURE(what);
    CHECK(what.starts_with("allocate " + unit::kib_of_pages(2) + " (liar:x): the plugin liar is wrong: allocate() "));
    CHECK(says(what, part));
  };
  SUBCASE("no descriptor") {
    says_wrong(refusal(files, gives([] { return -1; })), "returned 0 and gave no descriptor, but -1");
  }
  SUBCASE("a closed descriptor") {
    says_wrong(refusal(files, gives([] { return 1000000; })), "gave the descriptor 1000000, which is not open");
  }
  SUBCASE("a regular file") {
    says_wrong(refusal(files, gives([] {
                         const int fd = ::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
                         REQUIRE(::ftruncate(fd, static_cast<off_t>(2 * unit::page)) == 0);
                         return fd;
                       })),
               "gave a descriptor that is no memory to share: the ");
  }
  SUBCASE("a pipe") {
    says_wrong(refusal(files, gives([] {
                         int ends[2] = {-1, -1};
                         REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
                         ::close(ends[1]);
                         return ends[0];
                       })),
               "no memory to share: the descriptor is neither a dma-buf nor a memory file");
  }
  SUBCASE("a memory file for a dma-buf") {
    says_wrong(refusal(SA_PLUGIN_DMABUF, gives([] { return memory_file(2 * unit::page); })),
               "gave a memory file, though the heap says that it has dma-bufs");
  }
  SUBCASE("a dma-buf for a memory file") {
    std::error_code ec;
    if (sa::Registry::system().allocate("dma-buf", {.size = 2 * unit::page}, ec)) {
      says_wrong(refusal(files, gives([] {
                           return sa::Registry::system().allocate("dma-buf", {.size = 2 * unit::page}).release().release();
                         })),
                 "gave a dma-buf, though the heap says that it has memory files");
    } else { // no return: doctest would not find the subcases below
      MESSAGE("not tested: this machine makes no dma-bufs");
    }
  }
  SUBCASE("less than was asked for") {
    says_wrong(refusal(files, gives([] { return memory_file(unit::page); })),
               "gave " + unit::kib_of_pages(1) + ", but " + unit::kib_of_pages(2) + " were requested");
  }
  SUBCASE("nothing at all") {
    says_wrong(refusal(files, gives([] { return memory_file(0); })), "the memory file is empty");
  }
  SUBCASE("a memory file that others can shrink") {
    says_wrong(refusal(files, gives([] { return memory_file(2 * unit::page, F_SEAL_SEAL); })),
               "can be truncated by others and cannot be sealed");
  }
  SUBCASE("a memory file that is sealed against writing") {
    says_wrong(refusal(files, gives([] { return memory_file(2 * unit::page, F_SEAL_SHRINK | F_SEAL_WRITE); })),
               "gave a descriptor that cannot be written");
  }
  SUBCASE("a descriptor that is open for reading alone") {
    says_wrong(refusal(files, gives([] {
                         const sa::UniqueFd fd{memory_file(2 * unit::page)};
                         return ::open(("/proc/self/fd/" + std::to_string(fd.get())).c_str(), O_RDONLY | O_CLOEXEC);
                       })),
               "gave a descriptor that cannot be written");
  }
  SUBCASE("no physical address where it is promised") {
    says_wrong(refusal(SA_PLUGIN_PHYS_ADDR, gives([] { return memory_file(2 * unit::page); })),
               "gave memory at 0x0, which is not the promised address");
  }
  SUBCASE("a physical address that is not aligned as was asked for") {
    const std::uint64_t address = unit::page + unit::page / 2;
    const sa::AllocRequest request{.size = 2 * unit::page, .constraints = {.alignment = unit::page}};
    says_wrong(refusal(SA_PLUGIN_PHYS_ADDR, gives([] { return memory_file(2 * unit::page); }, address), request),
               "gave memory at " + unit::hex(address));
  }
  SUBCASE("a physical address above what was asked for") {
    const std::uint64_t address = 15 * unit::page;
    const sa::AllocRequest request{.size = 2 * unit::page, .constraints = {.max_address = address + unit::page}};
    says_wrong(
        refusal(SA_PLUGIN_PHYS_ADDR | SA_PLUGIN_CONTIGUOUS, gives([] { return memory_file(2 * unit::page); }, address), request),
        "gave memory at " + unit::hex(address));
  }
}

TEST_CASE("a return value that is neither 0 nor -errno is refused with a sentence") {
  for (const int said : {12, -4096, INT32_MIN}) {
    const auto heap = scripted_heap(SA_PLUGIN_CACHED, [said](auto&&...) { return said; });
    try {
      (void)heap->allocate({.size = 4096});
      FAIL("not refused");
    } catch (const sa::Error& error) {
      CHECK(error.code() == std::errc::io_error);
      CHECK(says(error.what(), "allocate() returned " + std::to_string(said) + ", which is neither 0 nor -errno"));
    }
    CHECK(released.empty());
  }
}

TEST_CASE("memory that a living buffer has is not given out again, and that buffer loses nothing") {
  int fd = -1;
  bool duplicate = false;
  const auto heap = scripted_heap(SA_PLUGIN_CACHED, [&](const auto*, auto* memory, auto&&...) {
    memory->fd = fd < 0 ? memory_file(unit::page) : duplicate ? ::fcntl(fd, F_DUPFD_CLOEXEC, 0) : fd;
    fd = fd < 0 ? memory->fd : fd;
    return 0;
  });
  const int before = support::open_descriptors();
  const auto refused = [&] {
    try {
      (void)heap->allocate({.size = unit::page});
    } catch (const sa::Error& error) {
      return std::string(error.what());
    }
    return std::string("not refused");
  };
  sa::DmaBuf buffer = heap->allocate({.size = unit::page});
  CHECK(says(refused(), "gave the descriptor " + std::to_string(fd) + " again, which another buffer still has"));
  duplicate = true;
  CHECK(says(refused(), "gave the same memory again, which another buffer still has"));
  CHECK(support::open_descriptors() == before + 1);
  buffer.map_unsynchronized().bytes()[0] = std::byte{1};
  CHECK(::fcntl(buffer.fd(), F_GETFD) >= 0);
  // When it has ended the plugin may: here by a descriptor that it kept.
  const sa::UniqueFd kept{::fcntl(fd, F_DUPFD_CLOEXEC, 0)};
  buffer.reset();
  fd = kept.get();
  CHECK(static_cast<bool>(heap->allocate({.size = unit::page})));
}

TEST_CASE("a description that cannot be is refused, and with it the whole plugin") {
  const auto described = [](const std::function<void(sa_plugin_heap&)>& change) {
    return description_refused([change](std::uint32_t index, sa_plugin_heap* heap) {
      heap->instance = "x";
      change(*heap);
      return index == 0 ? 0 : -ENOENT;
    });
  };
  CHECK(described([](auto&) {}) == "not refused");
  for (const char* name : {static_cast<const char*>(nullptr), "", "a:b", "../x", "a b", "\x1b"}) {
    CHECK(says(described([name](auto& heap) { heap.instance = name; }), "use the plugin liar: an instance is called \""));
  }
  const std::string longest(90, 'x');
  const std::string longer = longest + "x";
  CHECK(described([&](auto& heap) { heap.instance = longest.c_str(); }) == "not refused");
  CHECK(says(described([&](auto& heap) { heap.instance = longer.c_str(); }), "an instance is called"));
  CHECK(says(described([](auto& heap) { heap.traits = 0x100; }), "liar:x has traits that this library does not know, 0x100"));
  CHECK(says(described([](auto& heap) { heap.granularity = 100; }), "liar:x has granularity 100"));
  CHECK(says(described([](auto& heap) { heap.max_alignment = 12288; }), "max_alignment 12288"));
  CHECK(says(description_refused([](auto, auto* heap) {
               heap->instance = "x";
               return 0;
             }),
             "it describes liar:x twice"));
  std::array<char, 8> name{};
  CHECK(says(description_refused([&](std::uint32_t index, auto* heap) {
               std::snprintf(name.data(), name.size(), "x%u", index);
               heap->instance = name.data();
               return 0;
             }),
             "it describes more than 64 heaps"));
  CHECK(says(description_refused([](auto, auto*) { return 1; }), "describe(0) returned 1, which is neither 0 nor -errno"));
  CHECK(says(description_refused([](auto, auto*) { return -EBUSY; }), "describe(0): Device or resource busy"));
  CHECK(says(description_refused([](auto, auto*) { return -ENOENT; }), "it has no heap on this machine"));
}

TEST_CASE("a table of another version, a short one and one without a function are refused with a sentence") {
  describing = one_heap(0);
  const auto changed = [](const std::function<void(sa_heap_plugin&)>& change) {
    sa_heap_plugin table = scripted;
    change(table);
    return table_refused(&table);
  };
  CHECK(changed([](auto& table) { table.release = nullptr; }) == "not refused");
  CHECK(says(table_refused(nullptr), "sa_heap_plugin_1() returned no table"));
  CHECK(says(changed([](auto& table) { table.version = 2; }),
             "it speaks version 2 of the plugin interface, and this library version 1"));
  CHECK(says(changed([](auto& table) { --table.struct_size; }), "its table has " + std::to_string(sizeof(sa_heap_plugin) - 1) +
                                                                    " bytes, and version 1 has " +
                                                                    std::to_string(sizeof(sa_heap_plugin))));
  CHECK(says(changed([](auto& table) { table.describe = nullptr; }), "its table lacks describe()"));
  CHECK(says(changed([](auto& table) { table.allocate = nullptr; }), "its table lacks allocate()"));
}

TEST_CASE("no plugin can pose as a backend of the library") {
  describing = one_heap(0);
  std::vector<std::string> names{"alias", "cma", "carveout", "import", "plugin"};
  for (const auto& heap : sa::Registry::system().heaps()) {
    names.push_back(heap.backend);
  }
  for (const auto& name : names) {
    CAPTURE(name);
    CHECK(says(table_refused(&scripted, name), "heaps of the library are named " + name + ":, and no plugin may pose as one"));
    CHECK(says(load_plugin("/nonexistent", name).refusal, "no plugin may pose as one"));
  }
  for (const char* name : {"", "../x", "a/b", "a:b", "/x"}) {
    CHECK(says(table_refused(&scripted, name), "a plugin's name is of letters"));
    CHECK(says(load_plugin("/nonexistent", name).refusal, "a plugin's name is of letters"));
  }
}

TEST_CASE("a plugin that is configured and refused is listed with the reason, which is logged once") {
  const support::LogCapture log;
  const std::vector<sa::CarveoutRegion> carveouts;
  const std::vector<std::string> plugins{"nowhere-to-be-found", "memfd"};
  const auto discover = sa::detail::backends().back();
  auto heaps = discover({carveouts, plugins});
  REQUIRE(heaps.size() == 2);
  CHECK(heaps[0]->info().name == "plugin:nowhere-to-be-found");
  CHECK_FALSE(heaps[0]->info().usable);
  CHECK(says(heaps[0]->info().reason, "does not exist; install the plugin there"));
  CHECK(heaps[1]->info().name == "plugin:memfd");
  const auto again = discover({carveouts, plugins});
  CHECK(again[0]->info() == heaps[0]->info());
  CHECK(log.count("the plugin nowhere-to-be-found is refused: ") == 1);
  try {
    (void)heaps[0]->allocate({.size = 4096});
    FAIL("not refused");
  } catch (const sa::Error& error) {
    CHECK(error.code() == std::errc::no_such_device);
    CHECK(says(error.what(), "does not exist; install the plugin there"));
  }
  CHECK(discover({carveouts, {}}).empty());
}

TEST_CASE("a plugin is loaded once, by any number of callers") {
  if (!is_root()) {
    return;
  }
  const PluginFolder folder;
  const auto file = folder.plant("good");
  const auto table = load_plugin(folder.path(), "planted").table;
  REQUIRE(table != nullptr);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      if (load_plugin(folder.path(), "planted").table != table) {
        std::abort();
      }
    });
  }
  for (auto& thread : threads) {
    thread.join();
  }
  CHECK(calls_of(file).loaded == 1);
  CHECK(calls_of(file).asked == 1);
  const auto heap = sa::make_plugin_heaps("planted", table).at(0);
  CHECK(heap->info().name == "planted:files");
  CHECK(heap->allocate({.size = 100}).size() == heap->info().granularity);
  CHECK(calls_of(file).allocated == 1);
  CHECK(calls_of(file).released == 1);
}

TEST_CASE("a plugin is not loaded where others than root could have put it, and the reason says what to do") {
  if (!is_root()) {
    return;
  }
  const PluginFolder folder;
  const std::string path = folder.path();
  CHECK(folder.refusal() == path + "/planted.so does not exist; install the plugin there");
  CHECK(load_plugin("/nonexistent/libsa", "planted").refusal == "/nonexistent/libsa does not exist; install the plugin there");
  const std::string file = folder.plant("good");
  struct Wrong {
    uid_t owner;
    mode_t mode; ///< of the permissions
  };
  for (const Wrong& one : {Wrong{nobody, 0755}, Wrong{0, 0775}, Wrong{0, 0757}, Wrong{0, 01777}}) {
    CAPTURE(one.mode);
    for (const std::string& changed : {path, file}) {
      REQUIRE(::chown(changed.c_str(), one.owner, 0) == 0);
      REQUIRE(::chmod(changed.c_str(), one.mode) == 0);
      CHECK(folder.refusal() ==
            changed + ": root must own it and alone be able to write it, since it is code for every program (chown root " +
                changed + " && chmod go-w " + changed + ")");
      REQUIRE(::chown(changed.c_str(), 0, 0) == 0);
      REQUIRE(::chmod(changed.c_str(), 0755) == 0);
    }
  }
  CHECK(::dlopen(file.c_str(), RTLD_NOW | RTLD_NOLOAD) == nullptr); // not even its constructors ran
  CHECK(folder.refusal() == "");
}

TEST_CASE("a plugin that is a symbolic link, a folder or a pipe is not loaded") {
  if (!is_root()) {
    return;
  }
  const PluginFolder folder;
  const PluginFolder elsewhere;
  const std::string file = folder.path() / "planted.so";
  std::filesystem::create_symlink(elsewhere.plant("good"), file);
  CHECK(folder.refusal() == file + " is a symbolic link; put the plugin's file itself there");
  const std::string link = folder.path() / "link";
  std::filesystem::create_directory_symlink(elsewhere.path(), link);
  CHECK(load_plugin(link, "planted").refusal == link + " is a symbolic link; put the folder itself there");
  CHECK(load_plugin(file, "planted").refusal == file + " is a symbolic link; put the folder itself there");
  std::filesystem::remove(file);
  REQUIRE(::mkfifo(file.c_str(), 0644) == 0);
  CHECK(folder.refusal() == file + " is no regular file; put the plugin's file itself there");
  std::filesystem::remove(file);
  std::filesystem::create_directory(file);
  CHECK(folder.refusal() == file + " is no regular file; put the plugin's file itself there");
}

TEST_CASE("a file that is no plugin is refused with a sentence") {
  if (!is_root()) {
    return;
  }
  const PluginFolder folder;
  const int before = support::open_descriptors();
  folder.plant("mute", "mute");
  CHECK(folder.refusal("mute") == (folder.path() / "mute.so").string() + " exports no sa_heap_plugin_1()");
  folder.plant("future", "future");
  CHECK(folder.refusal("future") ==
        "it speaks version 2 of the plugin interface, and this library version 1; have one built for this library");
  folder.plant("unresolved", "unresolved"); // found when it is loaded, not when the function is called
  CHECK(says(folder.refusal("unresolved"), "it cannot be loaded: "));
  CHECK(says(folder.refusal("unresolved"), "undefined symbol: nowhere"));
  std::ofstream(folder.path() / "text.so") << "not a shared object\n";
  CHECK(says(folder.refusal("text"), "it cannot be loaded: "));
  CHECK(support::open_descriptors() == before);
}

TEST_CASE("a plugin that was refused is loaded once it is right") {
  if (!is_root()) {
    return;
  }
  const PluginFolder folder;
  const auto file = folder.plant("good");
  REQUIRE(::chmod(file.c_str(), 0777) == 0);
  CHECK(folder.refusal() != "");
  REQUIRE(::chmod(file.c_str(), 0755) == 0);
  CHECK(folder.refusal() == "");
  REQUIRE(::chmod(file.c_str(), 0777) == 0);
  CHECK(folder.refusal() == ""); // it is loaded
}

namespace {

// Of the child below: what is left for exit(3).
std::shared_ptr<sa::Heap> last_heap;
sa::DmaBuf last_buffer;

/// Runs after the plugin has ended, since it was registered before the plugin was loaded.
void use_plugin_at_exit() {
  last_buffer.reset();
  try {
    (void)last_heap->allocate({.size = 4096});
    ::_exit(2);
  } catch (const sa::Error& error) {
    ::_exit(error.code() == std::errc::operation_canceled &&
                    says(error.what(), "the process is ending, and the plugin planted is called no more")
                ? 42
                : 3);
  }
}

} // namespace

TEST_CASE("nothing of a plugin is called once exit() has begun") {
  if (!is_root()) {
    return;
  }
  const PluginFolder folder;
  folder.plant("good");
  // The plugin aborts when it is called then.
  CHECK(support::in_child([&]() -> int {
          std::atexit(use_plugin_at_exit);
          last_heap = planted_heap(folder);
          last_buffer = last_heap->allocate({.size = 4096});
          std::exit(1);
        }) == 42);
}

TEST_CASE("a forked child goes on with a plugin, and ends nothing that is its parent's") {
  if (!is_root()) {
    return;
  }
  const PluginFolder folder;
  const auto file = folder.plant("good");
  const auto heap = planted_heap(folder);
  sa::DmaBuf buffer = heap->allocate({.size = 4096});
  CHECK(support::in_child([&] {
          sa::DmaBuf own = heap->allocate({.size = 4096});
          buffer.reset();
          if (calls_of(file).released != 0) {
            return 2;
          }
          own.reset();
          return calls_of(file).released == 1 ? support::passed : 3;
        }) == support::passed);
  CHECK(calls_of(file).released == 0);
  buffer.reset();
  CHECK(calls_of(file).released == 1);
}

TEST_CASE("a child that forks while others allocate from a plugin can do so too" * doctest::skip(support::weak_pointers_lock)) {
  std::atomic<bool> stop{false};
  sa_heap_plugin table = scripted;
  table.release = nullptr; // the test's own takes no threads
  describing = one_heap(SA_PLUGIN_CACHED);
  table.allocate = [](void*, const sa_plugin_request* request, sa_plugin_memory* memory, char*, std::size_t) {
    memory->fd = ::memfd_create("plugin", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return ::ftruncate(memory->fd, static_cast<off_t>(request->size)) == 0 ? 0 : -errno;
  };
  const auto heap = sa::make_plugin_heaps("liar", &table).at(0);
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      while (!stop.load()) {
        (void)heap->allocate({.size = 4096});
      }
    });
  }
  for (int i = 0; i < 50; ++i) {
    CHECK(support::in_child([&] { return heap->allocate({.size = 4096}) ? support::passed : support::failed; }) ==
          support::passed);
  }
  stop = true;
  for (auto& thread : threads) {
    thread.join();
  }
}

// Run by the next one, in a copy of this program that raises its privileges.
TEST_CASE("the plugins of a program with raised privileges" * doctest::skip()) {
  CHECK(::getauxval(AT_SECURE) == 1);
  const std::string folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  CHECK(load_plugin(folder, "planted").refusal == "this program has raised its privileges, and loads no plugins");
  CHECK(::dlopen((folder + "/planted.so").c_str(), RTLD_NOW | RTLD_NOLOAD) == nullptr);
}

TEST_CASE("a program with raised privileges loads no plugins") {
  if (!is_root()) {
    return;
  }
  const PluginFolder folder;
  folder.plant("good");
  const auto program = folder.path() / "raised";
  std::filesystem::copy_file("/proc/self/exe", program);
  REQUIRE(::chown(program.c_str(), 0, nobody) == 0);
  REQUIRE(::chmod(program.c_str(), 02755) == 0);
  CHECK(support::in_child([&] {
          ::execl(program.c_str(), program.c_str(), "--no-skip", "--test-case=the plugins of a program with raised privileges",
                  nullptr);
          return 77;
        }) == 0);
}
