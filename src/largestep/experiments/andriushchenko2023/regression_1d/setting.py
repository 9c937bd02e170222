"""Twelve points on a line and a wide ReLU network, with the paper's warm-ups."""

from largestep.experiments.setting import Setting
from largestep.measures import feature_sparsity
from largestep.networks import Gaussian, ReLU, Signs
from largestep.problems import one_dimensional_regression
from largestep.schedules import Schedule, decay, linear

__all__ = ["LONG", "LONGER", "SHORT", "setting"]

SHORT = "warm-up for 2%, then /2.5"
LONG = "warm-up for 50%, then /3"
LONGER = "steeper warm-up for 50%, then /3"


def setting() -> Setting:
    """Return the setting of section 4.1's first figure."""
    return Setting(
        ReLU(
            widths=(1, 100),
            biases=(True, False),
            weights_from=(Signs(2.5), Gaussian(4.0)),
            biases_from=Gaussian(2.5),
        ),
        one_dimensional_regression(),
        {
            SHORT: _warm_up(0.02, steepness=400, divisor=2.5),
            LONG: _warm_up(0.5, steepness=400, divisor=3),
            LONGER: _warm_up(0.5, steepness=500, divisor=3),
        },
        longest=LONG,
        steps=31_623,
        cap=3.0,
        sparsity=feature_sparsity(0.999),
    )


def _warm_up(until: float, *, steepness: float, divisor: float) -> Schedule:
    """Return η_t = 0.0002·(1 + (F − 1)·t) for t < until with F = steepness·until, then divided."""
    peak_at_the_end = 0.0002 * steepness * until
    return decay(linear(0.0002, peak_at_the_end), factor=divisor, at=until)
