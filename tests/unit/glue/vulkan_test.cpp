// SPDX-License-Identifier: MIT
/// glue/vulkan.hpp: what Vulkan is told of an image.
#include <doctest/doctest.h>

#include <array>
#include <string>

#include <sa/glue/vulkan.hpp>

#include "support/counters.hpp"
#include "unit/glue/pictures.hpp"

namespace {

/// The structure of that type in the chain behind @p info.
template <typename Structure>
const Structure* behind(const VkImageCreateInfo& info, VkStructureType type) {
  for (auto* one = static_cast<const VkBaseInStructure*>(info.pNext); one != nullptr; one = one->pNext) {
    if (one->sType == type) {
      return reinterpret_cast<const Structure*>(one);
    }
  }
  return nullptr;
}

const VkImageDrmFormatModifierExplicitCreateInfoEXT& planes_of(const VkImageCreateInfo& info) {
  const auto* found = behind<VkImageDrmFormatModifierExplicitCreateInfoEXT>(
      info, VK_STRUCTURE_TYPE_IMAGE_DRM_FORMAT_MODIFIER_EXPLICIT_CREATE_INFO_EXT);
  REQUIRE(found != nullptr);
  return *found;
}

} // namespace

TEST_CASE("Vulkan is told the modifier, and of each plane offset and pitch") {
  sa::ImageLayout layout = sa::parse_layout(pictures::two_buffers);
  layout.modifier = 0x0a00000180000002;
  sa::vulkan::ImageCreateInfo create(layout, VK_IMAGE_USAGE_SAMPLED_BIT);
  CHECK(create);
  const VkImageCreateInfo& info = create.info();
  CHECK(info.sType == VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO);
  CHECK(info.flags == VK_IMAGE_CREATE_DISJOINT_BIT); // a buffer each
  CHECK(info.imageType == VK_IMAGE_TYPE_2D);
  CHECK(info.format == VK_FORMAT_G8_B8R8_2PLANE_420_UNORM);
  CHECK(info.extent.width == 640);
  CHECK(info.extent.height == 480);
  CHECK(info.extent.depth == 1);
  CHECK(info.mipLevels == 1);
  CHECK(info.arrayLayers == 1);
  CHECK(info.samples == VK_SAMPLE_COUNT_1_BIT);
  CHECK(info.tiling == VK_IMAGE_TILING_DRM_FORMAT_MODIFIER_EXT);
  CHECK(info.usage == VK_IMAGE_USAGE_SAMPLED_BIT);
  CHECK(info.initialLayout == VK_IMAGE_LAYOUT_UNDEFINED);

  const auto& planes = planes_of(info);
  CHECK(planes.drmFormatModifier == 0x0a00000180000002);
  REQUIRE(planes.drmFormatModifierPlaneCount == 2);
  CHECK(planes.pPlaneLayouts[0].offset == 64);
  CHECK(planes.pPlaneLayouts[0].rowPitch == 704);
  CHECK(planes.pPlaneLayouts[1].offset == 128);
  CHECK(planes.pPlaneLayouts[1].rowPitch == 768);
  for (unsigned plane = 0; plane < 2; ++plane) { // VUID-VkImageDrmFormatModifierExplicitCreateInfoEXT-size-02267 and -02268
    CHECK(planes.pPlaneLayouts[plane].size == 0);
    CHECK(planes.pPlaneLayouts[plane].arrayPitch == 0);
    CHECK(planes.pPlaneLayouts[plane].depthPitch == 0);
  }
  const auto* external = behind<VkExternalMemoryImageCreateInfo>(info, VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_IMAGE_CREATE_INFO);
  REQUIRE(external != nullptr);
  CHECK(external->handleTypes == VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT);
}

TEST_CASE("planes of one buffer are not disjoint in Vulkan") {
  sa::vulkan::ImageCreateInfo create(sa::parse_layout(pictures::three_planes), VK_IMAGE_USAGE_TRANSFER_SRC_BIT);
  CHECK(create.info().flags == 0);
  CHECK(create.info().format == VK_FORMAT_G8_B8_R8_3PLANE_420_UNORM);
  CHECK(planes_of(create.info()).drmFormatModifier == 0);
  REQUIRE(planes_of(create.info()).drmFormatModifierPlaneCount == 3);
  CHECK(planes_of(create.info()).pPlaneLayouts[2].offset == 384000);
  CHECK(planes_of(create.info()).pPlaneLayouts[2].rowPitch == 320);
}

TEST_CASE("an odd picture is told to Vulkan with the samples that chroma has, if they are there") {
  const auto extent = [](std::string_view text) {
    sa::vulkan::ImageCreateInfo create(sa::parse_layout(text), VK_IMAGE_USAGE_SAMPLED_BIT);
    const VkExtent3D& told = create.info().extent;
    return create ? std::to_string(told.width) + "x" + std::to_string(told.height) : "none";
  };
  CHECK(extent("NV12 641x481 planes=0+0/642*482,0+309444/642*241 sizes=464166") == "642x482");
  CHECK(extent("NV12 641x481 planes=0+0/641*482,0+308962/642*241 sizes=463684") == "none"); // as others lay it out
  CHECK(extent("NV12 641x481 planes=0+0/642*481,0+308802/642*241 sizes=463524") == "none");
  CHECK(extent("XRGB8888 641x481 planes=0+0/2564*481 sizes=1233284") == "641x481");
}

TEST_CASE("Vulkan's formats have their components where DRM's have them") {
  const auto format = [](std::string_view name) { return sa::vulkan::format_of(sa::Format::find(name)); };
  // In memory blue comes first: DRM counts from the highest bit of a little-endian number.
  CHECK(format("XRGB8888") == VK_FORMAT_B8G8R8A8_UNORM);
  CHECK(format("ARGB8888") == VK_FORMAT_B8G8R8A8_UNORM);
  CHECK(format("XBGR8888") == VK_FORMAT_R8G8B8A8_UNORM);
  CHECK(format("RGB888") == VK_FORMAT_B8G8R8_UNORM);
  CHECK(format("BGR888") == VK_FORMAT_R8G8B8_UNORM);
  CHECK(format("RGB565") == VK_FORMAT_R5G6B5_UNORM_PACK16); // packed: from the highest bit here, too
  CHECK(format("YUYV") == VK_FORMAT_G8B8G8R8_422_UNORM);
  CHECK(format("UYVY") == VK_FORMAT_B8G8R8G8_422_UNORM);
  CHECK(format("P010") == VK_FORMAT_G10X6_B10X6R10X6_2PLANE_420_UNORM_3PACK16);
  CHECK(format("R8") == VK_FORMAT_R8_UNORM);
  for (const char* other : {"RGBX8888", "BGRA8888", "NV21", "NV42", "NV15", "YVU420", "YVYU", "R10", "SRGGB8", "v4l2:RG16"}) {
    CAPTURE(other);
    CHECK(sa::Format::find(other));
    CHECK(format(other) == VK_FORMAT_UNDEFINED);
  }
  CHECK(sa::vulkan::format_of({}) == VK_FORMAT_UNDEFINED);
  sa::vulkan::ImageCreateInfo none({}, 0);
  CHECK_FALSE(none);
  // Vulkan has of a format as many planes as DRM has.
  const std::map<VkFormat, unsigned> several{{VK_FORMAT_G8_B8R8_2PLANE_420_UNORM, 2},
                                             {VK_FORMAT_G8_B8R8_2PLANE_422_UNORM, 2},
                                             {VK_FORMAT_G8_B8R8_2PLANE_444_UNORM, 2},
                                             {VK_FORMAT_G8_B8_R8_3PLANE_420_UNORM, 3},
                                             {VK_FORMAT_G8_B8_R8_3PLANE_422_UNORM, 3},
                                             {VK_FORMAT_G8_B8_R8_3PLANE_444_UNORM, 3},
                                             {VK_FORMAT_G10X6_B10X6R10X6_2PLANE_420_UNORM_3PACK16, 2}};
  for (const sa::Format one : sa::Format::all()) {
    CAPTURE(one.name());
    if (const VkFormat told = sa::vulkan::format_of(one); told != VK_FORMAT_UNDEFINED) {
      CHECK(one.plane_count() == (several.contains(told) ? several.at(told) : 1));
    }
  }
}

TEST_CASE("Vulkan imports a descriptor of its own, and each plane of a disjoint image has its aspect") {
  const support::Counts before = support::count();
  {
    const sa::Image image = pictures::of(pictures::two_buffers);
    const sa::UniqueFd fd = image.buffer(1).dup();
    const VkImportMemoryFdInfoKHR import = sa::vulkan::import_of(fd);
    CHECK(import.sType == VK_STRUCTURE_TYPE_IMPORT_MEMORY_FD_INFO_KHR);
    CHECK(import.pNext == nullptr);
    CHECK(import.handleType == VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT);
    CHECK(import.fd == fd.get());
    CHECK(import.fd != image.buffer(1).fd());
  }
  CHECK(support::leaked_since(before) == "");
  CHECK(sa::vulkan::memory_plane(0) == VK_IMAGE_ASPECT_MEMORY_PLANE_0_BIT_EXT);
  CHECK(sa::vulkan::memory_plane(2) == VK_IMAGE_ASPECT_MEMORY_PLANE_2_BIT_EXT);
}
