# SPDX-License-Identifier: MIT
"""Prints what Google Benchmark measured as ratios: each case NAME/sa over NAME/raw, repetition by repetition."""
import json
import statistics
import sys

with open(sys.argv[1]) as results:
    runs = json.load(results)["benchmarks"]
times = {}
for run in runs:
    if run["run_type"] == "iteration":
        times.setdefault(run["run_name"], []).append(run["real_time"])


def spread(values):
    return f"{min(values):.3g} to {max(values):.3g}"


print(f"{'case':<50} {'median ns':>12} {'spread ns':>24} {'ratio':>7} {'spread':>15}")
for name, values in sorted(times.items()):
    row = f"{name:<50} {statistics.median(values):>12.4g} {spread(values):>24}"
    raw = times.get(name.removesuffix("/sa") + "/raw") if name.endswith("/sa") else None
    if raw:
        pairs = [mine / theirs for mine, theirs in zip(values, raw)]
        row += f" {statistics.median(values) / statistics.median(raw):>7.3f} {spread(pairs):>15}"
    print(row)

small, huge = (times.get(f"memfd:{pages} 1080p first write/sa") for pages in ("4k", "huge"))
if small and huge:
    print(f"\nfirst write of a fresh 1080p frame, memfd:huge over memfd:4k: {statistics.median(huge) / statistics.median(small):.3f}")
