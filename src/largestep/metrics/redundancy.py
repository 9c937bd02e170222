"""Which units of a layer the others can stand in for: dead, constant, multiples, near-duplicates.

What reads a layer linearly reads Σ_j w_j a_j. If unit j is a combination of others, and of 1 where
the reader can take a constant into its bias, a_j = Σ_k R_jk a_k + t_j, then it reads the same from
the others with the weights w R and the bias b + w t.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from jaxtyping import Float, Shaped

from largestep import _checks

__all__ = ["REASONS", "Moments", "Redundancy", "redundancy"]

Array = Any
"""A NumPy array or a PyTorch tensor."""

REASONS = ("dead", "merged", "constant")
"""Why a unit can go: it is zero, it is a combination of others, it always has the same value."""

_ROUNDING = 256
"""Deviations of so many machine epsilons are rounding: sums of some thousand products."""
_PARALLEL = 1e-8
"""1 − correlation below which units are tried as exact multiples; second moments see no finer."""


@dataclass(frozen=True, eq=False)
class Moments:
    """First and second moments of the units, and their range, over as many inputs as one likes.

    The moments of two halves add up to those of the whole, without cancellation [1].

    Attributes
    ----------
    count : number of inputs.
    mean : (m,) means.
    scatter : (m, m) sums of products of the deviations from the means.
    low, high : (m,) least and largest values.
    epsilon : machine epsilon of the features' precision.

    References
    ----------
    1. T. F. Chan, G. H. Golub and R. J. LeVeque, "Algorithms for computing the sample
       variance", The American Statistician 37, 1983.
    """

    count: int
    mean: Float[np.ndarray, " m"]
    scatter: Float[np.ndarray, "m m"]
    low: Float[np.ndarray, " m"]
    high: Float[np.ndarray, " m"]
    epsilon: float

    @classmethod
    def of(cls, features: Array) -> "Moments":
        """Return the moments of (n, m) features, computed in float64 where they lie."""
        xp = array_namespace(features)
        wide = xp.astype(features, xp.float64)
        mean = xp.mean(wide, axis=0)
        centred = wide - mean
        return cls(
            features.shape[0],
            _numpy(mean),
            _numpy(centred.T @ centred),
            _numpy(xp.min(wide, axis=0)),
            _numpy(xp.max(wide, axis=0)),
            float(xp.finfo(features.dtype).eps),
        )

    def __add__(self, other: "Moments") -> "Moments":
        """Return the moments of the inputs of both."""
        count = self.count + other.count
        apart = other.mean - self.mean
        return Moments(
            count,
            self.mean + apart * (other.count / count),
            self.scatter
            + other.scatter
            + np.outer(apart, apart) * (self.count * other.count / count),
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
            self.epsilon,
        )

    @property
    def largest(self) -> Float[np.ndarray, " m"]:
        """The largest absolute values."""
        return np.maximum(np.abs(self.low), np.abs(self.high))

    @property
    def rounding(self) -> Float[np.ndarray, " m"]:
        """Deviations of each unit that are nothing but rounding."""
        return _ROUNDING * self.epsilon * self.largest

    def products(self, *, constants: bool) -> Float[np.ndarray, "m m"]:
        """Return Σ a_j a_k, or with constants in play the same about the means."""
        if constants:
            return self.scatter
        return self.scatter + self.count * np.outer(self.mean, self.mean)


@dataclass(frozen=True, eq=False)
class Redundancy:
    """For each unit, whether and why others can stand in for it.

    Attributes
    ----------
    moments : of the features that were looked at.
    constants : whether the readers take constants.
    reason : (m,) one of `REASONS` for a unit that can go, "" for one that stays.
    partner : (m,) the unit that a merged one is most like; any other's entry means nothing.
    near : (m,) whether a merged unit is a near-duplicate, not a multiple to rounding.
    """

    moments: Moments
    constants: bool
    reason: Shaped[np.ndarray, " m"]
    partner: Shaped[np.ndarray, " m"]
    near: Shaped[np.ndarray, " m"]

    @property
    def removable(self) -> Shaped[np.ndarray, " m"]:
        """Whether each unit can go."""
        return self.reason != ""

    def substitution(
        self, removed: Shaped[np.ndarray, " m"]
    ) -> tuple[Float[np.ndarray, "m m"], Float[np.ndarray, " m"]]:
        """Return R and t with a ≈ R a + t, where R reads none of the removed units.

        A multiple of its partner is written as such; a near-duplicate as the combination of all
        units that stay with the least squared deviation over the inputs.

        Parameters
        ----------
        removed : the units to do without, all of them removable.
        """
        moments = self.moments
        products = moments.products(constants=self.constants)
        m = len(self.reason)
        matrix, shift = np.eye(m), np.zeros(m)
        matrix[removed] = 0.0
        exact = np.flatnonzero(removed & (self.reason == "merged") & ~self.near)
        with_partner = products[exact, self.partner[exact]]
        matrix[exact, self.partner[exact]] = (
            with_partner / products[self.partner[exact], self.partner[exact]]
        )
        near = np.flatnonzero(removed & self.near)
        if near.size:
            kept = np.flatnonzero(~removed)
            size = np.sqrt(np.diag(products)[kept])
            size[size == 0] = 1.0
            correlation = products[np.ix_(kept, kept)] / np.outer(size, size)
            targets = products[np.ix_(kept, near)] / size[:, np.newaxis]
            # Nearly dependent units would get large weights of opposite sign.
            solution = np.linalg.pinv(correlation, rcond=1e-6, hermitian=True) @ targets
            matrix[np.ix_(near, kept)] = (solution / size[:, np.newaxis]).T
        if self.constants:
            shift[removed] = moments.mean[removed] - matrix[removed] @ moments.mean
        return matrix, shift

    def errors(
        self, features: Float[Array, "n m"], removed: Shaped[np.ndarray, " m"]
    ) -> Float[np.ndarray, " m"]:
        """Return the largest |a − (R a + t)| of each unit over the inputs."""
        xp = array_namespace(features)
        wide = xp.astype(features, xp.float64)
        matrix, shift = (
            xp.asarray(part[removed], device=device(features))
            for part in self.substitution(removed)
        )
        goes = xp.asarray(np.flatnonzero(removed), device=device(features))
        deviations = xp.abs(xp.take(wide, goes, axis=1) - (wide @ matrix.T + shift))
        result = np.zeros(len(removed))
        result[removed] = _numpy(xp.max(deviations, axis=0))
        return result

    def confirmed(self, errors: Float[np.ndarray, " m"], *, near: bool) -> "Redundancy":
        """Return what is left when the multiples have been held against the features.

        Parameters
        ----------
        errors : of every removable unit, over the features of the moments, as `errors` gives them.
        near : whether units that are not multiples to rounding may go as near-duplicates.
        """
        inexact = (self.reason == "merged") & ~(errors <= self.moments.rounding)
        if near:
            return replace(self, near=inexact)
        return replace(self, reason=np.where(inexact, "", self.reason))


def redundancy(
    moments: Moments, *, constants: bool, correlation_threshold: float = 1.0
) -> Redundancy:
    """Find the units that others can stand in for, from the second moments.

    - A unit that is zero at every input is dead.
    - One that always has the same other value is constant, where the readers take constants.
    - A living unit is merged into one that stays if their correlation, in absolute value, is
      above the threshold: Pearson's where the readers take constants, else about zero (the
      cosine), so that merged units are multiples without a shift. Units are taken largest first,
      and each is merged into the one most like it of those that stay, or stays itself.

    Parameters
    ----------
    moments : of the layer's features.
    constants : whether all that read the layer can take a constant into their biases.
    correlation_threshold : in (0, 1]; at 1 only candidates for exact multiples are merged, to be
        held against the features by `Redundancy.confirmed`.

    Examples
    --------
    Unit 1 is twice unit 0, unit 2 is dead and unit 3 constant.

    >>> a = np.array([[1.0, 2.0, 0.0, 5.0], [0.0, 0.0, 0.0, 5.0], [3.0, 6.0, 0.0, 5.0]])
    >>> found = redundancy(Moments.of(a), constants=True)
    >>> found.reason.tolist()
    ['merged', '', 'dead', 'constant']
    >>> bool(found.errors(a, found.removable).max() < 1e-14)
    True
    """
    threshold = _checks.number(
        "correlation_threshold", correlation_threshold, above=0.0, at_most=1.0
    )
    reason = np.full(len(moments.mean), "", dtype="<U8")
    reason[moments.largest == 0] = "dead"
    if constants:
        still = moments.high - moments.low <= moments.rounding
        reason[still & (reason == "")] = "constant"
    products = moments.products(constants=constants)
    size = np.sqrt(np.diag(products))
    partner = np.full(len(size), -1)
    staying: list[int] = []
    most = min(threshold, 1.0 - _PARALLEL)
    for unit in np.argsort(-size, kind="stable"):
        if reason[unit]:
            continue
        likeness = np.abs(products[unit, staying]) / (size[unit] * size[staying])
        if staying and likeness.max() > most:
            reason[unit] = "merged"
            partner[unit] = staying[int(likeness.argmax())]
        else:
            staying.append(int(unit))
    return Redundancy(moments, constants, reason, partner, np.zeros(len(size), dtype=bool))


def _numpy(array: Array) -> np.ndarray:
    return np.asarray(array.cpu() if hasattr(array, "cpu") else array)
