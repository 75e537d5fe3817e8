# SPDX-License-Identifier: MIT
"""Memory, and pictures, that devices can share, from any heap of the machine.

>>> import simple_allocator as sa
>>> heap = sa.Heap("system|memfd:4k")
>>> with heap.allocate(3110400, name="frame") as buffer:
...     with buffer.access("w") as view:  # devices see what was written when the block ends
...         view[0:4] = b"abcd"
...     buffer.size
3112960

A failure is an OSError, with errno and a sentence that says what was asked, what the kernel said and what to do;
FileNotFoundError, PermissionError, TimeoutError and the like are among them. Threads may use all objects. fork() is
allowed as for the library. Sub-interpreters are not supported, and neither is a Python without its global lock.
"""
import ctypes
import os

# GStreamer brings libunwind, which has the C++ library's unwinder a second time. A plugin in C++ that is loaded after both ends
# the process at its first exception, unless the one that this module uses comes first for all.
try:
    ctypes.CDLL("libgcc_s.so.1", mode=os.RTLD_GLOBAL | os.RTLD_NOW)
except OSError:
    pass  # built without it: there is only one
del ctypes, os

from ._simple_allocator import (
    Access,
    DmaBuf,
    Format,
    FormatPlane,
    Heap,
    HeapInfo,
    Image,
    ImageAccess,
    Layout,
    LayoutPlane,
    Plane,
    PoolStatistics,
    Trait,
    __version__,
    alloc_fd,
    choose_image,
    find_format,
    formats,
    heaps,
    receive,
    receive_image,
    refresh,
    set_log,
)

__all__ = [
    "Access",
    "DmaBuf",
    "Format",
    "FormatPlane",
    "Heap",
    "HeapInfo",
    "Image",
    "ImageAccess",
    "Layout",
    "LayoutPlane",
    "Plane",
    "PoolStatistics",
    "Trait",
    "alloc_fd",
    "choose_image",
    "find_format",
    "formats",
    "heaps",
    "receive",
    "receive_image",
    "refresh",
    "set_log",
]
