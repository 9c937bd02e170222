"""Reproduce experiments: compute or take up results, check claims, draw, write the page.

An experiment's folder holds `results.nc`; `claims.json` and the figures, made from it; and
`config.json`, written last, which says what made each of them. Whatever is still as it says is left
alone.
"""

import os
import platform
import sys
import time
from collections.abc import Iterable
from concurrent.futures import Executor, Future
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import largestep
from largestep import _files, provenance
from largestep.experiments import catalogue, frozen
from largestep.experiments.budget import Budget
from largestep.experiments.experiment import Experiment
from largestep.jobs.processes import process_pool

if TYPE_CHECKING:
    from largestep.report.page import Section

__all__ = ["CONFIRMED", "report", "reproduce"]

CONFIRMED = "confirmed"
"""The folder, among those of the experiments, of their results on fresh seeds."""

_SECONDS_TO_A_PAGE = 60.0
_SECONDS_TO_SHOW = 2.0
_SECONDS_TO_A_PROCESS = 5.0
"""What a process takes to start, and more: beside what takes less, nothing is won by one."""


def reproduce(
    names: Iterable[str],
    out: Path,
    *,
    seeds: int | None = None,
    quick: bool = False,
    threads: int | None = None,
    executor: Executor | None = None,
    data: Path | None = None,
    progress: bool = False,
    only_figures: bool = False,
    confirm: bool = False,
) -> Path:
    """Reproduce experiments into a folder and return the path of the page.

    Results of the same key, that is of the same configuration, code and versions, are taken up;
    damaged ones are computed anew, with a line that says so. Figures and claims are made again when
    the results, or the code that makes them, have changed. An experiment that is broken is passed
    over with its reason. The page is written at the end, and before what would keep it waiting for
    more than a minute. What takes long, and deep networks, take processes beside this one: a script
    that calls this needs its ``if __name__ == "__main__":``.

    Parameters
    ----------
    names : of experiments; if there are none, all that do not run by name only. Those that need
        PyTorch are then left out where it is missing, with a line that says so.
    out : folder; every experiment gets a folder of its own in it.
    seeds : number of seeds; by default each experiment's own.
    quick, threads, executor, data, progress : as in `experiments.Budget`.
    only_figures : draw whatever results are stored, in any case, and compute nothing.
    confirm : check the frozen claims (`experiments.frozen`) on as many seeds more, from 1000 on,
        which no bound was chosen on; the page shows both verdicts.

    Raises
    ------
    OSError
        If the folder can't be written to, or another process is writing to it.
    ValueError
        If an experiment is unknown, `only_figures` finds no results, every experiment is broken, or
        claims are to be confirmed that are not the frozen ones.
    ModuleNotFoundError
        If a named experiment needs PyTorch, or other packages, and they are missing.
    """
    chosen = [catalogue.get(name) for name in names] or _all_that_run()
    needs_torch = any(experiment.needs_torch for experiment in chosen) and not only_figures
    if needs_torch and find_spec("torch") is None:
        import largestep.deep  # noqa: F401  (says what to install)
    for experiment in chosen if not only_figures else ():
        experiment.refuse_missing()
    if confirm:
        frozen.refuse_changed(chosen)
    with _files.exclusive(_files.prepare_folder(out)), ExitStack() as stack:
        showing = _Showing(stack, threads or os.cpu_count() or 1)
        unseen, written = False, time.monotonic()
        every = list(product(chosen, (False, True) if confirm else (False,)))
        for number, (experiment, confirming) in enumerate(every):
            first = frozen.FIRST_SEED if confirming else 0
            parent = out / CONFIRMED if confirming else out
            budget = Budget(
                list(range(first, first + (experiment.seeds if seeds is None else seeds))),
                quick=quick,
                threads=threads,
                executor=executor,
                progress=progress,
                folder=out / "runs",
                data=data,
            )
            folder = _files.prepare_folder(parent / experiment.name)
            _files.clear(folder)
            try:
                state = _State.read(experiment, folder, pictures=not confirming)
                computes = not only_figures and not state.has_results(budget)
                if not computes and not only_figures and state.is_shown():
                    continue
                taking = (len(every) - number) * _SECONDS_TO_SHOW
                if computes:
                    taking = experiment.seconds / 10 if quick else experiment.seconds
                waiting = time.monotonic() - written + taking
                if computes and unseen and waiting > _SECONDS_TO_A_PAGE:
                    showing.finish()
                    page = _report(out)
                    if progress:
                        print(f"{page} shows what is finished so far", file=sys.stderr)
                    unseen, written = False, time.monotonic()
                showing.beside(taking)
                if computes:
                    state.compute(budget)
                showing.latest, unseen = state, True
            except (ImportError, SyntaxError) as error:
                showing.leave_out(experiment, error)
        showing.finish()
        if len(showing.broken) == len(chosen):
            raise ValueError("no experiment is left: every one is broken")
        return _report(out)


def _all_that_run() -> list[Experiment]:
    for entry in catalogue.broken():
        print(f"{entry.name} is broken and left out: {entry.reason}", file=sys.stderr)
    chosen = [e for e in catalogue.find().values() if not e.by_name]
    if find_spec("torch") is None:
        left_out = ", ".join(e.name for e in chosen if e.needs_torch)
        print(
            f"Left out without PyTorch: {left_out} (pip install 'largestep[torch]')",
            file=sys.stderr,
        )
        chosen = [e for e in chosen if not e.needs_torch]
    return chosen


@dataclass
class _State:
    """An experiment's folder, and what its code would make of it.

    Attributes
    ----------
    computing, showing : the code that computes results, and that which makes the rest of them.
    config : what `config.json` says; empty if it can't be read.
    pictures : whether figures are drawn beside the claims.
    """

    experiment: Experiment
    folder: Path
    computing: provenance.Closure
    showing: provenance.Closure
    config: dict[str, Any]
    pictures: bool

    @classmethod
    def read(cls, experiment: Experiment, folder: Path, *, pictures: bool) -> "_State":
        """Return the state of a folder."""
        module = f"{experiment.package}.show"
        shown = [(module, name) for name in ("CLAIMS", "CAPTIONS", "draw", "animate", "play")]
        computing = provenance.closure((f"{experiment.package}.compute", "compute"))
        showing = provenance.closure(
            *(root for root in shown if provenance.defines(*root)), (__name__, "_draw")
        )
        try:
            config = _files.read_json(folder / "config.json", sealed=True)
        except (OSError, ValueError):
            config = {}
        return cls(experiment, folder, computing, showing, config, pictures)

    def key(self, budget: Budget) -> str:
        """Return what stands for everything that decides the results."""
        data = str(budget.data) if self.experiment.needs_torch else None
        decides = self.experiment.name, budget.seeds, budget.quick, data
        return provenance.fingerprint(decides, self.computing.digest, dict(self.computing.versions))

    @property
    def results(self) -> Path:
        """The file of the results."""
        return self.folder / "results.nc"

    def has_results(self, budget: Budget) -> bool:
        """Return whether the results are as they would be computed now."""
        return self.config.get("key") == self.key(budget) and self._whole("results.nc")

    def is_shown(self) -> bool:
        """Return whether claims and figures are as they would be made of the stored results now."""
        return self.config.get("shown") == self._shown() and all(map(self._whole, self._made()))

    def compute(self, budget: Budget) -> None:
        """Compute the results, or take up those of a run that ended before it showed them."""
        from largestep import store

        config = {
            "experiment": self.experiment.name,
            "seeds": budget.seeds,
            "quick": budget.quick,
            "key": self.key(budget),
            "code": self.computing.digest,
            "versions": {
                "largestep": largestep.__version__,
                "python": platform.python_version(),
                **self.computing.versions,
            },
        }

        def computed() -> Any:
            started = datetime.now(UTC)
            results = self.experiment.compute(budget)
            # Before it is stored with the results: how they were made belongs to them.
            config["made"] = {
                "at": started.isoformat(timespec="seconds"),
                "seconds": round((datetime.now(UTC) - started).total_seconds(), 1),
                "commit": provenance.commit(),
                "machine": provenance.machine(),
            }
            return results

        store.taken_up_or_computed(self.results, config, computed)

    def show(self) -> None:
        """Check the claims of the stored results and draw them, in any case."""
        from largestep import store

        self._show(*store.load(self.results))

    def _show(self, results: Any, config: dict[str, Any]) -> None:
        made = _draw(self.experiment, self.folder, results, pictures=self.pictures)
        self.config = {
            **config,
            "captions": {name: vars(said) for name, said in self.experiment.captions.items()},
            "files": {name: _files.digest(self.folder / name) for name in ("results.nc", *made)},
        }
        self.config["shown"] = self._shown()
        _files.write_json(self.folder / "config.json", self.config, sealed=True)

    def _made(self) -> list[str]:
        return [name for name in self.config["files"] if name != "results.nc"]

    def _whole(self, name: str) -> bool:
        path = self.folder / name
        return path.is_file() and _files.digest(path) == self.config.get("files", {}).get(name)

    def _shown(self) -> str:
        """Return what stands for everything that decides claims and figures."""
        return provenance.fingerprint(
            self.config["files"]["results.nc"],
            self.showing.digest,
            dict(self.showing.versions),
            version("matplotlib"),
        )


class _Showing:
    """Shows results that are there, in processes of their own beside what takes long.

    Attributes
    ----------
    latest : what is there, and shown neither here nor elsewhere yet.
    broken : the experiments that were left out.
    """

    def __init__(self, stack: ExitStack, processes: int) -> None:
        self._stack, self._processes = stack, processes
        self._pool: Executor | None = None
        self._elsewhere: list[tuple[Experiment, Future[None]]] = []
        self.latest: _State | None = None
        self.broken: set[Experiment] = set()

    def beside(self, seconds: float) -> None:
        """Show the latest, beside what takes so many seconds here from now on."""
        state = self.latest
        if state is None or seconds < _SECONDS_TO_A_PROCESS:
            self._show_here()
            return
        if self._pool is None:
            self._pool = self._stack.enter_context(process_pool(self._processes))
        self.latest = None
        shown = self._pool.submit(_show, state.experiment.name, state.folder, state.pictures)
        self._elsewhere.append((state.experiment, shown))

    def finish(self) -> None:
        """Show the latest here, and wait for the others."""
        self._show_here()
        for experiment, shown in self._elsewhere:
            try:
                shown.result()
            except (ImportError, SyntaxError) as error:
                self.leave_out(experiment, error)
        self._elsewhere.clear()

    def leave_out(self, experiment: Experiment, error: Exception) -> None:
        """Say that an experiment is broken."""
        print(f"{experiment.name} is broken and left out: {error!r}", file=sys.stderr)
        self.broken.add(experiment)

    def _show_here(self) -> None:
        state, self.latest = self.latest, None
        if state is None:
            return
        try:
            state.show()
        except (ImportError, SyntaxError) as error:
            self.leave_out(state.experiment, error)


def _show(name: str, folder: Path, pictures: bool) -> None:
    """Check and draw an experiment's stored results."""
    _State.read(catalogue.get(name), folder, pictures=pictures).show()


def _draw(experiment: Experiment, folder: Path, results: Any, *, pictures: bool) -> list[str]:
    """Write the claims and the figures of results; return the names of the files."""
    from largestep import store
    from largestep.figures.style import write_figure

    made = ["claims.json", "ends.csv"]
    claims = [claim.check(results) for claim in experiment.claims]
    for name, figure in experiment.draw(results).items() if pictures else ():
        write_figure(folder / name, figure)
        made += [f"{name}.svg", f"{name}.png"]
    animate = experiment.animate if pictures else None
    if animate is not None:
        _files.atomically(folder / "animation.gif", lambda path: animate(results, path))
        made.append("animation.gif")
    play = experiment.play if pictures else None
    if play is not None:
        _files.write_json(folder / "play.json", play(results))
        made.append("play.json")
    store.write_ends(folder / "ends.csv", results)
    _files.write_json(folder / "claims.json", claims)
    return made


def report(out: Path) -> Path:
    """Write the page of all the experiments that a folder holds, and return its path.

    Raises
    ------
    OSError
        If there is nothing to report, or another process is writing to the folder.
    """
    if not out.is_dir():
        raise FileNotFoundError(f"{out} holds no results: run `largestep reproduce` first")
    with _files.exclusive(out):
        return _report(out)


def _report(out: Path) -> Path:
    from largestep.report.page import LeftOut, Made, NotRun, write_claims, write_page

    sections, not_run, left_out = [], [], []
    for experiment in catalogue.find().values():
        try:
            section = _section(experiment, out)
        except (OSError, ValueError) as error:
            left_out.append(LeftOut(experiment, str(error)))
            continue
        if section is None:
            not_run.append(experiment)
        else:
            sections.append(section)
    told = [f"{out / e.experiment.name} is left out of the page: {e.reason}" for e in left_out]
    if not sections:
        hint = f"{out} holds no results: run `largestep reproduce` first"
        raise FileNotFoundError("; ".join(told) or hint)
    for line in told:
        print(line, file=sys.stderr)
    names = " ".join(section.experiment.name for section in sections)
    numbers = {
        len(s.config["seeds"]) for s in sections if len(s.config["seeds"]) != s.experiment.seeds
    }
    seeds = f" --seeds {max(numbers)}" if numbers else ""
    quick = " --quick" if any(section.config["quick"] for section in sections) else ""
    confirm = " --confirm" if any(section.confirmed for section in sections) else ""
    page = out / "report.html"
    made = Made(
        f"largestep reproduce {names}{seeds}{quick}{confirm}",
        provenance.commit(),
        provenance.machine(),
        f"{datetime.now(UTC):%Y-%m-%d}",
        frozen.digest(),
    )
    write_claims(out / "claims.csv", sections)
    claimed = frozen.sentences()
    missing = [NotRun(experiment, claimed.get(experiment.name, [])) for experiment in not_run]
    write_page(page, sections, missing, left_out, made)
    return page


def _section(experiment: Experiment, out: Path) -> "Section | None":
    """Return what a folder holds of an experiment, None if nothing.

    Raises
    ------
    ValueError
        If it holds what can't be shown; the error says why, and what to do.
    """
    from largestep.report.page import Section

    folder, again = out / experiment.name, out / CONFIRMED / experiment.name
    config = _finished(folder)
    if config is None:
        return None
    claims = _files.read_json(folder / "claims.json")
    if any("control" not in claim for claim in claims):
        raise ValueError(
            "it was checked by an older largestep; "
            f"`largestep reproduce {experiment.name} --only-figures` checks it again"
        )
    try:
        confirmed = _finished(again)
    except ValueError as error:
        print(f"{again} is left out of the page: {error}", file=sys.stderr)
        confirmed = None
    return Section(
        experiment,
        folder,
        claims=claims,
        config=config,
        confirmed=[] if confirmed is None else _files.read_json(again / "claims.json"),
        fresh_seeds=[] if confirmed is None else confirmed["seeds"],
    )


def _finished(folder: Path) -> dict[str, Any] | None:
    """Return what a folder's configuration says, None if it has none.

    Raises
    ------
    ValueError
        If it can't be read, or what it names is not there as it says.
    """
    try:
        config: dict[str, Any] = _files.read_json(folder / "config.json", sealed=True)
        for name, digest in config["files"].items():
            path = folder / Path(name).name
            if not path.is_file() or _files.digest(path) != digest:
                raise ValueError(
                    f"{name} is not as it was written; `largestep reproduce {folder.name}` "
                    "makes it again"
                )
        wanting = {"seeds", "quick", "versions", "code"} - set(config)
        if wanting:
            raise ValueError(f"config.json does not say {', '.join(sorted(wanting))}")
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"config.json cannot be read: {error!r}") from error
    return config
