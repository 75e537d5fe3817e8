// SPDX-License-Identifier: MIT
#include <sa/device.hpp>

#include <algorithm>
#include <cerrno>

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>

#include <fmt/format.h>

#include "core/base/device_node.hpp"
#include "core/base/failure.hpp"
#include "core/base/system_facts.hpp"
#include "core/device/consumer.hpp"

namespace sa { inline namespace v0 {
namespace {

using detail::fail;

/// The facts of sysfs about one device.
struct Facts {
  std::string driver;
  std::string module_parameters;
  std::string iommu_group; ///< its number
  std::string iommu_type;  ///< Documentation/ABI/testing/sysfs-kernel-iommu_groups
  unsigned dma_bits = 0;   ///< address lines it drives; 0: not told, which sysfs does of PCI devices alone
};

std::string link_name(const std::filesystem::path& link) {
  std::error_code ec;
  return std::filesystem::read_symlink(link, ec).filename().string();
}

std::string line(const std::filesystem::path& file) {
  std::string text = detail::read_text(file);
  while (!text.empty() && text.back() == '\n') {
    text.pop_back();
  }
  return text;
}

Facts facts_of(dev_t number) {
  const std::filesystem::path device =
      std::filesystem::path("/sys/dev/char") / fmt::format("{}:{}", major(number), minor(number)) / "device";
  Facts facts;
  facts.driver = link_name(device / "driver");
  if (facts.driver.empty()) { // a virtual device without one carries its driver's name
    facts.driver = link_name(device);
  }
  std::string module = link_name(device / "driver" / "module");
  if (module.empty()) {
    module = facts.driver;
  }
  const std::filesystem::path parameters = std::filesystem::path("/sys/module") / module / "parameters";
  for (const auto& name : detail::list(parameters)) {
    facts.module_parameters += fmt::format("{}={} ", name, line(parameters / name));
  }
  facts.iommu_group = link_name(device / "iommu_group");
  facts.iommu_type = line(device / "iommu_group" / "type");
  facts.dma_bits = static_cast<unsigned>(detail::read_number(device / "dma_mask_bits").value_or(0));
  return facts;
}

/// A device without a node to ask.
class Described final : public detail::Consumer {
public:
  Described(DeviceInfo info, std::shared_ptr<detail::Verdicts> verdicts, std::vector<LayoutRule> rules)
      : Consumer(std::move(info), std::move(verdicts)), rules_(std::move(rules)) {}
  [[nodiscard]] detail::ImportAnswer import(const DmaBuf&) const override { return unknown(); }
  [[nodiscard]] detail::ImportAnswer import(const Image&) const override { return unknown(); }
  [[nodiscard]] std::size_t probe_size() const noexcept override { return 0; }

private:
  static detail::ImportAnswer unknown() {
    return {{ImportVerdict::Unknown, "it is known by its description alone; there is no node to ask"}};
  }
  [[nodiscard]] std::vector<LayoutRule> ask(Format format, std::uint32_t, std::uint32_t, std::error_code& ec) const override {
    std::vector<LayoutRule> fitting;
    for (const LayoutRule& rule : rules_) {
      if (!rule.format || rule.format == format) {
        fitting.push_back(rule);
        fitting.back().format = format;
      }
    }
    if (fitting.empty()) {
      fail(ec, EOPNOTSUPP, [&] { return fmt::format("{} is described without {}", info().name, format.name()); });
    }
    return fitting;
  }
  std::vector<LayoutRule> rules_;
};

} // namespace

namespace detail {

ImportAnswer import_refused(const char* call, int error) {
  const std::string said = fmt::format("{}: {}", call, from_errno(error).message());
  switch (error) {
  case EBUSY:
    return {{ImportVerdict::Busy, said}, error};
  case EACCES: // of the node, or of the caller
  case EPERM:
  case ENOMEM: // of the machine, at that moment
  case EMFILE:
  case ENFILE:
  case ENODEV: // it has just gone
  case EIO:
    return {{ImportVerdict::Unknown, said}, error};
  default:
    return {{ImportVerdict::Refused, said}, error};
  }
}

} // namespace detail

Device Device::open(const std::filesystem::path& node) {
  return detail::or_throw(
      "", [&] { return fmt::format("open the device {}", node.string()); }, [&](std::error_code& ec) { return open(node, ec); });
}

Device Device::open(const std::filesystem::path& node, std::error_code& ec) noexcept {
  return detail::or_code(ec, [&]() -> Device {
    struct stat status {};
    if (::stat(node.c_str(), &status) != 0) {
      const int error = errno;
      fail(ec, error, [&] {
        return error == ENOENT ? std::string("there is no such node; \"sactl devices\" lists those that there are")
                               : detail::open_refused(node, error);
      });
      return {};
    }
    const auto kinds = detail::consumer_kinds();
    const auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const auto& one) {
      return S_ISCHR(status.st_mode) && one.major_number == major(status.st_rdev);
    });
    if (kind == kinds.end()) {
      fail(ec, ENODEV, [&] {
        constexpr unsigned drm_major = 226; // Documentation/admin-guide/devices.txt
        if (S_ISCHR(status.st_mode) && major(status.st_rdev) == drm_major) {
          return std::string("this libsa was built without libdrm (-Ddrm=enabled), and opens no node of /dev/dri");
        }
        return fmt::format(
            "{} is not a node of a device that imports buffers; name one of /dev/dri or a /dev/video*, or describe "
            "the device (Device::described, or a profile in the configuration)",
            node.string());
      });
      return {};
    }
    const Facts facts = facts_of(status.st_rdev);
    DeviceInfo info;
    info.name = node.string();
    info.driver = facts.driver;
    info.iommu = facts.iommu_type;
    info.constraints.dma_buf = true;
    if (facts.dma_bits > 0 && facts.dma_bits < 64) {
      info.constraints.max_address = std::uint64_t{1} << facts.dma_bits;
    }
    utsname kernel{};
    ::uname(&kernel);
    const std::string key = fmt::format("{}\n{}\n{}\n{}\n{}\n{}", info.name, facts.driver, facts.module_parameters,
                                        facts.iommu_group, kernel.release, kernel.version);
    std::shared_ptr<detail::Verdicts> verdicts = detail::verdicts_of(key);
    // A device behind an IOMMU sees one run in any case, at addresses of its own.
    if (facts.iommu_type.starts_with("DMA")) {
      verdicts->remember_scatter(detail::Scatter::Taken);
      info.constraints.max_address = 0;
    }
    auto consumer = kind->open(std::move(info), std::move(verdicts), ec);
    return ec ? Device{} : Device{std::move(consumer)};
  });
}

Device Device::described(std::string name, const Constraints& constraints, std::vector<LayoutRule> rules) {
  const std::string shown = name;
  return detail::or_throw(
      "", [&] { return fmt::format("describe the device {}", shown); },
      [&](std::error_code& ec) { return described(std::move(name), constraints, std::move(rules), ec); });
}

Device Device::described(std::string name, const Constraints& constraints, std::vector<LayoutRule> rules,
                         std::error_code& ec) noexcept {
  return detail::or_code(ec, [&]() -> Device {
    DeviceInfo info;
    info.name = std::move(name);
    info.constraints = merge(constraints, {}, ec);
    if (ec) {
      return {};
    }
    info.imports = true;
    if (rules.empty()) {
      rules.emplace_back();
    }
    for (LayoutRule& rule : rules) {
      rule = merge(rule, {}, ec); // refuses what is malformed
      if (ec) {
        return {};
      }
      if (rule.sources.empty()) {
        rule.sources.push_back(info.name);
      }
      if (rule.format) {
        info.formats.push_back({rule.format, rule.format.info().drm, rule.format.info().v4l2, rule.modifiers});
      }
    }
    auto verdicts = std::make_shared<detail::Verdicts>();
    verdicts->remember_scatter(constraints.max_segments == 0 ? detail::Scatter::Taken : detail::Scatter::Unknown);
    return Device{std::make_shared<Described>(std::move(info), std::move(verdicts), std::move(rules))};
  });
}

const DeviceInfo& Device::info() const noexcept {
  static const DeviceInfo none;
  return consumer_ == nullptr ? none : consumer_->info();
}

ImportResult Device::try_import(const DmaBuf& buffer) const {
  if (consumer_ == nullptr) {
    return {ImportVerdict::Unknown, "no device"};
  }
  if (!buffer.traits().contains(Trait::DmaBuf) || buffer.fd() < 0) {
    return {ImportVerdict::Refused, "the buffer is no dma-buf"};
  }
  const detail::ImportAnswer answer = consumer_->import(buffer);
  return static_cast<const ImportResult&>(answer);
}

ImportResult Device::try_import(const Image& image) const {
  if (consumer_ == nullptr) {
    return {ImportVerdict::Unknown, "no device"};
  }
  if (!image) {
    return {ImportVerdict::Refused, "the image is empty"};
  }
  for (const DmaBuf& buffer : image.buffers()) {
    if (!buffer.traits().contains(Trait::DmaBuf) || buffer.fd() < 0) {
      return {ImportVerdict::Refused, "a buffer of the image is no dma-buf"};
    }
  }
  const detail::ImportAnswer answer = consumer_->import(image);
  return static_cast<const ImportResult&>(answer);
}

std::vector<LayoutRule> Device::rules(Format format, std::uint32_t width, std::uint32_t height) const {
  return detail::or_throw(
      "", [&] { return fmt::format("ask {} for its rules for {} {}x{}", info().name, format.name(), width, height); },
      [&](std::error_code& ec) { return rules(format, width, height, ec); });
}

std::vector<LayoutRule> Device::rules(Format format, std::uint32_t width, std::uint32_t height,
                                      std::error_code& ec) const noexcept {
  return detail::or_code(ec, [&]() -> std::vector<LayoutRule> {
    if (consumer_ == nullptr || !format || width == 0 || height == 0 || width > max_image_side || height > max_image_side) {
      fail(ec, EINVAL, [&] {
        return consumer_ == nullptr ? std::string("an empty Device; Device::open() makes one")
               : !format            ? std::string("no format")
                                    : fmt::format("a side is from 1 to {} pixels", max_image_side);
      });
      return {};
    }
    return *consumer_->rules(format, width, height, ec);
  });
}

std::string_view to_string(DeviceRole role) noexcept {
  switch (role) {
  case DeviceRole::Capture:
    return "capture";
  case DeviceRole::Output:
    return "output";
  case DeviceRole::MemToMem:
    return "mem2mem";
  case DeviceRole::Display:
    return "display";
  case DeviceRole::Render:
    return "render";
  case DeviceRole::Described:
    break;
  }
  return "described";
}

}} // namespace sa::v0
