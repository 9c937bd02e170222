"""What `batch-sharpness` claims, and how it is drawn."""

from collections.abc import Mapping
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from largestep.experiments.andreyev2024.batch_sharpness.compute import (
    BATCHES,
    LARGE,
    SMALL,
    THRESHOLD_OF,
)
from largestep.experiments.claims import Claim, Control
from largestep.experiments.phases import at_end, ratio
from largestep.figures.style import figure, label_panels
from largestep.store import Results

__all__ = ["CLAIMS", "draw"]

ETA, LOW = f"{LARGE:g}", f"{SMALL:g}"
SGD, GD = BATCHES[:-1], BATCHES[-1]
_SHADES = ("#b2182b", "#e08214", "#2f6f4f", "#3b6fb6")


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw either sharpness over training, and both against the batch size."""
    drawing, axes = figure(1, 3, size=(12, 3.6))
    _while_it_trains(axes[0], results, "batch_sharpness")
    axes[0].set_ylabel("η · batch sharpness / 2")
    _while_it_trains(axes[1], results, "largest")
    axes[1].set_ylabel("η · λ_max / 2")
    axes[1].legend(fontsize=7)
    _against_batch_size(axes[2], results)
    top = 1.4
    for ax in axes:
        ax.axhline(1.0, color="black", linewidth=0.8, linestyle="--")
        ax.set_ylim(0, top)
    label_panels(axes)
    return {"figure": drawing}


def _while_it_trains(ax: Axes, results: Results, name: str) -> None:
    for batch, shade in zip(BATCHES, _SHADES, strict=True):
        curve = results[_run(batch)].dataset[name].sel(schedule=ETA)
        low, middle, high = curve.quantile([0.25, 0.5, 0.75], "seed").values
        ax.plot(curve.step, middle, color=shade, label=_named(batch))
        ax.fill_between(curve.step, low, high, color=shade, alpha=0.15, linewidth=0)
    ax.set_xlabel(f"steps at η = {ETA}")


def _against_batch_size(ax: Axes, results: Results) -> None:
    kinds = {"batch_sharpness": ("#b2182b", "batch sharpness"), "largest": ("#3b6fb6", "λ_max")}
    for name, (shade, label) in kinds.items():
        for eta, line in ((ETA, "-"), (LOW, ":")):
            late = np.array([_late(name, batch, eta, results) for batch in BATCHES])
            low, middle, high = np.nanquantile(late, [0.25, 0.5, 0.75], axis=1)
            text = f"{label}, η = {eta}"
            ax.plot(BATCHES, middle, line, color=shade, marker="o", markersize=3.5, label=text)
            ax.fill_between(BATCHES, low, high, color=shade, alpha=0.15, linewidth=0)
    ax.set_xscale("log", base=2)
    ax.set_xticks(BATCHES, [_named(batch) for batch in BATCHES])
    ax.set_ylabel("η/2 times it, second half of training")
    ax.legend(fontsize=7)


def _run(batch: int) -> str:
    return f"B = {batch}"


def _named(batch: int) -> str:
    return "GD" if batch == GD else _run(batch)


def _late(name: str, batch: int, eta: str, results: Results) -> np.ndarray:
    """Return η/2 times a sharpness, its mean over the second half of training."""
    curve = results[_run(batch)].dataset[name].sel(schedule=eta)
    second_half = curve.where(curve.step > curve.step[-1] / 2, drop=True)
    late: np.ndarray = second_half.mean("step", skipna=False).values
    return late


def _end_loss(batch: int, results: Results) -> np.ndarray:
    return at_end(results[_run(batch)].dataset.train_loss, ETA)


def _ordered(name: str, results: Results) -> np.ndarray:
    """Return what a batch size has over what the next larger one has, a column for each pair."""
    late = np.stack([_late(name, batch, ETA, results) for batch in BATCHES], axis=-1)
    return ratio(late[:, :-1], late[:, 1:])


def _of_threshold(eta: str, results: Results) -> np.ndarray:
    dataset = results[_run(THRESHOLD_OF)].dataset
    found: np.ndarray = dataset.of_threshold.sel(schedule=eta).values
    return found


CLAIMS: tuple[Claim, ...] = (
    *(
        Claim(
            f"Along SGD of batch size {batch} the batch sharpness settles at 2/η.",
            f"η/2 times it, mean over the second half of training, η = {ETA}, B = {batch}",
            partial(_late, "batch_sharpness", batch, ETA),
            "within",
            (0.75, 1.25),
            control=Control(f"η = {LOW}", partial(_late, "batch_sharpness", batch, LOW)),
            beside={
                "ηλ_max/2": partial(_late, "largest", batch, ETA),
                "training loss at the end": partial(_end_loss, batch),
            },
        )
        for batch in SGD
    ),
    Claim(
        "The largest eigenvalue settles at 2/η along GD only.",
        f"ηλ_max/2, mean over the second half of training, η = {ETA}, GD",
        partial(_late, "largest", GD, ETA),
        "within",
        (0.9, 1.1),
        control=Control("SGD of batch size 4", partial(_late, "largest", 4, ETA)),
    ),
    Claim(
        "Along SGD it stays below.",
        f"ηλ_max/2, mean over the second half of training, η = {ETA}, each of B = 1, 4 and 16",
        lambda results: np.stack([_late("largest", b, ETA, results) for b in SGD], axis=-1),
        "below",
        0.95,
        control=Control("GD", partial(_late, "largest", GD, ETA)),
        beside={_named(b): partial(_late, "largest", b, ETA) for b in BATCHES},
    ),
    Claim(
        "The smaller the batch, the further below.",
        f"λ_max with a batch size over that with the next larger one, η = {ETA}, same data",
        partial(_ordered, "largest"),
        "below",
        0.95,
        control=Control("the same of the batch sharpness", partial(_ordered, "batch_sharpness")),
    ),
    Claim(
        f"Where SGD of batch size {THRESHOLD_OF} fits, it is at the exact threshold of stability.",
        f"η over the critical step size at the end, η = {ETA}, B = {THRESHOLD_OF}; seeds that fit",
        partial(_of_threshold, ETA),
        "within",
        (0.75, 1.1),
        control=Control(
            "GD's, 2/λ_max, in its place", partial(_late, "largest", THRESHOLD_OF, ETA)
        ),
        whose="our own",
    ),
)
