// SPDX-License-Identifier: MIT
/// Frames that the CPU draws, sampled by OpenGL ES without a copy, and compared with what was drawn:   egl [HEAP [CARD [FRAMES]]]
///
/// CARD is the DRM device whose driver renders ("/dev/dri/renderD128"); without one, or "-", what EGL finds. It needs
/// EGL_EXT_image_dma_buf_import. Mesa's software driver has that from version 24.1 on where there is no card, for any dma-buf:
///     egl dma-heap:system
/// and on a display card without a GPU, in older versions too, for that card's own buffers. It imports others there as well,
/// and reads black (seen with 22.3 and 25.0):
///     egl drm:card0 /dev/dri/card0
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <EGL/egl.h>
#include <EGL/eglext.h>
#include <GLES2/gl2.h>
#include <GLES2/gl2ext.h>
#include <fcntl.h>
#include <gbm.h>

#include <sa/glue/egl.hpp>
#include <sa/sa.hpp>

static void require(bool done, const char* what) {
  if (!done) {
    char code[16];
    std::snprintf(code, sizeof code, " (0x%x)", static_cast<unsigned>(eglGetError()));
    throw std::runtime_error(what + std::string(code));
  }
}

static bool has(const char* all, std::string_view extension) {
  return all != nullptr && (" " + std::string(all) + " ").find(" " + std::string(extension) + " ") != std::string::npos;
}

/// The pixel of the frame with that number: blue, green, red, and alpha in the highest byte.
static std::uint32_t pixel(std::uint32_t x, std::uint32_t y, int frame) {
  return 0xff000000 | (x & 0xff) << 16 | (y & 0xff) << 8 | (static_cast<std::uint32_t>(frame) * 16 + (x >> 8) * 4 + (y >> 8));
}

int main(int argc, char** argv) try {
  const bool card = argc > 2 && std::string_view(argv[2]) != "-";
  const sa::UniqueFd node{card ? open(argv[2], O_RDWR | O_CLOEXEC) : -1};
  gbm_device* const gbm = node ? gbm_create_device(node.get()) : nullptr;
  require(!card || gbm != nullptr, "no such card");
  EGLDisplay display = card ? eglGetPlatformDisplay(EGL_PLATFORM_GBM_KHR, gbm, nullptr)
                            : eglGetPlatformDisplay(EGL_PLATFORM_SURFACELESS_MESA, nullptr, nullptr);
  require(eglInitialize(display, nullptr, nullptr) == EGL_TRUE, "eglInitialize");
  require(eglBindAPI(EGL_OPENGL_ES_API) == EGL_TRUE, "eglBindAPI");
  constexpr EGLint version[] = {EGL_CONTEXT_CLIENT_VERSION, 2, EGL_NONE};
  EGLContext context = eglCreateContext(display, EGL_NO_CONFIG_KHR, EGL_NO_CONTEXT, version);
  require(eglMakeCurrent(display, EGL_NO_SURFACE, EGL_NO_SURFACE, context) == EGL_TRUE, "eglMakeCurrent");
  const char* const extensions = eglQueryString(display, EGL_EXTENSIONS);
  std::printf("%s\n", reinterpret_cast<const char*>(glGetString(GL_RENDERER)));
  require(has(extensions, "EGL_EXT_image_dma_buf_import"), "the driver has no EGL_EXT_image_dma_buf_import");

  const sa::ImageLayout layout = sa::lay_out({.format = sa::Format::find("ARGB8888"), .stride_align = 256}, 640, 480);
  const sa::Image frame = sa::Registry::system().at(argc > 1 ? argv[1] : "dma-buf")->allocate(layout, {.name = "frame"});

  const bool modifiers = has(extensions, "EGL_EXT_image_dma_buf_import_modifiers");
  const sa::egl::ImageAttributes attributes(frame, modifiers ? sa::egl::Modifiers::Told : sa::egl::Modifiers::Untold);
  EGLImage image = eglCreateImage(display, EGL_NO_CONTEXT, EGL_LINUX_DMA_BUF_EXT, nullptr, attributes.data());
  require(image != EGL_NO_IMAGE, "eglCreateImage");
  // The texture is the buffer; a framebuffer around it lets OpenGL ES read and draw there.
  const auto target = reinterpret_cast<PFNGLEGLIMAGETARGETTEXTURE2DOESPROC>(eglGetProcAddress("glEGLImageTargetTexture2DOES"));
  GLuint texture = 0;
  GLuint framebuffer = 0;
  glGenTextures(1, &texture);
  glBindTexture(GL_TEXTURE_2D, texture);
  target(GL_TEXTURE_2D, image);
  glGenFramebuffers(1, &framebuffer);
  glBindFramebuffer(GL_FRAMEBUFFER, framebuffer);
  glFramebufferTexture2D(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, texture, 0);
  require(glCheckFramebufferStatus(GL_FRAMEBUFFER) == GL_FRAMEBUFFER_COMPLETE, "glCheckFramebufferStatus");

  std::vector<std::uint32_t> read(640 * 480); // red, green, blue, alpha
  for (int number = 0; number < (argc > 3 ? std::stoi(argv[3]) : 3); ++number) {
    {
      const sa::ImageAccess cpu = frame.access(sa::Access::Write);
      for (std::uint32_t y = 0; y < 480; ++y) {
        for (std::uint32_t x = 0; x < 640; ++x) {
          const std::uint32_t drawn = pixel(x, y, number);
          std::memcpy(&cpu.plane(0)[y][x * 4], &drawn, 4);
        }
      }
    }
    glReadPixels(0, 0, 640, 480, GL_RGBA, GL_UNSIGNED_BYTE, read.data());
    for (std::uint32_t at = 0; at < read.size(); ++at) {
      const std::uint32_t drawn = pixel(at % 640, at / 640, number);
      const std::uint32_t turned = (drawn & 0xff00ff00) | (drawn >> 16 & 0xff) | (drawn & 0xff) << 16;
      if (read[at] != turned) {
        return std::fprintf(stderr, "frame %d: pixel %u,%u is %08x\n", number, at % 640, at / 640, read[at]), 1;
      }
    }
    std::printf("frame %d: every pixel as it was drawn, in %s\n", number, std::string(frame.buffer(0).heap()).c_str());
  }
  // And the other way: what OpenGL ES draws, the CPU sees.
  glClearColor(0, 1, 0, 1);
  glClear(GL_COLOR_BUFFER_BIT);
  glFinish();
  const sa::ImageAccess cpu = frame.access(sa::Access::Read);
  for (const auto row : cpu.plane(0)) {
    for (std::size_t x = 0; x < row.size(); x += 4) {
      require(std::memcmp(&row[x], "\x00\xff\x00\xff", 4) == 0, "what OpenGL ES drew is not in the buffer");
    }
  }
  std::printf("what OpenGL ES drew is in %s\n", std::string(frame.buffer(0).heap()).c_str());
  eglDestroyImage(display, image);
  eglTerminate(display);
} catch (const std::exception& error) {
  return std::fprintf(stderr, "%s\n", error.what()), 1;
}
