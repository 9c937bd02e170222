"""What `hold` claims, and how it is drawn."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.experiments.claims import Claim
from largestep.experiments.extensions.hold.compute import CAPPED, HELD, PAPER
from largestep.experiments.extensions.hold.figure import draw_rows
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


def _ratio(
    name: str, against: str, quantity: Callable[[xr.Dataset], xr.DataArray], results: Results
) -> np.ndarray:
    ends = [
        quantity(results[f"{name}/{way}"].dataset).isel(step=-1).values for way in (HELD, against)
    ]
    ratio: np.ndarray = ends[0] / ends[1]
    return ratio


def _survives(name: str, way: str, results: Results) -> np.ndarray:
    survived: np.ndarray = (
        results[f"{name}/{way}"].dataset.diverged_at.isnull().values.astype(float)
    )
    return survived


def _over_survivors(results: Results) -> np.ndarray:
    held = results[f"diagonal/{HELD}"].dataset.test_loss.isel(step=-1).values
    ratio: np.ndarray = held / np.nanmedian(
        results[f"diagonal/{PAPER}"].dataset.test_loss.isel(step=-1).values
    )
    return ratio


def _test_loss(dataset: xr.Dataset) -> xr.DataArray:
    return dataset.test_loss


CLAIMS: tuple[Claim, ...] = (
    *(
        Claim(
            f"No run of HoldLoss diverges on {name}.",
            "1 if the seed has not diverged at the end",
            partial(_survives, name, HELD),
            "above",
            0.999,
            centre="mean",
        )
        for name in NAMES
    ),
    Claim(
        "On diagonal HoldLoss ends at a fifth of the hand-tuned schedule's test loss or less.",
        "final test loss over the median of the hand-tuned schedule's survivors",
        _over_survivors,
        "below",
        0.2,
    ),
    *(
        Claim(
            f"HoldLoss ends at a lower test loss than the capped hand-tuned schedule on {name}.",
            "final test loss, HoldLoss over the paper's schedule capped, same seed",
            partial(_ratio, name, CAPPED, _test_loss),
            "below",
            1.0,
        )
        for name in NAMES
        if name != "regression-1d"
    ),
    *(
        Claim(
            f"HoldLoss ends about as sparse as the capped hand-tuned schedule on {name}.",
            "final sparsity, HoldLoss over the paper's schedule capped, same seed",
            partial(_ratio, name, CAPPED, sparsity),
            "below",
            1.3,
        )
        for name in NAMES
    ),
)
