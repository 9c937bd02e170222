"""`largestep measure`: probe a saved model, and say layer by layer what was found."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from largestep.cli.app import PLAIN, Correlation, Data, Folder, Model, Weights, app, stoppable

__all__ = ["measure"]

_COLUMNS = {
    "width": ("width", "d"),
    "raw": ("active", ".3f"),
    "distinct": ("sparsity", ".3f"),
    "dead": ("dead", "d"),
    "merged": ("merged", "d"),
    "units": ("of units", "d"),
    "effective_rank": ("eff. rank", ".1f"),
}


@app.command()
@stoppable("The same command begins again.")
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
    import numpy as np
    import xarray as xr
    from rich.console import Console
    from rich.table import Table

    from largestep import _files, metrics
    from largestep.deep.batches import take
    from largestep.deep.features import gather
    from largestep.deep.loading import load_data, load_model
    from largestep.deep.measures.sparsity import Sparsity
    from largestep.figures.probe import draw_layers
    from largestep.figures.style import write_figure

    sparsity = Sparsity(correlation_threshold, smooth_threshold)
    network = load_model(model, weights)
    (inputs, _), _ = load_data(data, folder, model)
    _files.prepare_folder(out)
    batches = inputs.split(256)  # type: ignore[no-untyped-call]
    try:
        features = gather(
            network,
            take(batches, examples),
            layers or "auto",
            units=units,
            max_units=max_units,
            max_rows=examples,
        )
    except (RuntimeError, IndexError) as error:
        raise ValueError(
            f"the model cannot be run on inputs of shape {tuple(inputs.shape)}, {inputs.dtype}: "
            f"{error}"
        ) from error
    rows = []
    for name, layer in features.items():
        row = {"layer": name, "width": layer.width, "units": layer.features.shape[1]}
        if layer.features.isfinite().all():
            found = sparsity.of(layer)
            row |= {key: getattr(found, key) for key in ("raw", "distinct", "dead", "merged")}
            row["effective_rank"] = metrics.effective_rank(layer.features.double())
        rows.append(row)
    settings = {
        "model": model,
        "inputs": min(examples, len(inputs)),
        "units": units,
        "correlation_threshold": sparsity.correlation_threshold,
        "smooth_threshold": sparsity.smooth_threshold,
    }
    measured = xr.Dataset(
        {key: ("layer", [row.get(key, np.nan) for row in rows]) for key in _COLUMNS},
        coords={"layer": [row["layer"] for row in rows]},
    )
    with _files.exclusive(out):
        _files.write_json(out / "measures.json", {"settings": settings, "layers": rows})
        write_figure(out / "figure", draw_layers(measured))
    table = Table(box=None, pad_edge=False)
    table.add_column("layer", no_wrap=True)
    for title, _ in _COLUMNS.values():
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        cells = [str(row["layer"])] + [
            f"{row[key]:{form}}" if key in row else "NaN" for key, (_, form) in _COLUMNS.items()
        ]
        table.add_row(*cells)
    # A line for a layer, however narrow the terminal: it can be searched and cut.
    Console(width=1000, **PLAIN).print(table)
    print(f"The figure and the numbers are in {out}")
