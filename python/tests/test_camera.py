# SPDX-License-Identifier: MIT
import glob
import os
import pathlib
import sys
import tempfile
import unittest

import numpy

import simple_allocator as sa
from places import PROJECT

sys.path.append(str(PROJECT / "python/examples"))
import capture


def camera():
    """The node of vivid, the kernel's camera that draws its pictures itself."""
    for name in sorted(glob.glob("/sys/class/video4linux/*/name")):
        if pathlib.Path(name).read_text().strip() == "vivid-000-vid-cap":
            return "/dev/" + pathlib.Path(name).parent.name
    return None


def bars(width):
    """The colours of vivid's bars at each column, 75 percent; no bar within four columns of another."""
    columns = numpy.arange(width)
    bar = columns * 8 // width
    colours = 191 * numpy.stack([(bar & 2) == 0, (bar & 4) == 0, (bar & 1) == 0], axis=-1)
    inside = ((columns + 4) * 8 // width == bar) & ((columns - 4) * 8 // width == bar)
    return colours, inside


@unittest.skipUnless(camera(), "no vivid")
class Camera(unittest.TestCase):
    def check(self, picture):
        colours, inside = bars(picture.shape[1])
        self.assertEqual(len(numpy.unique(colours[inside], axis=0)), 8)
        rows = picture[picture.shape[0] // 2 :]  # vivid writes text above
        off = numpy.abs(rows[:, inside].astype(int) - colours[inside])
        self.assertLessEqual(off.max(), 9)

    def test_the_bars_of_a_capture_are_in_the_array(self):
        seen = 0
        for image in capture.pictures(camera(), 640, 360):
            with image.access("r") as planes:
                picture = capture.shown(planes[0], image.layout)
                self.assertTrue(numpy.shares_memory(picture, numpy.asarray(planes[0])))
                self.assertFalse(picture.flags.writeable)
                self.check(picture)
                del picture
            seen += 1
            if seen == 5:
                break
        self.assertIn(sa.Trait.DMABUF, image.buffers[0].traits)

    def test_the_example_writes_the_picture(self):
        with tempfile.TemporaryDirectory() as folder:
            capture.main(camera(), os.path.join(folder, "frame.ppm"))
            with open(os.path.join(folder, "frame.ppm"), "rb") as file:
                self.assertEqual(file.readline(), b"P6 640 360 255\n")
                self.check(numpy.frombuffer(file.read(), numpy.uint8).reshape(360, 640, 3))

    def test_devices_choose_a_heap(self):
        heap = sa.Heap.for_devices([camera()], probe=True)
        with heap.allocate(640 * 360 * 4) as buffer:
            self.assertIn(sa.Trait.DMABUF, buffer.traits)
        layout, heap = sa.choose_image([camera()], 640, 360, formats=["NV12"], probe=True)
        with sa.Image.allocate(heap, layout) as image:
            self.assertEqual(image.layout.format, "NV12")
