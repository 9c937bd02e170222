"""`largestep sweep`."""

from pathlib import Path
from typing import Annotated

import typer

from largestep.cli.app import Out, Threads, app, stoppable

__all__ = ["sweep"]


@app.command()
@stoppable("The same command takes up what is finished.")
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
    from dataclasses import replace

    from largestep import _files, store
    from largestep import dynamics as dyn
    from largestep.dynamics.sweep import axis
    from largestep.dynamics.sweep import sweep as run
    from largestep.experiments import catalogue
    from largestep.figures.style import write_figure
    from largestep.figures.sweep import draw_plane
    from largestep.measures import jacobian_rank, test_loss

    swept = {e.name: e for e in catalogue.find().values() if e.swept}
    if experiment not in swept:
        raise ValueError(f"a sweep must be of {', '.join(swept)}, got {experiment!r}")
    setting = swept[experiment].its_setting()
    ends = 10**9  # so large an `every` leaves the first record and the last
    with _files.exclusive(_files.prepare_folder(out)):
        dataset = run(
            setting.network,
            setting.problem,
            x=axis(x),
            y=axis(y),
            steps=steps,
            seeds=range(seeds),
            measure=(
                "train_loss",
                replace(test_loss(), every=ends),
                replace(setting.sparsity, every=ends),
                jacobian_rank(1e-4, every=ends),
            ),
            fixed={"step_size": step_size, "decay_at": decay_at, "factor": factor},
            dynamics=dyn.SGD(cap=cap),
            out=out,
            threads=threads,
            progress=f"sweep of {experiment}, columns",
        )
        config = {"experiment": experiment, "seeds": seeds, "x": x, "y": y, "steps": steps}
        store.save(out / "results.nc", store.Results.from_dict({"sweep": dataset}), config)
        write_figure(out / "figure", draw_plane(dataset, zero_loss=setting.problem.zero_loss))
    print(f"The figure is {out / 'figure.png'}")
