// SPDX-License-Identifier: MIT
/// Frames that the CPU draws, read by Vulkan without a copy, and compared with what was drawn:   vulkan [HEAP [FRAMES]]
///
/// Needs a driver that imports dma-bufs with modifiers: VK_EXT_external_memory_dma_buf, VK_EXT_image_drm_format_modifier. Mesa's
/// software driver, lavapipe, does from version 24.1 on, where it may open /dev/udmabuf, and pictures of one plane alone:
///     VK_DRIVER_FILES=/usr/share/vulkan/icd.d/lvp_icd.json vulkan dma-heap:system
#include <array>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

#include <vulkan/vulkan_raii.hpp>

#include <sa/glue/vulkan.hpp>
#include <sa/sa.hpp>

constexpr std::array extensions{"VK_KHR_external_memory_fd", "VK_EXT_external_memory_dma_buf", "VK_EXT_image_drm_format_modifier",
                                "VK_EXT_queue_family_foreign"};

/// Memory for @p needs of one of the types in @p types; @p more is hung into the chain.
static vk::raii::DeviceMemory allocate(const vk::raii::Device& device, vk::MemoryRequirements needs, std::uint32_t types,
                                       const void* more) {
  return {device,
          vk::MemoryAllocateInfo(needs.size, static_cast<std::uint32_t>(std::countr_zero(types & needs.memoryTypeBits)), more)};
}

/// A row of the frame with that number: every pixel differs from its neighbours and from the last frame's.
static std::uint32_t pixel(std::uint32_t x, std::uint32_t y, int frame) {
  return x | y << 10 | static_cast<std::uint32_t>(frame) << 20;
}

int main(int argc, char** argv) try {
  // One buffer of ours, with rows of a length that no default gives.
  const sa::ImageLayout layout = sa::lay_out({.format = sa::Format::find("ARGB8888"), .stride_align = 768}, 640, 480);
  const sa::Image frame = sa::Registry::system().at(argc > 1 ? argv[1] : "dma-buf")->allocate(layout, {.name = "frame"});

  const vk::raii::Context context;
  const vk::ApplicationInfo application("vulkan", 1, "", 1, VK_API_VERSION_1_2);
  const vk::raii::Instance instance(context, vk::InstanceCreateInfo({}, &application));
  const vk::raii::PhysicalDevice gpu = std::move(vk::raii::PhysicalDevices(instance).front());
  std::printf("%s\n", gpu.getProperties().deviceName.data());
  const float priority = 1;
  const vk::DeviceQueueCreateInfo queues({}, 0, 1, &priority); // the first family can always copy where there is graphics
  const vk::raii::Device device(gpu, vk::DeviceCreateInfo({}, queues, {}, extensions));
  const vk::raii::Queue queue(device, 0, 0);

  // Imported once. A duplicate goes to Vulkan, which keeps it if it succeeds; until then it is ours.
  sa::vulkan::ImageCreateInfo create(layout, VK_IMAGE_USAGE_TRANSFER_SRC_BIT);
  const vk::raii::Image image(device, vk::ImageCreateInfo(create.info()));
  sa::UniqueFd fd = frame.buffer(0).dup();
  const auto types = device.getMemoryFdPropertiesKHR(vk::ExternalMemoryHandleTypeFlagBits::eDmaBufEXT, fd.get()).memoryTypeBits;
  VkImportMemoryFdInfoKHR import = sa::vulkan::import_of(fd);
  const vk::MemoryDedicatedAllocateInfo dedicated(*image, {}, &import);
  const vk::raii::DeviceMemory imported = allocate(device, image.getMemoryRequirements(), types, &dedicated);
  (void)fd.release();
  image.bindMemory(*imported, 0);

  // The pixels are copied here, for the comparison.
  constexpr auto visible = vk::MemoryPropertyFlagBits::eHostVisible | vk::MemoryPropertyFlagBits::eHostCoherent;
  const vk::raii::Buffer read(device, vk::BufferCreateInfo({}, 640 * 480 * 4, vk::BufferUsageFlagBits::eTransferDst));
  std::uint32_t shown = 0;
  const auto memory = gpu.getMemoryProperties();
  for (std::uint32_t type = 0; type < memory.memoryTypeCount; ++type) {
    shown |= (memory.memoryTypes[type].propertyFlags & visible) == visible ? 1U << type : 0;
  }
  const vk::raii::DeviceMemory copied = allocate(device, read.getMemoryRequirements(), shown, nullptr);
  read.bindMemory(*copied, 0);
  const auto* const pixels = static_cast<const std::uint32_t*>(copied.mapMemory(0, VK_WHOLE_SIZE));

  const vk::raii::CommandPool pool(device, vk::CommandPoolCreateInfo(vk::CommandPoolCreateFlagBits::eResetCommandBuffer, 0));
  const auto commands = std::move(vk::raii::CommandBuffers(device, {*pool, vk::CommandBufferLevel::ePrimary, 1}).front());
  commands.begin(vk::CommandBufferBeginInfo());
  const vk::ImageSubresourceRange whole(vk::ImageAspectFlagBits::eColor, 0, 1, 0, 1);
  // The picture was not written by a queue of Vulkan's.
  commands.pipelineBarrier(vk::PipelineStageFlagBits::eTopOfPipe, vk::PipelineStageFlagBits::eTransfer, {}, {}, {},
                           vk::ImageMemoryBarrier({}, vk::AccessFlagBits::eTransferRead, vk::ImageLayout::eGeneral,
                                                  vk::ImageLayout::eGeneral, VK_QUEUE_FAMILY_FOREIGN_EXT, 0, *image, whole));
  commands.copyImageToBuffer(*image, vk::ImageLayout::eGeneral, *read,
                             vk::BufferImageCopy(0, 0, 0, {vk::ImageAspectFlagBits::eColor, 0, 0, 1}, {}, {640, 480, 1}));
  commands.end();

  for (int number = 0; number < (argc > 2 ? std::stoi(argv[2]) : 3); ++number) {
    {
      const sa::ImageAccess cpu = frame.access(sa::Access::Write);
      for (std::uint32_t y = 0; y < 480; ++y) {
        for (std::uint32_t x = 0; x < 640; ++x) {
          const std::uint32_t drawn = pixel(x, y, number);
          std::memcpy(&cpu.plane(0)[y][x * 4], &drawn, 4);
        }
      }
    }
    queue.submit(vk::SubmitInfo({}, {}, *commands));
    queue.waitIdle();
    for (std::uint32_t at = 0; at < 640 * 480; ++at) {
      if (pixels[at] != pixel(at % 640, at / 640, number)) {
        return std::fprintf(stderr, "frame %d: pixel %u,%u is %08x\n", number, at % 640, at / 640, pixels[at]), 1;
      }
    }
    std::printf("frame %d: every pixel as it was drawn, in %s\n", number, std::string(frame.buffer(0).heap()).c_str());
  }
} catch (const std::exception& error) {
  return std::fprintf(stderr, "%s\n", error.what()), 1;
}
