"""Claims that several experiments share: plateaus, and sparsity against the large-step phase.

Each is compared on the same seed with the small step, and controlled by two runs of the same
schedule: what tells large steps from small ones must not tell two seeds of the small step apart.
"""

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr

from largestep.experiments.claims import Claim, Control, Values
from largestep.store import Results

__all__ = [
    "at_end",
    "drops_at_decay",
    "fallen_and_stays",
    "falls",
    "falls_with_length",
    "last_before",
    "next_seed",
    "ratio",
    "stabilises",
    "stabilises_until_decay",
    "survived",
    "tracks",
    "two_seeds",
]

Quantity = Callable[[xr.Dataset], xr.DataArray]
"""Picks a quantity with dimensions schedule, seed, step out of a dataset."""

_WELL_ABOVE, _NO_TREND = 10.0, 4.0


def at_end(quantity: xr.DataArray, schedule: str) -> np.ndarray:
    """Return the last value of every seed; NaN for the diverged."""
    return quantity.sel(schedule=schedule).isel(step=-1).values


def last_before(quantity: xr.DataArray, schedule: str, share: float) -> np.ndarray:
    """Return every seed's last measurement within the first `share` of training."""
    curve = quantity.sel(schedule=schedule)
    measured = curve.dropna("step", how="all")
    before = measured.sel(step=slice(None, share * float(curve.step[-1])))
    return before.isel(step=-1).values


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return one over the other, NaN where that is no number."""
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient: np.ndarray = np.divide(above, below)
    return np.where(np.isfinite(quotient), quotient, np.nan)


def next_seed(values: np.ndarray) -> np.ndarray:
    """Return for every seed what the next one has: labels shuffled so that none keeps its own."""
    return np.roll(values, -1)


def two_seeds(name: str, values: Values) -> Control:
    """Return the control of a ratio on the same seed: two runs that differ in the seed alone."""
    return Control(
        f"{name}, the next seed over this one", lambda r: ratio(next_seed(values(r)), values(r))
    )


def survived(dataset: xr.Dataset, schedule: str, share: float = 1.0) -> np.ndarray:
    """Return for every seed 1 if it has not diverged within the first `share` of training."""
    diverged_at = dataset.diverged_at.sel(schedule=schedule).fillna(np.inf)
    there: np.ndarray = (diverged_at > share * float(dataset.step[-1])).values
    return there.astype(float)


def stabilises(run: str, large: str, small: str, *, until: float, step_size: str) -> Claim:
    """Claim that the loss stays up late in the large-step phase, and where it is.

    Late is the second half of the phase; a loss that drifts in it by more than a factor 4, from
    one half of it to the other, counts as not staying up at all.
    """

    def late(results: Results, schedule: str) -> np.ndarray:
        return _typical(results[run].dataset, schedule, until / 2, until)

    def values(results: Results, schedule: str = large) -> np.ndarray:
        quarters = [
            _typical(results[run].dataset, schedule, a * until, (a + 0.25) * until)
            for a in (0.5, 0.75)
        ]
        stays = np.abs(np.log(ratio(*quarters))) < np.log(_NO_TREND)
        level = late(results, schedule) if schedule == large else next_seed(late(results, small))
        height = ratio(level, late(results, small))
        return np.where(stays | np.isnan(height), height, 0.0)

    return Claim(
        f"The training loss stabilises at {step_size}: it stays, ten times above the small step's.",
        "median training loss in the second half of the phase, large over small step, same seed; "
        f"0 if it drifts there by more than a factor 4 ({large}, {small})",
        values,
        "above",
        _WELL_ABOVE,
        control=Control(f"{small}, the next seed in place of the large step", _at(values, small)),
        beside={"large": lambda r: late(r, large), "small": lambda r: late(r, small)},
    )


def stabilises_until_decay(
    run: str, large: str, small: str, *, until: float, bound: float
) -> Claim:
    """Claim that in the second half of the phase the loss hardly falls, though it could by far.

    For networks that small steps do not fit within the budget: how far above the small step's loss
    the plateau lies says nothing there, but how far above the loss that is reached after the decay
    it does. Losses are those of the mini-batches, averaged from one evaluation to the next.
    """

    def level(results: Results, schedule: str, start: float, end: float) -> np.ndarray:
        return _typical(results[run].dataset, schedule, start, end, beyond=True, of="running_loss")

    def values(results: Results, schedule: str = large) -> np.ndarray:
        third, fourth = (
            level(results, schedule, a * until, (a + 0.25) * until) for a in (0.5, 0.75)
        )
        end = at_end(results[run].dataset.running_loss, schedule)
        return ratio(np.log(third / fourth), np.log(third / end))

    return Claim(
        "The training loss stabilises: what it falls by afterwards, it hardly falls by during the "
        "second half of the phase.",
        "fall of log(mini-batch loss) from the third to the last quarter of the phase, over that "
        f"from the third quarter to the end of training ({large})",
        values,
        "below",
        bound,
        control=Control(f"{small}, at the same time", _at(values, small)),
        beside={
            "third quarter": lambda r: level(r, large, 0.5 * until, 0.75 * until),
            "last quarter": lambda r: level(r, large, 0.75 * until, until),
            "end": lambda r: at_end(r[run].dataset.running_loss, large),
        },
    )


def drops_at_decay(run: str, large: str, small: str, *, until: float, bound: float = 0.1) -> Claim:
    """Claim that the loss falls by far within the tenth of training after the decay."""

    def before(results: Results, schedule: str) -> np.ndarray:
        return _typical(results[run].dataset, schedule, 0.8 * until, until)

    def after(results: Results, schedule: str) -> np.ndarray:
        return _typical(results[run].dataset, schedule, until, until + 0.1, beyond=True)

    def values(results: Results, schedule: str = large) -> np.ndarray:
        return ratio(after(results, schedule), before(results, schedule))

    return Claim(
        "The training loss drops when the step size decays.",
        "median training loss in the tenth of training after the decay over that in the last "
        f"fifth of the phase ({large})",
        values,
        "below",
        bound,
        control=Control(f"{small}, at the same time", _at(values, small)),
        beside={"before": lambda r: before(r, large), "after": lambda r: after(r, large)},
    )


def falls(
    run: str,
    quantity: Quantity,
    name: str,
    *,
    from_schedule: str,
    to_schedule: str,
    sentence: str,
    bound: float = 1.0,
    remark: str = "",
    whose: str | None = None,
) -> Claim:
    """Claim that a quantity's final value is lower under one schedule than under another."""

    def end(results: Results, schedule: str) -> np.ndarray:
        return at_end(quantity(results[run].dataset), schedule)

    return Claim(
        sentence,
        f"final {name}, {to_schedule} over {from_schedule}, same seed{remark}",
        lambda r: ratio(end(r, to_schedule), end(r, from_schedule)),
        "below",
        bound,
        control=two_seeds(from_schedule, lambda r: end(r, from_schedule)),
        beside={
            to_schedule: lambda r: end(r, to_schedule),
            from_schedule: lambda r: end(r, from_schedule),
        },
        whose=whose,
    )


def falls_with_length(
    run: str,
    quantity: Quantity,
    name: str,
    schedules: Sequence[str],
    lengths: Sequence[str],
    *,
    remark: str = "; what the step size is divided by differs too",
) -> list[Claim]:
    """Claim, for each pair of neighbouring lengths, that the longer phase ends lower."""
    return [
        falls(
            run,
            quantity,
            name,
            from_schedule=schedules[i],
            to_schedule=schedules[i + 1],
            sentence=(
                f"The longer the large-step phase, the lower the final {name}: "
                f"{lengths[i + 1]} against {lengths[i]}."
            ),
            remark=remark,
        )
        for i in range(len(schedules) - 1)
    ]


def fallen_and_stays(
    run: str,
    quantity: Quantity,
    name: str,
    *,
    large: str,
    small: str,
    until: float,
    bound: float,
) -> Claim:
    """Claim that a quantity falls in the large-step phase, not after it, and stays down.

    Both right before the decay and at the end it must lie below a share of the small step's at the
    same time.
    """

    def moments(results: Results, schedule: str) -> np.ndarray:
        chosen = quantity(results[run].dataset)
        return np.stack([last_before(chosen, schedule, until), at_end(chosen, schedule)], axis=1)

    return Claim(
        f"The {name} falls during the large-step phase and stays down after it.",
        f"{name}, {large} over {small}, same seed, right before the decay and at the end "
        "(the larger of the two)",
        lambda r: np.max(ratio(moments(r, large), moments(r, small)), axis=1),
        "below",
        bound,
        control=Control(
            f"{small}, the next seed over this one",
            lambda r: np.max(
                ratio(np.roll(moments(r, small), -1, axis=0), moments(r, small)), axis=1
            ),
        ),
        beside={
            "before the decay": lambda r: moments(r, large)[:, 0],
            "end": lambda r: moments(r, large)[:, 1],
            "small, end": lambda r: moments(r, small)[:, 1],
        },
    )


def tracks(run: str, proxy: Quantity, name: str, rank: Quantity, *, bound: float = 0.7) -> Claim:
    """Claim that a cheap measure orders a seed's networks as the rank of the Jacobian does.

    The control is time: whatever falls steadily is correlated with whatever else does.
    """

    def correlation(results: Results, *, by_time: bool = False) -> np.ndarray:
        ranks = rank(results[run].dataset).transpose("seed", "schedule", "step")
        others = proxy(results[run].dataset).transpose("seed", "schedule", "step")
        if by_time:
            others = (-ranks.step).broadcast_like(ranks).transpose("seed", "schedule", "step")
        return np.array(
            [_spearman(*pair) for pair in zip(ranks.values, others.values, strict=True)]
        )

    return Claim(
        f"The {name} is a proxy of the rank: it orders networks alike.",
        f"rank correlation of the {name} and the rank of the Jacobian, over all schedules and "
        "steps of a seed",
        correlation,
        "above",
        bound,
        control=Control(
            "minus the number of steps in place of it", lambda r: correlation(r, by_time=True)
        ),
    )


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    from scipy.stats import rankdata

    x, y = x.ravel(), y.ravel()
    both = np.isfinite(x) & np.isfinite(y)
    if both.sum() < 3:
        return np.nan
    ranks = [rankdata(values[both]) for values in (x, y)]
    if min(np.ptp(ranks, axis=1)) == 0:
        return np.nan
    return float(np.corrcoef(*ranks)[0, 1])


def _at(
    values: Callable[[Results, str], np.ndarray], schedule: str
) -> Callable[[Results], np.ndarray]:
    return lambda results: values(results, schedule)


def _typical(
    dataset: xr.Dataset,
    schedule: str,
    start: float,
    end: float,
    *,
    beyond: bool = False,
    of: str = "train_loss",
) -> np.ndarray:
    """Return every seed's median loss from one fraction of training to another.

    Either end counts, or only what is `beyond` the start. NaN for seeds that diverge before that.
    """
    steps = float(dataset.step[-1])
    time = dataset.step / steps
    chosen = (time > start if beyond else time >= start) & (time <= end)
    curves = dataset[of].sel(schedule=schedule).isel(step=np.flatnonzero(chosen))
    if curves.sizes["step"] == 0:
        return np.full(curves.sizes["seed"], np.nan)
    medians: np.ndarray = curves.median("step", skipna=False).values
    return medians
