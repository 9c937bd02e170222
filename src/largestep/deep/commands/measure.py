"""What `largestep measure` does: probe a saved model, and say layer by layer what it found."""

from collections.abc import Sequence
from pathlib import Path

import torch
import xarray as xr
from rich.console import Console
from rich.table import Table

from largestep import metrics, runs
from largestep.deep.layers import Units
from largestep.deep.loading import load_data, load_model
from largestep.deep.probe import Probe
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
    """
    network = load_model(model, weights)
    (inputs, _), _ = load_data(data, folder, model)
    runs.prepare_folder(out)
    probe = Probe(
        network,
        torch.split(inputs, 256),
        layers or "auto",
        units=units,
        max_inputs=examples,
        max_units=max_units,
        correlation_threshold=correlation_threshold,
        smooth_threshold=smooth_threshold,
    )
    rows = []
    for name, layer in probe.features().items():
        found = probe.sparsity(layer)
        rows.append(
            {
                "layer": name,
                "width": layer.width,
                "units": found.units,
                "raw": found.raw,
                "distinct": found.distinct,
                "dead": found.dead,
                "merged": found.merged,
                "effective_rank": metrics.effective_rank(layer.features.double()),
            }
        )
    settings = {
        "model": model,
        "inputs": min(examples, len(inputs)),
        "units": units,
        "correlation_threshold": correlation_threshold,
        "smooth_threshold": smooth_threshold,
    }
    runs.write_json(out / "measures.json", {"settings": settings, "layers": rows})
    measured = xr.Dataset(
        {key: ("layer", [row[key] for row in rows]) for key in _COLUMNS},
        coords={"layer": [row["layer"] for row in rows]},
    )
    write_figure(out / "figure", draw_layers(measured))
    table = Table(box=None, pad_edge=False)
    table.add_column("layer", overflow="fold")
    for title, _ in _COLUMNS.values():
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row["layer"], *(f"{row[key]:{form}}" for key, (_, form) in _COLUMNS.items()))
    Console().print(table)
    print(f"The figure and the numbers are in {out}")
