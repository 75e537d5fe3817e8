// SPDX-License-Identifier: MIT
/// A camera's pictures in memory of ours, by libcamera.   libcamera [FRAMES [HEAP [CAMERA]]]   `cam --list` prints the cameras.
///
/// libcamera chooses the stride; the images are laid out as it says, in memory of the heap (several: "cma|system"), and it
/// imports them. Prints eight pixels of the last picture, whose format has one plane.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <semaphore>

#include <libcamera/libcamera.h>

#include <sa/glue/libcamera.hpp>
#include <sa/sa.hpp>

static int require(int result, const char* what) { // libcamera says -errno
  return result >= 0 ? result : throw std::system_error(-result, std::system_category(), what);
}

/// Eight pixels of a row near the bottom, from left to right, as their first three bytes.
static std::string colours_of(const sa::Image& image) {
  const sa::ImageAccess cpu = image.access(sa::Access::Read);
  const auto row = cpu.plane(0)[image.layout().height * 7 / 8];
  std::string text;
  for (std::size_t i = 0; i < 8; ++i) {
    const std::size_t pixel = image.layout().width * (2 * i + 1) / 16;
    for (std::size_t byte = 0; byte < 3; ++byte) {
      char digits[4];
      std::snprintf(digits, sizeof digits, "%s%02x", byte == 0 ? " " : "",
                    std::to_integer<unsigned>(row[pixel * image.layout().format.info().planes[0].bytes + byte]));
      text += digits;
    }
  }
  return text;
}

/// The events on libcamera's thread.
struct Capture {
  libcamera::Camera* camera = nullptr;
  std::atomic<int> left = 0; // frames
  std::atomic<libcamera::FrameBuffer*> last = nullptr;
  std::binary_semaphore done{0};

  void completed(libcamera::Request* request) {
    libcamera::FrameBuffer* const buffer = request->buffers().begin()->second;
    if (request->status() != libcamera::Request::RequestComplete ||
        buffer->metadata().status != libcamera::FrameMetadata::FrameSuccess) {
      return; // the camera stops
    }
    last = buffer;
    if (--left == 0) {
      done.release();
    } else {
      request->reuse(libcamera::Request::ReuseBuffers);
      camera->queueRequest(request);
    }
  }
};

static void capture(libcamera::Camera& camera, int frames, const char* heap) {
  require(camera.acquire(), "acquire the camera");
  const std::unique_ptr<libcamera::CameraConfiguration> configuration =
      camera.generateConfiguration({libcamera::StreamRole::Viewfinder});
  libcamera::StreamConfiguration& stream = configuration->at(0);
  stream.size = {480, 360};
  configuration->validate(); // adjusts the size to the camera's
  require(camera.configure(configuration.get()), "configure the camera");

  const sa::ImageLayout layout = sa::libcamera::layout_of(stream);
  const std::shared_ptr<sa::Heap> memory = sa::Registry::system().at(heap);
  std::map<libcamera::FrameBuffer*, sa::Image> images;
  std::vector<std::unique_ptr<libcamera::FrameBuffer>> buffers;
  std::vector<std::unique_ptr<libcamera::Request>> requests;
  for (unsigned i = 0; i < stream.bufferCount; ++i) {
    sa::Image image = memory->allocate(layout, {.require = sa::Trait::DmaBuf});
    buffers.push_back(std::make_unique<libcamera::FrameBuffer>(sa::libcamera::planes_of(image)));
    requests.push_back(camera.createRequest());
    require(requests.back()->addBuffer(stream.stream(), buffers.back().get()), "add a buffer");
    images.emplace(buffers.back().get(), std::move(image));
  }
  std::printf("%s from %s\n", sa::to_string(layout).c_str(), std::string(images.begin()->second.buffer(0).heap()).c_str());

  Capture capture{.camera = &camera, .left = frames};
  camera.requestCompleted.connect(&capture, &Capture::completed);
  require(camera.start(), "start the camera");
  for (const auto& request : requests) {
    require(camera.queueRequest(request.get()), "queue a request");
  }
  const bool came = capture.done.try_acquire_for(std::chrono::seconds(30));
  require(camera.stop(), "stop the camera");
  camera.requestCompleted.disconnect(&capture);
  require(camera.release(), "release the camera");
  if (!came) {
    throw std::runtime_error("no frame came for 30 seconds");
  }
  std::printf("%d frames; colours:%s\n", frames, colours_of(images.at(capture.last)).c_str());
}

int main(int argc, char** argv) try {
  libcamera::CameraManager manager;
  require(manager.start(), "start libcamera");
  {
    const auto cameras = manager.cameras();
    const auto wanted =
        std::find_if(cameras.begin(), cameras.end(), [&](const auto& one) { return argc < 4 || one->id() == argv[3]; });
    if (wanted == cameras.end()) {
      throw std::runtime_error("libcamera knows no such camera");
    }
    capture(**wanted, argc > 1 ? std::stoi(argv[1]) : 30, argc > 2 ? argv[2] : "system");
  } // the manager stops last
  manager.stop();
} catch (const std::exception& error) {
  return std::fprintf(stderr, "%s\n", error.what()), 1;
}
