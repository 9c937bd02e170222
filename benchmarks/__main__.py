"""Run every benchmark, print a table, write it as JSON and keep it in a history."""

import argparse
import importlib
import json
import os
import pkgutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

import benchmarks
from largestep import __version__, _files
from largestep.provenance.origin import commit, processor

ROOT = Path(__file__).parents[1]
HISTORY = Path(__file__).with_name("history.jsonl")
"""One line a run on this machine; not under version control."""


def main() -> None:
    """Run the benchmarks named on the command line, or all of them."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="modules of benchmarks/")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks.json"))
    parser.add_argument(
        "--against", metavar="REV", help="compare with the library of another revision instead"
    )
    options = parser.parse_args()
    present = [m.name for m in pkgutil.iter_modules(benchmarks.__path__) if m.name[0] != "_"]
    unknown = set(options.names) - set(present)
    if unknown:
        parser.error(f"no benchmark {unknown.pop()!r}; there are {', '.join(present)}")
    names = options.names or present
    if options.against:
        compare(names, options.against)
        return

    load = os.getloadavg()[0]
    print(f"{processor()}, {os.cpu_count()} cores, load {load:.1f}")
    print(
        f"{'':60} {'baseline':>10} {'largestep':>10} {'ratio':>8} {'limit':>6} {'last':>8}   goal"
    )
    rows = []
    last = _last()
    for name in names:
        with threadpool_limits(1, user_api="blas"):
            measured = importlib.import_module(f"benchmarks.{name}").measure()
        for row in measured:
            rows.append(row)
            print(_line(row, last.get(row["name"])), flush=True)
    run = {
        "version": __version__,
        "commit": commit(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": load,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "benchmarks": rows,
    }
    _files.prepare_folder(options.out.parent)
    _files.write_json(options.out, run)
    if options.out == parser.get_default("out"):
        with HISTORY.open("a") as history:
            history.write(json.dumps(run) + "\n")


def compare(names: list[str], revision: str, rounds: int = 3) -> None:
    """Run benchmarks with this library and with that of a revision, in turn; print the fastest."""
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder) / "there"
        _git("worktree", "add", "--detach", str(there), revision)
        try:
            found: dict[str, list[dict[str, float]]] = {}
            for name in names * rounds:
                for place in (ROOT, there):
                    for row in _measured(name, place / "src", Path(folder) / "rows.json"):
                        kept = found.setdefault(row["name"], [{}, {}])[place is there]
                        kept["s"] = min(row["ours_s"], kept.get("s", row["ours_s"]))
        finally:
            _git("worktree", "remove", "--force", str(there))
    print(f"{'':60} {revision[:10]:>10} {'here':>10} {'ratio':>8}")
    for name, (here, other) in found.items():
        if here and other:
            ratio = other["s"] / here["s"]
            print(f"{name:60} {_seconds(other['s']):>10} {_seconds(here['s']):>10} {ratio:8.2f}")


def _measured(name: str, source: Path, out: Path) -> list[dict[str, Any]]:
    """Return the rows of this checkout's benchmark, run with the library in another folder."""
    subprocess.run(
        [sys.executable, "-m", "benchmarks", name, "--out", str(out)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(source)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return json.loads(out.read_text())["benchmarks"]


def _last() -> dict[str, float]:
    """Return the last seconds of each row on a processor of this kind."""
    if not HISTORY.exists():
        return {}
    runs = [json.loads(line) for line in HISTORY.read_text().splitlines()]
    return {
        row["name"]: row["ours_s"]
        for run in runs
        if run["processor"] == processor()
        for row in run["benchmarks"]
    }


def _line(row: dict[str, Any], last: float | None) -> str:
    ours, baseline, ratio, least = (row[k] for k in ("ours_s", "baseline_s", "ratio", "least_s"))
    cells = (
        "" if baseline is None else _seconds(baseline),
        _seconds(ours),
        "" if ratio is None else f"{ratio:.1f}",
        "" if least is None else f"{least / ours:.0%}",
        "" if last is None else f"× {ours / last:.2f}",
    )
    return _aligned(row["name"], cells, row["goal"])


def _aligned(name: str, cells: tuple[str, ...], goal: str) -> str:
    widths = (10, 10, 8, 6, 8)
    aligned = " ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
    return f"{name:60} {aligned}   {goal}"


def _seconds(value: float) -> str:
    return f"{value:.4g} s"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"git {' '.join(arguments)} failed: {done.stderr.strip()}")
    return done.stdout.strip()


if __name__ == "__main__":
    main()
