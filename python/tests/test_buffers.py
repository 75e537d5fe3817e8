# SPDX-License-Identifier: MIT
import errno
import gc
import mmap
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import unittest

import numpy

import simple_allocator as sa
from places import descriptors, mappings, python


class Buffers(unittest.TestCase):
    def setUp(self):
        self.heap = sa.Heap("memfd:4k")

    def test_what_is_written_in_an_access_is_in_the_memory(self):
        with self.heap.allocate(5000, name="frame") as buffer:
            with buffer.access("w") as view:
                self.assertEqual((len(view), view.readonly, view.format), (8192, False, "B"))
                view[0:4] = b"abcd"
            other = mmap.mmap(buffer.fileno(), buffer.size)
            self.assertEqual(other[:6], b"abcd\0\0")
            other.close()

    def test_numpy_writes_to_the_memory_and_not_to_a_copy(self):
        with self.heap.allocate(4096) as buffer:
            with mmap.mmap(buffer.fileno(), buffer.size) as other:
                with buffer.access("w") as view:
                    array = numpy.asarray(view)
                    array[:] = 7
                    self.assertEqual(other[4095], 7)
                    other[0] = 9
                    self.assertEqual(array[0], 9)
                    del array
            with buffer.access("r") as view:
                self.assertEqual(numpy.frombuffer(view, "<u4")[0], 0x07070709)

    def test_an_access_that_only_reads_gives_views_that_only_read(self):
        with self.heap.allocate(4096) as buffer, buffer.access("r") as view:
            with self.assertRaises(TypeError):
                view[0] = 1
            self.assertFalse(numpy.asarray(view).flags.writeable)

    def test_a_view_that_lives_keeps_the_access_from_ending(self):
        for make in (lambda view: view[10:20], numpy.asarray, lambda view: memoryview(view).cast("I")):
            buffer = self.heap.allocate(4096)
            access = buffer.access()
            with self.assertRaisesRegex(BufferError, "a view of this memory lives"):
                with access as view:
                    kept = make(view)
            kept[1] = 200  # it lasts
            with self.assertRaisesRegex(BufferError, "an access lasts"):
                buffer.close()
            del kept
            access.end()
            access.end()  # once is enough, and twice no harm
            buffer.close()

    def test_an_access_is_entered_again_after_it_could_not_be_left(self):
        with self.heap.allocate(4096) as buffer:
            access = buffer.access()
            with self.assertRaises(BufferError):
                with access as view:
                    kept = view[:4]
            kept.release()
            with access as view:
                view[0] = 3
            with self.assertRaisesRegex(ValueError, "ended"):
                access.__enter__()
            with self.assertRaisesRegex(ValueError, "ended"):
                memoryview(access)

    def test_the_view_of_an_access_that_ended_is_refused(self):
        with self.heap.allocate(4096) as buffer:
            with buffer.access() as view:
                pass
            with self.assertRaises(ValueError):
                view[0]

    def test_an_exception_passes_although_views_live_and_the_last_of_them_ends_the_access(self):
        before = mappings(), descriptors()
        try:
            with self.heap.allocate(4096) as buffer:
                with buffer.access() as view:
                    kept = numpy.asarray(view)
                    raise KeyError("mine")
        except KeyError as error:
            self.assertIsNone(error.__context__)
        self.assertTrue(buffer.closed)
        kept[0] = 1
        self.assertEqual(mappings(), before[0] + 1)
        del kept, view
        self.assertEqual((mappings(), descriptors()), before)

    def test_an_access_that_nobody_ends_ends_with_its_last_view(self):
        buffer = self.heap.allocate(4096)
        array = numpy.asarray(buffer.access("w"))
        with self.assertRaises(BufferError):
            buffer.close()
        array[0] = 1
        del array
        buffer.close()

    def test_an_access_in_a_circle_is_collected(self):
        buffer = self.heap.allocate(4096)
        access = buffer.access()
        access.__enter__()  # the view has the access, and the access the view
        del access
        gc.collect()
        buffer.close()

    def test_accesses_overlap(self):
        with self.heap.allocate(4096) as buffer:
            with buffer.access("w") as one, buffer.access("r") as other:
                one[5] = 55
                self.assertEqual(other[5], 55)

    def test_a_closed_buffer_raises_valueerror(self):
        buffer = self.heap.allocate(4096)
        buffer.close()
        buffer.close()
        self.assertTrue(buffer.closed)
        self.assertIn("closed", repr(buffer))
        for use in (
            lambda: buffer.size,
            lambda: buffer.name,
            lambda: buffer.heap,
            lambda: buffer.claimed_heap,
            lambda: buffer.traits,
            lambda: buffer.id,
            lambda: buffer.phys_addr,
            buffer.fileno,
            buffer.memfd,
            buffer.access,
            buffer.wait,
            buffer.export_fence,
            lambda: buffer.import_fence(0),
            lambda: buffer.send(0),
            buffer.__enter__,
        ):
            with self.assertRaisesRegex(ValueError, "the buffer is closed"):
                use()

    def test_attributes(self):
        with self.heap.allocate(4097, name="frame") as buffer:
            stat = os.fstat(buffer.fileno())
            self.assertEqual((buffer.size, buffer.name), (8192, "frame"))
            self.assertEqual((buffer.heap, buffer.claimed_heap), ("memfd:4k", "memfd:4k"))
            self.assertEqual(buffer.id, (stat.st_dev, stat.st_ino))
            self.assertEqual(buffer.memfd(), buffer.fileno())
            self.assertIsNone(buffer.phys_addr)
            self.assertIn(sa.Trait.ZEROED, buffer.traits)
            self.assertNotIn(sa.Trait.DMABUF, buffer.traits)
            self.assertEqual(repr(buffer), '<simple_allocator.DmaBuf "frame", 8192 bytes of memfd:4k>')
            self.assertFalse(os.get_inheritable(buffer.fileno()))

    def test_an_import_is_the_same_memory_and_leaves_the_descriptor_to_its_owner(self):
        with self.heap.allocate(4096) as buffer, sa.DmaBuf.import_fd(buffer) as same:
            self.assertEqual(same.id, buffer.id)
            self.assertNotEqual(same.fileno(), buffer.fileno())
            self.assertFalse(os.get_inheritable(same.fileno()))
        before = descriptors()
        with open("/dev/null") as null:
            with self.assertRaises(OSError) as caught:
                sa.DmaBuf.import_fd(null)
            self.assertEqual(caught.exception.errno, errno.EINVAL)
            os.fstat(null.fileno())
        with self.assertRaises(OSError) as caught:
            sa.DmaBuf.import_fd(987654)
        self.assertEqual(caught.exception.errno, errno.EBADF)
        self.assertEqual(descriptors(), before)

    def test_failures_are_oserror_with_number_and_sentence(self):
        with self.assertRaises(FileNotFoundError) as caught:
            sa.Heap("dma-heap:nowhere")
        self.assertEqual(caught.exception.errno, errno.ENOENT)
        self.assertIn("memfd:4k", caught.exception.strerror)  # what there is
        with self.assertRaises(FileNotFoundError) as caught:
            sa.Heap("sytem")
        self.assertIn('there is no heap "sytem"; did you mean system? (', caught.exception.strerror)
        with self.assertRaises(OSError) as caught:
            self.heap.allocate(4096, require=sa.Trait.DMABUF)
        self.assertEqual(caught.exception.errno, errno.EOPNOTSUPP)
        with self.assertRaises(OSError) as caught:
            self.heap.allocate(1 << 62)
        self.assertEqual(caught.exception.errno, errno.ENOMEM)
        with self.assertRaises(OSError) as caught:
            self.heap.allocate(4096, name="n" * 32)
        self.assertEqual(caught.exception.errno, errno.ENAMETOOLONG)
        with self.assertRaises(OSError) as caught:
            self.heap.allocate(4096, constraints="contiguus")
        self.assertIn("contiguus", caught.exception.strerror)
        with self.assertRaises(FileNotFoundError):
            sa.Heap.for_devices(["/dev/video987"])

    def test_wrong_arguments_are_typeerror_and_valueerror(self):
        buffer = self.heap.allocate(4096)
        for kind, use in (
            (ValueError, lambda: self.heap.allocate(0)),
            (ValueError, lambda: self.heap.allocate(-1)),
            (TypeError, lambda: self.heap.allocate("1")),
            (TypeError, lambda: self.heap.allocate(1, "positional")),
            (OverflowError, lambda: self.heap.allocate(1 << 64)),
            (ValueError, lambda: self.heap.allocate(1, name="a\0b")),
            (OverflowError, lambda: self.heap.allocate(1, require=-1)),
            (ValueError, lambda: self.heap.allocate(1, require=1 << 40)),
            (TypeError, lambda: sa.Heap(3)),
            (TypeError, lambda: sa.Heap.for_devices("/dev/video0")),
            (TypeError, lambda: sa.Heap.for_devices([3])),
            (TypeError, lambda: sa.Heap.for_devices(3)),
            (ValueError, lambda: self.heap.pool(max_free_bytes=0)),
            (ValueError, lambda: self.heap.pool(max_age=-1)),
            (ValueError, lambda: self.heap.pool(max_age=float("nan"))),
            (ValueError, lambda: self.heap.pool().reserve(-1, 4096)),
            (ValueError, lambda: self.heap.pool().reserve(1, 0)),
            (ValueError, lambda: buffer.access("x")),
            (TypeError, lambda: buffer.access(1)),
            (ValueError, lambda: buffer.wait("z")),
            (ValueError, lambda: buffer.wait(timeout=-1)),
            (TypeError, lambda: buffer.send("a")),
            (TypeError, lambda: sa.DmaBuf()),
            (TypeError, lambda: sa.Access()),
            (TypeError, lambda: sa.set_log(3)),
            (ValueError, lambda: sa.alloc_fd("memfd:4k", 0)),
            (ValueError, lambda: sa.choose_image([], -1, 480)),
            (TypeError, lambda: sa.choose_image([], 640, 480, formats=3)),
            (TypeError, lambda: sa.choose_image([], 640, 480, formats=[3])),
        ):
            with self.assertRaises(kind):
                use()
        with self.assertRaises(TypeError):
            type("Mine", (sa.Heap,), {})

    def test_a_pool_hands_the_same_memory_out_again(self):
        pool = self.heap.pool(max_free_bytes=1 << 20, max_age=None, zero=True)
        with pool.allocate(4096) as buffer:
            first = buffer.id
            with buffer.access("w") as view:
                view[0] = 1
        with pool.allocate(4096) as buffer:
            self.assertEqual(buffer.id, first)
            with buffer.access("r") as view:
                self.assertEqual(view[0], 0)
            self.assertEqual(pool.statistics().live, 1)
        self.assertEqual(pool.statistics()[:4], (1, 1, 0, 1))
        pool.trim()
        self.assertEqual(pool.statistics().free_bytes, 0)
        pool.reserve(3, 4096)
        self.assertEqual(pool.statistics().free_buffers, 3)
        for call in (self.heap.trim, self.heap.statistics, lambda: self.heap.reserve(1, 4096)):
            with self.assertRaises(OSError) as caught:
                call()
            self.assertEqual(caught.exception.errno, errno.EOPNOTSUPP)

    def test_a_free_buffer_of_a_pool_goes_when_it_is_old(self):
        pool = self.heap.pool(max_age=0.05)
        pool.allocate(4096).close()
        until = time.monotonic() + 20
        while pool.statistics().freed_old == 0 and time.monotonic() < until:
            time.sleep(0.05)
        self.assertEqual(pool.statistics().freed_old, 1)

    def test_heaps_say_what_they_are(self):
        infos = {info.name: info for info in sa.heaps()}
        info = infos["memfd:4k"]
        self.assertEqual((info.backend, info.node, info.reason, info.usable), ("memfd", None, None, True))
        self.assertEqual(info, self.heap.info)
        self.assertEqual(info.granularity, 4096)
        self.assertIsInstance(info.traits, sa.Trait)
        for info in infos.values():
            self.assertEqual(info.usable, info.reason is None)

    def test_heaps_of_a_list_are_tried_in_order(self):
        with sa.Heap("dma-heap:nowhere|memfd:4k").allocate(4096) as buffer:
            self.assertEqual(buffer.heap, "memfd:4k")
        with sa.Heap.for_devices([], constraints="size-align=64K").allocate(100) as buffer:
            self.assertEqual(buffer.size % 65536, 0)

    def test_a_bare_descriptor_is_the_callers(self):
        before = descriptors()
        fd = sa.alloc_fd("memfd:4k", 5000, "frame")
        self.assertEqual(os.fstat(fd).st_size, 8192)
        self.assertFalse(os.get_inheritable(fd))
        os.close(fd)
        self.assertEqual(descriptors(), before)

class Sockets(unittest.TestCase):
    def setUp(self):
        self.heap = sa.Heap("memfd:4k")
        self.here, self.there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(self.here.close)
        self.addCleanup(self.there.close)

    def test_a_buffer_goes_to_another_process(self):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                with sa.receive(self.there) as buffer, buffer.access("rw") as view:
                    status = 0 if bytes(view[:4]) == b"ping" and buffer.name == "frame" and buffer.heap == "import" else 2
                    view[:4] = b"pong"
            finally:
                os._exit(status)
        with self.heap.allocate(4096, name="frame") as buffer:
            with buffer.access("w") as view:
                view[:4] = b"ping"
            buffer.send(self.here)
            self.assertEqual(os.waitpid(child, 0)[1], 0)
            with buffer.access("r") as view:
                self.assertEqual(bytes(view[:4]), b"pong")

    def test_a_child_uses_what_it_inherits(self):
        pool = self.heap.pool()
        pool.reserve(2, 4096)
        buffer = pool.allocate(4096)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                with buffer.access("w") as view:
                    view[0] = 42
                buffer.close()
                pool.allocate(4096).close()
                status = 0 if pool.statistics().live == 0 else 2
            finally:
                os._exit(status)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        with buffer.access("r") as view:
            self.assertEqual(view[0], 42)

    def test_the_timeout_of_a_socket_counts(self):
        self.there.settimeout(0.05)
        with self.assertRaises(TimeoutError):
            sa.receive(self.there)
        with self.assertRaises(TimeoutError):
            sa.receive_image(self.there)
        self.there.settimeout(0)
        with self.assertRaises(BlockingIOError):
            sa.receive(self.there)
        with self.assertRaises(BlockingIOError):
            sa.receive(self.there.fileno())  # its descriptor says so
        self.there.settimeout(5)
        self.heap.allocate(4096).send(self.here)
        self.assertEqual(sa.receive(self.there).size, 4096)

    def test_sending_to_nobody_raises_brokenpipe_and_no_signal(self):
        self.there.close()
        with self.assertRaises(BrokenPipeError):
            self.heap.allocate(4096).send(self.here)

    def test_other_threads_run_while_one_receives(self):
        got = []
        thread = threading.Thread(target=lambda: got.append(sa.receive(self.there.fileno())))
        thread.start()
        time.sleep(0.1)  # it is in the call, most likely
        self.heap.allocate(4096).send(self.here)
        thread.join(20)
        self.assertEqual(got[0].size, 4096)

    def test_a_signal_ends_the_wait_for_a_message(self):
        class Alarm(Exception):
            pass

        def ring(*_):
            raise Alarm

        former = signal.signal(signal.SIGALRM, ring)
        self.addCleanup(signal.signal, signal.SIGALRM, former)
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with self.assertRaises(Alarm):
            sa.receive(self.there)


class Processes(unittest.TestCase):
    def test_the_log_goes_to_a_function(self):
        done = python(
            """
import os, sys, weakref
import simple_allocator as sa
said = []
def broken(level, sentence):
    raise KeyError(sentence)
sys.unraisablehook = lambda unraisable: said.append((50, repr(unraisable.exc_value)))
sa.set_log(broken)
sa.heaps()
sa.set_log(lambda level, sentence: said.append((level, sentence)))
open(os.environ["SA_CONFIG"], "w").write("other rubbish =")
sa.refresh()
gone = weakref.ref(broken)
del broken
assert gone() is None  # what is called no more is kept no more
print(said)
""",
            SA_CONFIG=self.configuration("rubbish ="),
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        said = eval(done.stdout)
        self.assertEqual([level for level, _ in said], [50, 30])
        self.assertIn("nothing of this file is used", said[0][1])
        self.assertIn("nothing of this file is used", said[1][1])

    def test_without_a_function_the_log_goes_to_standard_error(self):
        program = "import simple_allocator as sa; sa.set_log(print); sa.set_log(None); sa.heaps()"
        done = python(program, SA_CONFIG=self.configuration("rubbish ="))
        self.assertEqual((done.returncode, done.stdout), (0, ""))
        self.assertIn("nothing of this file is used", done.stderr)

    def configuration(self, text):
        file = tempfile.NamedTemporaryFile("w", suffix=".toml")
        self.addCleanup(file.close)
        file.write(text)
        file.flush()
        return file.name

    def test_an_interpreter_ends_with_everything_in_use(self):
        done = python(
            """
import threading
import simple_allocator as sa
sa.set_log(print, debug=True)
pool = sa.Heap("memfd:4k").pool(max_age=0.001)
buffer = pool.allocate(4096)
access = buffer.access()
view = access.__enter__()
pool.allocate(8192).close()
image = sa.Image.allocate(pool, sa.Layout.make("NV12", 640, 480))
planes = image.access().planes
row = memoryview(planes[0])
def churn():
    while True:
        pool.allocate(4096).close()
threading.Thread(target=churn, daemon=True).start()
"""
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_a_sub_interpreter_is_refused(self):
        done = python(
            """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
import simple_allocator
try:
    failed = interpreters.run_string(interpreters.create(), "import simple_allocator")
    print(failed)
except Exception as error:
    print(error)
"""
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, "main interpreter|does not support loading in subinterpreters")

    def test_threads_share_a_pool_and_a_buffer(self):
        pool = sa.Heap("memfd:4k").pool()
        shared = pool.allocate(4096)
        wrong = []

        def work(number):
            try:
                for _ in range(300):
                    with pool.allocate(4096) as buffer:
                        with buffer.access("w") as view, shared.access("rw") as other:
                            view[:] = bytes([number]) * 4096
                            other[number] = (other[number] + 1) % 256
                            if view[4095] != number:
                                wrong.append(number)
            except Exception as error:
                wrong.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            sys.setswitchinterval(interval)
        self.assertEqual(wrong, [])
        with shared.access("r") as view:
            self.assertEqual(list(view[:4]), [300 % 256] * 4)
        shared.close()
        self.assertEqual(pool.statistics().live, 0)

    def test_closing_in_one_thread_what_another_waits_with_is_no_crash(self):
        heap = sa.Heap("memfd:4k")
        here, there = socket.socketpair()
        here.setblocking(True)
        buffers = [heap.allocate(4096) for _ in range(50)]

        def close():
            for buffer in buffers:
                buffer.close()

        thread = threading.Thread(target=close)
        thread.start()
        for buffer in buffers:
            try:
                buffer.send(here)
                sa.receive(there)
            except ValueError:
                pass  # it was closed before
        thread.join()
        here.close()
        there.close()


class Leaks(unittest.TestCase):
    def rounds(self, count, once):
        for _ in range(count):
            once()
        gc.collect()
        return descriptors(), mappings(), len(gc.get_objects()), sys.getallocatedblocks()

    def check(self, count, once):
        self.rounds(100, once)
        before = self.rounds(1, once)
        after = self.rounds(count, once)
        self.assertEqual(after[:2], before[:2])
        self.assertLess(after[2] - before[2], 10)
        # What the interpreter keeps for itself; a leak would be one in each round.
        self.assertLess(after[3] - before[3], min(count // 2, 200))

    def test_ten_thousand_rounds_with_numpy_leave_nothing(self):
        heap = sa.Heap("memfd:4k")

        def once():
            with heap.allocate(8192, name="frame") as buffer:
                with buffer.access("rw") as view:
                    numpy.asarray(view)[:] = 1

        self.check(10000, once)

    def test_rounds_that_use_everything_else_leave_nothing(self):
        heap = sa.Heap("memfd:4k")
        layout = sa.Layout.make("NV12", 64, 32, rule="stride-align=256,buffers=separate")
        here, there = socket.socketpair()

        def once():
            image = sa.Image.allocate(heap.pool(), layout, name="frame")
            image.send(here, 3)
            other, _ = sa.receive_image(there)
            with other.access("w") as planes:
                numpy.asarray(planes[0])[:] = 1
                planes[1][0] = bytes(64)
                planes[1][0], planes[0].shape, memoryview(planes[0]).shape
            again = sa.Image(other.layout, other.buffers)
            str(again.layout), repr(again), hash(again.layout), again.layout == layout, layout.planes, layout.sizes
            access = again.access("r")
            access.planes
            buffer = heap.allocate(4096)
            buffer.access().__enter__()[0] = 1
            buffer.traits, buffer.id, buffer.phys_addr, repr(buffer), repr(heap), heap.info
            sa.find_format("NV12"), sa.formats(), sa.heaps()
            sa.choose_image([], 64, 32, formats=["NV12"])
            sa.choose_image([], 64, 32, formats="|".join(["NV12", "NV16"]))
            sa.set_log(lambda level, sentence: buffer)
            sa.set_log(None)
            for wrong in (
                lambda: sa.Heap("x:y"),
                lambda: buffer.access("x"),
                lambda: sa.Layout.make("NV12", 0, 0),
                lambda: sa.Image(layout, []),
                lambda: sa.Image(layout, [3]),
                lambda: sa.choose_image(["a", 3], 3, 3, formats=["NV12"]),
                lambda: sa.choose_image([], 3, 3, formats=["NV12"], require="x"),
                lambda: sa.DmaBuf.import_fd(-1),
            ):
                try:
                    wrong()
                except (OSError, ValueError, TypeError):
                    continue
                self.fail("no exception")

        self.check(300, once)
        here.close()
        there.close()


@unittest.skipUnless(os.access("/dev/dma_heap/system", os.R_OK), "no dma-heap:system")
class RealHeaps(unittest.TestCase):
    def test_a_real_dma_buf_is_written_and_read_between_syncs(self):
        for name in ("dma-heap:system", "udmabuf:4k"):
            heap = sa.Heap(name)
            with heap.allocate(1 << 20, name="frame", require=sa.Trait.DMABUF) as buffer:
                self.assertEqual(buffer.heap, name)
                self.assertIn("dmabuf", os.readlink(f"/proc/self/fd/{buffer.fileno()}"))
                with buffer.access("w") as view:
                    numpy.asarray(view)[:] = 77
                with mmap.mmap(buffer.fileno(), buffer.size) as other:
                    self.assertEqual(set(other[:]), {77})
                with sa.DmaBuf.import_fd(buffer) as same, same.access("r") as view:
                    self.assertTrue((numpy.asarray(view) == 77).all())
                buffer.wait(timeout=1)
                buffer.wait("r")

    def test_fences_go_out_and_in(self):
        with sa.Heap("dma-heap:system").allocate(4096) as buffer:
            fence = buffer.export_fence("rw")
            self.assertIn("sync_file", os.readlink(f"/proc/self/fd/{fence}"))
            buffer.import_fence(fence, "w")
            os.close(fence)
            buffer.wait(timeout=0)
            with open("/dev/null") as null, self.assertRaises(OSError) as caught:
                buffer.import_fence(null)
            self.assertEqual(caught.exception.errno, errno.EINVAL)

    def test_the_memory_file_under_a_udmabuf_is_the_same_memory(self):
        with sa.Heap("udmabuf:4k").allocate(4096) as buffer:
            self.assertNotEqual(buffer.memfd(), buffer.fileno())
            os.pwrite(buffer.memfd(), b"abcd", 0)
            with buffer.access("r") as view:
                self.assertEqual(bytes(view[:4]), b"abcd")
        with sa.Heap("dma-heap:system").allocate(4096) as buffer, self.assertRaises(OSError):
            buffer.memfd()

    def test_rounds_on_a_dma_heap_leave_nothing(self):
        heap = sa.Heap("dma-heap:system")

        def once():
            with heap.allocate(8192) as buffer, buffer.access() as view:
                numpy.asarray(view)[:] = 1

        Leaks.check(self, 1000, once)

    rounds = Leaks.rounds
