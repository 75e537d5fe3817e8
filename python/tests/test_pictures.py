# SPDX-License-Identifier: MIT
import errno
import gc
import mmap
import socket
import subprocess
import unittest

import numpy

import simple_allocator as sa
from places import peer


def draw(planes, layout):
    """The picture that check_picture.cpp expects."""
    rows, columns = numpy.indices((layout.height, layout.width))
    if layout.format == "XRGB8888":
        pixels = numpy.asarray(planes[0]).reshape(layout.height, layout.width, 4)
        pixels[..., 0] = columns
        pixels[..., 1] = rows
        pixels[..., 2] = columns ^ rows
        pixels[..., 3] = 255
    else:
        numpy.asarray(planes[0])[:] = columns + rows
        chroma = numpy.asarray(planes[1]).reshape(layout.height // 2, layout.width // 2, 2)
        chroma[..., 0] = columns[: layout.height // 2, : layout.width // 2]
        chroma[..., 1] = rows[: layout.height // 2, : layout.width // 2]


class Pictures(unittest.TestCase):
    def setUp(self):
        self.heap = sa.Heap("memfd:4k")

    def test_a_plane_is_its_visible_bytes_with_the_stride_of_the_layout(self):
        layout = sa.Layout.make("NV12", 640, 480, rule="stride-align=256")
        with sa.Image.allocate(self.heap, layout, name="frame") as image:
            with image.access("w") as planes:
                self.assertEqual([(plane.shape, plane.stride, len(plane)) for plane in planes],
                                 [((480, 640), 768, 480), ((240, 640), 768, 240)])
                for plane in planes:
                    view = memoryview(plane)
                    self.assertEqual((view.shape, view.strides, view.format, view.ndim), (plane.shape, (768, 1), "B", 2))
                    array = numpy.asarray(plane)
                    self.assertEqual((array.shape, array.strides, array.dtype), (plane.shape, (768, 1), numpy.uint8))
                    self.assertTrue(numpy.shares_memory(array, numpy.asarray(plane)))
                    array[:] = 16
                    view.release()
                    del array
            # Another mapping sees what was written, and the padding as it was.
            (buffer,) = image.buffers
            with mmap.mmap(buffer.fileno(), buffer.size) as other:
                rows = numpy.frombuffer(other, numpy.uint8, 768 * 720).reshape(720, 768)
                self.assertTrue((rows[:, :640] == 16).all())
                self.assertTrue((rows[:, 640:] == 0).all())
                del rows

    def test_pixels_of_several_bytes_are_a_third_dimension_without_a_copy(self):
        layout = sa.Layout.make("XRGB8888", 100, 50, rule="stride-align=256")
        with sa.Image.allocate(self.heap, layout) as image, image.access() as planes:
            flat = numpy.asarray(planes[0])
            pixels = flat.reshape(50, 100, 4)
            words = flat.view("<u4")
            self.assertTrue(numpy.shares_memory(flat, pixels))
            pixels[49, 99] = 1, 2, 3, 4
            self.assertEqual(words[49, 99], 0x04030201)
            self.assertEqual(planes[0][49][-4:], bytes([1, 2, 3, 4]))
            del flat, pixels, words

    def test_rows_are_read_and_written_without_numpy(self):
        layout = sa.Layout.make("R8", 6, 3, rule="stride-align=64")
        with sa.Image.allocate(self.heap, layout) as image:
            with image.access() as (plane,):
                for y in range(len(plane)):
                    plane[y] = bytes([y] * 6)
                plane[-1] = memoryview(b"abcdef")
                self.assertEqual(list(plane), [bytes(6), b"\1" * 6, b"abcdef"])
                for wrong in (b"short", b"too long"):
                    with self.assertRaisesRegex(ValueError, "6 bytes"):
                        plane[0] = wrong
                for y in (3, -4):
                    with self.assertRaises(IndexError):
                        plane[y]
                    with self.assertRaises(IndexError):
                        plane[y] = b"abcdef"
                with self.assertRaises(TypeError):
                    plane[0] = 3
                with self.assertRaises(TypeError):
                    del plane[0]
            with image.access("r") as planes:
                with self.assertRaisesRegex(TypeError, "read-only"):
                    planes[0][0] = b"abcdef"
                self.assertTrue(memoryview(planes[0]).readonly)
                with self.assertRaises(BufferError):
                    (lambda: numpy.frombuffer(planes[0], numpy.uint8))()  # rows that do not adjoin

    def test_rows_that_adjoin_are_one_run_of_bytes(self):
        layout = sa.Layout.make("R8", 64, 3)
        with sa.Image.allocate(self.heap, layout) as image, image.access() as (plane,):
            plane[1] = bytes(range(64))
            self.assertEqual(bytes(plane)[64:128], bytes(range(64)))
            self.assertEqual(numpy.frombuffer(plane, numpy.uint8)[65], 1)

    def test_a_view_of_a_plane_keeps_the_access_from_ending(self):
        image = sa.Image.allocate(self.heap, sa.Layout.make("NV12", 64, 32))
        access = image.access()
        with self.assertRaisesRegex(BufferError, "a view of this memory lives"):
            with access as planes:
                kept = numpy.asarray(planes[1])[3:5]
        with self.assertRaisesRegex(BufferError, "an access lasts"):
            image.close()
        kept[:] = 9
        self.assertEqual(planes[1][3][0], 9)
        del kept
        access.end()
        for use in (lambda: planes[0][0], lambda: memoryview(planes[0]), lambda: access.planes, lambda: access.__enter__()):
            with self.assertRaisesRegex(ValueError, "ended"):
                use()
        with self.assertRaises(ValueError):
            planes[0][0] = bytes(64)
        image.close()

    def test_a_closed_image_raises_valueerror(self):
        image = sa.Image.allocate(self.heap, sa.Layout.make("NV12", 64, 32))
        image.close()
        self.assertTrue(image.closed)
        for use in (lambda: image.layout, lambda: image.buffers, image.access, lambda: image.send(0), image.__enter__):
            with self.assertRaisesRegex(ValueError, "the image is closed"):
                use()

    def test_buffers_outlive_their_image_and_make_another(self):
        layout = sa.Layout.make("NV12", 64, 32, rule="buffers=separate")
        image = sa.Image.allocate(self.heap, layout)
        with image.access() as planes:
            planes[1][0] = b"u" * 64
        buffers = image.buffers
        image.close()
        again = sa.Image(layout, buffers)
        del image, buffers
        gc.collect()
        with again.access("r") as planes:
            self.assertEqual(planes[1][0], b"u" * 64)
        for wrong, kind in (([], OSError), (again.buffers[:1], OSError), ([1, 2], TypeError), (3, TypeError)):
            with self.assertRaises(kind):
                sa.Image(layout, wrong)
        with self.assertRaises(OSError) as caught:
            sa.Image(layout, [self.heap.allocate(4096), self.heap.allocate(64)])
            sa.Image(sa.Layout.make("NV12", 640, 480), [self.heap.allocate(64)])
        self.assertEqual(caught.exception.errno, errno.EINVAL)

    def test_layouts_are_values(self):
        layout = sa.Layout.make("NV12", 640, 480, rule="stride-align=256")
        same = sa.Layout.parse(str(layout))
        other = sa.Layout.make("NV12", 640, 480)
        self.assertEqual(layout, same)
        self.assertEqual(hash(layout), hash(same))
        self.assertNotEqual(layout, other)
        self.assertNotEqual(layout, str(layout))
        self.assertEqual(len({layout, same, other}), 2)
        with self.assertRaises(TypeError):
            layout < other
        self.assertEqual((layout.format, layout.width, layout.height, layout.modifier), ("NV12", 640, 480, 0))
        self.assertEqual((layout.primaries, layout.transfer, layout.matrix, layout.full_range), (2, 2, 2, False))
        self.assertEqual(layout.sizes, (552960,))
        self.assertEqual(layout.planes[1], (0, 368640, 768, 240, 640, 240))
        self.assertEqual(eval(repr(layout), {"Layout": sa.Layout}), layout)
        told = sa.Layout.parse("XRGB8888 4x2 planes=0+0/16*2 sizes=32 modifier=0x1 colour=9/16/9/1")
        self.assertEqual((told.modifier, told.primaries, told.transfer, told.matrix, told.full_range), (1, 9, 16, 9, True))
        for wrong in (lambda: sa.Layout.make("NV12", 70000, 4), lambda: sa.Layout.make("NV12", 1 << 40, 4),
                      lambda: sa.Layout.make("NONE", 4, 4), lambda: sa.Layout.make("NV12", 4, 4, "stride=1"),
                      lambda: sa.Layout.parse("NV12"), lambda: sa.Layout.parse("")):
            with self.assertRaises(ValueError):
                wrong()

    def test_formats(self):
        nv12 = sa.find_format("NV12")
        self.assertEqual(nv12, sa.find_format(drm=nv12.drm))
        self.assertEqual(nv12, sa.find_format(v4l2=nv12.v4l2))
        self.assertEqual(nv12, sa.find_format(v4l2=nv12.v4l2_split))
        self.assertEqual([plane.vsub for plane in nv12.planes], [1, 2])
        self.assertNotEqual(sa.find_format("drm:RG16").name, sa.find_format("v4l2:RG16").name)
        self.assertIn(nv12, sa.formats())
        self.assertIsNone(sa.find_format("R10").gstreamer)
        for wrong in (lambda: sa.find_format("ABCD"), lambda: sa.find_format(drm=0), lambda: sa.find_format(v4l2=1 << 40)):
            with self.assertRaises(ValueError):
                wrong()
        for wrong in (lambda: sa.find_format(), lambda: sa.find_format("NV12", drm=1), lambda: sa.find_format(drm="NV12")):
            with self.assertRaises(TypeError):
                wrong()

    def test_a_layout_and_a_heap_are_chosen_together(self):
        layout, heap = sa.choose_image([], 640, 480, formats="NV12|XRGB8888")
        self.assertEqual((layout, layout.format), (sa.Layout.make("NV12", 640, 480), "NV12"))
        layout, heap = sa.choose_image([], 640, 480, formats=("XRGB8888", "NV12"))
        self.assertEqual(layout.format, "XRGB8888")
        with sa.Image.allocate(heap.pool(), layout) as image:
            self.assertEqual(image.layout, layout)
        with self.assertRaises(OSError):
            sa.choose_image([], 640, 480, formats=["NONE"])
        with self.assertRaises(OSError):
            sa.choose_image(["/dev/null"], 640, 480)

    def test_a_picture_drawn_with_numpy_is_checked_by_a_cpp_process(self):
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        checker = subprocess.Popen([peer(), str(there.fileno())], pass_fds=[there.fileno()], stdout=subprocess.PIPE, text=True)
        there.close()
        lines = []
        pictures = [("NV12", ""), ("NV12", "stride-align=256,buffers=separate"), ("XRGB8888", "stride-align=256")]
        for number, (format, rule) in enumerate(pictures, 7):
            layout = sa.Layout.make(format, 322, 240, rule=rule or None)
            with sa.Image.allocate(self.heap, layout, name="drawn") as image:
                with image.access("w") as planes:
                    draw(planes, layout)
                image.send(here, number=number)
                lines.append(f"{number}: {sum(p.row_bytes * p.visible_rows for p in layout.planes)} bytes of {layout} are right")
        # And one pixel that is wrong.
        with sa.Image.allocate(self.heap, layout) as image:
            with image.access("w") as planes:
                draw(planes, layout)
                numpy.asarray(planes[0])[200, 13] ^= 1
            image.send(here)
            lines.append(f"plane 0, row 200, byte 13 is {200 ^ 1} and not 200")
        here.close()
        said, _ = checker.communicate(timeout=60)
        self.assertEqual(said.splitlines(), lines)
        self.assertEqual(checker.returncode, 0)
