"""What `hold` claims, and how it is drawn."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.experiments.claims import Claim, Control
from largestep.experiments.experiment import Caption
from largestep.experiments.extensions.hold.compute import CAPPED, HELD, PAPER
from largestep.experiments.extensions.hold.figure import draw_rows
from largestep.experiments.phases import ratio, two_seeds
from largestep.figures.curves import BANDS
from largestep.store import Results

NAMES = ("diagonal", "regression-1d", "teacher-student", "three-layer")


def sparsity(dataset: xr.Dataset) -> xr.DataArray:
    """Return the problem's own measure of sparsity: coordinates or feature sparsity."""
    name = "nonzero_coordinates" if "nonzero_coordinates" in dataset else "feature_sparsity"
    return dataset[name]


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw a row for each problem: step size, losses, sparsity, survival."""
    rows = {
        name: {way: results[f"{name}/{way}"].dataset for way in (PAPER, CAPPED, HELD)}
        for name in NAMES
    }
    return {"figure": draw_rows(rows, sparsity)}


def _end(
    name: str, way: str, quantity: Callable[[xr.Dataset], xr.DataArray], results: Results
) -> np.ndarray:
    end: np.ndarray = quantity(results[f"{name}/{way}"].dataset).isel(step=-1).values
    return end


def _early(name: str, results: Results) -> np.ndarray:
    measured = sparsity(results[f"{name}/{HELD}"].dataset).dropna("step", how="all")
    first = measured.step.values[measured.step.values >= 0.01 * float(measured.step[-1])][0]
    early: np.ndarray = measured.sel(step=first).values
    return early


def _test_loss(dataset: xr.Dataset) -> xr.DataArray:
    return dataset.test_loss


def _lower_test_loss(name: str, remark: str = "") -> Claim:
    held, capped = (partial(_end, name, way, _test_loss) for way in (HELD, CAPPED))
    return Claim(
        f"HoldLoss ends at a lower test loss than the capped paper's schedule on {name}{remark}.",
        "final test loss, HoldLoss over the paper's schedule capped, same seed",
        lambda r: ratio(held(r), capped(r)),
        "below",
        1.0,
        control=two_seeds(CAPPED, capped),
        beside={HELD: held, CAPPED: capped},
    )


def _as_sparse(name: str) -> Claim:
    held, capped = (partial(_end, name, way, sparsity) for way in (HELD, CAPPED))
    return Claim(
        f"HoldLoss ends about as sparse as the capped hand-tuned schedule on {name}.",
        "final sparsity, HoldLoss over the paper's schedule capped, same seed",
        lambda r: ratio(held(r), capped(r)),
        "below",
        1.3,
        control=Control(
            "HoldLoss after a hundredth of the steps",
            lambda r: ratio(_early(name, r), capped(r)),
        ),
        beside={HELD: held, CAPPED: capped},
    )


_HELD, _PAPER = (partial(_end, "diagonal", way, _test_loss) for way in (HELD, PAPER))

CAPTIONS: Mapping[str, Caption] = {
    "figure": Caption(
        (
            "The paper's schedule, the same with each example's step capped, and HoldLoss, a "
            "row for each problem: step size, training and test loss, sparsity, and seeds that "
            "have not diverged."
        )
        + BANDS,
        "Four rows of panels. HoldLoss finds step sizes near the paper's on three problems, "
        "never diverges, and ends at a lower test loss on diagonal; on regression-1d it "
        "stays too small, and neither sparsity nor test loss follow.",
    ),
}

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "On diagonal HoldLoss ends at a fifth of the hand-tuned schedule's test loss or less.",
        "final test loss over the median of the hand-tuned schedule's survivors",
        lambda r: _HELD(r) / np.nanmedian(_PAPER(r)),
        "below",
        0.2,
        control=Control(
            "the hand-tuned schedule's survivors themselves",
            lambda r: _PAPER(r) / np.nanmedian(_PAPER(r)),
        ),
        beside={HELD: _HELD, PAPER: _PAPER},
    ),
    *(
        _lower_test_loss(name, " (against straight lines)" if name == "regression-1d" else "")
        for name in NAMES
    ),
    *(_as_sparse(name) for name in NAMES),
)
