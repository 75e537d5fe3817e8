// SPDX-License-Identifier: MIT
/// Layouts: their sizes, their text, and what is refused.
#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include <sa/error.hpp>
#include <sa/layout.hpp>

using sa::Format;
using sa::ImageLayout;
using sa::LayoutRule;

namespace {

LayoutRule rule(std::string_view format, std::string_view words = "") {
  LayoutRule made = sa::parse_layout_rule(words);
  made.format = Format::find(format);
  REQUIRE(made.format);
  return made;
}

/// What the throwing twin of @p call says, empty when it returns; the noexcept twin must agree.
template <typename Call>
std::string said(Call&& call) {
  std::error_code ec = std::make_error_code(std::errc::io_error); // to be cleared
  call(ec);
  try {
    call();
    CHECK_FALSE(ec);
    return {};
  } catch (const sa::Error& error) {
    CHECK(error.code() == std::errc::invalid_argument);
    CHECK(ec == error.code());
    return error.what();
  }
}

std::string refused(const LayoutRule& rule, std::uint32_t width, std::uint32_t height) {
  return said([&](auto&... ec) { (void)sa::lay_out(rule, width, height, ec...); });
}

} // namespace

TEST_CASE("a picture is laid out without padding where nothing demands it") {
  const std::pair<std::string, std::string> layouts[] = {
      {"NV12 1920x1080", "planes=0+0/1920*1080,0+2073600/1920*540 sizes=3110400"},
      {"NV12 641x481", "planes=0+0/642*482,0+309444/642*241 sizes=464166"},
      {"YUV420 322x240", "planes=0+0/322*240,0+77280/161*120,0+96600/161*120 sizes=115920"},
      {"P010 641x481", "planes=0+0/1284*482,0+618888/1284*241 sizes=928332"},
      {"NV15 1442x2", "planes=0+0/1805*2,0+3610/1805*1 sizes=5415"},
      {"YUYV 641x481", "planes=0+0/1284*481 sizes=617604"},
      {"SRGGB10P 1442x2", "planes=0+0/1805*2 sizes=3610"},
      {"SRGGB10P 3282x1", "planes=0+0/4105*2 sizes=8210"},
      {"RGB888 3x3", "planes=0+0/9*3 sizes=27"},
      {"NV24 3x3", "planes=0+0/3*3,0+9/6*3 sizes=27"},
  };
  for (const auto& one : layouts) { // no bindings: clang 14 captures none
    const std::string& size = one.first;
    const std::string& text = one.second;
    CAPTURE(size);
    const ImageLayout wanted = sa::parse_layout(size + " " + text);
    CHECK(to_string(sa::lay_out(rule(wanted.format.name()), wanted.width, wanted.height)) == size + " " + text);
  }
}

TEST_CASE("a layout obeys its rule") {
  const auto laid_out = [](std::string_view format, std::string_view words, std::uint32_t width, std::uint32_t height) {
    return to_string(sa::lay_out(rule(format, words), width, height));
  };
  // amdgpu: each plane's stride and offset
  CHECK(laid_out("NV12", "stride-align=256,offset-align=256", 1936, 1080) ==
        "NV12 1936x1080 planes=0+0/2048*1080,0+2211840/2048*540 sizes=3317760");
  // rockchip: chroma's 64 bytes make luma's 128
  CHECK(laid_out("YVU420", "stride-align=64,tied", 1936, 1080) ==
        "YVU420 1936x1080 planes=0+0/2048*1080,0+2211840/1024*540,0+2764800/1024*540 sizes=3317760");
  CHECK(laid_out("YVU420", "stride-align=64", 1936, 1080) ==
        "YVU420 1936x1080 planes=0+0/1984*1080,0+2142720/1024*540,0+2695680/1024*540 sizes=3248640");
  // planes that adjoin begin where they may by their strides alone
  CHECK(laid_out("NV12", "offset-align=4096,tied", 642, 482) ==
        "NV12 642x482 planes=0+0/2048*482,0+987136/2048*241 sizes=1480704");
  CHECK(laid_out("NV12", "rows-align=16,tail=64", 1920, 1080) ==
        "NV12 1920x1080 planes=0+0/1920*1088,0+2088960/1920*544 sizes=3133504");
  CHECK(laid_out("NV12", "buffers=separate,stride-align=128", 1936, 8) ==
        "NV12 1936x8 planes=0+0/2048*8,1+0/2048*4 sizes=16384,8192");
  CHECK(laid_out("NV12", "buffers=separate,size-min=9000,tied", 16, 8) == "NV12 16x8 planes=0+0/16*8,1+0/16*4 sizes=9000,9000");
  CHECK(laid_out("R8", "stride=1936", 1920, 4) == "R8 1920x4 planes=0+0/1936*4 sizes=7744");
  CHECK(laid_out("R8", "stride-prefer=64", 1921, 4) == "R8 1921x4 planes=0+0/1984*4 sizes=7936");
  CHECK(laid_out("R8", "stride-prefer=64,stride-max=1950", 1921, 4) == "R8 1921x4 planes=0+0/1921*4 sizes=7684");
  CHECK(laid_out("R8", "width-step=16,height-step=8", 33, 9) == "R8 33x9 planes=0+0/48*16 sizes=768");
  CHECK(laid_out("R8", "modifiers=0x5:0x9", 1, 1) == "R8 1x1 planes=0+0/1*1 sizes=1 modifier=0x5");
}

TEST_CASE("a picture that is too large is an error and not a small buffer") {
  CHECK(refused(rule("NV12"), 65535, 65535) == "lay out 65535x65535 pixels: NV12: 65535x65535 take 4294967296 bytes and more; "
                                               "kernel interfaces count to 2147483647 in one buffer");
  CHECK_FALSE(refused(rule("R8"), 65535, 65535).empty());
  CHECK(refused(rule("R8"), 65536, 1) == "lay out 65536x1 pixels: 65536x1: a side is from 1 to 65535 pixels");
  CHECK_FALSE(refused(rule("R8"), 1, 0xffffffff).empty());
  CHECK_FALSE(refused(rule("R8"), 0, 1).empty());
  CHECK_FALSE(refused(rule("R8"), 1, 0).empty());
  CHECK(refused(rule("R8"), 32767, 65535).empty());
  for (const Format format : Format::all()) {
    for (const char* words :
         {"stride-align=0x7fffffff", "rows-align=0x7ffffff", "offset-align=0x7fffffff,tied", "tail=0x7fffffff",
          "size-min=0x7fffffff", "width-step=2147483647", "height-step=2147483646,rows-align=2147483647",
          "stride-align=0x7ffffffe,offset-align=0x7fffffff,tied", "stride-prefer=0x40000000"}) {
      CAPTURE(format.name());
      CAPTURE(std::string(words));
      std::error_code ec;
      LayoutRule one = sa::parse_layout_rule(words, ec);
      one.format = format;
      const ImageLayout layout = sa::lay_out(one, 65535, 65535, ec);
      if (!ec) { // then it is what it says
        CHECK_FALSE(said([&](auto&... code) { sa::check(layout, code...); }) != "");
        CHECK(layout.planes[0].rows >= 65535);
      }
    }
  }
}

TEST_CASE("a preference refuses nothing") {
  // 65535 bytes in 32768 rows fit into 31 bits, 65536 do not
  CHECK(to_string(sa::lay_out(rule("R8", "stride-prefer=64"), 65535, 32768)) ==
        "R8 65535x32768 planes=0+0/65535*32768 sizes=2147450880");
  // no stride of chroma is a multiple of both
  CHECK(to_string(sa::lay_out(rule("NV24", "stride-align=196605,stride-prefer=65536"), 4, 2)) ==
        "NV24 4x2 planes=0+0/196605*2,0+393210/196605*2 sizes=786420");
  CHECK(refused(rule("R8", "stride-prefer=64"), 65535, 65535)
            .ends_with("take 4294836225 bytes; kernel interfaces count to "
                       "2147483647 in one buffer"));
}

TEST_CASE("an impossible layout is refused with the reason") {
  CHECK(refused(rule("R8", "stride=1936"), 1937, 4) ==
        "lay out 1937x4 pixels: R8: 1937 pixels and their padding take rows of 1937 bytes, in steps of 1; more than 1936 are not "
        "taken");
  LayoutRule camera = rule("NV12", "stride-max=1000");
  camera.sources = {"/dev/video0: VIDIOC_TRY_FMT"};
  CHECK(refused(camera, 1002, 4).ends_with("more than 1000 are not taken (/dev/video0: VIDIOC_TRY_FMT)"));
  camera = rule("NV12", "rows-align=16,rows-max=1080");
  CHECK(refused(camera, 1920, 1080) ==
        "lay out 1920x1080 pixels: NV12: 1088 rows with padding, in steps of 16; more than 1080 are not taken");
  CHECK(refused(camera, 1920, 1056).empty());
  CHECK(refused(LayoutRule{}, 4, 4) == "lay out 4x4 pixels: the rule has no format");
}

TEST_CASE("the text of a layout is read strictly") {
  const std::string good = "NV12 641x481 planes=0+0/642*482,0+309444/642*241 sizes=464166 modifier=0x1 colour=1/13/5/1";
  CHECK(to_string(sa::parse_layout(good)) == good);
  CHECK(to_string(sa::parse_layout("R8 1x1 sizes=1 planes=0+0/1*1")) == "R8 1x1 planes=0+0/1*1 sizes=1");
  const char* wrong[] = {
      "",
      "R8",
      "R8 1x1",
      "R8 1x1 planes=0+0/1*1",
      "R8 1x1 sizes=1",
      " R8 1x1 planes=0+0/1*1 sizes=1",
      "R8 1x1  planes=0+0/1*1 sizes=1",
      "R8 1x1 planes=0+0/1*1 sizes=1 ",
      "r8 1x1 planes=0+0/1*1 sizes=1",
      "R8 01x1 planes=0+0/1*1 sizes=1",
      "R8 1x0 planes=0+0/1*1 sizes=1",
      "R8 1x65536 planes=0+0/1*65536 sizes=65536",
      "R8 -1x1 planes=0+0/1*1 sizes=1",
      "R8 1x1 planes=0+0/1*1 sizes=0",
      "R8 1x1 planes=0+1/1*1 sizes=1",
      "R8 1x1 planes=0+0/1*2 sizes=1",
      "R8 2x1 planes=0+0/1*1 sizes=2",
      "R8 1x2 planes=0+0/1*1 sizes=2",
      "R8 1x1 planes=1+0/1*1 sizes=1,1",
      "R8 1x1 planes=4+0/1*1 sizes=1",
      "R8 1x1 planes=0+18446744073709551615/1*1 sizes=1",
      "R8 1x1 planes=0+18446744073709551616/1*1 sizes=1",
      "R8 1x1 planes=0+0/1*1,0+0/1*1 sizes=1",
      "R8 1x1 planes=0+0/1*1 sizes=1,1",
      "R8 1x1 planes=0+0/1*1 sizes=1,0",
      "R8 1x1 planes=0+0/1*1 sizes=1 sizes=1",
      "R8 1x1 planes=0+0/1*1 sizes=1 fast",
      "R8 1x1 planes=0+0/1*1 sizes=1 modifier=1",
      "R8 1x1 planes=0+0/1*1 sizes=1 modifier=0x10000000000000000",
      "R8 1x1 planes=0+0/1*1 sizes=1 modifier=0x0 modifier=0x5",
      "R8 1x1 planes=0+0/1*1 sizes=1 colour=2/2/2/0 colour=1/13/5/1",
      "R8 1x1 planes=0+0/1*1 sizes=1 colour=1/2/3",
      "R8 1x1 planes=0+0/1*1 sizes=1 colour=1/2/3/2",
      "R8 1x1 planes=0+0/1*1 sizes=1 colour=256/2/3/0",
      "R8 1x1 planes=0+0/1*1 sizes=2147483648",
      "NV12 2x2 planes=0+0/2*2 sizes=4",
  };
  for (const char* text : wrong) {
    CAPTURE(std::string(text));
    CHECK_FALSE(said([&](auto&... ec) { (void)sa::parse_layout(text, ec...); }).empty());
  }
  CHECK(said([](auto&... ec) { (void)sa::parse_layout("R8 2x1 planes=0+0/1*1 sizes=2", ec...); }) ==
        "read the layout \"R8 2x1 planes=0+0/1*1 sizes=2\": plane 0: a stride of 1 bytes is shorter than a row, 2");
}

TEST_CASE("the words of a rule are read and written") {
  const char* all = "modifiers=0x0:0x9,stride-align=64,stride-prefer=256,stride-min=128,stride-max=4K,offset-align=512,rows-"
                    "align=16,rows-max=2160,"
                    "width-step=8,height-step=4,size-min=1M,tail=64,tied,buffers=separate";
  CHECK(to_string(sa::parse_layout_rule(all)) == all);
  CHECK(sa::parse_layout_rule("") == LayoutRule{});
  CHECK(to_string(sa::parse_layout_rule(" tied , stride=1936 ")) == "stride=1936,tied");
  const std::pair<const char*, const char*> wrong[] = {
      {"fast", "\"fast\" is not a word of a rule; the words are: modifiers=0xHEX:..., stride=BYTES, stride-align=BYTES"},
      {"tied,tied", "tied is repeated"},
      {"stride-align=0", "\"stride-align=0\" has a value that cannot be"},
      {"stride-align=4G", "\"stride-align=4G\" has a value that cannot be"},
      {"rows-align=1K", "\"rows-align=1K\" has a value that cannot be"},
      {"stride-prefer=96", "stride-prefer=96 is not a power of two"},
      {"stride-min=9,stride-max=8", "stride-min=9,stride-max=8 leaves no stride"},
      {"stride=1936,stride-align=256", "stride=1936,stride-align=256 leaves no stride"},
      {"rows-align=16,rows-max=15", "rows-align=16,rows-max=15 leaves no number of rows"},
      {"stride=8,stride-min=9", "\"stride-min=9\" has a value that cannot be"},
      {"stride-min=9,stride=8", "\"stride=8\" has a value that cannot be"},
      {"modifiers=", "\"modifiers=\" has a value that cannot be"},
      {"modifiers=0x1:", "\"modifiers=0x1:\" has a value that cannot be"},
      {"buffers=two", "\"buffers=two\" is not a word"},
      {"tied=1", "\"tied=1\" is not a word"},
      {",", "\"\" is not a word"},
  };
  for (const auto& one : wrong) {
    const std::string words = one.first;
    const char* const why = one.second;
    CAPTURE(words);
    const std::string sentence = said([&](auto&... ec) { (void)sa::parse_layout_rule(words, ec...); });
    CAPTURE(sentence);
    CHECK(sentence.find(why) != std::string::npos);
  }
}
