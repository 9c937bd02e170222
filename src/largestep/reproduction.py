"""Reproduce experiments: compute or take up results, check claims, draw, write the page.

An experiment's folder holds `results.nc`; `claims.json` and the figures, made from it; and
`config.json`, written last, which says what made each of them. Whatever is still as it says is left
alone.
"""

import platform
import sys
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import largestep
from largestep import _files, provenance
from largestep.experiments import catalogue
from largestep.experiments.budget import Budget
from largestep.experiments.experiment import Experiment

__all__ = ["report", "reproduce"]


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
) -> Path:
    """Reproduce experiments into a folder and return the path of the page.

    Results of the same key, that is of the same configuration, code and versions, are taken up;
    damaged ones are computed anew, with a line that says so. Figures and claims are made again when
    the results, or the code that makes them, have changed. An experiment that is broken is passed
    over with its reason.

    Parameters
    ----------
    names : of experiments; if there are none, all that do not run by name only. Those that need
        PyTorch are then left out where it is missing, with a line that says so.
    out : folder; every experiment gets a folder of its own in it.
    seeds : number of seeds; by default each experiment's own.
    quick, threads, executor, data, progress : as in `experiments.Budget`.
    only_figures : draw whatever results are stored, in any case, and compute nothing.

    Raises
    ------
    OSError
        If the folder can't be written to.
    ValueError
        If an experiment is unknown, `only_figures` finds no results, or every experiment is broken.
    ModuleNotFoundError
        If a named experiment needs PyTorch and it is missing.
    """
    chosen = [catalogue.get(name) for name in names] or _all_that_run()
    if not only_figures and any(experiment.needs_torch for experiment in chosen):
        import largestep.deep  # noqa: F401  (says what to install)
    _files.prepare_folder(out)
    broken = 0
    for experiment in chosen:
        folder = _files.prepare_folder(out / experiment.name)
        budget = Budget(
            list(range(experiment.seeds if seeds is None else seeds)),
            quick=quick,
            threads=threads,
            executor=executor,
            progress=progress,
            folder=out / "runs",
            data=data,
        )
        try:
            state = _State.read(experiment, folder)
            if only_figures:
                state.show()
            else:
                state.bring_up_to_date(budget)
        except (ImportError, SyntaxError) as error:
            print(f"{experiment.name} is broken and left out: {error!r}", file=sys.stderr)
            broken += 1
    if broken == len(chosen):
        raise ValueError("no experiment is left: every one is broken")
    return report(out)


def _all_that_run() -> list[Experiment]:
    for entry in catalogue.broken():
        print(f"{entry.name} is broken and left out: {entry.reason}", file=sys.stderr)
    chosen = [e for e in catalogue.find().values() if not e.by_name]
    if find_spec("torch") is None:
        left_out = ", ".join(e.name for e in chosen if e.needs_torch)
        print(
            f"Without PyTorch {left_out} is left out: pip install 'largestep[torch]'",
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
    """

    experiment: Experiment
    folder: Path
    computing: provenance.Closure
    showing: provenance.Closure
    config: dict[str, Any]

    @classmethod
    def read(cls, experiment: Experiment, folder: Path) -> "_State":
        """Return the state of a folder."""
        module = f"{experiment.package}.show"
        shown = [(module, name) for name in ("CLAIMS", "draw", "animate")]
        computing = provenance.closure((f"{experiment.package}.compute", "compute"))
        showing = provenance.closure(
            *(root for root in shown if provenance.defines(*root)), (__name__, "_draw")
        )
        try:
            config = _files.read_json(folder / "config.json")
        except (OSError, ValueError):
            config = {}
        return cls(experiment, folder, computing, showing, config)

    def key(self, budget: Budget) -> str:
        """Return what stands for everything that decides the results."""
        data = str(budget.data) if self.experiment.needs_torch else None
        decides = self.experiment.name, budget.seeds, budget.quick, data
        return provenance.fingerprint(decides, self.computing.digest, dict(self.computing.versions))

    @property
    def results(self) -> Path:
        """The file of the results."""
        return self.folder / "results.nc"

    def bring_up_to_date(self, budget: Budget) -> None:
        """Compute, check and draw what is not as it would be made now."""
        key = self.key(budget)
        if self.config.get("key") == key and self._whole("results.nc"):
            if self.config.get("shown") != self._shown() or not all(map(self._whole, self._made())):
                self.show()
            return
        from largestep import store

        config = {
            "experiment": self.experiment.name,
            "seeds": budget.seeds,
            "quick": budget.quick,
            "key": key,
            "code": self.computing.digest,
            "versions": {
                "largestep": largestep.__version__,
                "python": platform.python_version(),
                **self.computing.versions,
            },
        }
        results = store.taken_up_or_computed(
            self.results, config, lambda: self.experiment.compute(budget)
        )
        self._show(results, config)

    def show(self) -> None:
        """Check the claims of the stored results and draw them, in any case."""
        from largestep import store

        self._show(*store.load(self.results))

    def _show(self, results: Any, config: dict[str, Any]) -> None:
        made = _draw(self.experiment, self.folder, results)
        self.config = {
            **config,
            "files": {name: _files.digest(self.folder / name) for name in ("results.nc", *made)},
        }
        self.config["shown"] = self._shown()
        _files.write_json(self.folder / "config.json", self.config)

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


def _draw(experiment: Experiment, folder: Path, results: Any) -> list[str]:
    """Write the claims and the figures of results; return the names of the files."""
    from largestep.figures.style import write_figure

    made = ["claims.json"]
    claims = [claim.check(results) for claim in experiment.claims]
    for name, figure in experiment.draw(results).items():
        write_figure(folder / name, figure)
        made += [f"{name}.svg", f"{name}.png"]
    animate = experiment.animate
    if animate is not None:
        _files.atomically(folder / "animation.gif", lambda path: animate(results, path))
        made.append("animation.gif")
    _files.write_json(folder / "claims.json", claims)
    return made


def report(out: Path) -> Path:
    """Write the page of all the experiments that a folder holds, and return its path.

    Raises
    ------
    OSError
        If there is nothing to report.
    """
    from largestep.report.page import Section, write_page

    sections = [
        Section(
            experiment,
            folder,
            [name for name in config["files"] if Path(name).suffix in (".svg", ".gif")],
            claims=_files.read_json(folder / "claims.json"),
            config=config,
        )
        for name, experiment in catalogue.find().items()
        if (config := _finished(folder := out / name)) is not None
    ]
    if not sections:
        raise FileNotFoundError(f"{out} holds no results: run `largestep reproduce` first")
    names = " ".join(section.experiment.name for section in sections)
    numbers = {
        len(s.config["seeds"]) for s in sections if len(s.config["seeds"]) != s.experiment.seeds
    }
    seeds = f" --seeds {max(numbers)}" if numbers else ""
    quick = " --quick" if any(section.config["quick"] for section in sections) else ""
    page = out / "report.html"
    write_page(page, sections, f"largestep reproduce {names}{seeds}{quick}")
    return page


def _finished(folder: Path) -> dict[str, Any] | None:
    """Return what a folder's configuration says if all that it names is there as it says."""
    try:
        config: dict[str, Any] = _files.read_json(folder / "config.json")
        whole = all(_files.digest(folder / name) == d for name, d in config["files"].items())
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder / 'config.json'} cannot be read: {error!r}") from error
    if not whole:
        print(f"{folder} is not as it was written and left out of the page", file=sys.stderr)
        return None
    return config
