#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Allocate, access, write a byte, close: Python beside the same rounds in C.   python_round.py BUILD [HEAP]
The status is 1 where Python costs more than 5 microseconds more."""
import pathlib
import subprocess
import sys
import time

LIMIT = 5000  # nanoseconds


def rounds(heap, count):
    for _ in range(count):
        with heap.allocate(65536, name="frame") as buffer:
            with buffer.access("w") as view:
                view[0] = 1


def measured(heap, count):
    """Nanoseconds for a round."""
    start = time.perf_counter_ns()
    rounds(heap, count)
    return (time.perf_counter_ns() - start) / count


def main(build, name="memfd:4k"):
    build = pathlib.Path(build).resolve()
    sys.path.insert(0, str(build / "python"))
    import simple_allocator as sa

    good = True
    for pool, count in ((0, 1000), (1, 10000)):
        heap = sa.Heap(name).pool() if pool else sa.Heap(name)
        command = [build / "benchmarks/python_round", name, str(pool), str(count)]
        in_c, in_python = [], []
        for _ in range(20):  # in turn, and the fastest of each: other programs run too
            in_c.append(float(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
            in_python.append(measured(heap, count))
        c, python = min(in_c), min(in_python)
        good = good and python - c <= LIMIT
        print(
            f"{'pool:' if pool else ''}{name}: C {c:.0f} ns, Python {python:.0f} ns, "
            f"difference {python - c:.0f} ns, ratio {python / c:.2f}"
        )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
