#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A camera's frames as numpy arrays, which are the memory that the camera wrote.

    array.py [NODE]     needs GStreamer with saheap, numpy, and the packages python3-gi and gir1.2-gst-plugins-base-1.0
"""
import sys

import gi
import numpy

gi.require_version("Gst", "1.0")
gi.require_version("GstAllocators", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstVideo", "1.0")
from gi.repository import Gst, GstAllocators, GstApp, GstVideo  # noqa: E402

import simple_allocator as sa  # noqa: E402


def watch(node, count, look):
    """Calls look() with each frame as an array of rows, pixels and four bytes, which it must not keep."""
    pipeline = Gst.parse_launch(
        f"v4l2src device={node} io-mode=dmabuf-import num-buffers={count} ! video/x-raw,format=BGRx,width=640,height=480,framerate=30/1 "
        f"! saheap devices={node} copy=never ! appsink name=sink max-buffers=2")
    pipeline.set_state(Gst.State.PLAYING)
    try:
        while sample := pipeline.get_by_name("sink").pull_sample():
            frame = sample.get_buffer()
            meta = GstVideo.buffer_get_video_meta(frame)
            descriptor = GstAllocators.dmabuf_memory_get_fd(frame.peek_memory(0))
            with sa.DmaBuf.import_fd(descriptor) as buffer, buffer.access("r") as view:
                rows = numpy.asarray(view)[:meta.stride[0] * meta.height].reshape(meta.height, meta.stride[0])
                picture = rows[:, :meta.width * 4].reshape(meta.height, meta.width, 4)
                look(picture)
                del rows, picture
        error = pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR)
        if error:
            raise RuntimeError(error.parse_error()[0].message)
    finally:
        pipeline.set_state(Gst.State.NULL)


def main():
    def look(picture):
        blue, green, red, _ = picture[400, 40::80].mean(axis=0)
        print(f"{picture.shape[1]}x{picture.shape[0]}, mean of row 400: {red:.0f} {green:.0f} {blue:.0f}")

    Gst.init(None)
    watch(sys.argv[1] if len(sys.argv) > 1 else "/dev/video0", 10, look)


if __name__ == "__main__":
    main()
