"""What `largestep compact` does: load, compact, save, and say what came out."""

from pathlib import Path

import torch
from torch import Tensor

from largestep import runs
from largestep.deep import data as datasets
from largestep.deep.compaction.compact import compact
from largestep.deep.compaction.export import export_onnx, save
from largestep.deep.loading import load_arrays, load_model, run_data
from largestep.figures.compaction import draw_compaction
from largestep.figures.style import write_figure

__all__ = ["run"]

_BATCH = 256


def run(
    model: str,
    *,
    weights: Path | None,
    data: str | None,
    folder: Path | None,
    examples: int,
    out: Path,
    tolerance: float,
    correlation_threshold: float,
    onnx: bool,
) -> None:
    """Compact a model; write it, the report and the figure; print the report.

    Parameters
    ----------
    model, weights : as `load_model` takes them.
    data : a file, as `load_arrays` takes it, of which every other example is held out; or the
        name of a data set, whose test images are. By default the data set of the run.
    folder : holds the data set's files.
    examples : the most calibration and the most held-out data.
    out : folder for what is written.
    tolerance, correlation_threshold : as `compact` takes them.
    onnx : whether to write ONNX too.
    """
    original = load_model(model, weights)
    data = data or run_data(Path(model))
    if data is None:
        raise ValueError("calibration data must be named with --data: a file or a data set")
    parts = _split(data, folder)
    calibration, held_out = (_batches(*part, examples) for part in parts)
    runs.prepare_folder(out)
    smaller, report = compact(
        original,
        calibration,
        held_out=held_out,
        tolerance=tolerance,
        correlation_threshold=correlation_threshold,
    )
    example = calibration[0][0]
    save(smaller, out, example)
    if onnx:
        export_onnx(smaller, out / "model.onnx", example)
    runs.write_json(out / "report.json", report.to_dict())
    write_figure(out / "figure", draw_compaction(report.to_dict()))
    print(report)
    print(f"\nThe model, its weights and this report are in {out}")


def _split(data: str, folder: Path | None) -> list[tuple[Tensor, Tensor | None]]:
    """Return calibration and held-out data."""
    if data in datasets.NAMES:
        held = datasets.load(data, folder)
        return [
            (held.normalise(held.x_train), held.y_train),
            (held.normalise(held.x_test), held.y_test),
        ]
    inputs, labels = load_arrays(Path(data))
    if len(inputs) < 2:
        raise ValueError(f"{data} must hold at least 2 inputs, one to hold out")
    return [(inputs[start::2], None if labels is None else labels[start::2]) for start in (0, 1)]


def _batches(inputs: Tensor, labels: Tensor | None, examples: int) -> list[tuple[Tensor, ...]]:
    parts = [inputs[:examples]] + ([] if labels is None else [labels[:examples]])
    return list(zip(*(torch.split(part, _BATCH) for part in parts), strict=True))
