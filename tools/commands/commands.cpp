// SPDX-License-Identifier: MIT
#include "commands/command.hpp"

#include <array>

namespace sactl {

std::unique_ptr<Command> make_alloc();
std::unique_ptr<Command> make_bench();
std::unique_ptr<Command> make_devices();
std::unique_ptr<Command> make_doctor();
std::unique_ptr<Command> make_formats();
std::unique_ptr<Command> make_heaps();
std::unique_ptr<Command> make_layout();
std::unique_ptr<Command> make_load_carveout();
std::unique_ptr<Command> make_probe();
std::unique_ptr<Command> make_recv();
std::unique_ptr<Command> make_select();
std::unique_ptr<Command> make_send();
std::unique_ptr<Command> make_top();

CLI::Option* add_bytes(CLI::App& app, const std::string& name, std::uint64_t& bytes, const std::string& about) {
  CLI::AsSizeValue units(false); // K is 1024
  units.description("");         // which would be listed unit by unit
  return app.add_option(name, bytes, about)->transform(units)->type_name("BYTES");
}

std::span<const Entry> commands() {
  static constexpr std::array all{
      Entry{"heaps", "List the heaps of this machine; for a heap that cannot be used, the reason and the fix", "sactl heaps",
            &make_heaps},
      Entry{"devices", "List the devices of this machine, the role of each for pictures, and the format that is set",
            "sactl devices", &make_devices},
      Entry{"formats", "List the pixel formats that all of some devices have, by their names in DRM, V4L2 and GStreamer",
            "sactl formats --for /dev/video0 --for /dev/dri/card0", &make_formats},
      Entry{"layout", "Show how a picture lies in memory: strides, offsets and sizes, as devices demand them",
            "sactl layout NV12 1920x1080 --for /dev/video0", &make_layout},
      Entry{"select", "Rank the heaps for some devices, and give the reason for every heap that does not suit",
            "sactl select --for /dev/video0 --for /dev/dri/card0 --probe", &make_select},
      Entry{"probe", "Show which device takes memory of which heap, by importing for real", "sactl probe", &make_probe},
      Entry{"top", "Show which processes hold which buffers, as top does for processors",
            "sactl top --sort count --filter camera", &make_top},
      Entry{"doctor", "Test for every known trouble; say what each means and which command fixes it", "sactl doctor",
            &make_doctor},
      Entry{"alloc", "Allocate from a heap, check that the memory reads as zero, and time it",
            "sactl alloc system 8M --count 4 --hold", &make_alloc},
      Entry{"bench", "Measure a heap beside ordinary memory: allocation, mapping, cache maintenance, bandwidth",
            "sactl bench cma --size 8M", &make_bench},
      Entry{"recv", "Wait at a socket for a buffer from sactl send, and check its content", "sactl recv /tmp/buffer --mode 666",
            &make_recv},
      Entry{"send", "Send a buffer to sactl recv: a trial of permissions across users and containers",
            "sactl send /tmp/buffer system 8M", &make_send},
      Entry{"load-carveout", "Load the kernel module for a reserved range; refused while a buffer lives in it",
            "sactl load-carveout camera 0x30000000 64M", &make_load_carveout},
  };
  return all;
}

} // namespace sactl
