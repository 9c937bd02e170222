"""What `rivals` claims, and how it is drawn."""

from collections.abc import Mapping
from functools import partial
from typing import Literal

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.experiments.claims import Claim
from largestep.experiments.experiment import Caption
from largestep.experiments.extensions.rivals.compute import LARGE, SMALL
from largestep.experiments.extensions.rivals.figure import draw_rivals
from largestep.experiments.phases import ratio, two_seeds
from largestep.store import Results


def best(ends: xr.Dataset) -> xr.Dataset:
    """Return each rival's setting of lowest median test loss, of those the most seeds survive.

    Every other seed chooses, and the others are returned: what is chosen by its luck on some seeds
    must show on others.

    Returns
    -------
    Dataset with dimensions (rival, seed); the coordinate `setting` says which it is.
    """
    rivals = list(dict.fromkeys(ends.rival.values))
    along = xr.DataArray(rivals, dims="rival", name="rival")
    return xr.concat([_best(ends, rival) for rival in rivals], along, coords="all")


def _best(ends: xr.Dataset, rival: str) -> xr.Dataset:
    mine = ends.isel(setting=np.flatnonzero(ends.rival.values == rival))
    choosing = mine.isel(seed=slice(0, None, 2))
    survived = choosing.diverged_at.isnull().mean("seed").values
    loss = choosing.test_loss.median("seed").values
    order = np.lexsort([np.where(np.isfinite(loss), loss, np.inf), -survived])
    shown = slice(1, None, 2) if ends.sizes["seed"] > 1 else slice(None)
    return mine.isel(setting=int(order[0]), seed=shown)


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw sparsity against test loss, a panel for each problem."""
    return {"figure": draw_rivals({name: best(ends.dataset) for name, ends in results.items()})}


_RIVALS = (
    "SGD with momentum 0.9",
    "label noise, SGD",
    "1-SAM, SGD",
    "GD",
    "GD with momentum 0.9",
    "label noise, GD",
    "1-SAM, GD",
    "n-SAM, GD",
    "Jacobian penalty, GD",
)


def _end(name: str, quantity: str, rival: str, results: Results) -> np.ndarray:
    end: np.ndarray = _best(results[name].dataset, rival)[quantity].values
    return end


def _compared(
    sentence: str,
    name: str,
    quantity: str,
    way: str,
    against: str,
    direction: Literal["below", "above"],
    bound: float,
    whose: str,
) -> Claim:
    """Claim that a way ends at so much more or less than another; two runs of that don't."""
    what = quantity.replace("_", " ")
    mine, other = (partial(_end, name, quantity, rival) for rival in (way, against))
    return Claim(
        sentence,
        f"final {what}, {way} over {against}, same seed",
        lambda r: ratio(mine(r), other(r)),
        direction,
        bound,
        control=two_seeds(against, other),
        beside={way: mine, against: other},
        whose=whose,
    )


CAPTIONS: Mapping[str, Caption] = {
    "figure": Caption(
        "How sparse a network is at the end and how it generalises, each rival at its best "
        "setting: medians and quartiles over the seeds that did not choose the setting, "
        "small dots are seeds. Filled markers: on SGD; hollow: on GD. n: seeds that have "
        "not diverged, where some have.",
        "Two panels. On diagonal large-step SGD, label noise and momentum on SGD end sparse "
        "with a low test loss; rivals on GD stay dense. On teacher-student large-step SGD "
        "lies alone at the lower left.",
    ),
}

CLAIMS: tuple[Claim, ...] = tuple(
    claim
    for name in ("diagonal", "teacher-student")
    for claim in (
        _compared(
            f"At its best setting large-step SGD is sparser than small-step SGD ({name}).",
            name,
            "sparsity",
            LARGE,
            SMALL,
            "below",
            0.7,
            "the talk",
        ),
        *(
            _compared(
                f"{rival} ends less sparse than large-step SGD, by three tenths ({name}).",
                name,
                "sparsity",
                rival,
                LARGE,
                "above",
                1.3,
                "rivals",
            )
            for rival in _RIVALS
        ),
        *(
            _compared(
                f"{rival} stays above twice large-step SGD's test loss ({name}).",
                name,
                "test_loss",
                rival,
                LARGE,
                "above",
                2.0,
                "rivals",
            )
            for rival in _RIVALS
        ),
    )
)
