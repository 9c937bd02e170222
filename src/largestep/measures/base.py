"""A measure: its name, its function, and the shape of what it returns."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

import largestep.measures as face
from largestep import _checks
from largestep.networks.base import Network
from largestep.problems import Problem

__all__ = ["Measure", "named"]


@dataclass(frozen=True)
class Measure:
    """One quantity, measured at recorded steps of every trajectory.

    To be sent to other processes it must be picklable: a module's own function, bound to its
    settings by `functools.partial`.

    Parameters
    ----------
    name : of the variable in the dataset.
    function : (network, problem, thetas of shape (r, p)) → array of shape (r, …).
    long_name : what a plot's axis says.
    dims : names of the dimensions after the first, if any.
    every : measure at each `every`-th recorded step, at the first and at the last; the others
        are NaN. For measures that cost more than the training itself.
    coords : coordinates along `dims`, where they have any.
    stacks : whether the function takes thetas of any shape (…, p) and gives one of shape (…, …),
        each θ by itself: then it is called once for many trajectories.

    Raises
    ------
    TypeError, ValueError
        If `every` is not a positive integer, or there are coordinates along another dimension.
    """

    name: str
    function: Callable[[Network, Problem, np.ndarray], np.ndarray]
    long_name: str
    dims: tuple[str, ...] = ()
    every: int = 1
    coords: Mapping[str, np.ndarray] = field(default_factory=dict)
    stacks: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        _checks.integer_of(self, "every", at_least=1)
        foreign = set(self.coords) - set(self.dims)
        if foreign:
            raise ValueError(
                f"coords must be along the dims {self.dims}, got {sorted(foreign)} "
                f"for the measure {self.name!r}"
            )

    def on(self, network: Network, problem: Problem, thetas: np.ndarray) -> np.ndarray:
        """Return what the function gives at a stack of parameters, of the shape it promises.

        Where it takes stacks the parameters may have more dimensions.

        Raises
        ------
        TypeError, ValueError
            If it returns no numbers, or another shape than (r, …) with one length for each of
            `dims`, that of the coordinates where there are some.
        """
        given = self.function(network, problem, thetas)
        try:
            values = np.asarray(given, dtype=np.float64)
        except (TypeError, ValueError):
            raise TypeError(
                f"the measure {self.name!r} must return an array of numbers, got {given!r}"
            ) from None
        lengths = {name: len(along) for name, along in self.coords.items()}
        stack = thetas.shape[:-1]
        along = values.shape[len(stack) :]
        fits = values.shape[: len(stack)] == stack and len(along) == len(self.dims)
        if not fits or any(
            length != lengths.get(name, length)
            for name, length in zip(self.dims, along, strict=True)
        ):
            right = ", ".join([*map(str, stack), *(str(lengths.get(n, n)) for n in self.dims)])
            raise ValueError(
                f"the measure {self.name!r} must return an array of shape ({right}) for "
                f"{len(thetas)} thetas, got shape {values.shape}"
            )
        return values


def named(measures: Iterable[str | Measure]) -> list[Measure]:
    """Return the measures, those given by name with their default settings.

    Raises
    ------
    ValueError
        If a name is unknown (the error lists those there are) or comes twice.
    """
    makers = [name for name in dir(face) if name not in ("Measure", "named")]
    result = []
    for measure in _listed(measures):
        if isinstance(measure, str):
            if measure not in makers:
                raise ValueError(f"measure must be one of {', '.join(makers)}, got {measure!r}")
            measure = getattr(face, measure)()
        _checks.kind("measure", measure, Measure)
        result.append(measure)
    names = [measure.name for measure in result]
    taken = {"step_size", "diverged_at", "schedule", "seed", "step"} & set(names)
    if taken:
        raise ValueError(f"a measure must have a name of its own, got {taken.pop()!r}")
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"measures must have distinct names, got {name!r} twice")
    return result


def _listed(measures: Iterable[str | Measure]) -> list[str | Measure]:
    try:
        if not isinstance(measures, str):
            return list(measures)
    except Exception:  # what can't be gone through says so in many ways
        pass
    raise TypeError(f"measure must be a list of measures, got {_checks.shown(measures)}")
