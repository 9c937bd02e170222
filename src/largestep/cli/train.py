"""`largestep train`: train by a preset, draw, and say what came out."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from largestep.cli.app import PLAIN, app, stoppable

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["train"]


@app.command()
@stoppable("The same command with --resume goes on.")
def train(
    context: typer.Context,
    preset: Annotated[
        str, typer.Argument(help="glyphs, digits, transformer, resnet18, densenet100, …")
    ],
    schedule: Annotated[
        str,
        typer.Option(
            help="small, large, late (its late steps), hold (the loss) or edge (the curvature)."
        ),
    ] = "large",
    phase: Annotated[
        float, typer.Option(help="Fraction of training with large steps, or holding.")
    ] = 0.5,
    step_size: Annotated[float | None, typer.Option(help="In place of the preset's.")] = None,
    setting: Annotated[
        str, typer.Option(help="plain, or sota: momentum, weight decay, augmentation.")
    ] = "plain",
    model: Annotated[str | None, typer.Option(help="In place of the preset's.")] = None,
    dataset: Annotated[str | None, typer.Option(help="In place of the preset's.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder that holds the data set.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch it if missing.")] = False,
    optimizer: Annotated[
        str | None, typer.Option(help="Any of torch.optim, with its defaults; give --step-size.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="In place of the preset's.")] = None,
    evaluations: Annotated[int, typer.Option(help="How many, evenly spaced.")] = 40,
    label_noise: Annotated[float, typer.Option(help="Share of labels redrawn each step.")] = 0.0,
    averaging: Annotated[
        float | None, typer.Option(help="Decay of a moving average of the weights; none.")
    ] = None,
    precision: Annotated[str, typer.Option(help="fp32 or bf16.")] = "fp32",
    compile: Annotated[bool, typer.Option("--compile", help="Use torch.compile.")] = False,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="By default named after the run.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from what is there.")] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Log for it.")] = False,
    checkpoint_seconds: Annotated[float, typer.Option(help="Time between checkpoints.")] = 60.0,
) -> None:
    """Train a deep network, measuring its feature sparsity stage by stage.

    Killed at any moment, the same command with `--resume` goes on.

    Examples
    --------
    `largestep train digits --epochs 5`

    `largestep train glyphs --dataset glyphs:classes=36,noise=0.1`

    `largestep train transformer --schedule edge`

    `largestep train resnet18 --setting sota --phase 0.3 --data cifar --precision bf16`

    `torchrun --nproc-per-node 2 --no-python largestep train densenet100 --data cifar`
    """
    from largestep import _files
    from largestep.deep import data as datasets
    from largestep.deep import presets
    from largestep.deep.training import Stopped
    from largestep.deep.training import train as run
    from largestep.deep.training.processes import is_first
    from largestep.figures.style import write_figure
    from largestep.figures.training import draw_training

    # What is not about where and how to run is the preset's, under the same names.
    running = {"dataset", "data", "download", "out", "resume", "device"}
    running |= {"tensorboard", "checkpoint_seconds"}
    given = {k: v for k, v in context.params.items() if k not in running and v is not None}
    settings = presets.training(**given)
    chosen = presets.PRESETS[preset]
    dataset = dataset or chosen.datasets[0]
    title = "-".join(
        [settings.model, dataset.replace(":", "-"), setting, schedule]
        + [settings.optimizer] * (settings.optimizer != "SGD")
        + [f"{100 * phase:g}"] * (schedule in ("large", "hold"))
        + [f"seed{settings.seed}"]
    )
    out = Path("runs", title) if out is None else out
    _files.prepare_folder(out)
    examples = datasets.load(dataset, data, train=chosen.train, download=download)
    try:
        trained = run(
            settings,
            examples,
            out=out,
            resume=resume,
            device=device,
            progress=f"{title}, steps",
            tensorboard=tensorboard,
            checkpoint_seconds=checkpoint_seconds,
        )
    except Stopped as stopped:
        print(f"{stopped}: the same command with --resume goes on", file=sys.stderr)
        raise typer.Exit(128 + stopped.signal) from None
    if not is_first():
        return
    with _files.exclusive(out):
        write_figure(out / "figure", draw_training(trained.results))
    _print(trained.results)
    print(f"Results, weights and figure are in {out}")


def _print(results: "xr.Dataset") -> None:
    import numpy as np
    from rich.console import Console
    from rich.table import Table

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
    Console(**PLAIN).print(table)
