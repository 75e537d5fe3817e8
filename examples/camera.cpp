// SPDX-License-Identifier: MIT
/// A frame that a camera fills and a display shows; the second example of the README, whole:   camera [CAMERA [DISPLAY]]
#include <cstdio>
#include <string>

#include <sa/sa.hpp>

int main(int argc, char** argv) try {
  auto& registry = sa::Registry::system();
  const auto camera = sa::Device::open(argc > 1 ? argv[1] : "/dev/video0");
  const auto display = sa::Device::open(argc > 2 ? argv[2] : "/dev/dri/card0");
  const sa::DmaBuf frame = registry.allocate({camera, display}, {.size = camera.info().image_size, .name = "frame"});
  std::printf("%zu bytes from %s\n", frame.size(), std::string(frame.heap()).c_str());
  for (const sa::Device& device : {camera, display}) { // what they say to this very buffer
    const auto [verdict, said] = device.try_import(frame);
    std::printf("%s (%s): %s\n", device.info().name.c_str(), device.info().driver.c_str(),
                verdict == sa::ImportVerdict::Accepted ? "takes it" : said.c_str());
    if (verdict == sa::ImportVerdict::Refused) {
      return 1;
    }
  }
} catch (const sa::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
