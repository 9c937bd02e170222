"""Run every benchmark, print a table and write it as JSON."""

import argparse
import importlib
import os
import pkgutil
from pathlib import Path

from threadpoolctl import threadpool_limits

import benchmarks
from largestep import _files


def main() -> None:
    """Run the benchmarks named on the command line, or all of them."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="modules of benchmarks/")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks.json"))
    options = parser.parse_args()
    present = [m.name for m in pkgutil.iter_modules(benchmarks.__path__) if m.name[0] != "_"]
    unknown = set(options.names) - set(present)
    if unknown:
        parser.error(f"no benchmark {unknown.pop()!r}; there are {', '.join(present)}")

    print(f"{os.cpu_count()} cores")
    print(f"{'':60} {'baseline':>10} {'largestep':>10} {'ratio':>8}   goal")
    rows = []
    for name in options.names or present:
        with threadpool_limits(1, user_api="blas"):
            measured = importlib.import_module(f"benchmarks.{name}").measure()
        for row in measured:
            rows.append(row)
            baseline = "" if row["baseline_s"] is None else f"{row['baseline_s']:.4g} s"
            ratio = "" if row["ratio"] is None else f"{row['ratio']:.1f}"
            ours = f"{row['ours_s']:.4g} s"
            print(f"{row['name']:60} {baseline:>10} {ours:>10} {ratio:>8}   {row['goal']}")
    _files.prepare_folder(options.out.parent)
    _files.write_json(options.out, {"cores": os.cpu_count(), "benchmarks": rows})


if __name__ == "__main__":
    main()
