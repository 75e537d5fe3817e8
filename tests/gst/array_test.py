#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The frames of examples/pipelines/array.py are the memory of dma-bufs, and vivid's colour bars.   array_test.py NODE"""
import importlib.util
import os
import subprocess
import sys
import unittest

here = os.path.dirname(os.path.abspath(__file__))
spec = importlib.util.spec_from_file_location("array_example", os.path.join(here, "../../examples/pipelines/array.py"))
example = importlib.util.module_from_spec(spec)
spec.loader.exec_module(example)
node = sys.argv.pop(1)

BARS = [(191, 191, 191), (191, 191, 0), (0, 191, 191), (0, 191, 0), (191, 0, 191), (191, 0, 0), (0, 0, 191), (0, 0, 0)]


def mapping_of(address):
    """What /proc/self/maps says of the mapping in which an address lies."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        for line in maps:
            begin, end = (int(number, 16) for number in line.split()[0].split("-"))
            if begin <= address < end:
                return line.strip()
    return ""


class Frames(unittest.TestCase):
    def test_frames_are_the_memory_that_the_camera_wrote(self):
        seen = []
        buffers = []

        def look(picture):
            buffers.append(picture.__array_interface__["data"][0])
            seen.append(len(os.listdir("/proc/self/fd")))
            self.assertEqual(picture.shape, (480, 640, 4))
            where = mapping_of(buffers[-1])
            self.assertIn("/dmabuf:", where)
            for bar, wanted in enumerate(BARS):
                blue, green, red, _ = (int(value) for value in picture[400, bar * 80 + 40])
                for value, channel in zip((red, green, blue), wanted):
                    self.assertLessEqual(abs(value - channel), 1, f"bar {bar}: {red} {green} {blue}")

        example.Gst.init(None)
        example.watch(node, 30, look)
        self.assertEqual(len(seen), 30)
        # Once all buffers are there, no more descriptors: one for each buffer that came later, of which the last may not be seen.
        self.assertLessEqual(seen[-1] - seen[9], len(set(buffers)) - len(set(buffers[:10])) + 1)

    def test_the_program_itself(self):
        said = subprocess.run([sys.executable, os.path.join(here, "../../examples/pipelines/array.py"), node],
                              stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout.splitlines()
        self.assertEqual(len(said), 10)
        self.assertTrue(said[-1].startswith("640x480"))


if __name__ == "__main__":
    ran = unittest.main(exit=False).result
    failed = len(ran.failures) + len(ran.errors)
    print(f"\nOk: {ran.testsRun - failed}\nFail: {failed}")
    sys.exit(failed != 0)
