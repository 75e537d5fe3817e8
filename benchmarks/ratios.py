# SPDX-License-Identifier: MIT
"""Prints what Google Benchmark measured: each case "NAME/WHO" with its median, its spread, and its ratio to the other
sides of the same NAME, repetition by repetition.   ratios.py RESULTS.json... [--plot DATA]

Times are of one operation of one thread. --plot writes the medians as columns for benchmarks/plot.gnuplot."""
import json
import re
import statistics
import sys


def read(paths):
    """{(case, who): [ns, one for each repetition]}, by case, the library first."""
    times = {}
    for path in paths:
        with open(path) as results:
            for run in json.load(results)["benchmarks"]:
                if run["run_type"] != "iteration":
                    continue
                name, threads = run["run_name"], run["threads"]
                name = re.sub(r"/(real_time|manual_time|(threads|iterations):\d+)", "", name)
                case, _, who = name.rpartition("/")
                # Google Benchmark divides real time by the threads; CPU time it does not.
                time = run["real_time"] * (threads if threads > 1 else 1)
                if not case:
                    case, who = who, "sa"
                case += f", {threads} threads" if threads > 1 else ""
                times.setdefault((case, who), []).append(time)
    return dict(sorted(times.items(), key=lambda one: (one[0][0], one[0][1] != "sa", one[0][1])))


def spread(values):
    return f"{min(values):.3g} to {max(values):.3g}"


def main():
    arguments = sys.argv[1:]
    plot = None
    if "--plot" in arguments:
        at = arguments.index("--plot")
        plot = arguments[at + 1]
        del arguments[at : at + 2]
    times = read(arguments)
    rows = []
    print(f"{'case':<58} {'who':<28} {'median ns':>10} {'spread ns':>22}  {'sa is':>6} {'spread':>15}")
    for (case, who), values in times.items():
        row = f"{case:<58} {who:<28} {statistics.median(values):>10.4g} {spread(values):>22}"
        mine = times.get((case, "sa"))
        if mine and who != "sa":
            ratio = statistics.median(mine) / statistics.median(values)
            row += f"  {ratio:>6.3g} {spread([a / b for a, b in zip(mine, values)]):>15}"
            rows.append((case, who, ratio))
        print(row)
    if plot:
        with open(plot, "w") as data:
            for case, who, ratio in rows:
                data.write(f'"{case} / {who}"\t{ratio:.4g}\n')


main()
