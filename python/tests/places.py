# SPDX-License-Identifier: MIT
"""Where things are, for the tests."""
import os
import pathlib
import subprocess
import sys

PROJECT = pathlib.Path(__file__).resolve().parents[2]
BUILD = None  # set by run.py


def peer():
    """The C++ program that looks at pictures."""
    return str(BUILD / "python/tests/check_picture")


def python(program, **environment):
    """Runs a program in an interpreter of its own."""
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(BUILD / "python"), **environment},
        capture_output=True,
        text=True,
        timeout=100,
    )


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def mappings():
    """Shared ones: the interpreter maps private memory when it likes."""
    with open("/proc/self/maps") as maps:
        return sum(line.split()[1].endswith("s") for line in maps)
