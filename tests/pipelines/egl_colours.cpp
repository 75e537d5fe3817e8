// SPDX-License-Identifier: MIT
/// YUV pictures, sampled by OpenGL ES: that it looks for the pixels where the layout has them, and heeds what the layout says of
/// the colours. For a driver that imports them without a card (Mesa 24.1 or newer):   egl_colours HEAP
/// That one, llvmpipe, takes one plane alone (llvmpipe_resource_from_handle(), seen with 25.0.7): what it does not import of
/// several planes is printed, and no failure.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include <EGL/egl.h>
#include <EGL/eglext.h>
#include <GLES2/gl2.h>
#include <GLES2/gl2ext.h>

#include <sa/glue/egl.hpp>
#include <sa/sa.hpp>

namespace {

constexpr const char* not_imported = "not imported";
constexpr int side = 64;
constexpr std::array<std::array<int, 3>, 4> quadrants{
    {{60, 100, 180}, {200, 140, 90}, {120, 60, 60}, {90, 190, 128}}}; // Y, Cb, Cr

void require(bool done, const std::string& what) {
  if (!done) {
    throw std::runtime_error(what);
  }
}

int quadrant(int x, int y) {
  return (y < side / 2 ? 0 : 2) + (x < side / 2 ? 0 : 1);
}

sa::Image drawn(const char* heap, const sa::ImageLayout& layout) {
  std::vector<sa::DmaBuf> buffers;
  for (unsigned i = 0; i < layout.buffer_count(); ++i) {
    buffers.push_back(sa::Registry::system().allocate(heap, {.size = static_cast<std::size_t>(layout.sizes[i])}));
  }
  sa::Image image = sa::Image::import(layout, std::move(buffers));
  const sa::ImageAccess cpu = image.access(sa::Access::Write);
  const unsigned planes = layout.plane_count();
  const int first = layout.format == sa::Format::find("UYVY") ? 1 : 0; // luma's byte of two
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      const std::array<int, 3>& yuv = quadrants[static_cast<std::size_t>(quadrant(x, y))];
      const auto put = [&](unsigned plane, int row, int at, int value) {
        cpu.plane(plane)[static_cast<std::uint32_t>(row)][static_cast<std::size_t>(at)] = static_cast<std::byte>(value);
      };
      const int chroma = x % 2 == 0 ? yuv[1] : yuv[2];
      if (planes == 1) {
        put(0, y, x * 2 + first, yuv[0]);
        put(0, y, x * 2 + 1 - first, chroma);
        continue;
      }
      put(0, y, x, yuv[0]);
      if (planes == 2) {
        put(1, y / 2, x, chroma);
      } else {
        put(1, y / 2, x / 2, yuv[1]);
        put(2, y / 2, x / 2, yuv[2]);
      }
    }
  }
  return image;
}

/// By ITU-R BT.601 and BT.709, whose weights of red and blue differ.
std::array<int, 3> rgb_of(const std::array<int, 3>& yuv, const sa::Colour& colour) {
  const double red = colour.matrix == 1 ? 0.2126 : 0.299;
  const double blue = colour.matrix == 1 ? 0.0722 : 0.114;
  const double y = colour.full_range ? yuv[0] / 255.0 : (yuv[0] - 16) / 219.0;
  const double scale = colour.full_range ? 255.0 : 224.0;
  const double cb = (yuv[1] - 128) / scale;
  const double cr = (yuv[2] - 128) / scale;
  const double r = y + 2 * (1 - red) * cr;
  const double b = y + 2 * (1 - blue) * cb;
  const double g = (y - red * r - blue * b) / (1 - red - blue);
  const auto byte = [](double value) { return static_cast<int>(std::lround(std::clamp(value, 0.0, 1.0) * 255)); };
  return {byte(r), byte(g), byte(b)};
}

GLuint compiled(GLenum kind, const char* text) {
  const GLuint shader = glCreateShader(kind);
  glShaderSource(shader, 1, &text, nullptr);
  glCompileShader(shader);
  GLint done = 0;
  glGetShaderiv(shader, GL_COMPILE_STATUS, &done);
  require(done == GL_TRUE, "glCompileShader");
  return shader;
}

/// Samples an image into the framebuffer, and says which quadrant is not as computed; empty: none. Or not_imported.
std::string sampled(EGLDisplay display, const sa::Image& image) {
  const sa::egl::ImageAttributes attributes(image, sa::egl::Modifiers::Told);
  EGLImage imported = eglCreateImage(display, EGL_NO_CONTEXT, EGL_LINUX_DMA_BUF_EXT, nullptr, attributes.data());
  if (imported == EGL_NO_IMAGE) {
    return image.layout().plane_count() > 1 && eglGetError() == EGL_BAD_ALLOC ? not_imported : "eglCreateImage";
  }
  static const auto target =
      reinterpret_cast<PFNGLEGLIMAGETARGETTEXTURE2DOESPROC>(eglGetProcAddress("glEGLImageTargetTexture2DOES"));
  GLuint texture = 0;
  glGenTextures(1, &texture);
  glBindTexture(GL_TEXTURE_EXTERNAL_OES, texture);
  glTexParameteri(GL_TEXTURE_EXTERNAL_OES, GL_TEXTURE_MIN_FILTER, GL_NEAREST);
  glTexParameteri(GL_TEXTURE_EXTERNAL_OES, GL_TEXTURE_MAG_FILTER, GL_NEAREST);
  target(GL_TEXTURE_EXTERNAL_OES, imported);
  constexpr std::array<GLfloat, 8> corners{-1, -1, 1, -1, -1, 1, 1, 1};
  glVertexAttribPointer(0, 2, GL_FLOAT, GL_FALSE, 0, corners.data());
  glEnableVertexAttribArray(0);
  glDrawArrays(GL_TRIANGLE_STRIP, 0, 4);
  std::string wrong;
  for (int i = 0; i < 4; ++i) {
    std::array<std::uint8_t, 4> seen{};
    glReadPixels(side / 4 + i % 2 * side / 2, side / 4 + i / 2 * side / 2, 1, 1, GL_RGBA, GL_UNSIGNED_BYTE, seen.data());
    const std::array<int, 3> expected = rgb_of(quadrants[static_cast<std::size_t>(i)], image.layout().colour);
    for (std::size_t component = 0; component < 3; ++component) {
      if (std::abs(seen[component] - expected[component]) > 2) {
        wrong += " quadrant " + std::to_string(i) + " component " + std::to_string(component) + " is " +
                 std::to_string(seen[component]) + ", not " + std::to_string(expected[component]);
      }
    }
  }
  glDeleteTextures(1, &texture);
  eglDestroyImage(display, imported);
  return wrong;
}

} // namespace

int main(int argc, char** argv) try {
  EGLDisplay display = eglGetPlatformDisplay(EGL_PLATFORM_SURFACELESS_MESA, nullptr, nullptr);
  require(eglInitialize(display, nullptr, nullptr) == EGL_TRUE, "eglInitialize");
  eglBindAPI(EGL_OPENGL_ES_API);
  constexpr EGLint version[] = {EGL_CONTEXT_CLIENT_VERSION, 2, EGL_NONE};
  EGLContext context = eglCreateContext(display, EGL_NO_CONFIG_KHR, EGL_NO_CONTEXT, version);
  require(eglMakeCurrent(display, EGL_NO_SURFACE, EGL_NO_SURFACE, context) == EGL_TRUE, "eglMakeCurrent");
  GLuint target = 0;
  GLuint framebuffer = 0;
  glGenTextures(1, &target);
  glBindTexture(GL_TEXTURE_2D, target);
  glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA, side, side, 0, GL_RGBA, GL_UNSIGNED_BYTE, nullptr);
  glGenFramebuffers(1, &framebuffer);
  glBindFramebuffer(GL_FRAMEBUFFER, framebuffer);
  glFramebufferTexture2D(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, target, 0);
  glViewport(0, 0, side, side);
  const GLuint program = glCreateProgram();
  glAttachShader(program,
                 compiled(GL_VERTEX_SHADER, "attribute vec2 corner; varying vec2 at;"
                                            "void main() { at = corner * 0.5 + 0.5; gl_Position = vec4(corner, 0, 1); }"));
  glAttachShader(program,
                 compiled(GL_FRAGMENT_SHADER, "#extension GL_OES_EGL_image_external : require\n"
                                              "precision mediump float; uniform samplerExternalOES image; varying vec2 at;"
                                              "void main() { gl_FragColor = texture2D(image, at); }"));
  glBindAttribLocation(program, 0, "corner");
  glLinkProgram(program);
  glUseProgram(program);

  int failed = 0;
  for (const char* text : {"YUYV 64x64 planes=0+0/128*64 sizes=8192", "YUYV 64x64 planes=0+512/192*64 sizes=12800",
                           "UYVY 64x64 planes=0+0/256*64 sizes=16384", "NV12 64x64 planes=0+0/256*64,0+20480/320*32 sizes=30720",
                           "NV12 64x64 planes=0+256/128*64,1+512/192*32 sizes=8448,6656",
                           "YUV420 64x64 planes=0+0/64*64,1+64/64*32,2+128/128*32 sizes=4096,2112,4224"}) {
    for (const sa::Colour colour :
         {sa::Colour{.matrix = 5}, sa::Colour{.matrix = 1}, sa::Colour{.matrix = 1, .full_range = true}}) {
      sa::ImageLayout layout = sa::parse_layout(text);
      layout.colour = colour;
      const std::string wrong = sampled(display, drawn(argc > 1 ? argv[1] : "dma-buf", layout));
      std::printf("%s: %s\n", sa::to_string(layout).c_str(), wrong.empty() ? "as computed" : wrong.c_str());
      failed += wrong.empty() || wrong == not_imported ? 0 : 1;
    }
  }
  eglTerminate(display);
  std::printf(failed == 0 ? "every picture that is imported is as computed\n" : "%d pictures are wrong\n", failed);
  return failed == 0 ? 0 : 1;
} catch (const std::exception& error) {
  return std::fprintf(stderr, "%s\n", error.what()), 1;
}
