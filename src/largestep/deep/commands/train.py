"""What `largestep train` does: train by a preset, draw, and say what came out."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console
from rich.table import Table

from largestep import _files
from largestep.deep import data, presets, processes
from largestep.deep.training import train
from largestep.figures.style import write_figure
from largestep.figures.training import draw_training

__all__ = ["run"]


def run(
    preset: str,
    schedule: str,
    *,
    dataset: str | None,
    folder: Path | None,
    download: bool,
    setting: str,
    phase: float,
    step_size: float | None,
    out: Path | None,
    resume: bool,
    device: str,
    tensorboard: bool,
    checkpoint_seconds: float,
    **changes: Any,
) -> None:
    """Train by a preset and print what came out.

    Parameters
    ----------
    dataset : name; by default the preset's first.
    folder : holds the data set's files.
    download : whether to fetch them if they are missing.
    out : by default a folder in `runs` named after what is trained.
    preset, schedule, setting, phase, step_size : as `presets.training` takes them.
    resume, device, tensorboard, checkpoint_seconds : as `train` takes them.
    **changes : of the preset's settings; None leaves one as it is.
    """
    changes = {name: value for name, value in changes.items() if value is not None}
    settings = presets.training(
        preset, schedule, setting=setting, phase=phase, step_size=step_size, **changes
    )
    chosen = presets.PRESETS[preset]
    dataset = dataset or chosen.datasets[0]
    title = "-".join(
        [settings.model, dataset, setting, schedule]
        + [f"{100 * phase:g}"] * (schedule != "small")
        + [f"seed{settings.seed}"]
    )
    out = Path("runs", title) if out is None else out
    _files.prepare_folder(out)
    examples = data.load(dataset, folder, train=chosen.train, download=download)
    trained = train(
        settings,
        examples,
        out=out,
        resume=resume,
        device=device,
        progress=f"{title}, steps",
        tensorboard=tensorboard,
        checkpoint_seconds=checkpoint_seconds,
    )
    if not processes.is_first():
        return
    write_figure(out / "figure", draw_training(trained.results))
    _print(trained.results)
    print(f"Results, weights and figure are in {out}")


def _print(results: xr.Dataset) -> None:
    for name, text in (("diverged_at", "diverged"), ("collapsed_at", "collapsed")):
        at = float(results[name])
        if np.isfinite(at):
            print(f"The network {text} after {at:.0f} of {results.attrs['steps']} steps")
    seen = results.dropna("step", subset=["train_loss"])
    if seen.sizes["step"] == 0:
        return
    last = seen.isel(step=-1)
    table = Table(box=None, pad_edge=False)
    table.add_column(f"after {int(last.step)} steps")
    for column in results.layer.values:
        table.add_column(str(column), justify="right")
    for name in ("distinct", "raw", "dead", "merged"):
        table.add_row(last[name].attrs["long_name"], *(f"{v:.3g}" for v in last[name].values))
    for prefix in ("", "averaged_") if "averaged_test_loss" in results else ("",):
        for part in ("train", "test"):
            loss, error = last[f"{prefix}{part}_loss"], last[f"{prefix}{part}_error"]
            print(f"{loss.attrs['long_name']} {float(loss):.4g}, error {100 * float(error):.2f} %")
    Console().print(table)
