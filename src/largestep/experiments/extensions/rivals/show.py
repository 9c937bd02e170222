"""What `rivals` claims, and how it is drawn."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.experiments.claims import Claim
from largestep.experiments.extensions.rivals.compute import LARGE, SMALL
from largestep.experiments.extensions.rivals.figure import draw_rivals
from largestep.store import Results


def best(ends: xr.Dataset) -> xr.Dataset:
    """Return each rival's setting of lowest median test loss, of those the most seeds survive.

    Every other seed chooses, and the others are returned: what is chosen by its luck on some seeds
    must show on others.

    Returns
    -------
    Dataset with dimensions (rival, seed); the coordinate `setting` says which it is.
    """
    chosen = []
    rivals = list(dict.fromkeys(ends.rival.values))
    for rival in rivals:
        mine = ends.isel(setting=np.flatnonzero(ends.rival.values == rival))
        choosing = mine.isel(seed=slice(0, None, 2))
        survived = choosing.diverged_at.isnull().mean("seed").values
        loss = choosing.test_loss.median("seed").values
        order = np.lexsort([np.where(np.isfinite(loss), loss, np.inf), -survived])
        shown = slice(1, None, 2) if ends.sizes["seed"] > 1 else slice(None)
        chosen.append(mine.isel(setting=int(order[0]), seed=shown))
    return xr.concat(chosen, xr.DataArray(rivals, dims="rival", name="rival"), coords="all")


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw sparsity against test loss, a panel for each problem."""
    return {"figure": draw_rivals({name: best(ends.dataset) for name, ends in results.items()})}


def _ratio(name: str, quantity: str, rival: str, against: str, results: Results) -> np.ndarray:
    chosen = best(results[name].dataset)[quantity]
    ratio: np.ndarray = (chosen.sel(rival=rival) / chosen.sel(rival=against)).values
    return ratio


_RIVALS = (
    "SGD with momentum 0.9",
    "label noise, SGD",
    "1-SAM, SGD",
    "GD",
    "label noise, GD",
    "1-SAM, GD",
    "n-SAM, GD",
    "Jacobian penalty, GD",
)

CLAIMS: tuple[Claim, ...] = (
    *(
        Claim(
            f"At its best setting large-step SGD is sparser than small-step SGD ({name}).",
            "final sparsity, large over small, same seed",
            partial(_ratio, name, "sparsity", LARGE, SMALL),
            "below",
            0.7,
        )
        for name in ("diagonal", "teacher-student")
    ),
    *(
        Claim(
            f"{rival} is sparser than small-step SGD ({name}).",
            f"final sparsity, {rival} over small-step SGD, same seed",
            partial(_ratio, name, "sparsity", rival, SMALL),
            "below",
            0.7,
        )
        for name in ("diagonal", "teacher-student")
        for rival in _RIVALS
    ),
    *(
        Claim(
            f"{rival} reaches a test loss within twice large-step SGD's ({name}).",
            f"final test loss, {rival} over large-step SGD, same seed",
            partial(_ratio, name, "test_loss", rival, LARGE),
            "below",
            2.0,
        )
        for name in ("diagonal", "teacher-student")
        for rival in _RIVALS
    ),
)
