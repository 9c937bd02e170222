"""Reproduce experiments: compute or take up results, check claims, draw, write the page."""

import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from largestep import _files, experiments, provenance, store
from largestep.experiments import Budget, Experiment
from largestep.figures.style import write_figure
from largestep.report import Section, write_page
from largestep.store import Results

__all__ = ["report", "reproduce", "save_sweep"]


def reproduce(
    names: Iterable[str],
    out: Path,
    *,
    seeds: int | None = None,
    quick: bool = False,
    threads: int | None = None,
    data: Path | None = None,
    progress: bool = False,
    only_figures: bool = False,
) -> Path:
    """Reproduce experiments into a folder and return the path of the page.

    Results of the same configuration, computed by the same code, are taken up; damaged ones are
    computed anew, with a line that says so.

    Parameters
    ----------
    names : of experiments; if there are none, all but those of `experiments.BY_NAME`. Those that
        need PyTorch are then left out where it is missing, with a line that says so.
    out : folder; every experiment gets a folder of its own in it.
    seeds : number of seeds; by default each experiment's own.
    quick, threads, data, progress : as in `experiments.Budget`.
    only_figures : draw whatever results are stored and compute nothing.

    Raises
    ------
    OSError
        If the folder can't be written to.
    ValueError
        If an experiment is unknown, or `only_figures` finds no results.
    ModuleNotFoundError
        If a named experiment needs PyTorch and it is missing.
    """
    chosen = [experiments.get(name) for name in names] or _all_that_run()
    if not only_figures and any(experiment.needs_torch for experiment in chosen):
        import largestep.deep  # noqa: F401  (says what to install)
    _files.prepare_folder(out)
    for experiment in chosen:
        folder = _files.prepare_folder(out / experiment.name)
        budget = Budget(
            list(range(experiment.seeds if seeds is None else seeds)),
            quick=quick,
            threads=threads,
            progress=progress,
            folder=out / "runs",
            data=data,
        )
        stored = (
            store.load(folder / "results.nc")
            if only_figures
            else _computed(experiment, folder, budget)
        )
        _show(experiment, folder, *stored)
    return report(out)


def _all_that_run() -> list[Experiment]:
    chosen = [experiments.get(n) for n in experiments.NAMES if n not in experiments.BY_NAME]
    if find_spec("torch") is None:
        left_out = ", ".join(e.name for e in chosen if e.needs_torch)
        print(
            f"Without PyTorch {left_out} is left out: pip install 'largestep[torch]'",
            file=sys.stderr,
        )
        chosen = [e for e in chosen if not e.needs_torch]
    return chosen


def report(out: Path) -> Path:
    """Write the page of all the experiments that a folder holds, and return its path.

    Raises
    ------
    OSError
        If there is nothing to report.
    """
    sections = [
        section for name in experiments.NAMES if (section := _section(name, out / name)) is not None
    ]
    if not sections:
        raise FileNotFoundError(f"{out} holds no results: run `largestep reproduce` first")
    names = " ".join(section.experiment.name for section in sections)
    numbers = {len(s.config["seeds"]) for s in sections if _differs(s)}
    seeds = f" --seeds {max(numbers)}" if numbers else ""
    quick = " --quick" if any(section.config["quick"] for section in sections) else ""
    page = out / "report.html"
    write_page(page, sections, f"largestep reproduce {names}{seeds}{quick}")
    return page


def save_sweep(
    experiment: str,
    x: str,
    y: str,
    seeds: list[int],
    steps: int,
    cap: float | None,
    fixed: dict[str, float],
    out: Path,
    threads: int | None,
) -> None:
    """Sweep an experiment's network and problem, save the dataset and its figure.

    Parameters
    ----------
    x, y : axes as `dynamics.sweep.axis` reads them.
    fixed : values of the settings that aren't swept.
    out : folder.
    """
    from largestep.dynamics import sweep
    from largestep.dynamics.sgd import SGD
    from largestep.experiments.sweepable import setting
    from largestep.figures.sweep import draw_plane

    network, problem, measures = setting(experiment)
    _files.prepare_folder(out)
    dataset = sweep.sweep(
        network,
        problem,
        x=sweep.axis(x),
        y=sweep.axis(y),
        steps=steps,
        seeds=seeds,
        measure=measures,
        fixed=fixed,
        dynamics=SGD(cap=cap),
        out=out,
        threads=threads,
        progress=f"sweep of {experiment}, columns",
    )
    config = {
        **provenance.configuration(experiment, seeds, quick=False),
        "x": x,
        "y": y,
        "steps": steps,
    }
    store.save(out / "results.nc", {"sweep": dataset}, config)
    zero_loss = float(np.mean(problem.loss.value(np.zeros(problem.n), problem.y_train)))
    write_figure(out / "figure", draw_plane(dataset, zero_loss=zero_loss))


def _computed(
    experiment: Experiment, folder: Path, budget: Budget
) -> tuple[Results, dict[str, Any]]:
    config = provenance.configuration(
        experiment.name, budget.seeds, budget.quick, deep=experiment.needs_torch
    )
    stored = folder / "results.nc"
    if stored.exists():
        try:
            results, stored_config = store.load(stored)
        except (OSError, ValueError) as error:
            print(f"{error}; computing it again", file=sys.stderr)
        else:
            if stored_config == config:
                return results, config
    results = experiment.compute(budget)
    store.save(stored, results, config)
    return results, config


def _show(experiment: Experiment, folder: Path, results: Results, config: dict[str, Any]) -> None:
    claims = [claim.check(results) for claim in experiment.claims]
    figures = experiment.draw(results)
    for name, figure in figures.items():
        write_figure(folder / name, figure)
    if experiment.animate is not None:
        animate = experiment.animate
        _files.atomically(folder / "animation.gif", lambda path: animate(results, path))
    _files.write_json(folder / "claims.json", claims)
    _files.write_json(folder / "config.json", config)


def _differs(section: Section) -> bool:
    return len(section.config["seeds"]) != section.experiment.seeds


def _section(name: str, folder: Path) -> Section | None:
    if not (folder / "claims.json").is_file():
        return None
    experiment = experiments.get(name)
    pictures = [p.name for p in sorted(folder.glob("*.svg"), key=lambda p: p.name != "figure.svg")]
    pictures += [p.name for p in folder.glob("*.gif")]
    return Section(
        experiment,
        folder,
        pictures,
        claims=_files.read_json(folder / "claims.json"),
        config=_files.read_json(folder / "config.json"),
    )
