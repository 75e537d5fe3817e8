#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A camera's picture as a numpy array, without a copy:   capture.py [CAMERA [FILE [WIDTH HEIGHT]]]
The camera fills memory that the library chose for it; the tenth picture is written as a PPM or PGM."""
import ctypes
import fcntl
import sys

import numpy

import simple_allocator as sa

# From linux/videodev2.h.
CAPTURE, DMABUF, FIELD_NONE = 1, 4, 1  # V4L2_BUF_TYPE_VIDEO_CAPTURE, V4L2_MEMORY_DMABUF, V4L2_FIELD_NONE


def structure(name, *fields):
    return type(name, (ctypes.Structure,), {"_fields_": [(field, kind) for kind, names in fields for field in names.split()]})


u32 = ctypes.c_uint32
Pixels = structure("v4l2_pix_format", (u32, "width height pixelformat field bytesperline sizeimage colorspace priv flags "
                                            "ycbcr_enc quantization xfer_func"))
Kind = type("fmt", (ctypes.Union,), {"_fields_": [("pix", Pixels), ("raw", ctypes.c_uint8 * 200), ("pointer", ctypes.c_void_p)]})
Format = structure("v4l2_format", (u32, "type"), (Kind, "fmt"))
Rate = structure("v4l2_streamparm", (u32, "type capability capturemode numerator denominator"), (ctypes.c_uint8 * 184, "raw"))
Request = structure("v4l2_requestbuffers", (u32, "count type memory capabilities flags"))
Slot = structure("v4l2_buffer", (u32, "index type bytesused flags field"), (ctypes.c_long, "seconds microseconds"),
                 (ctypes.c_uint8 * 16, "timecode"), (u32, "sequence memory"), (ctypes.c_long, "fd"),
                 (u32, "length reserved request"))


def ask(camera, number, argument, direction=3):
    """An ioctl of V4L2; direction 3: _IOWR, 1: _IOW."""
    fcntl.ioctl(camera, direction << 30 | ctypes.sizeof(argument) << 16 | ord("V") << 8 | number, argument)
    return argument


def set_format(camera, layout):
    """VIDIOC_S_FMT. The layout is one that the driver answered to choose_image(), so it says the same again."""
    format = Format(type=CAPTURE)
    pix = format.fmt.pix
    pix.width, pix.height, pix.field = layout.width, layout.height, FIELD_NONE
    pix.pixelformat = sa.find_format(layout.format).v4l2
    pix.bytesperline, pix.sizeimage = layout.planes[0].stride, layout.sizes[0]
    asked = pix.pixelformat, pix.bytesperline
    ask(camera, 5, format)
    if (pix.pixelformat, pix.bytesperline) != asked or pix.sizeimage > layout.sizes[0]:
        raise OSError(f"the camera makes another picture than {layout}")


def pictures(node, width, height, slots=4):
    """The pictures of a camera, one after another, each an Image that is the caller's until the next one."""
    layout, heap = sa.choose_image([node], width, height, formats=["XRGB8888", "YUYV"], require=sa.Trait.DMABUF)
    images = [sa.Image.allocate(heap, layout, name="capture") for _ in range(slots)]
    with open(node, "r+b", buffering=0) as camera:
        set_format(camera, layout)
        ask(camera, 22, Rate(type=CAPTURE, numerator=1, denominator=25))  # VIDIOC_S_PARM: so many a second
        ask(camera, 8, Request(count=slots, type=CAPTURE, memory=DMABUF))  # VIDIOC_REQBUFS

        def queue(index):  # VIDIOC_QBUF
            (buffer,) = images[index].buffers
            ask(camera, 15, Slot(index=index, type=CAPTURE, memory=DMABUF, fd=buffer.fileno(), length=buffer.size))

        for index in range(slots):
            queue(index)
        ask(camera, 18, ctypes.c_int(CAPTURE), direction=1)  # VIDIOC_STREAMON
        try:
            while True:
                index = ask(camera, 17, Slot(type=CAPTURE, memory=DMABUF)).index  # VIDIOC_DQBUF
                yield images[index]
                queue(index)
        finally:
            ask(camera, 19, ctypes.c_int(CAPTURE), direction=1)  # VIDIOC_STREAMOFF


def shown(plane, layout):
    """The visible pixels of a plane: red, green and blue of XRGB8888, or the brightness of YUYV. Not a copy."""
    flat = numpy.asarray(plane)
    if layout.format == "XRGB8888":
        return flat.reshape(layout.height, layout.width, 4)[..., 2::-1]
    return flat[:, ::2]


def main(node="/dev/video0", file="frame.ppm", width="640", height="360"):
    for number, image in enumerate(pictures(node, int(width), int(height))):
        if number == 10:
            break
    with image.access("r") as planes:
        picture = shown(planes[0], image.layout)
        print(image.layout, "as", picture.shape, "of", image.buffers[0].heap)
        with open(file, "wb") as out:
            out.write(b"P%d %d %d 255\n" % (6 if picture.ndim == 3 else 5, image.layout.width, image.layout.height))
            out.write(picture.tobytes())
        del picture


if __name__ == "__main__":
    main(*sys.argv[1:])
