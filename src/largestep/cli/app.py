"""The command line's application, and the options that several commands share."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from concurrent.futures import Executor

__all__ = [
    "PLAIN",
    "Correlation",
    "Data",
    "Folder",
    "Model",
    "Out",
    "Scheduler",
    "Threads",
    "Weights",
    "Workers",
    "app",
    "piped",
    "place",
    "printable",
    "stoppable",
]

PLAIN: Any = {"markup": False, "emoji": False, "highlight": False}
"""Settings of a console that prints names as they are: "act[relu]" is no markup."""

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Large step sizes, loss stabilisation and sparse features.",
)

Out = Annotated[Path, typer.Option(help="Folder for results, figures and the page.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Trajectories run at once; all cores by default.")
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        help="A running Dask cluster to compute on, tcp://host:8786; by default that of "
        "DASK_SCHEDULER_ADDRESS, otherwise threads of this machine."
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Compute in so many Dask processes here, replaced when they die."),
]
Model = Annotated[
    str,
    typer.Argument(
        metavar="RUN|FILE.py:FUNCTION",
        help="A folder that `largestep train` filled, or a function that returns the model. "
        "The file is run: name only files that you trust; a folder is data.",
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(help="The model's state: .safetensors, or from torch.save. A run has its own."),
]
Data = Annotated[
    str | None,
    typer.Option(
        help="Inputs, and labels if there are any: .npz, .npy or .safetensors, every other "
        "example held out; or a data set. By default the run's."
    ),
]
Folder = Annotated[Path | None, typer.Option(help="Holds the data set's files.")]
Correlation = Annotated[float, typer.Option(help="Units that correlate above it are one.")]


def stoppable(then: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a command that may be interrupted: it ends in a line, which says what then."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(*arguments: Any, **options: Any) -> None:
            try:
                command(*arguments, **options)
            except KeyboardInterrupt:
                print(f"Stopped. {then}", file=sys.stderr)
                raise typer.Exit(130) from None

        return run

    return decorate


def printable(text: str) -> str:
    """Return text without what a terminal takes for a command, as a name from a file may hold."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


@contextmanager
def piped() -> Iterator[None]:
    """Print to a reader that may take no more, as `head` does: that is no error."""
    try:
        yield
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # rich makes one of the other
        # What is flushed at the end of the process goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def place(
    scheduler: str | None, workers: int | None, threads: int | None
) -> "Iterator[Executor | None]":
    """Yield the executor of the cluster that was asked for; None for threads of this process.

    Raises
    ------
    ValueError
        If more than one place was asked for, and what `jobs.cluster` says.
    """
    asked = {"--scheduler": scheduler, "--workers": workers, "--threads": threads}
    named = [option for option, value in asked.items() if value is not None]
    if len(named) > 1:
        raise ValueError(f"work runs in one place: name only one of {' and '.join(named)}")
    if not named:
        scheduler = os.environ.get("DASK_SCHEDULER_ADDRESS")
    if scheduler is None and workers is None:
        yield None
        return
    from largestep.jobs.dask import cluster

    with cluster(scheduler, workers=workers) as executor:
        yield executor
