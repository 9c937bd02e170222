"""`largestep find-step`: a step size and a schedule to paste into a loop of one's own."""

from pathlib import Path
from typing import Annotated

import typer

from largestep.cli.app import app, stoppable

__all__ = ["find_step"]


@app.command("find-step")
@stoppable("The same command begins again.")
def find_step(
    build: Annotated[
        str,
        typer.Argument(
            metavar="FILE.py:FUNCTION",
            help="A function that returns the model, the batches (a loader or a list), and a "
            "function loss(model, batch). The file is run: name only files that you trust.",
        ),
    ],
    optimizer: Annotated[
        str, typer.Option(help="A class of torch.optim; FUNCTION may return its own as a fourth.")
    ] = "AdamW",
    steps: Annotated[int, typer.Option(min=20, help="Of each of two searches.")] = 300,
    seconds: Annotated[float, typer.Option(help="The most that they take.")] = 60.0,
    kappa: Annotated[
        float, typer.Option(help="The curvature of the steps to hold: larger is sparser.")
    ] = 1.0,
    out: Annotated[Path, typer.Option(help="Folder for the numbers and the figure.")] = Path(
        "find-step"
    ),
) -> None:
    """Find a step size in about a minute, and print the lines to paste into a training loop.

    Examples
    --------
    `largestep find-step train.py:build --optimizer SGD`
    """
    import numpy as np

    from largestep import _files
    from largestep.deep.control.find_step import find_step as found_by
    from largestep.deep.loading import load_search
    from largestep.figures.step_search import draw_search
    from largestep.figures.style import write_figure

    model, batches, loss, own = load_search(build)
    _files.prepare_folder(out)
    found = found_by(
        model,
        batches,
        loss,
        optimizer=own or optimizer,
        steps=steps,
        seconds=seconds,
        kappa=kappa,
    )
    history = {
        name: np.where(np.isnan(values), None, values).tolist()  # JSON has no NaN
        for name, values in found.history.items()
    }
    record = {
        "step_size": found.step_size,
        "warmup": found.warmup,
        "optimizer": found.optimizer,
        "kappa": kappa,
        "doubts": list(found.doubts),
        "history": history,
    }
    drawing = draw_search(found.history, step_size=found.step_size, kappa=kappa)
    with _files.exclusive(out):
        _files.write_json(out / "found.json", record)
        write_figure(out / "figure", drawing)
    print(found)
    print(f"\nThe figure and the numbers are in {out}")
