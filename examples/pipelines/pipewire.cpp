// SPDX-License-Identifier: MIT
/// Pictures in memory of ours from one process to another through PipeWire, without a copy.   pipewire [FRAMES]
///
/// PipeWire must run. Its session manager links the two; where there is none, `pw-link sa-producer sa-consumer` does.
/// Each picture says in which memory it was drawn (DmaBuf::id()), and the consumer looks whether it sees it in that memory.
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <utility>

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <pipewire/pipewire.h>
#include <spa/param/video/format-utils.h>

#include <sa/glue/pipewire.hpp>
#include <sa/sa.hpp>

/// The first bytes of a picture; the rest of it follows from the number.
struct Mark {
  std::uint64_t inode;
  std::uint32_t number;
};

/// Draws a picture. @return its mark
static Mark draw(const sa::Image& image, std::uint32_t number) {
  const Mark mark{image.buffer(0).id()->inode, number};
  const sa::ImageAccess cpu = image.access(sa::Access::Write);
  for (const auto row : cpu.plane(0)) {
    std::memset(row.data(), static_cast<int>(number++), row.size());
  }
  std::memcpy(cpu.plane(0)[0].data(), &mark, sizeof mark);
  return mark;
}

/// Reads a picture. @return its mark, with number 0 where it is not as it was drawn, or not in that memory
static Mark look(const sa::Image& image) {
  const sa::ImageAccess cpu = image.access(sa::Access::Read);
  Mark mark{};
  std::memcpy(&mark, cpu.plane(0)[0].data(), sizeof mark);
  bool right = mark.inode == image.buffer(0).id()->inode;
  for (std::uint32_t y = 1; y < cpu.plane(0).size(); ++y) {
    right = right &&
            std::ranges::all_of(cpu.plane(0)[y], [&](std::byte one) { return one == static_cast<std::byte>(mark.number + y); });
  }
  return right ? mark : Mark{};
}

/// One of the two processes.
struct Process {
  pw_main_loop* loop = nullptr;
  pw_stream* stream = nullptr;
  spa_source* timer = nullptr;     // by which the producer makes pictures
  std::vector<sa::Image> images{}; // the producer's
  std::size_t given = 0;           // of them, to slots of PipeWire's
  spa_video_info_raw info{};       // as it was negotiated
  std::uint32_t number = 0;        // of the last picture
  std::uint32_t left = 0;          // pictures that the consumer waits for
  int status = 1;

  bool ended = false;

  static Process& of(void* data) { return *static_cast<Process*>(data); }
  void end(int with, const char* why = "") {
    if (!std::exchange(ended, true)) {
      std::fprintf(stderr, "%s", why);
      status = with;
      pw_main_loop_quit(loop);
    }
  }
};

/// The producer makes pictures while the stream runs.
static void state_changed(void* data, pw_stream_state /*old*/, pw_stream_state state, const char* error) {
  Process& self = Process::of(data);
  if (state == PW_STREAM_STATE_ERROR || state == PW_STREAM_STATE_UNCONNECTED) {
    self.end(1, error != nullptr ? error : "PipeWire is gone\n");
  } else if (self.timer != nullptr) {
    timespec step{0, state == PW_STREAM_STATE_STREAMING ? 20'000'000 : 0}; // nanoseconds; 0: none
    pw_loop_update_timer(pw_main_loop_get_loop(self.loop), self.timer, &step, &step, false);
  }
}

/// The format is known: says which memory the producer gives, and which the consumer takes.
static void format_changed(void* data, std::uint32_t id, const spa_pod* param) {
  Process& self = Process::of(data);
  if (id != SPA_PARAM_Format || param == nullptr || spa_format_video_raw_parse(param, &self.info) < 0) {
    return;
  }
  std::uint8_t space[512];
  spa_pod_builder builder{};
  spa_pod_builder_init(&builder, space, sizeof space);
  spa_pod_frame frame{};
  spa_pod_builder_push_object(&builder, &frame, SPA_TYPE_OBJECT_ParamBuffers, SPA_PARAM_Buffers);
  int kinds = 1 << SPA_DATA_DmaBuf | 1 << SPA_DATA_MemFd;
  if (!self.images.empty()) {
    const sa::ImageLayout& layout = self.images[0].layout();
    kinds = 1 << sa::pipewire::data_type_of(self.images[0]);
    spa_pod_builder_add(&builder, SPA_PARAM_BUFFERS_buffers, SPA_POD_Int(static_cast<int>(self.images.size())),
                        SPA_PARAM_BUFFERS_blocks, SPA_POD_Int(static_cast<int>(layout.plane_count())), SPA_PARAM_BUFFERS_size,
                        SPA_POD_Int(static_cast<int>(layout.sizes[0])), SPA_PARAM_BUFFERS_stride,
                        SPA_POD_Int(static_cast<int>(layout.planes[0].stride)), 0);
  }
  spa_pod_builder_add(&builder, SPA_PARAM_BUFFERS_dataType, SPA_POD_CHOICE_FLAGS_Int(kinds), 0);
  const auto* buffers = static_cast<const spa_pod*>(spa_pod_builder_pop(&builder, &frame));
  pw_stream_update_params(self.stream, &buffers, 1);
}

/// The producer's part: an image for each slot, and a picture whenever the timer asks for one.
static void produce(Process& self, pw_stream_events& events) {
  for (int i = 0; i < 4; ++i) {
    self.images.push_back(
        sa::Registry::system().allocate(std::vector<sa::Device>{}, sa::ImageRequest{.width = 640, .height = 480}));
  }
  std::printf("%s from %s\n", to_string(self.images[0].layout()).c_str(), std::string(self.images[0].buffer(0).heap()).c_str());
  pw_loop* const loop = pw_main_loop_get_loop(self.loop);
  self.timer = pw_loop_add_timer(
      loop, [](void* data, std::uint64_t) { pw_stream_trigger_process(Process::of(data).stream); }, &self);
  pw_loop_add_signal(
      loop, SIGCHLD, [](void* data, int) { Process::of(data).end(0); }, &self); // the consumer has ended
  events.add_buffer = [](void* data, pw_buffer* slot) {
    Process& self = Process::of(data);
    sa::Image& image = self.images[self.given++ % self.images.size()];
    slot->user_data = &image;
    if (!sa::pipewire::offer(*slot->buffer, image)) {
      self.end(1, "producer: no consumer takes this memory\n");
    }
  };
  events.process = [](void* data) {
    Process& self = Process::of(data);
    if (pw_buffer* const slot = pw_stream_dequeue_buffer(self.stream)) {
      draw(*static_cast<sa::Image*>(slot->user_data), ++self.number);
      pw_stream_queue_buffer(self.stream, slot);
    }
  };
}

/// The consumer's part: looks at each picture that comes.
static void consume(pw_stream_events& events) {
  events.process = [](void* data) {
    Process& self = Process::of(data);
    pw_buffer* const slot = pw_stream_dequeue_buffer(self.stream);
    if (slot == nullptr) {
      return;
    }
    std::error_code ec;
    if (slot->user_data == nullptr) { // this memory comes for the first time
      slot->user_data = new sa::Image(sa::pipewire::import(*slot->buffer, self.info, ec));
    }
    const std::uint32_t number = ec ? 0 : look(*static_cast<sa::Image*>(slot->user_data)).number;
    if (number <= self.number) {
      return self.end(1, ec ? (ec.message() + "\n").c_str() : "consumer: the picture is wrong\n");
    }
    self.number = number;
    pw_stream_queue_buffer(self.stream, slot);
    if (--self.left == 0) {
      self.end(0);
    }
  };
  events.remove_buffer = [](void* /*data*/, pw_buffer* slot) { delete static_cast<sa::Image*>(slot->user_data); };
}

/// @param pictures that the consumer waits for; 0: the producer. @return the process' status
static int run(std::uint32_t pictures) {
  pw_init(nullptr, nullptr);
  Process self{.loop = pw_main_loop_new(nullptr), .left = pictures};
  pw_stream_events events{};
  events.version = PW_VERSION_STREAM_EVENTS;
  events.state_changed = state_changed;
  events.param_changed = format_changed;
  pictures == 0 ? produce(self, events) : consume(events);
  self.stream = pw_stream_new_simple(
      pw_main_loop_get_loop(self.loop), "pictures",
      pictures == 0 ? pw_properties_new(PW_KEY_NODE_NAME, "sa-producer", PW_KEY_MEDIA_CLASS, "Video/Source", nullptr)
                    : pw_properties_new(PW_KEY_NODE_NAME, "sa-consumer", PW_KEY_MEDIA_TYPE, "Video", PW_KEY_MEDIA_CATEGORY,
                                        "Capture", PW_KEY_TARGET_OBJECT, "sa-producer", nullptr),
      &events, &self);
  spa_video_info_raw info = pictures == 0 ? sa::pipewire::info_of(self.images[0].layout()) : spa_video_info_raw{}; // any
  std::uint8_t space[512];
  spa_pod_builder builder{};
  spa_pod_builder_init(&builder, space, sizeof space);
  const spa_pod* format = spa_format_video_raw_build(&builder, SPA_PARAM_EnumFormat, &info);
  const int flags = pictures == 0 ? PW_STREAM_FLAG_DRIVER | PW_STREAM_FLAG_ALLOC_BUFFERS : PW_STREAM_FLAG_AUTOCONNECT;
  const pw_direction direction = pictures == 0 ? PW_DIRECTION_OUTPUT : PW_DIRECTION_INPUT;
  const int result = self.stream == nullptr
                         ? -errno
                         : pw_stream_connect(self.stream, direction, PW_ID_ANY, static_cast<pw_stream_flags>(flags), &format, 1);
  if (result < 0) {
    throw std::system_error(-result, std::system_category(), "PipeWire");
  }
  pw_main_loop_run(self.loop);
  pw_stream_destroy(self.stream);
  pw_main_loop_destroy(self.loop);
  pw_deinit();
  return self.status;
}

int main(int argc, char** argv) try {
  const auto pictures = static_cast<std::uint32_t>(argc > 1 ? std::stoul(argv[1]) : 100);
  const pid_t consumer = fork();
  if (consumer == 0) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    return run(pictures);
  }
  if (run(0) != 0) {
    kill(consumer, SIGTERM);
  }
  int status = 1;
  waitpid(consumer, &status, 0);
  std::printf("%u pictures: %s\n", pictures, status == 0 ? "each is right, in the memory in which it was drawn" : "failed");
  return status == 0 ? 0 : 1;
} catch (const std::exception& error) {
  return std::fprintf(stderr, "%s\n", error.what()), 1;
}
