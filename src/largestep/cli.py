"""The command line: thin, and quick to start."""

import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["main"]

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


@app.command(name="list")
def list_experiments() -> None:
    """List the experiments: what each shows and how long it takes.

    Example: `largestep list`
    """
    from rich.console import Console
    from rich.table import Table

    from largestep import experiments

    table = Table(box=None, pad_edge=False)
    for column in ("experiment", "shows", "20 seeds, 2 cores"):
        table.add_column(column, no_wrap=column == "experiment")
    for name in experiments.NAMES:
        experiment = experiments.get(name)
        table.add_row(name, experiment.shows, f"{experiment.seconds:.0f} s")
    Console().print(table)


@app.command()
def reproduce(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[EXPERIMENT]...", help="All of them when none is named."),
    ] = None,
    out: Out = Path("results"),
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds: 0, 1, …, N−1.")] = 20,
    quick: Annotated[
        bool, typer.Option("--quick", help="A tenth of the steps: the look, not the setting.")
    ] = False,
    threads: Threads = None,
    only_figures: Annotated[
        bool, typer.Option("--only-figures", help="Redraw stored results; compute nothing.")
    ] = False,
) -> None:
    """Reproduce the paper's figures and check its claims over seeds.

    Finished experiments are taken up when nothing that decides their numbers has changed.

    Examples
    --------
    `largestep reproduce`

    `largestep reproduce diagonal --seeds 50 --out figures`
    """
    from largestep import experiments
    from largestep.experiments import Budget
    from largestep.reproduction import reproduce as run

    budget = Budget(list(range(seeds)), quick=quick, threads=threads, progress=True)
    try:
        page = run(names or experiments.NAMES, out, budget, only_figures=only_figures)
    except KeyboardInterrupt:
        print("Stopped. The same command takes up what is finished.", file=sys.stderr)
        raise typer.Exit(130) from None
    print(f"The page is {page}")


@app.command()
def sweep(
    experiment: Annotated[str, typer.Argument(help="Whose network and problem to sweep.")],
    x: Annotated[str, typer.Option(help="Horizontal axis: name=start:stop:count.")],
    y: Annotated[str, typer.Option(help="Vertical axis: name=start:stop:count.")],
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds: 0, 1, …, N−1.")] = 20,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each trajectory.")] = 20_001,
    cap: Annotated[float | None, typer.Option(help="Cap on an example's step; none.")] = None,
    step_size: Annotated[float, typer.Option(help="Where it isn't an axis.")] = 0.25,
    decay_at: Annotated[float, typer.Option(help="Where it isn't an axis.")] = 0.5,
    factor: Annotated[float, typer.Option(help="Of the decay, where it isn't an axis.")] = 2.0,
    out: Out = Path("sweep"),
    threads: Threads = None,
) -> None:
    """Draw a phase diagram over two of step_size, decay_at and factor.

    Finished columns are saved; stopped, the same command takes them up.

    Example: `largestep sweep diagonal --x step_size=0.05:0.4:40 --y decay_at=0:0.9:19`
    """
    from largestep.reproduction import save_sweep

    fixed = {"step_size": step_size, "decay_at": decay_at, "factor": factor}
    try:
        save_sweep(experiment, x, y, list(range(seeds)), steps, cap, fixed, out, threads)
    except KeyboardInterrupt:
        print("Stopped. The same command takes up what is finished.", file=sys.stderr)
        raise typer.Exit(130) from None
    print(f"The figure is {out / 'figure.png'}")


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A folder that `largestep reproduce` filled.")],
) -> None:
    """Write the page of a folder of results again.

    Example: `largestep report results`
    """
    from largestep.reproduction import report as write

    print(f"The page is {write(folder)}")


@app.command()
def compact(
    model: Annotated[
        str,
        typer.Argument(
            metavar="RUN|FILE.py:FUNCTION",
            help="A folder that `largestep train` filled, or a function that returns the model. "
            "The file is run: name only files that you trust.",
        ),
    ],
    weights: Annotated[
        Path | None, typer.Option(help="The model's state: .safetensors, or from torch.save.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Inputs, and labels if there are any: .npz, .npy or .safetensors, every other "
            "example held out; or a data set. By default the run's."
        ),
    ] = None,
    folder: Annotated[Path | None, typer.Option(help="Holds the data set's files.")] = None,
    examples: Annotated[
        int, typer.Option(min=1, help="The most calibration, and the most held-out data.")
    ] = 2000,
    tolerance: Annotated[
        float,
        typer.Option(
            help="Largest difference of held-out outputs, relative to the largest output."
        ),
    ] = 0.0,
    correlation_threshold: Annotated[
        float, typer.Option(help="Merge units that correlate above it; at 1 multiples alone.")
    ] = 1.0,
    onnx: Annotated[bool, typer.Option("--onnx", help="Write ONNX too.")] = False,
    out: Annotated[
        Path, typer.Option(help="Folder for the smaller model, report and figure.")
    ] = Path("compact"),
) -> None:
    """Make a trained network smaller without changing what it computes.

    Examples
    --------
    `largestep compact runs/resnet18 --out small`

    `largestep compact net.py:build --weights net.safetensors --data data.npz --tolerance 1e-3`
    """
    from largestep.deep.compaction.command import run

    run(
        model,
        weights=weights,
        data=data,
        folder=folder,
        examples=examples,
        out=out,
        tolerance=tolerance,
        correlation_threshold=correlation_threshold,
        onnx=onnx,
    )


def main() -> None:
    """Run the command line; an error that the user can mend is one line and exit status 1."""
    try:
        app()
    except (OSError, TypeError, ValueError) as error:
        print(f"largestep: {error}", file=sys.stderr)
        sys.exit(1)
