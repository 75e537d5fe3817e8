// SPDX-License-Identifier: MIT
/// The configuration: what its keys mean, what is refused and how, which file wins, and what a registry makes of it.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <utility>

#include <grp.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/registry/aliases.hpp"
#include "core/registry/configuration.hpp"
#include "paths.hpp"
#include "support/process.hpp"
#include "unit/folder.hpp"
#include "unit/test_heap.hpp"

#include <sa/sa.hpp>

using sa::detail::ConfigurationFile;
using unit::Folder;
using unit::TestHeap;

namespace {

bool says(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

/// What is said of a wrong text, without the operation in front; "not refused" of a right one.
std::string refusal(std::string_view text) {
  std::error_code ec;
  const sa::Configuration empty = sa::parse_configuration(text, "f", ec);
  try {
    (void)sa::parse_configuration(text, "f");
  } catch (const sa::Error& error) {
    CHECK(error.code() == std::errc::invalid_argument);
    CHECK(ec == std::errc::invalid_argument);
    CHECK(empty == sa::Configuration{});
    const std::string prefix = "read the configuration: ";
    REQUIRE(std::string(error.what()).starts_with(prefix));
    return std::string(error.what()).substr(prefix.size());
  }
  CHECK_FALSE(ec);
  return "not refused";
}

void write(const std::filesystem::path& path, std::string_view text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

/// A variable of the environment, for a test.
class Variable {
public:
  Variable(const char* name, const std::string& value) : name_(name) {
    if (const char* before = std::getenv(name); before != nullptr) {
      before_ = before;
    }
    ::setenv(name, value.c_str(), 1);
  }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;
  ~Variable() { before_ ? ::setenv(name_, before_->c_str(), 1) : ::unsetenv(name_); }

private:
  const char* name_;
  std::optional<std::string> before_;
};

std::vector<std::string> names(const std::vector<ConfigurationFile>& files) {
  std::vector<std::string> paths;
  for (const auto& file : files) {
    paths.push_back(file.path.string());
  }
  return paths;
}

} // namespace

TEST_CASE("every key of a configuration is read") {
  const sa::Configuration read = sa::parse_configuration(R"(
order = ["dma-heap:system", "udmabuf:*", "camera"]
plugins = ["example", "camera-v2"]
[aliases]
camera = ["cma", "carveout:*"]
"a.b" = ["memfd:4k"]
[carveouts.camera]
base = "0x30000000"
size = "64M"
device-memory = true
[carveouts.isp]
base = 0x38000000
size = 1048576
[carveouts.tree]
[[device]]
match = "/dev/video0"
constraints = "contiguous,max-address=4G"
[[device]]
match = "driver:vivid"
constraints = ""
[pool]
max-free-bytes = "128M"
max-age-ms = 2500
recycle = "always"
zero = true
[quotas."dma-heap:system"]
bytes = "64M"
buffers = 100
[quotas.camera]
buffers = 0
)",
                                                         "f");
  CHECK(read.files.empty());
  CHECK(read.order == std::vector<std::string>{"dma-heap:system", "udmabuf:*", "camera"});
  CHECK(read.plugins == std::vector<std::string>{"example", "camera-v2"});
  CHECK(read.aliases == sa::detail::Aliases{{"camera", {"cma", "carveout:*"}}, {"a.b", {"memfd:4k"}}});
  REQUIRE(read.carveouts.size() == 3);
  CHECK(read.carveouts[0] == sa::CarveoutRegion{"camera", 0x30000000, 64 << 20, true});
  CHECK(read.carveouts[1] == sa::CarveoutRegion{"isp", 0x38000000, 1 << 20, false});
  CHECK(read.carveouts[2] == sa::CarveoutRegion{"tree", 0, 0, false});
  REQUIRE(read.devices.size() == 2);
  CHECK(read.devices[0].match == "/dev/video0");
  CHECK(read.devices[0].constraints == sa::parse_constraints("contiguous,max-address=4G"));
  CHECK(read.devices[1] == sa::DeviceProfile{"driver:vivid", sa::Constraints{}, {}});
  CHECK(read.pool.max_free_bytes == 128 << 20);
  CHECK(read.pool.max_age == std::chrono::milliseconds(2500));
  CHECK(read.pool.recycle == sa::Recycle::Always);
  CHECK(read.pool.zero);
  REQUIRE(read.quotas.size() == 2);
  CHECK(read.quotas[1] == sa::Quota{"dma-heap:system", 64 << 20, 100});
  CHECK(read.quotas[0] == sa::Quota{"camera", SIZE_MAX, 0});
}

TEST_CASE("an empty configuration is the default, and so is each key that is not there") {
  for (const char* text :
       {"", "\n# nothing\r\n", "\xef\xbb\xbf", "[pool]", "[aliases]\n[carveouts]\n[quotas]\n", "device = []"}) {
    CAPTURE(text);
    CHECK(sa::parse_configuration(text, "f") == sa::Configuration{});
  }
  CHECK(sa::parse_configuration("pool.max-age-ms = \"never\"", "f").pool.max_age == std::chrono::milliseconds::max());
  CHECK(sa::parse_configuration("pool.recycle = \"when-unshared\"", "f") == sa::Configuration{});
}

TEST_CASE("an error is refused with file, line, column, key and the expected value") {
  const std::string a_page = std::to_string(unit::page);
  const std::string two_pages = "\"" + std::to_string(2 * unit::page / 1024) + "K\"";
  const std::string last_page = unit::hex(UINT64_MAX - unit::page + 1);
  const struct {
    std::string text;
    std::string begins;
    const char* says = "";
  } wrong[] = {
      // keys
      {"x = 1", "f:1:1: x: unknown key; known here: aliases, carveouts, device, order, plugins, pool, quotas"},
      {"\n  alias = 1", "f:2:3: alias: unknown key, did you mean aliases?"},
      {"[pool]\nmax-free-byte = 1", "f:2:1: pool.max-free-byte: unknown key, did you mean max-free-bytes?",
       "max-age-ms, max-free-bytes, recycle, zero"},
      {"[pools]", "f:1:2: pools: unknown key, did you mean pool?"},
      {"[quotas.\"memfd:4k\"]\nbyte = 1", "f:2:1: quotas.\"memfd:4k\".byte: unknown key, did you mean bytes?"},
      {"[carveouts.a]\nbase = 0\nsize = 4096\nname = 1",
       "f:4:1: carveouts.a.name: unknown key; known here: base, device-memory, size"},
      {"[[device]]\nmatch = \"/a\"\nconstraints = \"\"\n[[device]]\nmatches = 1",
       "f:5:1: device[1].matches: unknown key, did you mean match?"},
      {"\"\\u001b[31m\" = 1", "f:1:1: \"?[31m\": unknown key"},
      // kinds
      {"aliases = 1", "f:1:11: aliases: must be a table, not an integer"},
      {"order = \"system\"", "f:1:9: order: must be an array of names", "not a string"},
      {"order = [\"system\", 1.5]", "f:1:20: order[1]: must be a name in quotes, not a number with a fraction"},
      {"carveouts = []", "f:1:13: carveouts: must be a table, not an array"},
      {"carveouts.a = 1979-05-27", "f:1:15: carveouts.a: must be a table, not a date or a time"},
      {"[device]", "f:1:1: device: must be an array of tables, each under [[device]], not a table"},
      {"device = [1]", "f:1:11: device[0]: must be a table, not an integer"},
      {"[[device]]\nmatch = 1", "f:2:9: device[0].match: must be a string, not an integer"},
      {"[[device]]\nmatch = \"/a\"\nconstraints = []", "f:3:15: device[0].constraints: must be a string, not an array"},
      {"pool = true", "f:1:8: pool: must be a table, not a boolean"},
      {"[pool]\nzero = \"yes\"", "f:2:8: pool.zero: must be true or false, not a string"},
      {"[pool]\nmax-free-bytes = 1.5", "f:2:18: pool.max-free-bytes: must be a number of bytes", "not a number with a fraction"},
      {"[pool]\nmax-age-ms = \"2s\"", "f:2:14: pool.max-age-ms: must be a number of milliseconds, or \"never\", not a string"},
      {"[pool]\nrecycle = 1", "f:2:11: pool.recycle: must be a string"},
      {"[quotas]\nsystem = 1", "f:2:10: quotas.system: must be a table"},
      {"[quotas.system]\nbuffers = \"1\"", "f:2:11: quotas.system.buffers: must be a number of buffers, not a string"},
      // values
      {"[aliases]\n\"a:b\" = [\"cma\"]", "f:2:1: aliases.\"a:b\": an alias is one word"},
      {"[aliases]\n\"\" = [\"cma\"]", "f:2:1: aliases.\"\": an alias is one word"},
      {"[aliases]\na = []", "f:2:5: aliases.a: 0 names; there must be 1 to 32"},
      {"[aliases]\na = [\"../x\"]", "f:2:6: aliases.a[0]: \"../x\" is no \"backend:instance\""},
      {"[aliases]\na = [\"cma\", \"a:b:c\"]", "f:2:13: aliases.a[1]: \"a:b:c\" is no \"backend:instance\""},
      {"order = [\"*\"]", "f:1:10: order[0]: \"*\" is no \"backend:instance\""},
      {"plugins = \"example\"", "f:1:11: plugins: must be an array of names", "not a string"},
      {"plugins = []", "f:1:11: plugins: 0 names; there must be 1 to 32"},
      {"plugins = [\"a\", \"../b\"]", "f:1:17: plugins[1]: \"../b\" is not a plugin's name"},
      {"plugins = [\"/lib/a\"]", "f:1:12: plugins[0]: \"/lib/a\" is not a plugin's name"},
      {"plugins = [\"a:b\"]", "f:1:12: plugins[0]: \"a:b\" is not a plugin's name"},
      {"plugins = [\"a\", \"b\", \"a\"]", "f:1:11: plugins: a is named twice"},
      {"[aliases]\na = [\"a\"]", "f:2:1: aliases.a: the alias leads back to itself"},
      {"[aliases]\nz = [\"memfd:4k\"]\nb = [\"c\"]\nc = [\"z\", \"b\"]", "f:3:1: aliases.b: the alias leads back to itself"},
      {"[aliases]\ncma = [\"contiguous\"]", "f:2:1: aliases.cma: the alias leads back to itself"},
      {"[carveouts.\"a/b\"]", "f:1:12: carveouts.\"a/b\": a carveout's name is of letters"},
      {"[carveouts.a]\nbase = " + a_page, "f:1:1: carveouts.a: base and size go together"},
      {"[carveouts.a]\nsize = " + a_page, "f:1:1: carveouts.a: base and size go together"},
      {"[carveouts.a]\nbase = " + a_page + "\nsize = 0", "f:3:8: carveouts.a.size: must not be 0"},
      {"[carveouts.a]\nbase = 1\nsize = " + a_page, "f:2:8: carveouts.a.base: 0x1 is not a multiple of the page size"},
      {"[carveouts.a]\nbase = 0\nsize = 100", "f:3:8: carveouts.a.size: 0x64 is not a multiple of the page size"},
      {"[carveouts.a]\nbase = \"" + last_page + "\"\nsize = " + two_pages,
       "f:3:8: carveouts.a.size: the range ends behind the last address"},
      {"[carveouts.a]\nbase = \"16E\"\nsize = \"8K\"", "f:2:8: carveouts.a.base: \"16E\" is 16E or more"},
      {"[carveouts.a]\nbase = \"1G\"\nsize = \"64MB\"",
       "f:3:8: carveouts.a.size: \"64MB\" is not a number of bytes, 67108864 or \"64M\""},
      {"[carveouts.a]\nbase = -4096\nsize = 4096", "f:2:8: carveouts.a.base: -4096 is negative"},
      {"[carveouts.b]\nbase = \"1G\"\nsize = " + two_pages + "\n[carveouts.a]\nbase = " + unit::hex((1U << 30) + unit::page) +
           "\nsize = " + two_pages,
       "f:4:12: carveouts.a: overlaps the carveout b"},
      {"[[device]]\nconstraints = \"\"", "f:1:1: device[0]: has no match"},
      {"[[device]]\nmatch = \"/dev/a\"", "f:1:1: device[0]: has neither constraints nor layout"},
      {"[[device]]\nmatch = \"video0\"\nconstraints = \"\"", "f:2:9: device[0].match: \"video0\" is neither the path"},
      {"[[device]]\nmatch = \"driver:\"\nconstraints = \"\"", "f:2:9: device[0].match: \"driver:\" is neither"},
      {"[[device]]\nmatch = \"driver:a/b\"\nconstraints = \"\"", "f:2:9: device[0].match: \"driver:a/b\" is neither"},
      {"[[device]]\nmatch = \"/a\\u0007\"\nconstraints = \"\"", "f:2:9: device[0].match: \"/a?\" is neither"},
      {"[[device]]\nmatch = \"/a\"\nconstraints = \"\"\n[[device]]\nmatch = \"/a\"\nconstraints = \"\"",
       "f:5:9: device[1].match: \"/a\" is matched before"},
      {"[[device]]\nmatch = \"/a\"\nconstraints = \"contigous\"",
       "f:3:15: device[0].constraints: \"contigous\" is not a constraint"},
      {"[[device]]\nmatch = \"/a\"\nconstraints = \"cached,uncached\"", "f:3:15: device[0].constraints: ", "exclude each other"},
      {"[pool]\nmax-age-ms = -1", "f:2:14: pool.max-age-ms: -1 is negative"},
      {"[pool]\nrecycle = \"sometimes\"", "f:2:11: pool.recycle: \"sometimes\" is neither \"when-unshared\" nor \"always\""},
      {"[quotas.\"memfd:*\"]\nbytes = 1", "f:1:9: quotas.\"memfd:*\": a quota is of a heap"},
      {"[quotas.system]", "f:1:1: quotas.system: limits neither bytes nor buffers"},
      // text
      {"a = ", "f:1:"},
      {"[[device]]\nmatch = \"/dev/video0\"\nlayout = \"stride=1936,stride-align=256\"",
       "f:3:10: device[0].layout: ", "leaves no stride"},
      {"[pool]\nzero = true\nzero = true", "f:3:"},
      {"[pool]\n[pool]", "f:2:"},
      {"# \xff\xfe", "f:1:"},
      {"x = \"\xc3\x28\"", "f:1:"},
      {"[pool]\n# a time\nx = 1979-05-27T:7032:00Z\nzero = true\n", "f:3:"}, // these end or confuse toml++ 3.3
      {"[[[", "f:1:3: a table's name must follow the bracket"},
      {"\n \t[[ = ]]", "f:2:6: a table's name must follow the bracket"},
      {"[\n", "f:1:2: a table's name must follow the bracket"},
      {"\xef\xbb\xbf[\xc3\xa4]", "f:1:2: a table's name must follow the bracket"},
      {"\xef\xbb\xbf\xef\xbb\xbf[[[", "f:1:3:"},
      {"x = 1979-05-27T:", "f:1:"},
      {"\xc3\xa4 = 1", "f:1:1:"},
      {"[", "f:1:"},
      {"[]", "f:1:"},
      {"[[ ]]", "f:1:"},
      {"\n\n# \x1b[31m", "f:3:3: a control character, 0x1b"},
      {"# a\rb", "f:1:4: a control character, 0x0d"},
      {"# \xc3\xa4\x7f", "f:1:4: a control character, 0x7f"},
      {"x = [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]", "f:1:"},
  };
  for (const auto& one : wrong) {
    CAPTURE(one.text);
    const std::string said = refusal(one.text);
    CAPTURE(said);
    CHECK(said.starts_with(one.begins));
    CHECK(says(said, one.says));
  }
  CHECK(refusal(std::string_view("# \0", 3)).starts_with("f:1:3: a control character, 0x00"));
}

TEST_CASE("a file that is too long, too deep or too full is refused, before it can do harm") {
  const std::string mebibyte(sa::detail::max_configuration_size - 1, '#');
  CHECK(refusal(mebibyte) == "not refused");
  CHECK(refusal(mebibyte + "\n#").starts_with("f: longer than 1 MiB"));
  // Each dot would be a table in a table, each bracket a call in a call.
  std::string dotted = "a";
  for (int i = 0; i < 500000; ++i) {
    dotted += ".a";
  }
  CHECK(refusal(dotted + " = 1").starts_with("f:1:130: more than 64 dots in one line"));
  CHECK(refusal("[" + dotted + "]").starts_with("f:1:131: more than 64 dots in one line"));
  CHECK(refusal("x = " + std::string(500000, '[')).starts_with("f:1:"));
  CHECK(refusal("x = " + std::string(500000, '{')).starts_with("f:1:"));
  std::string aliases = "[aliases]\n";
  std::string devices;
  std::string carveouts;
  std::string quotas;
  for (int i = 0; i <= 1024; ++i) {
    const std::string n = std::to_string(i);
    aliases += i <= 128 ? "a" + n + " = [\"cma\"]\n" : "";
    devices += "[[device]]\nmatch = \"/" + n + "\"\nconstraints = \"\"\n";
    carveouts += "[carveouts.c" + n + "]\n";
    quotas += "[quotas.q" + n + "]\nbytes = 1\n";
  }
  CHECK(says(refusal(aliases), "aliases: more than 128 entries"));
  CHECK(says(refusal(devices), "device: more than 1024 entries"));
  CHECK(says(refusal(carveouts), "carveouts: more than 1024 entries"));
  CHECK(says(refusal(quotas), "quotas: more than 1024 entries"));
  std::string long_order;
  for (int i = 0; i < 33; ++i) {
    long_order += "\"system\",";
  }
  CHECK(refusal("order = [" + long_order + "]").starts_with("f:1:9: order: 33 names; there must be 1 to 32"));
}

TEST_CASE("a message shows no more of a file than a line, and nothing a terminal would obey") {
  const std::string said = refusal(std::string(100000, 'k') + " = 1");
  CHECK(said.size() < 300);
  std::string umlauts = "order = [\"\\u0007";
  for (int i = 0; i < 100; ++i) {
    umlauts += "\xc3\xa4";
  }
  const std::string cut = refusal(umlauts + "\"]");
  CHECK(says(cut, "\xc3\xa4...\" is no"));
  CHECK(std::none_of(cut.begin(), cut.end(), [](unsigned char c) { return c < ' '; }));
}

TEST_CASE("a later file overrides an earlier one: aliases, carveouts, devices and quotas by name, order whole, the pool by key") {
  const Folder folder;
  write(folder / "1", R"(
order = ["memfd:4k", "memfd:huge"]
[aliases]
a = ["memfd:4k", "memfd:huge"]
b = ["memfd:4k"]
[carveouts.one]
base = "1G"
size = "1M"
device-memory = true
[carveouts.two]
base = "2G"
size = "1M"
[[device]]
match = "/dev/one"
constraints = "contiguous"
[[device]]
match = "/dev/two"
constraints = "contiguous"
[pool]
max-free-bytes = 1
zero = true
[quotas.one]
bytes = 1
buffers = 1
[quotas.two]
bytes = 2
)");
  write(folder / "2", R"(
order = ["memfd:huge"]
[aliases]
a = ["b"]
c = ["a"]
[carveouts.one]
base = "1G"
size = "2M"
[[device]]
match = "/dev/one"
constraints = "align=4K"
[[device]]
match = "/dev/three"
constraints = ""
[pool]
max-age-ms = 5
zero = false
[quotas.one]
buffers = 7
)");
  const auto [both, refused] = sa::detail::load_configuration({{folder / "1"}, {folder / "absent"}, {folder / "2", true}});
  CHECK(refused.empty());
  CHECK(both.files == std::vector<std::filesystem::path>{folder / "1", folder / "2"});
  CHECK(both.order == std::vector<std::string>{"memfd:huge"});
  CHECK(both.aliases == sa::detail::Aliases{{"a", {"b"}}, {"b", {"memfd:4k"}}, {"c", {"a"}}});
  CHECK(both.carveouts == std::vector<sa::CarveoutRegion>{{"one", 1U << 30, 2 << 20, false}, {"two", 2UL << 30, 1 << 20, false}});
  REQUIRE(both.devices.size() == 3);
  CHECK(to_string(both.devices[0].constraints.value()) == "align=4K");
  CHECK(both.devices[1].match == "/dev/two");
  CHECK(both.devices[2].match == "/dev/three");
  CHECK(both.pool.max_free_bytes == 1);
  CHECK_FALSE(both.pool.zero);
  CHECK(both.pool.max_age == std::chrono::milliseconds(5));
  CHECK(both.quotas == std::vector<sa::Quota>{{"one", SIZE_MAX, 7}, {"two", 2, SIZE_MAX}});
}

TEST_CASE("nothing of a wrong file is applied, and the others are") {
  const Folder folder;
  write(folder / "1", "order = [\"memfd:4k\"]\n[pool]\nmax-free-bytes = 1\n");
  write(folder / "2",
        "order = [\"memfd:huge\"]\naliases.x = [\"cma\"]\ncarveouts.c = {base = 0, size = " + std::to_string(unit::page) +
            "}\n"
            "[pool]\nmax-free-bytes = 2\nzero = true\n[quotas.system]\nbytes = \"much\"\n");
  write(folder / "3", "[pool]\nmax-age-ms = 3\n");
  const auto [used, refused] = sa::detail::load_configuration({{folder / "1"}, {folder / "2"}, {folder / "3"}});
  REQUIRE(refused.size() == 1);
  CHECK(says(refused[0].what(), (folder / "2").string() + ":8:9: quotas.system.bytes: \"much\""));
  sa::Configuration expected;
  expected.files = {folder / "1", folder / "3"};
  expected.order = {"memfd:4k"};
  expected.pool.max_free_bytes = 1;
  expected.pool.max_age = std::chrono::milliseconds(3);
  CHECK(used == expected);
}

TEST_CASE("an error that two files make together is the later file's") {
  const Folder folder;
  write(folder / "1", "aliases.a = [\"b\"]\ncarveouts.one = {base = \"1G\", size = \"1M\"}\n");
  write(folder / "2", "aliases.b = [\"a\"]\n");
  write(folder / "3", "\ncarveouts.two = {base = \"1G\", size = \"1M\"}\n");
  write(folder / "4", "carveouts.one = {base = \"3G\", size = \"1M\"}\ncarveouts.two = {base = \"1G\", size = \"1M\"}\n");
  const auto [used, refused] = sa::detail::load_configuration({{folder / "1"}, {folder / "2"}, {folder / "3"}, {folder / "4"}});
  REQUIRE(refused.size() == 2);
  CHECK(says(refused[0].what(), "2:1:9: aliases.b: the alias leads back to itself"));
  CHECK(says(refused[1].what(), "3:2:11: carveouts.two: overlaps the carveout one"));
  CHECK(used.files.size() == 2);
  CHECK(used.carveouts.size() == 2);
  std::vector<ConfigurationFile> many;
  for (int file = 0; file < 2; ++file) {
    std::string text = "[aliases]\n";
    for (int i = 0; i < 100; ++i) {
      text += "f" + std::to_string(file) + "-" + std::to_string(i) + " = [\"cma\"]\n";
    }
    many.push_back({folder / (file == 0 ? "many" : "more")});
    write(many.back().path, text);
  }
  const auto loaded = sa::detail::load_configuration(many);
  REQUIRE(loaded.refused.size() == 1);
  CHECK(says(loaded.refused[0].what(), "more than 128 aliases, with those of the files before"));
}

TEST_CASE("an unreadable file is an error, and a missing one only if it was asked for") {
  const Folder folder;
  const auto code = [](const ConfigurationFile& file) {
    const auto loaded = sa::detail::load_configuration({file});
    CHECK(loaded.configuration == sa::Configuration{});
    return loaded.refused.empty() ? std::error_code() : loaded.refused.front().code();
  };
  CHECK_FALSE(code({folder / "none"}));
  CHECK(code({folder / "none", true}) == std::errc::no_such_file_or_directory);
  write(folder / "file", "");
  CHECK_FALSE(code({folder / "file/none"}));
  CHECK(code({folder / "file/none", true}) == std::errc::not_a_directory);
  CHECK(code({folder / "."}) == std::errc::invalid_argument);
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK(code({folder / "pipe"}) == std::errc::invalid_argument);
  std::filesystem::create_symlink("loop", folder / "loop");
  CHECK(code({folder / "loop"}) == std::errc::too_many_symbolic_link_levels);
  write(folder / "long", std::string((1 << 20) + 1, '\n'));
  CHECK(code({folder / "long"}) == std::errc::invalid_argument);
  write(folder / "closed/file", "");
  ::chmod((folder / ".").c_str(), 0755);
  ::chmod((folder / "file").c_str(), 0);
  ::chmod((folder / "closed").c_str(), 0);
  CHECK(support::in_child([&] { // as nobody: root may read what he may not
          if (::geteuid() == 0 && (::setgroups(0, nullptr) != 0 || ::setgid(65534) != 0 || ::setuid(65534) != 0)) {
            return 2;
          }
          const auto unreadable = sa::detail::load_configuration({{folder / "file"}});
          const auto hidden = sa::detail::load_configuration({{folder / "closed/file"}});
          const auto asked = sa::detail::load_configuration({{folder / "closed/file", true}});
          if (unreadable.refused.size() != 1 || unreadable.refused[0].code() != std::errc::permission_denied) {
            return 3;
          }
          return hidden.refused.empty() && asked.refused.size() == 1 ? support::passed : 4;
        }) == support::passed);
  ::chmod((folder / "closed").c_str(), 0700);
}

TEST_CASE("root refuses a file that others own or may write, with the remedy" * doctest::skip(::geteuid() != 0)) {
  const Folder folder;
  const std::string path = folder / "sa.toml";
  write(path, "[aliases]\nown = [\"memfd:4k\"]\n");
  const auto load = [&] { return sa::detail::load_configuration({{path}}); };
  constexpr uid_t nobody = 65534;
  struct Owned {
    uid_t owner;
    mode_t mode;
  };
  for (const Owned& one : {Owned{nobody, 0644}, Owned{0, 0664}, Owned{0, 0646}, Owned{nobody, 0666}}) {
    CAPTURE(one.owner);
    CAPTURE(one.mode);
    REQUIRE(::chown(path.c_str(), one.owner, 0) == 0);
    REQUIRE(::chmod(path.c_str(), one.mode) == 0);
    const auto loaded = load();
    CHECK(loaded.configuration == sa::Configuration{});
    REQUIRE(loaded.refused.size() == 1);
    CHECK(loaded.refused[0].code() == std::errc::operation_not_permitted);
    CHECK(says(loaded.refused[0].what(), "chown root " + path + " && chmod go-w " + path));
  }
  REQUIRE(::chmod((folder / ".").c_str(), 0755) == 0);
  CHECK(support::in_child([&] {
          return ::setuid(nobody) == 0 && load().configuration.aliases.size() == 1 ? support::passed : support::failed;
        }) == support::passed);
  REQUIRE(::chown(path.c_str(), 0, 0) == 0);
  REQUIRE(::chmod(path.c_str(), 0644) == 0);
  CHECK(load().configuration.aliases.size() == 1);
}

TEST_CASE("only the system's file can name plugins, and one that does so elsewhere is refused with the reason") {
  const Folder folder;
  const std::string path = folder / "sa.toml";
  write(path, "plugins = [\"example\"]\n[aliases]\nown = [\"memfd:4k\"]\n");
  const auto system = sa::detail::load_configuration({{path, false, true}});
  CHECK(system.refused.empty());
  CHECK(system.configuration.plugins == std::vector<std::string>{"example"});
  const auto users = sa::detail::load_configuration({{path}});
  CHECK(users.configuration == sa::Configuration{});
  REQUIRE(users.refused.size() == 1);
  CHECK(says(users.refused[0].what(),
             path + ":1:11: plugins: only the system's configuration, " SA_SYSTEM_CONFIGURATION ", can name plugins"));
}

TEST_CASE("the files are the system's, the user's and the one that SA_CONFIG names") {
  const Variable config("SA_CONFIG", "");
  {
    const Variable xdg("XDG_CONFIG_HOME", "/xdg");
    CHECK(names(sa::detail::configuration_files()) == std::vector<std::string>{SA_SYSTEM_CONFIGURATION, "/xdg/sa.toml"});
    const Variable named("SA_CONFIG", "own.toml");
    const auto files = sa::detail::configuration_files();
    CHECK(names(files) == std::vector<std::string>{SA_SYSTEM_CONFIGURATION, "/xdg/sa.toml", "own.toml"});
    CHECK_FALSE(files[0].required);
    CHECK(files[0].system);
    CHECK_FALSE(files[1].system);
    CHECK_FALSE(files[2].system);
    CHECK_FALSE(files[1].required);
    CHECK(files[2].required);
  }
  const Variable xdg("XDG_CONFIG_HOME", "relative");
  const Variable home("HOME", "/home/me");
  CHECK(names(sa::detail::configuration_files()) ==
        std::vector<std::string>{SA_SYSTEM_CONFIGURATION, "/home/me/.config/sa.toml"});
  const Variable homeless("HOME", "");
  CHECK(names(sa::detail::configuration_files()) == std::vector<std::string>{SA_SYSTEM_CONFIGURATION});
}

// Run by the next one, in a copy of this program that raises its privileges.
TEST_CASE("the files of a program with raised privileges" * doctest::skip()) {
  const Variable config("SA_CONFIG", "/own.toml");
  const Variable xdg("XDG_CONFIG_HOME", "/xdg");
  CHECK(::getauxval(AT_SECURE) == 1);
  CHECK(names(sa::detail::configuration_files()) == std::vector<std::string>{SA_SYSTEM_CONFIGURATION});
}

TEST_CASE("a program with raised privileges reads the system's file alone") {
  if (::geteuid() != 0) {
    MESSAGE("not tested: only root can make a program that raises its privileges");
    return;
  }
  const Folder folder;
  const auto program = folder / "raised";
  std::filesystem::copy_file("/proc/self/exe", program);
  std::filesystem::permissions(folder / ".", std::filesystem::perms(0755));
  REQUIRE(::chown(program.c_str(), 0, 65534) == 0);
  REQUIRE(::chmod(program.c_str(), 02755) == 0);
  const int status = support::in_child([&] {
    ::execl(program.c_str(), program.c_str(), "--no-skip", "--test-case=the files of a program with raised privileges", nullptr);
    return 77;
  });
  CHECK(status == 0);
}

TEST_CASE("a registry uses the aliases of the configuration, over the standard ones and under those of the program") {
  const Folder folder;
  const Variable config("SA_CONFIG", folder / "sa.toml");
  write(folder / "sa.toml", "[aliases]\ncamera = [\"test:a\"]\nsystem = [\"test:b\"]\nmine = [\"test:a\"]\n");
  sa::Registry registry;
  registry.add(std::make_shared<TestHeap>("test:a"));
  registry.add(std::make_shared<TestHeap>("test:b"));
  registry.alias("mine", {"test:b"});
  CHECK(*registry.configuration() == sa::Configuration{});
  CHECK(registry.find("camera") == nullptr);
  const auto heap = [&](const char* name) { return std::string(registry.allocate(name, {.size = 1}).heap()); };
  registry.refresh();
  CHECK(heap("camera") == "test:a");
  CHECK(heap("system") == "test:b");
  CHECK(heap("mine") == "test:b");
  const auto before = registry.configuration();
  CHECK(before->files.back() == folder / "sa.toml");
  CHECK(before->aliases.size() == 3);
  registry.refresh();
  CHECK(registry.configuration() == before); // nothing changed, nothing is published

  write(folder / "sa.toml", "[aliases]\ncamera = [\"test:b\"]\n");
  registry.refresh();
  CHECK(heap("camera") == "test:b");
  CHECK(heap("system") != "test:b"); // the standard one is back
  CHECK(heap("mine") == "test:b");
  CHECK(before->aliases.size() == 3);
  registry.alias("camera", {"test:a"});
  registry.refresh();
  CHECK(heap("camera") == "test:a");

  write(folder / "sa.toml", "[aliases]\nother = [\"mine\"]\nwrong\n");
  std::error_code ec;
  registry.refresh(ec);
  CHECK_FALSE(ec);
  CHECK(registry.find("other") == nullptr);
  const auto loaded = sa::load_configuration();
  REQUIRE(loaded.refused.size() == 1);
  CHECK(says(loaded.refused[0].what(), (folder / "sa.toml").string() + ":3:"));
}

TEST_CASE("aliases of the configuration that meet the program's in a loop are left out") {
  const Folder folder;
  const Variable config("SA_CONFIG", folder / "sa.toml");
  sa::Registry registry;
  registry.add(std::make_shared<TestHeap>("test:a"));
  registry.alias("mine", {"theirs", "test:a", "cma"}); // a machine may have CMA
  write(folder / "sa.toml", "[aliases]\ntheirs = [\"mine\"]\ncma = [\"mine\"]\nright = [\"mine\"]\n");
  registry.refresh();
  CHECK(registry.find("theirs") == nullptr);
  REQUIRE(registry.find("cma") != nullptr); // the standard one
  CHECK(registry.allocate("mine", {.size = 1}).heap() == "test:a");
  CHECK(registry.allocate("right", {.size = 1}).heap() == "test:a");
  std::error_code ec;
  registry.alias("mine", {"right"}, ec);
  CHECK(ec == std::errc::too_many_symbolic_link_levels);
}

TEST_CASE("a program's alias over one of the configuration holds when that one goes") {
  const Folder folder;
  const Variable config("SA_CONFIG", folder / "sa.toml");
  const Variable carveout("SA_CARVEOUT", ""); // a machine's own would be found
  write(folder / "sa.toml", "aliases.contiguous = [\"test:b\"]\n");
  sa::Registry registry;
  registry.add(std::make_shared<TestHeap>("test:a"));
  registry.refresh();
  registry.alias("cma", {"contiguous", "test:a"}); // the standard contiguous leads to cma
  write(folder / "sa.toml", "");
  registry.refresh();
  const std::string heap(registry.allocate("cma", {.size = 1}).heap());
  CHECK((heap == "test:a" || heap.starts_with("carveout:"))); // contiguous has a board's carveouts
}

TEST_CASE("a quota of the configuration holds however its heap is reached, and counts on over a refresh") {
  const Folder folder;
  const Variable config("SA_CONFIG", folder / "sa.toml");
  write(folder / "sa.toml", "[aliases]\ncamera = [\"test:a\", \"test:b\"]\n"
                            "[quotas.\"test:a\"]\nbuffers = 2\n[quotas.camera]\nbytes = 12288\n");
  sa::Registry registry;
  registry.add(std::make_shared<TestHeap>("test:a"));
  registry.add(std::make_shared<TestHeap>("test:b"));
  registry.refresh();
  std::error_code ec;
  const sa::DmaBuf first = registry.allocate("test:a", {.size = 4096});
  const sa::DmaBuf second = registry.find("test:a")->allocate({.size = 4096});
  CHECK_FALSE(registry.allocate("test:a", {.size = 4096}, ec));
  CHECK(ec.value() == EDQUOT);
  registry.add(std::make_shared<TestHeap>("test:c")); // publishes anew
  registry.refresh();
  CHECK_FALSE(registry.allocate("test:a", {.size = 4096}, ec));
  CHECK(ec.value() == EDQUOT);
  const sa::DmaBuf third = registry.allocate("camera", {.size = 8192}); // moves on from its first candidate
  CHECK(third.heap() == "test:b");
  registry.refresh();
  CHECK(registry.allocate("camera", {.size = 4096}, ec));
  CHECK_FALSE(registry.allocate("camera", {.size = 8192}, ec));
  CHECK(ec.value() == EDQUOT);
  CHECK(registry.allocate("test:b", {.size = 8192})); // not asked of the alias
  write(folder / "sa.toml", "");
  registry.refresh();
  CHECK(registry.allocate("test:a", {.size = 4096}, ec));
}

TEST_CASE("select() prefers what the configuration's order names, aliases in it too, and reads profiles by a node's path") {
  const Folder folder;
  const Variable config("SA_CONFIG", folder / "sa.toml");
  sa::Registry registry;
  registry.add(std::make_shared<TestHeap>("dma-heap:unit"));
  registry.add(std::make_shared<TestHeap>("cma:unit", sa::Trait::Contiguous | sa::Trait::Cached));
  registry.alias("frames", {"cma:unit"});
  CHECK(registry.select({}).choices.front().heap->info().name == "dma-heap:unit");
  write(folder / "sa.toml", "order = [\"frames\"]\n[[device]]\nmatch = \"/dev/npu0\"\nconstraints = \"contiguous\"\n");
  registry.refresh();
  CHECK(registry.select({}).choices.front().heap->info().name == "cma:unit");
  const auto selection = registry.select({}, {sa::Device::described("/dev/npu0", {})});
  CHECK(std::none_of(selection.choices.begin(), selection.choices.end(),
                     [](const auto& choice) { return choice.heap->info().name == "dma-heap:unit"; }));
}

TEST_CASE("carveouts of the configuration are heaps, and SA_CARVEOUT wins by name") {
  const Folder folder;
  const Variable config("SA_CONFIG", folder / "sa.toml");
  const Variable carveout("SA_CARVEOUT", "both=1M@0x50000000");
  write(folder / "sa.toml", "[carveouts.unit-own]\nbase = \"0x40000000\"\nsize = \"2M\"\n"
                            "[carveouts.both]\nbase = \"0x48000000\"\nsize = \"2M\"\n[carveouts.no-such-node]\n");
  sa::Registry registry;
  registry.refresh();
  auto own = registry.find("carveout:unit-own");
  REQUIRE(own != nullptr);
  CHECK(own->info().usable == own->info().reason.empty());
  CHECK_FALSE(own->info().usable); // memory of this machine, or without /dev/mem, or not ours to ask for
  REQUIRE(registry.find("carveout:both") != nullptr);
  const auto node = registry.find("carveout:no-such-node");
  REQUIRE(node != nullptr);
  CHECK(says(node->info().reason, "the configuration names no-such-node"));
  const std::weak_ptr<sa::Heap> vanished = std::exchange(own, nullptr);
  write(folder / "sa.toml", "");
  registry.refresh();
  CHECK(registry.find("carveout:unit-own") == nullptr);
  CHECK(vanished.expired());
  CHECK(registry.find("carveout:both") != nullptr);
}

TEST_CASE("a file that stays wrong is warned of once, and again when it is wrong in another way") {
  const Folder folder;
  const int log = ::fileno(std::tmpfile());
  CHECK(support::in_child([&] {
          const Variable config("SA_CONFIG", folder / "sa.toml");
          ::dup2(log, STDERR_FILENO);
          write(folder / "sa.toml", "wrong = 1");
          sa::Registry registry;
          sa::Registry other;
          for (int i = 0; i < 3; ++i) {
            registry.refresh();
            other.refresh();
          }
          write(folder / "sa.toml", "\nwrong = 1");
          registry.refresh();
          return support::passed;
        }) == support::passed);
  std::string text(10000, '\0');
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(::pread(log, text.data(), text.size(), 0), 0)));
  const auto count = [&](const std::string& part) {
    std::size_t found = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
      ++found;
    }
    return found;
  };
  CAPTURE(text);
  CHECK(count("nothing of this file is used") == 2);
  CHECK(count("sa.toml:1:1: wrong: unknown key") == 1);
  CHECK(count("sa.toml:2:1: wrong: unknown key") == 1);
}

TEST_CASE("the example configuration is right, and shows every key") {
  std::ifstream file(SA_EXAMPLE_CONFIGURATION);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  REQUIRE_FALSE(text.empty());
  CHECK(sa::parse_configuration(text, SA_EXAMPLE_CONFIGURATION) == sa::Configuration{}); // all of it is commented out
  std::string active;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) { // "#key" is an example, "# Text" is a comment
    active += (line.starts_with('#') && !line.starts_with("# ") ? line.substr(1) : line) + "\n";
  }
  const sa::Configuration shown = sa::parse_configuration(active, SA_EXAMPLE_CONFIGURATION);
  CHECK_FALSE(shown.aliases.empty());
  CHECK_FALSE(shown.order.empty());
  CHECK_FALSE(shown.plugins.empty());
  CHECK(shown.carveouts.size() == 2);
  CHECK(shown.devices.size() == 2);
  CHECK_FALSE(shown.quotas.empty());
  for (const char* key : {"base", "size", "device-memory", "match", "constraints", "max-free-bytes", "max-age-ms", "recycle",
                          "zero", "bytes", "buffers"}) {
    CAPTURE(key);
    CHECK(says(active, std::string("\n") + key + " = "));
  }
}
