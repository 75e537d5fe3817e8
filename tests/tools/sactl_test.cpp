// SPDX-License-Identifier: MIT
/// sactl, the program itself: what it prints, its statuses, and what it leaves behind. On this machine with the heaps it has, in
/// virtual machines with more.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <thread>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sa/sa.hpp>

#include "paths.hpp"
#include "support/process.hpp"
#include "tools/program.hpp"

using namespace tools;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

constexpr int interrupted = 128 + SIGINT;

/// A folder that everybody may write to, gone at the end.
class Folder {
public:
  Folder() {
    std::string pattern = std::filesystem::temp_directory_path() / "sactl.XXXXXX";
    path_ = ::mkdtemp(pattern.data());
    ::chmod(path_.c_str(), 0777);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }
  [[nodiscard]] std::string file(const std::string& name) const { return path_ / name; }
  [[nodiscard]] bool empty() const { return std::filesystem::is_empty(path_); }

private:
  std::filesystem::path path_;
};

/// The answer of a run that must succeed.
json answer(const Words& arguments, const std::function<void()>& prepare = {}) {
  Words all = arguments;
  all.emplace_back("--json");
  const Ran ran = run(sactl(all), prepare);
  CAPTURE(joined(arguments));
  CAPTURE(ran.err);
  CHECK(ran.status == 0);
  json value = json::parse(ran.out, nullptr, false);
  REQUIRE(value.is_object());
  CHECK(value.at("sactl") == 1);
  CHECK(value.at("command") == arguments.front());
  CHECK(lines(ran.out).size() == 1);
  return value;
}

std::vector<std::string> usable_heaps() {
  std::vector<std::string> names;
  for (const json all = answer({"heaps"}); const auto& heap : all.at("heaps")) {
    if (heap.at("usable") == true) {
      names.push_back(heap.at("name"));
    }
  }
  CHECK_FALSE(names.empty());
  return names;
}

/// Waits until a path is there.
bool appears(const std::string& path) {
  for (int i = 0; i < 6000 && ::access(path.c_str(), F_OK) != 0; ++i) {
    std::this_thread::sleep_for(5ms);
  }
  return ::access(path.c_str(), F_OK) == 0;
}

bool is_root() {
  return ::geteuid() == 0;
}

/// Every command that the manual page has.
std::vector<std::string> commands() {
  std::vector<std::string> names;
  for (const auto& line : lines(run(sactl({"describe", "man"})).out)) {
    if (line.starts_with(".SS sactl ")) {
      std::string name = line.substr(sizeof ".SS sactl");
      std::erase(name, '\\');
      names.push_back(name);
    }
  }
  return names;
}

sa::UniqueFd connected(const std::string& path) {
  sa::UniqueFd fd{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(static_cast<char*>(address.sun_path), sizeof address.sun_path - 1);
  for (int i = 0; i < 500; ++i) { // its path is there before it listens
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
      return fd;
    }
    REQUIRE(errno == ECONNREFUSED);
    std::this_thread::sleep_for(10ms);
  }
  FAIL("nobody listens at ", path);
  return {};
}

void check_failed(const Ran& ran, const std::string& sentence) {
  CAPTURE(sentence);
  CAPTURE(ran.err);
  CHECK(ran.status == 1);
  CHECK(ran.out.empty());
  CHECK(ran.err.starts_with("sactl: "));
  CHECK(ran.err.find(sentence) != std::string::npos);
  CHECK(lines(ran.err).size() == 1);
}

void check_layout(const json& layout) {
  CAPTURE(layout.dump());
  CHECK(sa::Format::find(layout.at("format").get<std::string>()));
  CHECK(layout.at("width").is_number_unsigned());
  CHECK(layout.at("height").is_number_unsigned());
  CHECK(layout.at("modifier").get<std::string>().starts_with("0x"));
  CHECK(layout.at("modifier").get<std::string>().size() == 18);
  CHECK_FALSE(layout.at("planes").empty());
  CHECK_FALSE(layout.at("sizes").empty());
  for (const auto& plane : layout.at("planes")) {
    CHECK(plane.at("buffer") < layout.at("sizes").size());
    CHECK(plane.at("stride").is_number_unsigned());
    CHECK(plane.at("rows").is_number_unsigned());
    CHECK(plane.at("offset") < layout.at("sizes").at(plane.at("buffer").get<std::size_t>()));
  }
  for (const auto& source : layout.at("sources")) {
    CHECK(source.is_string());
  }
}

void check_choice(const json& choice) {
  CAPTURE(choice.dump());
  check_layout(choice.at("layout"));
  CHECK(choice.at("heap").get<std::string>().find(':') != std::string::npos);
  CHECK(std::set<std::string>{"proven", "suits", "not known"}.contains(choice.at("certainty")));
  CHECK(choice.at("note").is_string());
}

void check_image_refusal(const json& refusal) {
  CAPTURE(refusal.dump());
  CHECK((refusal.at("format").is_null() || sa::Format::find(refusal.at("format").get<std::string>())));
  CHECK((refusal.at("heap").is_null() || refusal.at("heap").get<std::string>().find(':') != std::string::npos));
  CHECK_FALSE(refusal.at("reason").get<std::string>().empty());
  CHECK((refusal.at("width_that_fits").is_null() || refusal.at("width_that_fits") > 0));
}

/// The devices that list their formats.
std::vector<std::string> nodes_with_formats() {
  std::vector<std::string> nodes;
  for (const json all = answer({"devices"}); const auto& device : all.at("devices")) {
    if (device.at("role") != "render") {
      nodes.push_back(device.at("node"));
    }
  }
  return nodes;
}

} // namespace

TEST_CASE("every command helps, with an example of itself") {
  const auto all = commands();
  for (const char* name :
       {"heaps", "devices", "formats", "layout", "select", "probe", "alloc", "bench", "send", "recv", "load-carveout"}) {
    CAPTURE(name);
    CHECK(std::find(all.begin(), all.end(), name) != all.end());
  }
  for (const auto& name : all) {
    CAPTURE(name);
    const Ran ran = run(sactl({name, "--help"}));
    CHECK(ran.status == 0);
    CHECK(ran.err.empty());
    // How it is laid out depends on the version of CLI11.
    CHECK(without_spaces(ran.out).find(without_spaces("Example: sactl " + name)) != std::string::npos);
    CHECK(ran.out.find("--json") != std::string::npos);
  }
  CHECK(run(sactl({"--version"})).out.starts_with("sactl "));
}

TEST_CASE("a wrong command line is status 2") {
  for (const Words& wrong : std::vector<Words>{{},
                                               {"none"},
                                               {"heaps", "--none"},
                                               {"heaps", "--names", "--json"},
                                               {"select", "--constraints", "fast"},
                                               {"select", "--size", "big"},
                                               {"select", "--image", "NV12:64x64", "--constraints", "cached,uncached"},
                                               {"select", "--image", "NV12"},
                                               {"select", "--image", "NV12:1920"},
                                               {"select", "--image", "NV12,none:1920x1080"},
                                               {"select", "--image", "NV12,:1920x1080"},
                                               {"select", "--image", ":1920x1080"},
                                               {"devices", "/dev/video0"},
                                               {"formats", "--names", "--json"},
                                               {"formats", "NV12"},
                                               {"layout"},
                                               {"layout", "NV12"},
                                               {"layout", "none", "1920x1080"},
                                               {"layout", "", "1920x1080"},
                                               {"layout", "NV12", "1920"},
                                               {"layout", "NV12", "1920x"},
                                               {"layout", "NV12", "x1080"},
                                               {"layout", "NV12", "1920X1080"},
                                               {"layout", "NV12", "1920x1080x2"},
                                               {"layout", "NV12", "-1x1080"},
                                               {"layout", "NV12", "0x1080"},
                                               {"layout", "NV12", "65536x1"},
                                               {"layout", "NV12", "1x4294967297"},
                                               {"alloc"},
                                               {"alloc", "memfd:4k"},
                                               {"alloc", "memfd:4k", "much"},
                                               {"alloc", "memfd:4k", "4K", "--count", "0"},
                                               {"alloc", "memfd:4k", "4K", "--require", "fast"},
                                               {"alloc", "memfd:4k", "4K", "--require", "cached,"},
                                               {"bench"},
                                               {"bench", "memfd:4k", "--seconds", "-1"},
                                               {"recv"},
                                               {"recv", "/tmp/x", "--mode", "999"},
                                               {"send", "/tmp/x", "memfd:4k"}}) {
    CAPTURE(joined(wrong));
    const Ran ran = run(sactl(wrong));
    CHECK(ran.status == 2);
    CHECK(ran.out.empty());
    CHECK_FALSE(ran.err.empty());
  }
}

TEST_CASE("a mistyped command or option: the one that may have been meant is named") {
  const auto said = [](const Words& words) {
    const Ran ran = run(sactl(words));
    CAPTURE(joined(words));
    CHECK(ran.status == 2);
    CHECK(ran.out.empty());
    CHECK(lines(ran.err).size() == 1);
    return ran.err;
  };
  CHECK(said({"hepas"}) == "sactl: there is no command \"hepas\"; did you mean heaps? sactl --help lists all\n");
  CHECK(said({"aloc", "system", "4K"}).find("did you mean alloc? ") != std::string::npos);
  CHECK(said({"load_carveout"}).find("did you mean load-carveout? ") != std::string::npos);
  CHECK(said({"descrbe", "man"}).find("did you mean describe") == std::string::npos); // which is not for people
  CHECK(said({"nothing"}) == "sactl: there is no command \"nothing\"; sactl --help lists all\n");
  CHECK(said({"--jsn", "heaps"}) == "sactl: there is no option \"--jsn\"; sactl --help lists all\n");
  CHECK(said({}) == "sactl: no command is given; sactl --help lists all\n");
  CHECK(said({"heaps", "--nmaes"}) ==
        "sactl heaps: there is no option \"--nmaes\"; did you mean --names? sactl heaps --help lists all\n");
  CHECK(said({"alloc", "--cuont", "3", "memfd:4k", "4K"}).find("did you mean --count? ") != std::string::npos);
  CHECK(said({"alloc", "--cuont=3", "memfd:4k", "4K"}).find("there is no option \"--cuont\"; did you mean --count? ") !=
        std::string::npos);
  CHECK(said({"heaps", "--nothing"}).find("did you mean") == std::string::npos);
  CHECK(said({"heaps", "system"}) == "sactl heaps: there is an argument too many, \"system\"; sactl heaps --help lists all\n");
  CHECK(said({"alloc", "system"}).starts_with("sactl alloc: size is required; "));
  CHECK(said({"a\x1b[31m"}).find('\x1b') == std::string::npos);
}

TEST_CASE("what fails is status 1 and the library's sentence, one line") {
  check_failed(run(sactl({"alloc", "none", "4K"})), "there is no heap \"none\"; there are: ");
  check_failed(run(sactl({"alloc", "sytem", "4K"})), "there is no heap \"sytem\"; did you mean system? (there are: ");
  check_failed(run(sactl({"bench", "memfd"})), "did you mean memfd:4k or memfd:huge? (there are: ");
  check_failed(run(sactl({"alloc", "memfd:4k", "0"})), "size 0; ask for at least one byte");
  check_failed(run(sactl({"alloc", "memfd:4k", "4K", "--require", "dma-buf"})), "not dma-buf");
  check_failed(run(sactl({"alloc", "memfd:4k", "4K", "--alignment", "3000"})), "align=3000 is not a power of two");
  check_failed(run(sactl({"alloc", "memfd:4k", "4K", "--name", std::string(40, 'x')})), "name");
  check_failed(run(sactl({"bench", "none"})), "no heap \"none\"");
  check_failed(run(sactl({"send", "/tmp/none", "none", "4K"})), "no heap \"none\"");
  check_failed(run(sactl({"select", "--for", "/dev/none"})), "/dev/none");
  check_failed(run(sactl({"probe", "--for", "/dev/null"})), "/dev/null");
  check_failed(run(sactl({"formats", "--for", "/dev/none"})), "/dev/none");
  check_failed(run(sactl({"layout", "NV12", "64x64", "--for", "/dev/none"})), "/dev/none");
  check_failed(run(sactl({"layout", "XRGB8888", "65535x65535"})), "65535x65535");
  check_failed(run(sactl({"layout", "XRGB8888", "65535x65535", "--json"})), "2147483647");
  check_failed(run(sactl({"select", "--image", "NV12:64x64", "--for", "/dev/null"})), "/dev/null");
}

TEST_CASE("probe: its profiles tell select what was found") {
  const json found = answer({"probe"});
  const Ran ran = run(sactl({"probe", "--profile"}));
  CHECK(ran.status == 0);
  const Folder folder;
  const std::string file = folder.file("sa.toml");
  std::ofstream(file) << ran.out;
  const sa::Configuration configuration = sa::parse_configuration(ran.out, "probe");
  std::set<std::string> drivers;
  for (const auto& device : found.at("devices")) {
    if (device.contains("error") || device.at("contiguous").is_null()) {
      continue;
    }
    CAPTURE(device.dump());
    drivers.insert(device.at("driver"));
    const json selected = answer({"select", "--for", device.at("device")}, [&] { ::setenv("SA_CONFIG", file.c_str(), 1); });
    for (const auto& choice : selected.at("choices")) {
      CHECK(choice.at("certainty") == "suits"); // without it: "not known"
    }
    const std::string demanded = selected.at("constraints");
    CHECK((demanded.find("contiguous") != std::string::npos) == device.at("contiguous"));
  }
  CHECK(configuration.devices.size() == drivers.size());
}

TEST_CASE("heaps: the usable ones, and the reason for each other") {
  const json value = answer({"heaps"});
  std::set<std::string> names;
  for (const auto& heap : value.at("heaps")) {
    CAPTURE(heap.dump());
    names.insert(heap.at("name"));
    CHECK(heap.at("traits").is_array());
    CHECK(heap.contains("node"));
    CHECK(heap.contains("free"));
    CHECK(heap.contains("total"));
    CHECK(heap.at("granularity").is_number_unsigned());
    CHECK(heap.contains("reason") == (heap.at("usable") == false));
    if (heap.at("free").is_number() && heap.at("total").is_number()) {
      CHECK(heap.at("free") <= heap.at("total"));
    }
  }
  CHECK(names.contains("memfd:4k"));
  for (const auto& alias : value.at("aliases")) {
    names.insert(alias.at("name"));
  }
  const auto printed = lines(run(sactl({"heaps", "--names"})).out);
  CHECK(std::set<std::string>(printed.begin(), printed.end()) == names);
}

TEST_CASE("an unknown format: formats with similar names are listed") {
  const auto said = [](const std::string& name) {
    const Ran ran = run(sactl({"layout", name, "64x64"}));
    CHECK(ran.status == 2);
    CHECK(ran.out.empty());
    CHECK(ran.err.find("no format \"" + name + "\"") != std::string::npos);
    CHECK(ran.err.find("sactl formats lists all") != std::string::npos);
    CAPTURE(ran.err);
    return ran.err;
  };
  CHECK(said("nv12").find("near to it: NV12;") != std::string::npos);
  CHECK(said("XRGB888").find("XRGB8888") != std::string::npos);
  CHECK(said("RG16").find("drm:RG16 (RGB565), v4l2:RG16 (SRGGB16)") != std::string::npos);
  CHECK(said("nothing like it").find("near to it") == std::string::npos);
}

TEST_CASE("a malformed size: the form of a size is explained") {
  const Ran ran = run(sactl({"layout", "NV12", "70000x1"}));
  CHECK(ran.status == 2);
  CHECK(ran.err.find("\"70000x1\" is no size; ask for WIDTHxHEIGHT, 1920x1080, each 1 to 65535 pixels") != std::string::npos);
}

TEST_CASE("formats: the whole table, as the library has it") {
  const json value = answer({"formats"});
  const auto all = sa::Format::all();
  REQUIRE(value.at("formats").size() == all.size());
  CHECK(value.at("refusals") == json::array());
  const auto names = lines(run(sactl({"formats", "--names"})).out);
  REQUIRE(names.size() == all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    const json& one = value.at("formats").at(i);
    CAPTURE(one.dump());
    const sa::FormatInfo& info = all[i].info();
    CHECK(one.at("name") == info.name);
    CHECK(names[i] == info.name);
    const auto is = [&](const char* member, bool there, const std::string& text) {
      CHECK(one.at(member) == (there ? json(text) : json()));
    };
    is("drm", static_cast<bool>(info.drm), to_string(info.drm));
    is("v4l2", static_cast<bool>(info.v4l2), to_string(info.v4l2));
    is("v4l2_split", static_cast<bool>(info.v4l2_split), to_string(info.v4l2_split));
    is("gstreamer", !info.gstreamer.empty(), std::string(info.gstreamer));
  }
  const Ran ran = run(sactl({"formats"}));
  CHECK(ran.status == 0);
  CHECK(lines(ran.out).size() == all.size() + 1);
  CHECK(lines(ran.out).at(0).starts_with("NAME"));
}

TEST_CASE("layout: what the library lays out, as JSON and as its own text") {
  for (const sa::Format format : sa::Format::all()) {
    const std::string name(format.name());
    CAPTURE(name);
    sa::LayoutRule nothing;
    nothing.format = format;
    const sa::ImageLayout layout = sa::lay_out(nothing, 642, 481);
    const json value = answer({"layout", name, "642x481"});
    check_layout(value);
    CHECK(value.at("format") == name);
    CHECK(value.at("width") == 642);
    CHECK(value.at("height") == 481);
    CHECK(value.at("modifier") == "0x0000000000000000");
    CHECK(value.at("sources") == json::array());
    REQUIRE(value.at("planes").size() == format.plane_count());
    for (unsigned i = 0; i < format.plane_count(); ++i) {
      const sa::PlaneLayout& plane = layout.planes[i];
      CHECK(value.at("planes").at(i) ==
            json{{"buffer", plane.buffer}, {"stride", plane.stride}, {"offset", plane.offset}, {"rows", plane.rows}});
    }
    REQUIRE(value.at("sizes").size() == layout.buffer_count());
    CHECK(value.at("sizes").at(0) == layout.sizes[0]);
    const Ran ran = run(sactl({"layout", name, "642x481"}));
    CHECK(ran.status == 0);
    CHECK(lines(ran.out).back() == to_string(layout)); // where an answer is looked for
  }
  CHECK(answer({"layout", "I420", "64x64"}).at("format") == "YUV420");                   // GStreamer's name
  CHECK(answer({"layout", "drm:RG16", "64x64"}).at("format") == "RGB565");               // DRM's code
  CHECK(answer({"layout", "v4l2:RG16", "64x64"}).at("format") == "SRGGB16");             // V4L2's, which has the same letters
  CHECK(answer({"layout", "v4l2:NM12", "64x64"}).at("sizes") == json::array({64 * 96})); // no device asks for separate buffers
}

TEST_CASE("select: the answer is the last line, and each reason is said once") {
  const json value = answer({"select"});
  const Ran ran = run(sactl({"select"}));
  REQUIRE_FALSE(value.at("choices").empty());
  CHECK(lines(ran.out).back() == "the best: " + value.at("choices").at(0).at("heap").get<std::string>());
  for (const auto& refusal : value.at("refusals")) {
    std::string reason = refusal.at("reason");
    if (const std::string named = refusal.at("heap").get<std::string>() + ": "; reason.starts_with(named)) {
      reason = reason.substr(named.size());
    }
    CAPTURE(reason);
    const std::size_t at = ran.out.find(reason + "\n");
    CHECK(at != std::string::npos);
    CHECK(at == ran.out.rfind(reason + "\n"));
  }
  std::string::size_type at = 0;
  for (const auto& choice : value.at("choices")) { // the best comes first
    at = ran.out.find(choice.at("heap").get<std::string>(), at);
    CAPTURE(choice.dump());
    CHECK(at != std::string::npos);
  }
}

TEST_CASE("select --image: each format that is asked for is a choice or a refusal, and so is each heap") {
  for (const char* wanted : {"NV12", "NV12,XRGB8888", "any", "drm:RG16,v4l2:RG16"}) {
    CAPTURE(wanted);
    const std::string image = std::string(wanted) + ":640x480";
    const json value = answer({"select", "--image", image, "--size", "1M"});
    CHECK(value.at("constraints").is_string());
    std::set<std::string> formats;
    std::set<std::string> heaps;
    for (const auto& choice : value.at("choices")) {
      CAPTURE(choice.dump());
      check_choice(choice);
      formats.insert(choice.at("layout").at("format"));
      heaps.insert(choice.at("heap"));
      CHECK(choice.at("layout").at("width") == 640);
      CHECK(choice.at("layout").at("height") == 480);
    }
    for (const auto& refusal : value.at("refusals")) {
      check_image_refusal(refusal);
      CHECK(refusal.at("width_that_fits").is_null());
      if (refusal.at("heap").is_string()) {
        heaps.insert(refusal.at("heap"));
      }
    }
    std::set<std::string> all_heaps;
    for (const json all = answer({"heaps"}); const auto& heap : all.at("heaps")) {
      all_heaps.insert(heap.at("name"));
    }
    CHECK(heaps == all_heaps);
    const std::string text = run(sactl({"select", "--image", image})).out;
    if (std::string(wanted) == "any") {
      CHECK(formats.size() == sa::Format::all().size());
    } else {
      CHECK(formats.size() == static_cast<std::size_t>(1 + (std::string(wanted).find(',') != std::string::npos ? 1 : 0)));
      const json& first = value.at("choices").at(0).at("layout");
      CHECK(first.at("format") == (image.starts_with("drm") ? "RGB565" : "NV12")); // the preferred one
    }
    REQUIRE_FALSE(value.at("choices").empty());
    const sa::ImageLayout best = sa::parse_layout(lines(text).back());
    CHECK(best.format.name() == value.at("choices").at(0).at("layout").at("format").get<std::string>());
    CHECK(best.width == 640);
  }
  const json value = answer({"select", "--image", "NV12:640x480", "--constraints", "align=4K"});
  CHECK(value.at("constraints").get<std::string>().find("align=4K") != std::string::npos);
}

TEST_CASE("select --image: a size that no buffer has is refused for every format, and status 1") {
  const Ran ran = run(sactl({"select", "--image", "XRGB8888,NV12:65535x65535", "--json"}));
  CHECK(ran.status == 1);
  CHECK(ran.err.empty());
  const json value = json::parse(ran.out);
  CHECK(value.at("choices").empty());
  std::vector<std::string> formats;
  for (const auto& refusal : value.at("refusals")) {
    check_image_refusal(refusal);
    if (refusal.at("format").is_string()) {
      formats.push_back(refusal.at("format"));
    }
  }
  CHECK(formats == std::vector<std::string>{"XRGB8888", "NV12"});
  const Ran text = run(sactl({"select", "--image", "XRGB8888,NV12:65535x65535"}));
  CHECK(text.status == 1);
  CHECK(lines(text.out).back() == "the best: none");
  CHECK(text.out.find("2147483647") != std::string::npos);
}

TEST_CASE("devices: every node is one, or refused") {
  const json value = answer({"devices"});
  std::set<std::string> nodes;
  std::string shown = run(sactl({"devices"})).out;
  for (const auto& device : value.at("devices")) {
    CAPTURE(device.dump());
    nodes.insert(device.at("node"));
    const std::set<std::string> roles{"capture", "output", "mem2mem", "display", "render"};
    CHECK(roles.contains(device.at("role")));
    CHECK_FALSE(device.at("driver").get<std::string>().empty());
    const bool video = device.at("node").get<std::string>().starts_with("/dev/video");
    for (const char* member : {"format", "width", "height"}) {
      CHECK((device.at(member).is_null() || video));
    }
    CHECK(device.at("width").is_number_unsigned() == device.at("height").is_number_unsigned());
    CHECK((device.at("format").is_null() || device.at("format").is_string()));
    CHECK(device.at("display") == (device.at("role") == "display"));
    CHECK(shown.find(device.at("node").get<std::string>() + " ") != std::string::npos);
    if (device.at("role") != "render") {
      const json formats = answer({"formats", "--for", device.at("node")});
      CHECK_FALSE(formats.at("formats").empty());
    }
  }
  for (const auto& refusal : value.at("refusals")) {
    CAPTURE(refusal.dump());
    CHECK_FALSE(refusal.at("reason").get<std::string>().empty());
    nodes.insert(refusal.at("node"));
  }
  std::set<std::string> expected;
  std::error_code ec;
  for (const auto& [folder, prefixes] :
       std::vector<std::pair<std::string, std::vector<std::string>>>{{"/dev", {"video"}}, {"/dev/dri", {"card", "renderD"}}}) {
    for (const auto& entry : std::filesystem::directory_iterator(folder, ec)) {
      const std::string name = entry.path().filename();
      for (const auto& prefix : prefixes) {
        if (name.starts_with(prefix) && name.find_first_not_of("0123456789", prefix.size()) == std::string::npos) {
          expected.insert(entry.path());
        }
      }
    }
  }
  CHECK(nodes == expected);
}

TEST_CASE("a device's formats, layouts and choices agree") {
  for (const auto& node : nodes_with_formats()) {
    CAPTURE(node);
    const json formats = answer({"formats", "--for", node});
    for (const auto& one : formats.at("refusals")) { // what the table lacks: there is no other device
      CHECK_FALSE(sa::Format::find(one.at("format").get<std::string>()));
    }
    const std::string name = formats.at("formats").at(0).at("name");
    const Ran laid = run(sactl({"layout", name, "640x480", "--for", node, "--json"}));
    CAPTURE(laid.err);
    Words select = sactl({"select", "--image", name + ":640x480", "--for", node, "--json"});
    const Ran ran = run(select);
    const json selected = json::parse(ran.out);
    REQUIRE(laid.status == ran.status);
    if (laid.status != 0) {
      CHECK(laid.err.starts_with("sactl: no layout of " + name + " 640x480 suits " + node + ": "));
      continue;
    }
    json layout = json::parse(laid.out);
    check_layout(layout);
    CHECK_FALSE(layout.at("sources").empty());
    CHECK(layout.at("sources").at(0).get<std::string>().find(node) != std::string::npos);
    layout.erase("sactl");
    layout.erase("command");
    CHECK(selected.at("choices").at(0).at("layout") == layout);
    for (const auto& choice : selected.at("choices")) {
      check_choice(choice);
    }
  }
}

TEST_CASE("a width that does not fit: one that does is named, and fits") {
  const Folder folder;
  const std::string file = folder.file("sa.toml");
  const auto configured = [&] { ::setenv("SA_CONFIG", file.c_str(), 1); };
  const std::vector<std::string> nodes = nodes_with_formats();
  bool found = false;
  for (const auto& strict : nodes) {
    for (const auto& other : nodes) {
      CAPTURE(strict);
      CAPTURE(other);
      const json formats = json::parse(run(sactl({"formats", "--for", strict, "--for", other, "--json"})).out).at("formats");
      if (strict == other || formats.empty()) {
        continue;
      }
      // Where rows of the other one are as long as the picture is wide and no longer, as vim2m's, not every width will do.
      std::ofstream(file) << "[[device]]\nmatch = \"" + strict + "\"\nlayout = \"stride-align=256\"\n";
      const std::string name = formats.at(0).at("name");
      const Words both{"--for", strict, "--for", other};
      const auto with_both = [&](Words words) {
        words.insert(words.end(), both.begin(), both.end());
        return words;
      };
      const Ran ran = run(sactl(with_both({"select", "--json", "--image", name + ":600x400"})), configured);
      const json selected = json::parse(ran.out);
      for (const auto& refusal : selected.at("refusals")) {
        check_image_refusal(refusal);
        if (refusal.at("width_that_fits").is_null()) {
          continue;
        }
        found = true;
        CHECK(ran.status == 1);
        CHECK(refusal.at("format") == name);
        const int width = refusal.at("width_that_fits");
        CHECK(width > 600);
        const Ran narrow = run(sactl(with_both({"layout", name, "600x400"})), configured);
        check_failed(narrow, "profile of " + strict); // both that exclude each other
        const bool of_either = narrow.err.find(other + ": VIDIOC_TRY_FMT") != std::string::npos ||
                               narrow.err.find(strict + ": VIDIOC_TRY_FMT") != std::string::npos; // against its own profile
        CHECK(of_either);
        CHECK(narrow.err.find(std::to_string(width)) != std::string::npos);
        const json wide = answer(with_both({"layout", name, std::to_string(width) + "x400"}), configured);
        CHECK(wide.at("planes").at(0).at("stride").get<int>() % 256 == 0);
      }
    }
  }
  if (!found) {
    MESSAGE("skipped: no two devices of which one takes rows of one length only");
  }
}

TEST_CASE("formats: what one of two devices has and the other has not is refused, once for each reason") {
  const std::vector<std::string> nodes = nodes_with_formats();
  if (nodes.size() < 2) {
    MESSAGE("skipped: fewer than two devices with formats");
    return;
  }
  const auto names_of = [](const json& formats) {
    std::set<std::string> names;
    for (const auto& one : formats) {
      names.insert(one.at("name"));
    }
    return names;
  };
  for (std::size_t i = 1; i < nodes.size(); ++i) {
    CAPTURE(nodes[i]);
    const auto first = names_of(answer({"formats", "--for", nodes[0]}).at("formats"));
    const auto second = names_of(answer({"formats", "--for", nodes[i]}).at("formats"));
    const Ran ran = run(sactl({"formats", "--for", nodes[0], "--for", nodes[i], "--json"}));
    const json both = json::parse(ran.out);
    const auto shared = names_of(both.at("formats"));
    CHECK(ran.status == (shared.empty() ? 1 : 0));
    std::set<std::string> expected;
    std::set_intersection(first.begin(), first.end(), second.begin(), second.end(), std::inserter(expected, expected.end()));
    CHECK(shared == expected);
    std::set<std::string> refused;
    std::set<std::string> reasons;
    for (const auto& one : both.at("refusals")) {
      reasons.insert(one.at("reason"));
      if (sa::Format::find(one.at("format").get<std::string>())) {
        refused.insert(one.at("format"));
      }
    }
    expected.clear();
    std::set_symmetric_difference(first.begin(), first.end(), second.begin(), second.end(),
                                  std::inserter(expected, expected.end()));
    CHECK(refused == expected);
    const std::string text = run(sactl({"formats", "--for", nodes[0], "--for", nodes[i]})).out;
    for (const auto& reason : reasons) {
      CHECK(text.find(reason) != std::string::npos);
      CHECK(text.find(reason) == text.rfind(reason));
    }
  }
}

TEST_CASE("alloc: each heap gives what it says") {
  for (const auto& heap : usable_heaps()) {
    CAPTURE(heap);
    const json value = answer({"alloc", heap, "300K", "--count", "3", "--name", "a test"});
    REQUIRE(value.at("buffers").size() == 3);
    std::set<json> inodes;
    for (const auto& buffer : value.at("buffers")) {
      CAPTURE(buffer.dump());
      CHECK(buffer.at("heap") == heap);
      CHECK(buffer.at("size") >= 300 << 10);
      CHECK(buffer.at("name") == "a test");
      CHECK(buffer.at("allocate_ns") > 0);
      CHECK(buffer.at("first_read_ns") > 0);
      const auto& traits = buffer.at("traits");
      const auto has = [&](const char* trait) { return std::find(traits.begin(), traits.end(), trait) != traits.end(); };
      CHECK((!has("zeroed") || buffer.at("zero") == true));
      CHECK(buffer.at("address").is_number() == has("phys-addr"));
      CHECK(buffer.at("inode").is_number() == buffer.at("fd").is_number());
      if (buffer.at("inode").is_number()) {
        inodes.insert(buffer.at("inode"));
      }
    }
    CHECK((inodes.size() == 3 || inodes.empty()));
  }
  CHECK(answer({"alloc", "system", "4K", "--prefault", "--alignment", "4K"}).at("buffers").size() == 1);
  CHECK(answer({"alloc", "memfd:4k", "4K", "--require", "cached,zeroed"}).at("buffers").size() == 1);
}

TEST_CASE("alloc --hold: until a signal, then status 0") {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    CAPTURE(number);
    Running holding(sactl({"alloc", "memfd:4k", "1M", "--hold"}));
    REQUIRE(holding.says("holding"));
    std::this_thread::sleep_for(20ms);
    holding.signal(number);
    const Ran ran = holding.finish();
    CHECK(ran.status == 0);
    CHECK(ran.err.empty());
  }
  // Who reads the answer may send one at once.
  for (int i = 0; i < 5; ++i) {
    Running holding(sactl({"alloc", "memfd:4k", "1M", "--hold", "--json"}));
    REQUIRE(holding.says("\n"));
    holding.signal(SIGTERM);
    CHECK(holding.finish().status == 0);
  }
}

TEST_CASE("bench: each heap beside ordinary memory") {
  for (const auto& heap : usable_heaps()) {
    CAPTURE(heap);
    const json value = answer({"bench", heap, "--size", "1M", "--seconds", "0.1"});
    CHECK(value.at("heap") == heap);
    CHECK(value.at("size") >= 1 << 20);
    for (const char* name : {"allocate", "map", "first_write", "cold", "warm", "sync"}) {
      CAPTURE(name);
      const auto& time = value.at("times").at(name);
      CHECK(time.at("repetitions") >= 1);
      CHECK(time.at("low_ns") <= time.at("median_ns"));
      CHECK(time.at("median_ns") <= time.at("high_ns"));
    }
    for (const char* name : {"read", "write", "copy_out"}) {
      CAPTURE(name);
      const auto& speed = value.at("bytes_per_second").at(name);
      for (const char* which : {"heap", "ordinary"}) {
        CHECK(speed.at(which).at("median") > 1e6);
        CHECK(speed.at(which).at("low") <= speed.at(which).at("high"));
      }
      const double ratio = speed.at("heap").at("median").get<double>() / speed.at("ordinary").at("median").get<double>();
      CHECK(speed.at("ratio").get<double>() == doctest::Approx(ratio).epsilon(0.01));
    }
  }
  const std::string one = run(sactl({"bench", "memfd:4k", "--seconds", "0"})).out;
  CAPTURE(one);
  CHECK(lines(one).at(0) == "memfd:4k, 8.0 MiB: one round");
  CHECK(one.find("Few rounds tell little") != std::string::npos);
  const auto has_spread = [](const std::string& text) {
    return text.find("+-") != std::string::npos || text.find("±") != std::string::npos;
  };
  CHECK_FALSE(has_spread(one)); // of one value there are no quartiles
  const std::string many = run(sactl({"bench", "memfd:4k", "--size", "64K", "--seconds", "0.3"})).out;
  CHECK(many.find("medians of ") != std::string::npos);
  CHECK(has_spread(many));
  const auto start = std::chrono::steady_clock::now();
  answer({"bench", "system"});
  const auto took = std::chrono::steady_clock::now() - start;
  MESSAGE("bench system took ", std::chrono::duration<double>(took).count(), " s");
  CHECK(took > 1s);
  CHECK(took < 30s); // 2 s where the machine is not busy
}

TEST_CASE("send and recv: a buffer arrives as it was sent, from each heap") {
  const Folder folder;
  const std::string path = folder.file("s");
  for (const auto& heap : usable_heaps()) {
    CAPTURE(heap);
    Running receiver(sactl({"recv", path, "--json"}));
    const json sent = answer({"send", path, heap, "1M", "--name", "a frame"});
    const Ran received = receiver.finish();
    CAPTURE(received.err);
    CHECK(received.status == 0);
    const json value = json::parse(received.out, nullptr, false);
    REQUIRE(value.is_object());
    CHECK(value.at("heap") == heap);
    CHECK(sent.at("heap") == heap);
    CHECK(value.at("size") == sent.at("size"));
    CHECK(value.at("name") == "a frame");
    CHECK(value.at("traits").is_array());
    CHECK(value.at("verified") == true);
    CHECK(value.at("writable") == true);
    CHECK(value.at("peer").at("uid") == ::getuid());
    CHECK(folder.empty());
  }
}

TEST_CASE("recv: what it is given may be anything") {
  const Folder folder;
  const std::string path = folder.file("s");
  const auto with_receiver = [&](const std::function<void(int)>& body) {
    Running receiver(sactl({"recv", path, "--json"}));
    REQUIRE(appears(path));
    {
      const sa::UniqueFd fd = connected(path);
      body(fd.get());
    }
    Ran ran = receiver.finish();
    CHECK(folder.empty());
    return ran;
  };
  const auto buffer = sa::Registry::system().allocate("memfd:4k", {.size = 4096});
  check_failed(with_receiver([](int) {}), "peer closed");
  check_failed(with_receiver([](int fd) { (void)!::write(fd, "hello", 5); }), "too short");
  Ran ran = with_receiver([&](int fd) { // not the pattern
    sa::send(fd, buffer);
    std::array<char, 200> text{};
    CHECK(::read(fd, text.data(), text.size()) > 2);
    CHECK(std::string(text.data()).starts_with("at byte 0 of 4096"));
  });
  CHECK(ran.status == 1);
  CHECK(json::parse(ran.out).at("verified") == false);
  ran = with_receiver([&](int fd) { // may be read alone
    const sa::UniqueFd read_only{::open(("/proc/self/fd/" + std::to_string(buffer.fd())).c_str(), O_RDONLY | O_CLOEXEC)};
    sa::send(fd, sa::DmaBuf::import(sa::UniqueFd{::dup(read_only.get())}));
    std::array<char, 200> text{};
    CHECK(::read(fd, text.data(), text.size()) > 2);
  });
  CHECK(json::parse(ran.out).at("writable") == false);
}

TEST_CASE("recv: a file at its path is left alone, unless it is an abandoned socket") {
  const Folder folder;
  const std::string path = folder.file("s");
  std::ofstream(path) << "precious";
  check_failed(run(sactl({"recv", path})), "is no socket and is left alone");
  std::string kept;
  std::ifstream(path) >> kept;
  CHECK(kept == "precious");
  std::filesystem::remove(path);
  std::filesystem::create_symlink(folder.file("elsewhere"), path);
  check_failed(run(sactl({"recv", path})), "is no socket");
  std::filesystem::remove(path);

  Running first(sactl({"recv", path, "--json"}));
  REQUIRE(appears(path));
  check_failed(run(sactl({"recv", path})), "belongs to a program that runs");
  CHECK(::access(path.c_str(), F_OK) == 0);
  first.signal(SIGKILL); // cannot clean up
  first.finish();
  REQUIRE(::access(path.c_str(), F_OK) == 0);
  Running second(sactl({"recv", path, "--json"}));
  CHECK(answer({"send", path, "memfd:4k", "4K"}).at("verified") == true);
  CHECK(second.finish().status == 0);
  CHECK(folder.empty());

  check_failed(run(sactl({"recv", folder.file(std::string(200, 'x'))})), "1 to 107 bytes");
  check_failed(run(sactl({"recv", folder.file("none/s")})), "none/s");
  CHECK(folder.empty());
}

TEST_CASE("send and recv wait so long, no longer") {
  const Folder folder;
  const std::string path = folder.file("s");
  check_failed(run(sactl({"send", path, "memfd:4k", "4K", "--timeout", "0.1"})), "nobody waits there");
  check_failed(run(sactl({"recv", path, "--timeout", "0.1"})), "nobody came within 0.1 s");
  CHECK(folder.empty());
  Running receiver(sactl({"recv", path, "--timeout", "1"}));
  REQUIRE(appears(path));
  const sa::UniqueFd silent = connected(path);
  check_failed(receiver.finish(), "sent nothing");
  CHECK(folder.empty());
  Running sender(sactl({"send", path, "memfd:4k", "4K"})); // first, and waits
  std::this_thread::sleep_for(100ms);
  CHECK(run(sactl({"recv", path})).status == 0);
  CHECK(sender.finish().status == 0);
}

TEST_CASE("a user without rights" * doctest::skip(!is_root())) {
  if (support::in_child([] {
        become_nobody();
        return ::access(SACTL, X_OK);
      }) != 0) {
    MESSAGE("skipped: this checkout is where other users may not look, ", SACTL);
    return;
  }
  const json value = answer({"heaps"}, become_nobody);
  for (const auto& heap : value.at("heaps")) {
    if (heap.at("name") == "memfd:4k") {
      CHECK(heap.at("usable") == true);
    } else if (heap.at("usable") == false) {
      CHECK_FALSE(heap.at("reason").get<std::string>().empty());
      const Ran ran = run(sactl({"alloc", heap.at("name"), "4K"}), become_nobody);
      check_failed(ran, heap.at("name"));
    }
  }
  CHECK(answer({"alloc", "system", "4K"}, become_nobody).at("buffers").size() == 1);
  const Ran probed = run(sactl({"probe", "--json"}), become_nobody);
  const json asked = json::parse(probed.out).at("devices");
  const bool none_answered =
      !asked.empty() && std::all_of(asked.begin(), asked.end(), [](const json& one) { return one.contains("error"); });
  CHECK(probed.status == (none_answered ? 1 : 0)); // that is no answer
  CHECK(probed.err.empty() != none_answered);
  const json devices = answer({"devices"}, become_nobody);
  const std::string shown = run(sactl({"devices"}), become_nobody).out;
  for (const auto& refusal : devices.at("refusals")) {
    CAPTURE(refusal.dump());
    CHECK(refusal.at("reason").get<std::string>().find(refusal.at("node")) != std::string::npos);
    CHECK(shown.find(refusal.at("node").get<std::string>()) != std::string::npos);
  }
  std::set<std::string> reasons;
  for (const auto& line : lines(shown)) {
    if (line.starts_with("no  ")) {
      CAPTURE(line);
      CHECK(reasons.insert(line.substr(line.find(": "))).second); // said once
    }
  }

  // From one user to another: the path's permissions decide.
  const Folder folder;
  const std::string path = folder.file("s");
  {
    Running receiver(sactl({"recv", path, "--json"}));
    REQUIRE(appears(path));
    check_failed(run(sactl({"send", path, "memfd:4k", "4K"}), become_nobody), "must be allowed to write");
    receiver.signal(SIGTERM);
    CHECK(receiver.finish().status == 128 + SIGTERM);
    CHECK(folder.empty());
  }
  Running receiver(sactl({"recv", path, "--json", "--mode", "666"}));
  CHECK(appears(path));
  CHECK(answer({"send", path, "memfd:4k", "4K"}, become_nobody).at("verified") == true);
  const Ran ran = receiver.finish();
  CHECK(ran.status == 0);
  CHECK(json::parse(ran.out).at("peer").at("uid") == 65534);
  // And what root alone can allocate, to one who cannot.
  for (const auto& heap : usable_heaps()) {
    CAPTURE(heap);
    if (heap.starts_with("carveout:") && answer({"alloc", heap, "4K"}).at("buffers").at(0).at("fd").is_null()) {
      continue; // the receiver must know the region, which takes root
    }
    Running other(sactl({"recv", path, "--json"}), become_nobody);
    CHECK(answer({"send", path, heap, "4K"}).at("verified") == true);
    const Ran got = other.finish();
    CAPTURE(got.err);
    CHECK(got.status == 0);
  }
}

TEST_CASE("a machine without any node" * doctest::skip(!is_root())) {
  if (run({"true"}, hide_devices).status == 126) {
    MESSAGE("skipped: this container may not mount");
    return;
  }
  for (const json all = answer({"heaps"}, hide_devices); const auto& heap : all.at("heaps")) {
    CAPTURE(heap.dump());
    CHECK(heap.at("usable") == heap.at("name").get<std::string>().starts_with("memfd:4k"));
  }
  CHECK(answer({"probe"}, hide_devices).at("devices").empty());
  CHECK(answer({"devices"}, hide_devices).at("devices").empty());
  CHECK(answer({"devices"}, hide_devices).at("refusals").empty());
  CHECK(run(sactl({"devices"}), hide_devices).out == "no device: there is no /dev/dri/* and no /dev/video*\n");
  CHECK(answer({"layout", "NV12", "64x64"}, hide_devices).at("sizes") == json::array({64 * 96}));
  CHECK(run(sactl({"probe"}), hide_devices).out.starts_with("no device that imports buffers"));
  CHECK(answer({"alloc", "system", "4K"}, hide_devices).at("buffers").at(0).at("heap") == "memfd:4k");
  CHECK(answer({"bench", "system", "--seconds", "0.05"}, hide_devices).at("heap") == "memfd:4k");
  const Ran ran = run(sactl({"select", "--constraints", "contiguous", "--json"}), hide_devices);
  CHECK(ran.status == 1);
  CHECK(json::parse(ran.out).at("choices").empty());
  const Ran none = run(sactl({"select", "--constraints", "contiguous"}), hide_devices);
  CHECK(none.status == 1);
  CHECK(lines(none.out).back() == "the best: none");
}

TEST_CASE("output that no process reads") {
  const auto nobody_reads = [] {
    int ends[2];
    if (::pipe(ends) != 0) {
      ::_exit(126);
    }
    ::dup2(ends[1], STDOUT_FILENO);
    ::close(ends[0]);
  };
  const auto full = [] { ::dup2(::open("/dev/full", O_WRONLY), STDOUT_FILENO); };
  const std::vector<Words> all{{"heaps"},
                               {"heaps", "--json"},
                               {"heaps", "--names"},
                               {"devices"},
                               {"formats"},
                               {"formats", "--json"},
                               {"layout", "NV12", "64x64"},
                               {"select"},
                               {"select", "--image", "NV12:64x64"},
                               {"probe"},
                               {"alloc", "memfd:4k", "4K"},
                               {"alloc", "memfd:4k", "4K", "--count", "100", "--json"}, // more than a buffer of stdio
                               {"alloc", "memfd:4k", "4K", "--hold"},
                               {"bench", "memfd:4k", "--seconds", "0.01"},
                               {"describe", "man"},
                               {"--help"},
                               {"--version"}};
  for (const auto& arguments : all) {
    CAPTURE(joined(arguments));
    const Ran closed = run(sactl(arguments), nobody_reads);
    CHECK(closed.status == 128 + SIGPIPE);
    CHECK(closed.err.empty());
    for (const auto& prepare : std::vector<std::function<void()>>{full, [&] {
                                                                    nobody_reads();
                                                                    ::signal(SIGPIPE, SIG_IGN);
                                                                  }}) {
      const Ran ran = run(sactl(arguments), prepare);
      CAPTURE(ran.err);
      CHECK(ran.status == 1);
      CHECK(lines(ran.err).size() == 1);
      CHECK(ran.err.starts_with("sactl: "));
    }
  }
}

/// Commands in parentheses, "(sysctl ...)", as sentences have them.
std::vector<std::string> commands_in(const std::string& text) {
  std::vector<std::string> found;
  for (const char* program : {"(sysctl ", "(echo ", "(usermod ", "(chgrp ", "(ulimit ", "(sactl ", "(modprobe "}) {
    for (std::size_t at = text.find(program); at != std::string::npos; at = text.find(program, at + 1)) {
      found.push_back(text.substr(at, text.find(')', at) + 1 - at));
    }
  }
  return found;
}

/// Whether the line has nothing to break it at: one word, one command, or a layout to paste.
bool is_whole(const std::string& line) {
  const std::string text = line.substr(std::min(line.find_first_not_of(' '), line.size()));
  const auto commands = commands_in(text);
  if (!commands.empty() && text.starts_with(commands.front())) {
    return text.find(' ', commands.front().size()) == std::string::npos;
  }
  const std::size_t comma = text.find(',');
  return text.find(" planes=") != std::string::npos ||
         (text.find(' ') == std::string::npos && (comma == std::string::npos || comma + 1 == text.size()));
}

/// Words as a line may be broken between them: at spaces, and behind commas.
std::set<std::string> words_of(const std::string& text) {
  std::set<std::string> words;
  std::string word;
  for (const char c : text + " ") {
    word += c == ' ' || c == '\n' ? "" : std::string(1, c);
    if ((c == ' ' || c == '\n' || c == ',') && !word.empty()) {
      words.insert(word);
      word.clear();
    }
  }
  return words;
}

TEST_CASE("a terminal of any width: lines are broken between words, never in a word and never in a command") {
  for (const Words& arguments : std::vector<Words>{{"heaps"},
                                                   {"select"},
                                                   {"select", "--image", "NV12:640x480"},
                                                   {"devices"},
                                                   {"formats"},
                                                   {"layout", "YUV420", "1920x1080"},
                                                   {"probe"},
                                                   {"probe", "--profile"},
                                                   {"doctor", "--no-trials"},
                                                   {"--help"},
                                                   {"select", "--help"},
                                                   {"doctor", "--help"}}) {
    CAPTURE(joined(arguments));
    const Ran wide = run(sactl(arguments)); // no terminal: nothing is broken
    const auto words = words_of(wide.out);
    for (const unsigned short columns : {40, 80, 200}) {
      CAPTURE(columns);
      Terminal terminal{.columns = columns};
      const Ran ran = run(sactl(arguments), terminal);
      CHECK(ran.status == wide.status);
      const std::string text = plain(ran.out);
      std::set<std::string> missing;
      const auto printed = words_of(text);
      std::set_difference(printed.begin(), printed.end(), words.begin(), words.end(), std::inserter(missing, missing.end()));
      for (const auto& word : missing) {
        CAPTURE(word);
        const bool changes = word.find_first_of("0123456789") != std::string::npos; // free memory and open files
        CHECK(changes);
      }
      const auto all = lines(text);
      for (const auto& command : commands_in(wide.out)) {
        CAPTURE(command);
        CHECK(std::any_of(all.begin(), all.end(), [&](const auto& line) { return line.find(command) != std::string::npos; }));
      }
      for (const auto& line : all) {
        CAPTURE(line);
        const bool to_paste = line.starts_with("    ") || line.starts_with("match = ") || line.starts_with("constraints = ") ||
                              line.starts_with("  sactl ");
        CHECK((width(line) <= columns || is_whole(line) || to_paste));
      }
      if (arguments.front() == "doctor" && arguments.back() != "--help") {
        const json findings = json::parse(run(sactl({"doctor", "--no-trials", "--json"})).out).at("findings");
        for (const auto& finding : findings) {
          const std::string fix = finding.at("fix");
          CAPTURE(fix);
          CHECK((fix.empty() || std::find(all.begin(), all.end(), "    " + fix) != all.end()));
        }
      }
    }
  }
}

TEST_CASE("progress: a line on a terminal, gone at the end; not in a log") {
  const Words bench = sactl({"bench", "memfd:4k", "--seconds", "0.2"});
  Terminal terminal{.columns = 80};
  const std::string raw = run(bench, terminal).out;
  CHECK(raw.find("measuring memfd:4k: 0 of 0.2 s") != std::string::npos);
  CHECK(plain(raw).find("measuring") == std::string::npos);
  Terminal narrow{.columns = 20};
  CHECK(run(bench, narrow).out.find("measuring memfd:4k:") != std::string::npos);
  CHECK(run(bench, narrow).out.find("of 0.2 s") == std::string::npos); // a full line would wrap
  Terminal dumb{.columns = 80, .environment = {{"TERM", "dumb"}}};
  CHECK(run(bench, dumb).out.find("measuring") == std::string::npos);
  CHECK(run(bench).err.empty());
  Terminal many{.columns = 80};
  CHECK(run(sactl({"alloc", "memfd:4k", "4K", "--count", "30"}), many).out.find("20 of 30 buffers") != std::string::npos);
}

TEST_CASE("a terminal of 40 columns: no line is wider, and nothing is missing") {
  const std::vector<Words> all{{"heaps"},
                               {"select"},
                               {"select", "--constraints", "contiguous,dma-buf"},
                               {"select", "--image", "NV12,XRGB8888:1920x1080"},
                               {"devices"},
                               {"formats"},
                               {"layout", "YUV420", "1920x1080"},
                               {"probe"},
                               {"alloc", "memfd:4k", "4M", "--count", "2"},
                               {"bench", "memfd:4k", "--size", "64K", "--seconds", "0.05"}};
  for (const unsigned short columns : {40, 24}) {
    for (const char* locale : {"C.UTF-8", "C"}) {
      for (const auto& arguments : all) {
        CAPTURE(joined(arguments));
        CAPTURE(columns);
        Terminal terminal{.columns = columns, .environment = {{"LANG", locale}}};
        const Ran ran = run(sactl(arguments), terminal);
        CHECK(ran.status == (arguments.back() == "contiguous,dma-buf" ? run(sactl(arguments)).status : 0));
        CHECK(terminal.settings_kept);
        const std::string text = plain(ran.out);
        const bool ascii = std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
        const bool utf8 = std::string(locale) != "C";
        // On a slow machine: no bars, and spreads only of what had rounds enough.
        const bool few = columns < 40 && text.find("Few rounds") != std::string::npos;
        CHECK((ascii == (arguments.front() != "bench" || !utf8) || (few && utf8)));
        for (const auto& line : lines(text)) {
          CAPTURE(line);
          CHECK((width(line) <= columns || is_whole(line) || (columns < 40 && arguments.front() == "bench")));
        }
        if (arguments.front() == "heaps") {
          for (const json value = answer(arguments); const auto& heap : value.at("heaps")) {
            const std::string dense = without_spaces(text);
            CHECK(dense.find(without_spaces(heap.at("name"))) != std::string::npos);
            CHECK((heap.at("usable") == true || dense.find(without_spaces(heap.at("reason"))) != std::string::npos));
          }
        } else if (arguments.front() == "select") {
          Words as_json = sactl(arguments);
          as_json.emplace_back("--json");
          const json value = json::parse(run(as_json).out);
          for (const auto& refusal : value.at("refusals")) {
            CHECK(without_spaces(text).find(without_spaces(refusal.at("reason"))) != std::string::npos);
          }
        } else if (arguments.front() == "alloc" && columns == 40) {
          for (const char* word : {"SIZE 4.0 MiB", "INODE ", "ADDRESS -", "ALLOCATED IN ", "READ IN ", "zero"}) {
            CAPTURE(word);
            CHECK(text.find(word) != std::string::npos);
          }
        } else if (arguments.front() == "bench") {
          CHECK((columns < 40 || text.find(std::string(locale) == "C" ? "####" : "████") != std::string::npos));
        }
      }
    }
  }
}

TEST_CASE("colours: on a terminal that has them, unless NO_COLOR is set to anything") {
  const auto coloured = [](std::vector<std::pair<std::string, std::string>> environment) {
    Terminal terminal{.columns = 80, .environment = std::move(environment)};
    return run(sactl({"heaps"}), terminal).out.find('\x1b') != std::string::npos;
  };
  CHECK(coloured({}));
  CHECK(coloured({{"NO_COLOR", ""}}));
  CHECK_FALSE(coloured({{"NO_COLOR", "1"}}));
  CHECK_FALSE(coloured({{"TERM", "dumb"}}));
  CHECK(run(sactl({"heaps"})).out.find('\x1b') == std::string::npos);
}

TEST_CASE("Ctrl-C at any moment leaves nothing behind") {
  const Folder folder;
  const std::string path = folder.file("s");
  const std::vector<Words> all{{"heaps"},
                               {"devices"},
                               {"select", "--probe"},
                               {"select", "--image", "any:640x480", "--probe"},
                               {"probe"},
                               {"alloc", "memfd:4k", "16M", "--count", "4"},
                               {"alloc", "memfd:4k", "1M", "--hold"},
                               {"bench", "memfd:4k", "--seconds", "0.5"},
                               {"send", path, "memfd:4k", "4M", "--timeout", "1"},
                               {"recv", path, "--timeout", "3"},
                               {"doctor"},
                               {"top", "--once"}};
  for (const auto& arguments : all) {
    std::set<int> statuses;
    for (const auto moment : {0ms, 1ms, 3ms, 6ms, 10ms, 20ms, 50ms, 150ms}) {
      CAPTURE(joined(arguments));
      CAPTURE(moment.count());
      Terminal terminal{.interrupt_after = moment};
      const Ran ran = run(sactl(arguments), terminal);
      CAPTURE(ran.out);
      statuses.insert(ran.status);
      CHECK((ran.status == interrupted || ran.status == 0 || (arguments.front() == "send" && ran.status == 1) ||
             (arguments.front() == "doctor" && (ran.status == 3 || ran.status == 4))));
      CHECK(terminal.settings_kept);
      CHECK(folder.empty());
      CHECK((arguments.front() != "recv" || ran.status == interrupted));
    }
    CHECK_FALSE(statuses.empty());
  }
  for (const int number : {SIGTERM, SIGHUP, SIGINT}) { // while it waits for sure
    Running receiver(sactl({"recv", path}));
    REQUIRE(appears(path));
    receiver.signal(number);
    CHECK(receiver.finish().status == 128 + number);
    CHECK(folder.empty());
  }
  { // and when who came says nothing
    Running receiver(sactl({"recv", path}));
    REQUIRE(appears(path));
    const sa::UniqueFd silent = connected(path);
    std::this_thread::sleep_for(100ms);
    receiver.signal(SIGINT);
    CHECK(receiver.finish().status == interrupted);
    CHECK(folder.empty());
  }
}

TEST_CASE("the manual page and the completions are well formed") {
  const Folder folder;
  const auto write = [&](const std::string& form) {
    const Ran ran = run(sactl({"describe", form}));
    CHECK(ran.status == 0);
    CHECK_FALSE(ran.out.empty());
    std::ofstream(folder.file(form)) << ran.out;
    return folder.file(form);
  };
  const std::string man = write("man");
  if (run({"man", "--version"}).status == 0) {
    const Ran ran = run({"man", "--warnings", "-l", man});
    CHECK(ran.status == 0);
    CHECK(ran.err.empty());
    CHECK(ran.out.find("sactl alloc") != std::string::npos);
  } else {
    MESSAGE("skipped: no man");
  }
  const std::string zsh = write("zsh");
  if (run({"zsh", "--version"}).status == 0) {
    const Ran ran = run({"zsh", "-n", zsh});
    CHECK(ran.status == 0);
    CHECK(ran.err.empty());
  } else {
    MESSAGE("skipped: no zsh");
  }
  const std::string bash = write("bash");
  const Ran syntax = run({"bash", "-n", bash});
  CHECK(syntax.status == 0);
  CHECK(syntax.err.empty());
  const auto complete = [&](const std::string& line, const std::string& words) {
    std::string script = "PATH=";
    script += std::filesystem::path(SACTL).parent_path().string() + ":$PATH; . " + bash + "; COMP_LINE='" + line;
    script += "' COMP_POINT=${#COMP_LINE} COMP_WORDS=(" + words +
              ") COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _sactl; echo \"${COMPREPLY[*]}\"";
    const Ran ran = run({"bash", "-c", script});
    CAPTURE(ran.err);
    CHECK(ran.status == 0);
    CHECK(ran.err.empty());
    return ran.out;
  };
  CHECK(complete("sactl he", "sactl he") == "heaps\n");
  CHECK(complete("sactl alloc --pre", "sactl alloc --pre") == "--prefault\n");
  CHECK(complete("sactl alloc memfd:4", "sactl alloc memfd : 4") == "4k\n");
  CHECK(complete("sactl alloc syst", "sactl alloc syst") == "system\n");
  CHECK(complete("sactl layout NV1", "sactl layout NV1") == "NV12 NV16 NV15\n");
  CHECK(complete("sactl bench nothing", "sactl bench nothing") == "\n");
}

TEST_CASE("sa.toml(5) has every key of the example, and is well formed") {
  std::string page;
  std::getline(std::ifstream(SA_CONFIGURATION_PAGE), page, '\0');
  std::erase(page, '\\');
  std::ifstream example(SA_EXAMPLE_CONFIGURATION);
  std::size_t keys = 0;
  for (std::string line; std::getline(example, line);) {
    const std::size_t equals = line.find(" = ");
    if (!line.starts_with('#') || equals == std::string::npos || line.starts_with("# ")) {
      continue;
    }
    const std::string key = line.substr(1, equals - 1);
    CAPTURE(key);
    ++keys;
    const bool pair = key == "base" || key == "size";
    CHECK((key == "camera" || page.find(pair ? ".BR base \", \" size\n" : ".B " + key + "\n") != std::string::npos)); // an alias
  }
  CHECK(keys >= 15);
  for (const char* table : {"[aliases]", "[carveouts.NAME]", "[[device]]", "[pool]", "[quotas.HEAP]"}) {
    CAPTURE(table);
    CHECK(page.find(std::string(".SS ") + table + "\n") != std::string::npos);
  }
  if (run({"man", "--version"}).status == 0) {
    const Ran ran = run({"man", "--warnings", "-l", SA_CONFIGURATION_PAGE});
    CHECK(ran.status == 0);
    CHECK(ran.err.empty());
  } else {
    MESSAGE("skipped: no man");
  }
}

TEST_CASE("doctor: a wrong configuration file is trouble, with its line, until it is right") {
  const Folder folder;
  const std::string file = folder.file("sa.toml");
  const auto findings = [&] {
    const Ran ran = run(sactl({"doctor", "--json", "--no-trials"}), [&] { ::setenv("SA_CONFIG", file.c_str(), 1); });
    std::string found;
    const json whole = json::parse(ran.out);
    for (const auto& finding : whole["findings"]) {
      if (finding["id"] == "configuration") {
        found += finding["severity"].get<std::string>() + " " + finding["seen"].get<std::string>() + "\n";
        CHECK((finding["severity"] == "ok" || ran.status == 4));
      }
    }
    return found;
  };
  std::ofstream(file) << "[pool]\nmax-free-byte = 1\n";
  CHECK(findings().find("trouble") != std::string::npos);
  CHECK(findings().find(file + ":2:1") != std::string::npos);
  std::ofstream(file) << "[pool]\nmax-free-bytes = 1\n";
  CHECK(findings() == "ok " + file + "\n");
}

TEST_CASE("a log level that there is not is told of once, and warnings are still shown") {
  const Folder folder;
  const std::string file = folder.file("sa.toml");
  std::ofstream(file) << "[heaps\n";
  const auto said = [&](const char* level) {
    return run(sactl({"heaps"}),
               [&] {
                 ::setenv("SA_CONFIG", file.c_str(), 1);
                 ::setenv("SA_LOG", level, 1);
               })
        .err;
  };
  const std::string unknown = said("verbose");
  CAPTURE(unknown);
  CHECK(unknown.find("SA_LOG=verbose is not a level") != std::string::npos);
  CHECK(unknown.find("SA_LOG=verbose") == unknown.rfind("SA_LOG=verbose"));
  CHECK(unknown.find("nothing of this file is used") != std::string::npos);
  CHECK(said("off").empty());
}

TEST_CASE("heaps starts and ends quickly") {
  std::vector<double> times;
  for (int i = 0; i < 50; ++i) {
    const auto start = std::chrono::steady_clock::now();
    CHECK(run(sactl({"heaps"})).status == 0);
    times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(times.begin(), times.end());
  MESSAGE("heaps, from start to exit: ", times[25], " ms, median of 50, quickest ", times[0], " ms");

  // Counted, which is the same on a busy machine.
  const pid_t child = support::start([] {
    ::dup2(::open("/dev/null", O_WRONLY), STDOUT_FILENO);
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::execl(SACTL, SACTL, "heaps", nullptr);
    return 127;
  });
  int stops = 0;
  int status = 0;
  while (::waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
    ++stops;
    ::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
  }
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  MESSAGE("heaps: ", stops / 2, " system calls");
  CHECK(stops / 2 > 50);
  CHECK(stops / 2 < 700);
}

int main(int argc, char** argv) {
  // What a guest with its drivers as modules does not load by itself.
  if (const char* modules = std::getenv("SA_VM_MODULES"); modules != nullptr && *modules != '\0') {
    if (std::system(("modprobe -d " + std::string(modules) + " vgem").c_str()) != 0) {
      return 1;
    }
  }
  doctest::Context context(argc, argv);
  return context.run();
}
