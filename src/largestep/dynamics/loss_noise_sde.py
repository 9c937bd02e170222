"""The stochastic differential equations whose noise follows the loss, as textbooks have them."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numba import types

from largestep import _checks
from largestep.dynamics.base import Advance, Dynamics, Stretch, Trajectory
from largestep.dynamics.kernel import GIVEN, LOSS, NETWORK, STEPS, VECTOR, keep
from largestep.networks.base import aligned, compile_cached

__all__ = ["LossNoiseSDE"]


@dataclass(frozen=True)
class LossNoiseSDE(Dynamics):
    """dθ = −∇L(θ) dt + √(η/n) Σ_i a_i φ_i dB_i, with noise that vanishes where the loss does.

    a_i is the example's own slope ℓ'_i (noise "example": the covariance of SGD of batch size 1,
    less the outer product of the mean gradient; Li, Tai & E, 2017), or √(mean ℓ'²) for all (noise
    "loss": the constant-noise SDE with its δ taken from the loss of the moment). On a plateau where
    the loss is constant both have the noise of `ConstantNoiseSDE`.

    A step is the time η, in m Euler–Maruyama substeps of dt = η/m, with z_i ~ N(0, 1) fresh in
    each: θ ← θ − dt ∇L(θ) + √(η dt/n) Σ_i a_i z_i φ_i. It is right as η → 0, which large steps are
    not: noise grows with the loss, that with the noise, and nothing holds them at the level of
    SGD's (experiment `sde`).

    Parameters
    ----------
    noise : "example" or "loss".
    substeps : m, by default 1.

    Raises
    ------
    TypeError, ValueError
        If `noise` is another word, or substeps not a positive integer.
    """

    noise: Literal["example", "loss"] = "example"
    substeps: int = 1

    def __post_init__(self) -> None:
        if self.noise not in ("example", "loss"):
            raise ValueError(f"noise must be 'example' or 'loss', got {self.noise!r}")
        _checks.integer("substeps", self.substeps, at_least=1)

    def batch(self, n: int) -> int:
        """Return n times the substeps: each of these visits every example."""
        return n * self.substeps

    def start(self, trajectory: Trajectory) -> Advance:
        """Return the function that takes the trajectory's next steps."""
        n = trajectory.n
        rule = _Rule(trajectory.loss.scale, self.noise == "loss", self.substeps)
        scratch = _Scratch(*aligned(np.zeros((2, trajectory.network.parameters))))

        def advance(theta: np.ndarray, stretch: Stretch) -> int:
            draws = trajectory.rng.standard_normal((len(stretch) * self.substeps, n))
            return int(
                _follow(
                    *trajectory.functions,
                    trajectory.given,
                    theta,
                    stretch.steps,
                    draws,
                    rule,
                    scratch,
                )
            )

        return advance


class _Rule(NamedTuple):
    scale: float
    alike: bool
    substeps: int


class _Scratch(NamedTuple):
    """Overwritten in every substep: an example's gradient, and the sum of all."""

    gradient: np.ndarray
    total: np.ndarray


_DRAWS = types.float64[:, ::1]
_RULE = types.BaseTuple.from_types([types.float64, types.boolean, types.int64], _Rule)
_SCRATCH = types.BaseTuple.from_types([VECTOR] * 2, _Scratch)


@compile_cached(types.int64(NETWORK, LOSS, GIVEN, VECTOR, STEPS, _DRAWS, _RULE, _SCRATCH))
def _follow(  # type: ignore[no-untyped-def]
    network, loss, given, theta, steps, draws, rule, scratch
):
    layout, workspace, x, y, squared, bound = given
    step_sizes, marks, snapshots = steps
    scale, alike, substeps = rule
    gradient, total = scratch
    n = x.shape[0]
    mark = 0
    for k in range(step_sizes.shape[0]):
        if mark < marks.shape[0] and marks[mark] == k:
            keep(theta, snapshots[mark])
            mark += 1
        for m in range(substeps):
            level = 0.0
            if alike:
                # The level has to be known before the first example's noise is.
                for i in range(n):
                    h = network(theta, x[i], layout, workspace, gradient)
                    slope = h - y[i]
                    if not abs(slope) <= bound:
                        return k
                    if not squared:
                        _, slope, _ = loss(h, y[i])
                    level += slope * slope / n
                level = level**0.5
            for j in range(theta.shape[0]):
                total[j] = 0.0
            for i in range(n):
                h = network(theta, x[i], layout, workspace, gradient)
                slope = h - y[i]
                if not abs(slope) <= bound:
                    return k
                if not squared:
                    _, slope, _ = loss(h, y[i])
                amplitude = level if alike else slope
                noise = (substeps / n) ** 0.5 * draws[k * substeps + m, i]
                coefficient = scale * (amplitude * noise - slope / n)
                for j in range(theta.shape[0]):
                    total[j] += coefficient * gradient[j]
            for j in range(theta.shape[0]):
                theta[j] += step_sizes[k] / substeps * total[j]
    if mark < marks.shape[0]:
        keep(theta, snapshots[mark])
    return step_sizes.shape[0]
