"""What `largestep measure` does: probe a saved model, and say layer by layer what it found."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from rich.console import Console
from rich.table import Table

from largestep import _checks, _files, metrics
from largestep.deep.layers import Units, gather, take
from largestep.deep.loading import load_data, load_model
from largestep.deep.probe import MEASURES, sparsity
from largestep.figures.probe import draw_layers
from largestep.figures.style import write_figure

__all__ = ["run"]

_COLUMNS = {
    "width": ("width", "d"),
    "raw": ("active", ".3f"),
    "distinct": ("sparsity", ".3f"),
    "dead": ("dead", "d"),
    "merged": ("merged", "d"),
    "units": ("of units", "d"),
    "effective_rank": ("eff. rank", ".1f"),
}


def run(
    model: str,
    *,
    weights: Path | None,
    data: str | None,
    folder: Path | None,
    layers: Sequence[str],
    units: Units,
    examples: int,
    max_units: int,
    correlation_threshold: float,
    smooth_threshold: float,
    out: Path,
) -> None:
    """Measure a model; write `measures.json` and a figure; print a table.

    Parameters
    ----------
    model, weights : as `load_model` takes them.
    data, folder : as `load_data` takes them; its first part is measured on.
    layers, units, max_units, correlation_threshold, smooth_threshold : as `Probe` takes them.
    examples : the most inputs.
    out : folder for what is written.

    Raises
    ------
    ValueError
        If the model can't take the data. A layer that is not finite is reported as such.
    """
    correlation_threshold = _checks.number(
        "correlation_threshold", correlation_threshold, above=0.0, at_most=1.0
    )
    smooth_threshold = _checks.number("smooth_threshold", smooth_threshold, at_least=0.0)
    network = load_model(model, weights)
    (inputs, _), _ = load_data(data, folder, model)
    _files.prepare_folder(out)
    try:
        features = gather(
            network,
            take(torch.split(inputs, 256), examples),
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
            found = sparsity(layer, correlation_threshold, smooth_threshold)
            row |= {key: getattr(found, key) for key in MEASURES}
            row["effective_rank"] = metrics.effective_rank(layer.features.double())
        rows.append(row)
    settings = {
        "model": model,
        "inputs": min(examples, len(inputs)),
        "units": units,
        "correlation_threshold": correlation_threshold,
        "smooth_threshold": smooth_threshold,
    }
    _files.write_json(out / "measures.json", {"settings": settings, "layers": rows})
    measured = xr.Dataset(
        {key: ("layer", [row.get(key, np.nan) for row in rows]) for key in _COLUMNS},
        coords={"layer": [row["layer"] for row in rows]},
    )
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
    Console(width=1000).print(table)
    print(f"The figure and the numbers are in {out}")
