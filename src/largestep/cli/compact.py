"""`largestep compact`: load, compact, save, and say what came out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from largestep.cli.app import Correlation, Data, Folder, Model, Weights, app, stoppable

if TYPE_CHECKING:
    from torch import Tensor

    from largestep.deep.batches import Batch

__all__ = ["compact"]

_BATCH = 256


@app.command()
@stoppable("The same command begins again.")
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
    from largestep import _files
    from largestep.deep.compaction.export import export_onnx, save
    from largestep.deep.compaction.search import compact as compacted
    from largestep.deep.loading import home_of, load_data, load_model
    from largestep.figures.compaction import draw_compaction
    from largestep.figures.style import write_figure

    home = home_of(model)
    for place in (home, *([] if weights is None else [weights.parent])):
        if out.resolve() == place.resolve():
            raise ValueError(f"{out} holds the model itself: name another folder with --out")
    if any((out / name).exists() for name in ("results.nc", "checkpoint.safetensors")):
        raise ValueError(f"{out} holds a training run: name another folder with --out")
    original = load_model(model, weights)
    parts = load_data(data, folder, model)
    calibration, held_out = (_batches(*part, examples) for part in parts)
    _files.prepare_folder(out)
    smaller, report = compacted(
        original,
        calibration,
        held_out=held_out,
        tolerance=tolerance,
        correlation_threshold=correlation_threshold,
    )
    example = calibration[0][0]
    described = home / "config.json"
    with _files.exclusive(out):
        # What is said of the model that was here before must not pass for this one's.
        for name in ("config.json", "model.onnx", "report.json", "figure.png", "figure.svg"):
            (out / name).unlink(missing_ok=True)
        save(smaller, out, example)
        if onnx:
            export_onnx(smaller, out / "model.onnx", example)
        _files.write_json(out / "report.json", report.to_dict())
        write_figure(out / "figure", draw_compaction(report.to_dict()))
        if described.is_file():  # so that the smaller model too can say what data it is for
            config = {**_files.read_json(described), "definition": "model.py:Model"}
            _files.write_json(out / "config.json", config, sealed=True)
    print(report)
    print(
        f"\nThe model, its weights and this report are in {out}\n"
        f"Measure it: largestep measure {out / 'model.py'}:Model"
    )


def _batches(inputs: "Tensor", labels: "Tensor | None", examples: int) -> "list[Batch]":
    parts = [inputs[:examples]] + ([] if labels is None else [labels[:examples]])
    split = [part.split(_BATCH) for part in parts]  # type: ignore[no-untyped-call]
    return list(zip(*split, strict=True))
