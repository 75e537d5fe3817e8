#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests the Python module of a build folder: run.py BUILD [--real] [WORD...]
WORD: only tests with it in their names. --real: the machine has real dma-buf heaps, and no test may be skipped."""
import pathlib
import sys
import unittest

here = pathlib.Path(__file__).parent.resolve()


def main():
    options = [word for word in sys.argv[1:] if word.startswith("--")]
    build, *words = [word for word in sys.argv[1:] if not word.startswith("--")]
    build = pathlib.Path(build).resolve()
    sys.path[:0] = [str(build / "python"), str(here)]
    sys.dont_write_bytecode = True
    import places

    places.BUILD = build
    loader = unittest.TestLoader()
    loader.testNamePatterns = [f"*{word}*" for word in words] or None
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(loader.discover(str(here)))
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    if "--real" in options:
        failed += len(result.skipped)
    # A test of several parts can fail several times.
    passed = max(0, result.testsRun - failed - (0 if "--real" in options else len(result.skipped)))
    print(f"\nOk: {passed}\nFail: {failed}\nSkipped: {len(result.skipped)}")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
