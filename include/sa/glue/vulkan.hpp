// SPDX-License-Identifier: MIT
/// @file glue/vulkan.hpp
/// Connects images to Vulkan: makes the structures with which vkCreateImage() and vkAllocateMemory() import an image's
/// buffers. Header-only; calls no function of Vulkan; needs Vulkan's headers (pkg-config vulkan). The device must have
/// VK_EXT_image_drm_format_modifier, VK_EXT_external_memory_dma_buf and the extensions that these need.
///
///     sa::vulkan::ImageCreateInfo create(frame.layout(), VK_IMAGE_USAGE_SAMPLED_BIT);
///     vkCreateImage(device, &create.info(), nullptr, &image);
///     sa::UniqueFd fd = frame.buffer(0).dup();
///     const VkImportMemoryFdInfoKHR import = sa::vulkan::import_of(fd);
///     const VkMemoryAllocateInfo allocate{VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, &import, size, type};
///     if (vkAllocateMemory(device, &allocate, nullptr, &memory) == VK_SUCCESS) {
///       (void)fd.release(); // it is Vulkan's now
///     }
#pragma once

#include <array>
#include <cstdint>

#include <vulkan/vulkan_core.h>

#include <sa/image.hpp>

namespace sa { inline namespace v0 { namespace vulkan {

/// Vulkan's name of a format. VK_FORMAT_UNDEFINED: Vulkan has no format with the same order of the components, or DRM
/// has no code for the format.
///
/// The formats are linear (UNORM); for sRGB make a view with the matching sRGB format. The fourth byte of XRGB8888 and
/// XBGR8888 is undefined: a view needs VK_COMPONENT_SWIZZLE_ONE for alpha. Of the packed YUV formats Vulkan has YUYV
/// and UYVY, of those with planes the ones whose blue chroma comes first. NV24 needs VK_EXT_ycbcr_2plane_444_formats.
[[nodiscard]] inline VkFormat format_of(Format format) noexcept {
  switch (format.info().drm.code) {
  case fourcc("XR24"):
  case fourcc("AR24"):
    return VK_FORMAT_B8G8R8A8_UNORM;
  case fourcc("XB24"):
  case fourcc("AB24"):
    return VK_FORMAT_R8G8B8A8_UNORM;
  case fourcc("RG16"):
    return VK_FORMAT_R5G6B5_UNORM_PACK16;
  case fourcc("RG24"):
    return VK_FORMAT_B8G8R8_UNORM;
  case fourcc("BG24"):
    return VK_FORMAT_R8G8B8_UNORM;
  case fourcc("R8"):
    return VK_FORMAT_R8_UNORM;
  case fourcc("R16"):
    return VK_FORMAT_R16_UNORM;
  case fourcc("YUYV"):
    return VK_FORMAT_G8B8G8R8_422_UNORM;
  case fourcc("UYVY"):
    return VK_FORMAT_B8G8R8G8_422_UNORM;
  case fourcc("NV12"):
    return VK_FORMAT_G8_B8R8_2PLANE_420_UNORM;
  case fourcc("NV16"):
    return VK_FORMAT_G8_B8R8_2PLANE_422_UNORM;
  case fourcc("NV24"):
    return VK_FORMAT_G8_B8R8_2PLANE_444_UNORM;
  case fourcc("P010"):
    return VK_FORMAT_G10X6_B10X6R10X6_2PLANE_420_UNORM_3PACK16;
  case fourcc("YU12"):
    return VK_FORMAT_G8_B8_R8_3PLANE_420_UNORM;
  case fourcc("YU16"):
    return VK_FORMAT_G8_B8_R8_3PLANE_422_UNORM;
  case fourcc("YU24"):
    return VK_FORMAT_G8_B8_R8_3PLANE_444_UNORM;
  default:
    return VK_FORMAT_UNDEFINED;
  }
}

/// A VkImageCreateInfo for an image that lies as an ImageLayout says, with the structures that it points to:
/// VkImageDrmFormatModifierExplicitCreateInfoEXT with a VkSubresourceLayout for each plane (offsets and strides in bytes), and
/// VkExternalMemoryImageCreateInfo for dma-bufs. It cannot be copied or moved, since it points into itself.
///
/// It has one level, one layer, one sample, one queue family, and begins as VK_IMAGE_LAYOUT_UNDEFINED. Its extent is the visible
/// size; that of a format whose chroma has fewer samples is the next multiple of its step, as Vulkan demands. A layout in
/// several buffers makes a disjoint image, whose planes get their memory one by one (memory_plane()).
///
/// If Vulkan cannot describe the layout, the format is VK_FORMAT_UNDEFINED and the object is false: Vulkan has no such
/// format, or the rows are shorter than the multiple of the step. vkCreateImage() must not be called then.
/// vkGetPhysicalDeviceImageFormatProperties2() tells whether the device takes the format, the modifier and the usage; a
/// layout that the device does not take makes vkCreateImage() fail with
/// VK_ERROR_INVALID_DRM_FORMAT_MODIFIER_PLANE_LAYOUT_EXT.
class ImageCreateInfo {
public:
  ImageCreateInfo(const ImageLayout& layout, VkImageUsageFlags usage) noexcept {
    const FormatInfo& format = layout.format.info();
    const unsigned count = layout.plane_count();
    const std::uint32_t width = (layout.width + format.width_step - 1U) / format.width_step * format.width_step;
    const std::uint32_t height = (layout.height + format.height_step - 1U) / format.height_step * format.height_step;
    bool can = count > 0;
    for (unsigned plane = 0; plane < count; ++plane) {
      const PlaneLayout& where = layout.planes[plane];
      const FormatPlane& group = format.planes[plane];
      const std::uint64_t samples = width / group.hsub;
      can = can && where.stride >= (samples + group.pixels - 1) / group.pixels * group.bytes && where.rows >= height / group.vsub;
      planes_[plane].offset = where.offset;
      planes_[plane].rowPitch = where.stride; // the rest is 0, as the extension demands of one layer
    }
    modifier_.sType = VK_STRUCTURE_TYPE_IMAGE_DRM_FORMAT_MODIFIER_EXPLICIT_CREATE_INFO_EXT;
    modifier_.pNext = &external_;
    modifier_.drmFormatModifier = layout.modifier;
    modifier_.drmFormatModifierPlaneCount = count;
    modifier_.pPlaneLayouts = planes_.data();
    external_.sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_IMAGE_CREATE_INFO;
    external_.handleTypes = VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT;
    info_.sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO;
    info_.pNext = &modifier_;
    info_.flags = layout.buffer_count() > 1 ? VkImageCreateFlags{VK_IMAGE_CREATE_DISJOINT_BIT} : VkImageCreateFlags{};
    info_.imageType = VK_IMAGE_TYPE_2D;
    info_.format = can ? format_of(layout.format) : VK_FORMAT_UNDEFINED;
    info_.extent = {width, height, 1};
    info_.mipLevels = 1;
    info_.arrayLayers = 1;
    info_.samples = VK_SAMPLE_COUNT_1_BIT;
    info_.tiling = VK_IMAGE_TILING_DRM_FORMAT_MODIFIER_EXT;
    info_.usage = usage;
    info_.sharingMode = VK_SHARING_MODE_EXCLUSIVE;
    info_.initialLayout = VK_IMAGE_LAYOUT_UNDEFINED;
  }
  ImageCreateInfo(const ImageCreateInfo&) = delete;
  ImageCreateInfo& operator=(const ImageCreateInfo&) = delete;
  ~ImageCreateInfo() = default;

  /// Whether Vulkan can describe the layout.
  explicit operator bool() const noexcept { return info_.format != VK_FORMAT_UNDEFINED; }

  /// The structure for vkCreateImage(), valid as long as this object. It may be changed; put further structures in
  /// front of its pNext chain.
  [[nodiscard]] VkImageCreateInfo& info() noexcept { return info_; }

private:
  std::array<VkSubresourceLayout, max_planes> planes_{};
  VkImageDrmFormatModifierExplicitCreateInfoEXT modifier_{};
  VkExternalMemoryImageCreateInfo external_{};
  VkImageCreateInfo info_{};
};

/// The aspect of a plane, below max_planes, of a disjoint image: for VkBindImagePlaneMemoryInfo and
/// VkImagePlaneMemoryRequirementsInfo.
[[nodiscard]] constexpr VkImageAspectFlagBits memory_plane(unsigned plane) noexcept {
  constexpr std::array<VkImageAspectFlagBits, max_planes> bits{
      VK_IMAGE_ASPECT_MEMORY_PLANE_0_BIT_EXT, VK_IMAGE_ASPECT_MEMORY_PLANE_1_BIT_EXT, VK_IMAGE_ASPECT_MEMORY_PLANE_2_BIT_EXT,
      VK_IMAGE_ASPECT_MEMORY_PLANE_3_BIT_EXT};
  return bits[plane];
}

/// The structure with which vkAllocateMemory() imports a dma-buf, for VkMemoryAllocateInfo::pNext.
///
/// On success Vulkan owns the descriptor and closes it with the memory; on failure the caller still owns it
/// (VkImportMemoryFdInfoKHR). So pass a duplicate, DmaBuf::dup(), and release it only after success, as in the example
/// above. Mesa's lavapipe (25.0) closes the descriptor after a failure too; its number may then be in use for another
/// file. A buffer that is imported twice is two VkDeviceMemory objects with the same bytes.
/// @param fd borrowed here, valid until vkAllocateMemory() has returned
[[nodiscard]] inline VkImportMemoryFdInfoKHR import_of(const UniqueFd& fd) noexcept {
  VkImportMemoryFdInfoKHR import{};
  import.sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_FD_INFO_KHR;
  import.handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT;
  import.fd = fd.get();
  return import;
}

}}} // namespace sa::v0::vulkan
