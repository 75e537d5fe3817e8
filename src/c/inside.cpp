// SPDX-License-Identifier: MIT
#include "inside.hpp"

#include <array>
#include <exception>
#include <new>
#include <system_error>

namespace sa { inline namespace v0 { namespace c {
namespace {

/// A failure of this layer's own.
struct Refused {
  int error;
  std::string sentence;
};

thread_local std::string last_sentence;
thread_local constinit const char* last_message = "";

int say(int error, const char* sentence) noexcept {
  try {
    last_sentence = sentence;
    last_message = last_sentence.c_str();
  } catch (const std::bad_alloc&) {
    last_message = "memory ran out; free buffers";
  }
  return -error;
}

/// Each is the same number in both languages.
constexpr std::array traits{Trait::DmaBuf,   Trait::Contiguous, Trait::Cached,    Trait::Zeroed,
                            Trait::PhysAddr, Trait::HugePages,  Trait::Protected, Trait::DeviceMemory};
static_assert(static_cast<int>(Trait::DmaBuf) == SA_TRAIT_DMABUF && static_cast<int>(Trait::Contiguous) == SA_TRAIT_CONTIGUOUS &&
              static_cast<int>(Trait::Cached) == SA_TRAIT_CACHED && static_cast<int>(Trait::Zeroed) == SA_TRAIT_ZEROED &&
              static_cast<int>(Trait::PhysAddr) == SA_TRAIT_PHYS_ADDR &&
              static_cast<int>(Trait::HugePages) == SA_TRAIT_HUGE_PAGES &&
              static_cast<int>(Trait::Protected) == SA_TRAIT_PROTECTED &&
              static_cast<int>(Trait::DeviceMemory) == SA_TRAIT_DEVICE_MEMORY);
static_assert(static_cast<int>(Access::Read) == SA_READ && static_cast<int>(Access::Write) == SA_WRITE &&
              static_cast<int>(Access::ReadWrite) == SA_READWRITE);
static_assert(static_cast<int>(AllocFlag::Prefault) == SA_PREFAULT);
static_assert(static_cast<int>(LogLevel::Warning) == SA_LOG_WARNING && static_cast<int>(LogLevel::Debug) == SA_LOG_DEBUG);

} // namespace

void refuse(int error, std::string sentence) {
  throw Refused{error, std::move(sentence)};
}

int failed() noexcept {
  try {
    throw;
  } catch (const Refused& refused) {
    return say(refused.error, refused.sentence.c_str());
  } catch (const std::system_error& error) {
    return say(error.code().value(), error.what());
  } catch (const std::bad_alloc&) {
    return say(ENOMEM, "memory ran out; free buffers");
  } catch (const std::exception& error) {
    return say(EIO, error.what());
  } catch (...) {
    return say(EIO, "an exception of an unknown type");
  }
}

std::string initialiser_of(std::string_view type) {
  std::string name(type);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
  return name + "_INIT";
}

std::uint32_t bits_of(Traits of) noexcept {
  std::uint32_t bits = 0;
  for (const Trait trait : traits) {
    bits |= of.contains(trait) ? static_cast<std::uint32_t>(trait) : 0;
  }
  return bits;
}

Traits some_traits_of(std::uint32_t bits) {
  Traits set;
  for (const Trait trait : traits) {
    if ((bits & static_cast<std::uint32_t>(trait)) != 0) {
      set = set | trait;
      bits &= ~static_cast<std::uint32_t>(trait);
    }
  }
  if (bits != 0) {
    refuse(EINVAL, "a trait that this library does not know");
  }
  return set;
}

void check_flags(std::uint32_t flags, std::uint32_t known) {
  if ((flags & ~known) != 0) {
    refuse(EINVAL, "flags that are not known; leave them 0, or see sa.h");
  }
}

constinit const Constraints no_constraints;

Constraints constraints_of(const char* given, const Heap* heap) {
  if (given == nullptr || *given == '\0') {
    return {};
  }
  try {
    return parse_constraints(given);
  } catch (const Error& error) {
    if (heap == nullptr) {
      throw;
    }
    refuse(error.code().value(), heap->info().name + ": " + error.what());
  }
}

std::vector<Device> devices_of(const char* const* nodes, std::size_t count) {
  std::vector<Device> devices;
  for (std::size_t i = 0; i < count; ++i) {
    if (nodes == nullptr || nodes[i] == nullptr) {
      refuse(EINVAL, "the node of a device is NULL");
    }
    devices.push_back(Device::open(nodes[i]));
  }
  return devices;
}

}}} // namespace sa::v0::c

extern "C" {

const char* sa_version(void) {
  return SA_VERSION;
}

const char* sa_message(void) {
  return sa::c::last_message;
}

int sa_set_log(void (*log)(void* data, int level, const char* sentence), void* data, int most) {
  return sa::c::guarded([&] {
    if (most != SA_LOG_WARNING && most != SA_LOG_DEBUG) {
      sa::c::refuse(EINVAL, "no level of the log; use SA_LOG_WARNING or SA_LOG_DEBUG");
    }
    sa::set_log(log, data, static_cast<sa::LogLevel>(most));
    return 0;
  });
}

} // extern "C"
