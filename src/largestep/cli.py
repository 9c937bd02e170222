"""The command line: thin, and quick to start."""

import sys
from pathlib import Path
from typing import Annotated, Literal

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
    for column in ("experiment", "shows", "seeds", "2 cores"):
        table.add_column(column, no_wrap=column == "experiment")
    for name in experiments.NAMES:
        experiment = experiments.get(name)
        duration = f"{experiment.seconds:.0f} s" if experiment.seconds < 3600 else "hours"
        table.add_row(name, experiment.shows, str(experiment.seeds), duration)
    Console().print(table)
    print(f"{', '.join(experiments.BY_NAME)} run only when they are named.")


@app.command()
def reproduce(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[EXPERIMENT]...", help="By default those that need no data and little time."
        ),
    ] = None,
    out: Out = Path("results"),
    seeds: Annotated[
        int | None,
        typer.Option(min=1, help="Seeds 0, 1, …, N−1; by default 20, of deep networks 5."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A tenth of the steps: the look, not the setting.")
    ] = False,
    threads: Threads = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data sets of resnet18 and densenet100.")
    ] = None,
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
    from largestep.reproduction import reproduce as run

    try:
        page = run(
            names or [],
            out,
            seeds=seeds,
            quick=quick,
            threads=threads,
            data=data,
            progress=True,
            only_figures=only_figures,
        )
    except KeyboardInterrupt:
        print("Stopped. The same command takes up what is finished.", file=sys.stderr)
        raise typer.Exit(130) from None
    print(f"The page is {page}")


@app.command()
def train(
    preset: Annotated[str, typer.Argument(help="digits, resnet18 or densenet100.")],
    schedule: Annotated[
        str, typer.Option(help="small, large, or hold: the step size that holds the loss.")
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

    `largestep train resnet18 --setting sota --phase 0.3 --data cifar --precision bf16`

    `torchrun --nproc-per-node 2 --no-python largestep train densenet100 --data cifar`
    """
    from largestep.deep.commands import train as command
    from largestep.deep.training import Stopped

    try:
        command.run(
            preset,
            schedule,
            phase=phase,
            step_size=step_size,
            setting=setting,
            model=model,
            dataset=dataset,
            folder=data,
            download=download,
            epochs=epochs,
            evaluations=evaluations,
            label_noise=label_noise,
            averaging=averaging,
            precision=precision,
            compile=compile,
            seed=seed,
            device=device,
            out=out,
            resume=resume,
            tensorboard=tensorboard,
            checkpoint_seconds=checkpoint_seconds,
        )
    except Stopped as stopped:
        print(f"{stopped}: the same command with --resume goes on", file=sys.stderr)
        raise typer.Exit(128 + stopped.signal) from None


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


Model = Annotated[
    str,
    typer.Argument(
        metavar="RUN|FILE.py:FUNCTION",
        help="A folder that `largestep train` filled, or a function that returns the model. "
        "The file is run: name only files that you trust.",
    ),
]
Weights = Annotated[
    Path | None, typer.Option(help="The model's state: .safetensors, or from torch.save.")
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


@app.command()
def measure(
    model: Model,
    weights: Weights = None,
    data: Data = None,
    folder: Folder = None,
    layers: Annotated[
        list[str] | None,
        typer.Option("--layer", help="Name or pattern, several times; activations by default."),
    ] = None,
    units: Annotated[
        Literal["position", "channel"],
        typer.Option(help="What counts: each position of a channel, as in the paper, or channels."),
    ] = "position",
    examples: Annotated[int, typer.Option(min=1, help="The most inputs.")] = 1024,
    max_units: Annotated[int, typer.Option(min=1, help="The most units of a layer.")] = 1000,
    correlation_threshold: Correlation = 0.95,
    smooth_threshold: Annotated[
        float, typer.Option(help="GELU and its like are active above this share of the layer.")
    ] = 0.0,
    out: Annotated[Path, typer.Option(help="Folder for the numbers and the figure.")] = Path(
        "measure"
    ),
) -> None:
    """Measure how sparse a saved model's features are, layer by layer.

    Examples
    --------
    `largestep measure runs/small_resnet-digits-plain-large-50-seed0`

    `largestep measure net.py:build --weights net.safetensors --data images.npz`
    """
    from largestep.deep.commands.measure import run

    run(
        model,
        weights=weights,
        data=data,
        folder=folder,
        layers=layers or [],
        units=units,
        examples=examples,
        max_units=max_units,
        correlation_threshold=correlation_threshold,
        smooth_threshold=smooth_threshold,
        out=out,
    )


@app.command()
def compact(
    model: Model,
    weights: Weights = None,
    data: Data = None,
    folder: Folder = None,
    examples: Annotated[
        int, typer.Option(min=1, help="The most calibration, and the most held-out data.")
    ] = 2000,
    tolerance: Annotated[
        float,
        typer.Option(
            help="Largest difference of held-out outputs, relative to the largest output."
        ),
    ] = 0.0,
    correlation_threshold: Correlation = 1.0,
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
    from largestep.deep.commands.compact import run

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
    except (ModuleNotFoundError, OSError, TypeError, ValueError) as error:
        print(f"largestep: {error}", file=sys.stderr)
        sys.exit(1)
