"""What `largestep compact` does: load, compact, save, and say what came out."""

from pathlib import Path

import torch
from torch import Tensor

from largestep import _files
from largestep.deep.compaction.export import export_onnx, save
from largestep.deep.compaction.search import compact
from largestep.deep.loading import load_data, load_model
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
    data, folder : as `load_data` takes them.
    examples : the most calibration and the most held-out data.
    out : folder for what is written.
    tolerance, correlation_threshold : as `compact` takes them.
    onnx : whether to write ONNX too.
    """
    original = load_model(model, weights)
    parts = load_data(data, folder, model)
    calibration, held_out = (_batches(*part, examples) for part in parts)
    _files.prepare_folder(out)
    smaller, report = compact(
        original,
        calibration,
        held_out=held_out,
        tolerance=tolerance,
        correlation_threshold=correlation_threshold,
    )
    example = calibration[0][0]
    save(smaller, out, example)
    described = Path(model) / "config.json"
    if described.is_file():  # so that the smaller model too can say what data it is for
        _files.write_json(out / "config.json", _files.read_json(described))
    if onnx:
        export_onnx(smaller, out / "model.onnx", example)
    _files.write_json(out / "report.json", report.to_dict())
    write_figure(out / "figure", draw_compaction(report.to_dict()))
    print(report)
    print(f"\nThe model, its weights and this report are in {out}")


def _batches(inputs: Tensor, labels: Tensor | None, examples: int) -> list[tuple[Tensor, ...]]:
    parts = [inputs[:examples]] + ([] if labels is None else [labels[:examples]])
    return list(zip(*(torch.split(part, _BATCH) for part in parts), strict=True))
