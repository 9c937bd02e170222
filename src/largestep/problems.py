"""Data with a known truth: what the networks are trained on and tested against."""

from dataclasses import dataclass, field

import numpy as np

from largestep import _checks
from largestep.losses import Loss, Squared, logistic, squared
from largestep.networks.base import Network

__all__ = [
    "Problem",
    "feature_noise",
    "from_teacher",
    "one_dimensional_regression",
    "opposing_outliers",
    "sparse_regression",
    "sphere",
    "xor_clusters",
]


@dataclass(frozen=True, eq=False)
class Problem:
    """Training and test points, their loss, and the truth behind them if it is known.

    The arrays are copied, converted to float64 and made read-only.

    Parameters
    ----------
    x_train : (n, d) inputs.
    y_train : (n,) targets.
    x_test : (m, d) inputs; the training inputs when left out.
    y_test : (m,) targets; the training targets when left out.
    truth : what generated the targets (a predictor's coefficients, a teacher's parameters), of
        any shape, or None.
    loss : ℓ(h, y), of which training descends the mean; by default r²/2 with r = h − y. For
        labels ±1 there is `losses.logistic`.
    description : one line that says what the problem is, kept with every result.

    Raises
    ------
    TypeError
        If an array is not of real numbers, or the loss is not a `Loss`.
    ValueError
        If shapes disagree, an array is empty, or an entry is NaN or infinite or no target that
        the loss takes (the error gives the index of the first).
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray | None = None
    y_test: np.ndarray | None = None
    truth: np.ndarray | None = None
    loss: Loss = field(default=squared, kw_only=True)
    description: str = field(default="user's own arrays", kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.loss, Loss):
            hint = "; it is a class: call it" if isinstance(self.loss, type) else ""
            raise TypeError(f"loss must be a Loss of largestep.losses, got {self.loss!r}{hint}")
        if (self.x_test is None) != (self.y_test is None):
            missing = "x_test" if self.x_test is None else "y_test"
            raise ValueError(
                f"x_test and y_test must be given together, or both left out, got no {missing}"
            )
        x_test = self.x_train if self.x_test is None else self.x_test
        y_test = self.y_train if self.y_test is None else self.y_test
        pairs = {"train": (self.x_train, self.y_train), "test": (x_test, y_test)}
        for part, (x, y) in pairs.items():
            x = _checks.array(f"x_{part}", x, dimensions=2)
            y = _checks.array(f"y_{part}", y, dimensions=1)
            if x.size == 0:
                raise ValueError(f"x_{part} must not be empty, got shape {x.shape}")
            if len(x) != len(y):
                raise ValueError(
                    f"x_{part} and y_{part} must have as many rows, got {len(x)} and {len(y)}"
                )
            self.loss.check(f"y_{part}", y)
            self._freeze(f"x_{part}", x)
            self._freeze(f"y_{part}", y)
        if self.test_inputs.shape[1] != self.d:
            raise ValueError(
                f"x_test must have {self.d} columns as x_train has, got {self.test_inputs.shape[1]}"
            )
        if self.truth is not None:
            truth = _checks.view("truth", self.truth, shape=(...,))
            self._freeze("truth", _checks.array("truth", truth, dimensions=truth.ndim))

    def _freeze(self, name: str, value: np.ndarray) -> None:
        value.flags.writeable = False
        object.__setattr__(self, name, value)

    @property
    def n(self) -> int:
        """Number of training points."""
        return len(self.x_train)

    @property
    def d(self) -> int:
        """Dimension of an input."""
        return int(self.x_train.shape[1])

    @property
    def test_inputs(self) -> np.ndarray:
        """(m, d) test inputs: never None, unlike the constructor's argument."""
        assert self.x_test is not None
        return self.x_test

    @property
    def test_targets(self) -> np.ndarray:
        """(m,) test targets: never None, unlike the constructor's argument."""
        assert self.y_test is not None
        return self.y_test

    @property
    def zero_loss(self) -> float:
        """The training loss of the predictor that is zero: what other losses are held against."""
        return float(np.mean(self.loss.value(np.zeros(self.n), self.y_train)))

    def __repr__(self) -> str:
        return f"Problem({self.description}; n={self.n}, d={self.d}, loss={self.loss!r})"


def sparse_regression(
    n: int,
    d: int,
    nonzeros: int,
    seed: int = 0,
    *,
    dense: bool = False,
    test_points: int = 1000,
    noise: float = 0.0,
) -> Problem:
    """Linear regression with a sparse truth and Gaussian inputs (the paper, section 3.1).

    X ~ N(0, I); the truth θ⋆ is |N(0, I)| on its first `nonzeros` coordinates and 0 elsewhere,
    scaled to norm 1; y = Xθ⋆ (+ noise on the training targets). The loss is r²/2.

    Parameters
    ----------
    n, d : numbers of training points and of coordinates.
    nonzeros : coordinates in which the truth is not zero.
    seed : fixes the data, and nothing else.
    dense : spread the truth over all d coordinates (`nonzeros` is then ignored): the control in
        which sparsity is of no use.
    test_points : number of noiseless test points.
    noise : standard deviation of the Gaussian noise on the training targets.

    Raises
    ------
    TypeError, ValueError
        If a size is not a positive integer, or `nonzeros` exceeds `d`.
    """
    n = _checks.integer("n", n, at_least=1)
    d = _checks.integer("d", d, at_least=1)
    nonzeros = _checks.integer("nonzeros", nonzeros, at_least=1)
    test_points = _checks.integer("test_points", test_points, at_least=1)
    seed = _checks.integer("seed", seed, at_least=0, at_most=2**32 - 1)
    noise = _checks.number("noise", noise, at_least=0.0)
    if nonzeros > d:
        raise ValueError(f"nonzeros must be at most d = {d}, got {nonzeros}")
    support = d if dense else nonzeros

    # NumPy promises to keep this generator's stream for ever: a seed's data outlives versions,
    # and the paper's figures were made with its seed 0.
    rng = np.random.RandomState(seed)
    x_train = rng.standard_normal((n, d))
    x_test = rng.standard_normal((test_points, d))
    truth = np.abs(rng.standard_normal(d))
    truth[support:] = 0.0
    truth /= np.linalg.norm(truth)
    # Drawn last, so that the noiseless problem of the same seed has the same data.
    with np.errstate(over="ignore"):
        y_train = x_train @ truth + noise * rng.standard_normal(n)
    if not np.isfinite(y_train).all():
        raise ValueError(f"noise must leave finite targets, got {noise:g}")
    return Problem(
        x_train,
        y_train,
        x_test,
        x_test @ truth,
        truth,
        description=(
            f"sparse_regression(n={n}, d={d}, nonzeros={support}, seed={seed}, noise={noise:g})"
        ),
    )


def feature_noise(
    n: int = 40,
    *,
    weak: float = 0.2,
    noise_coordinates: int = 100,
    noise: float = 0.05,
    only_weak: float = 0.0,
    seed: int = 0,
    test_points: int = 1000,
) -> Problem:
    """Labels that a strong and a weak feature both tell, among noise; the strong one fails in test.

    x = (weak · y, y, noise · N(0, I)) with y = ±1 at even odds. The test points are like the
    training points but for the strong feature, which is 0 (after Lu et al., 2023). The loss is
    r²/2, the truth None: either feature fits.

    Parameters
    ----------
    n : number of training points.
    weak : size of the weak feature; the strong one's is 1.
    noise_coordinates, noise : how many, and their standard deviation.
    only_weak : share of the training points that lack the strong feature, rounded down.
    seed : fixes the data.
    test_points : number of test points.

    Raises
    ------
    TypeError, ValueError
        If a number is out of its range.
    """
    n = _checks.integer("n", n, at_least=1)
    test_points = _checks.integer("test_points", test_points, at_least=1)
    weak = _checks.number("weak", weak)
    noise = _checks.number("noise", noise, at_least=0.0, at_most=1e300)
    noise_coordinates = _checks.integer("noise_coordinates", noise_coordinates, at_least=0)
    only_weak = _checks.number("only_weak", only_weak, at_least=0.0, at_most=1.0)
    rng = np.random.RandomState(_checks.integer("seed", seed, at_least=0))
    y, y_test = (rng.choice([-1.0, 1.0], size) for size in (n, test_points))
    x, x_test = (
        np.column_stack(
            [weak * labels, labels, noise * rng.standard_normal((len(labels), noise_coordinates))]
        )
        for labels in (y, y_test)
    )
    x[: int(only_weak * n), 1] = 0.0
    x_test[:, 1] = 0.0
    return Problem(
        x,
        y,
        x_test,
        y_test,
        description=(
            f"feature_noise(n={n}, weak={weak:g}, noise_coordinates={noise_coordinates}, "
            f"noise={noise:g}, only_weak={only_weak:g}, seed={seed})"
        ),
    )


def one_dimensional_regression(test_points: int = 300) -> Problem:
    """Twelve points on a line, to be fitted by a two-layer ReLU network (section 4.1).

    The "test" inputs are `test_points` uniform points of [min x, max x], without known values
    between the points: their targets are the linear interpolation, for want of a truth. The loss
    is r².
    """
    test_points = _checks.integer("test_points", test_points, at_least=2)
    x = (np.arange(12) - 5.5) / 4 + 0.07
    y = np.array([-2, 1.5, 0, 0, 2, 1, 0, -1, 0, 1, 2, -1]) + 0.345
    between = np.linspace(x[0], x[-1], test_points)
    return Problem(
        x[:, np.newaxis],
        y,
        between[:, np.newaxis],
        np.interp(between, x, y),
        loss=_SQUARE,
        description="one_dimensional_regression()",
    )


_SQUARE = Squared(1.0)
"""r², as the paper has it for ReLU networks."""


def from_teacher(
    teacher: Network,
    theta: np.ndarray,
    n: int,
    seed: int = 0,
    *,
    on_sphere: bool = False,
    test_points: int = 1000,
    loss: Loss = _SQUARE,
) -> Problem:
    """Targets given by a teacher network at Gaussian inputs (section 4.1).

    Parameters
    ----------
    teacher : the network whose predictions are the targets.
    theta : (p,) its parameters, kept as the problem's `truth`.
    n : number of training points.
    seed : fixes the inputs.
    on_sphere : scale the inputs to norm 1.
    test_points : number of test points, drawn as the training points are.
    loss : ℓ(h, y); r² by default.
    """
    n = _checks.integer("n", n, at_least=1)
    test_points = _checks.integer("test_points", test_points, at_least=1)
    _checks.kind("teacher", teacher, Network)
    truth = _checks.array("theta", theta, dimensions=1)
    if len(truth) != teacher.parameters:
        raise ValueError(f"theta must have {teacher.parameters} entries, got {len(truth)}")
    rng = np.random.RandomState(_checks.integer("seed", seed, at_least=0, at_most=2**32 - 1))
    x = rng.standard_normal((n + test_points, teacher.inputs))
    if on_sphere:
        x /= np.linalg.norm(x, axis=1, keepdims=True)
    with np.errstate(over="ignore", invalid="ignore"):
        y = teacher.predict(truth, x)
    if not np.isfinite(y).all():
        largest = truth[np.abs(truth).argmax()]
        raise ValueError(f"theta must give finite targets, got {largest:g} among its entries")
    return Problem(
        x[:n],
        y[:n],
        x[n:],
        y[n:],
        truth,
        loss=loss,
        description=f"from_teacher({teacher!r}, n={n}, seed={seed}, on_sphere={on_sphere})",
    )


def sphere(n: int, d: int, seed: int = 0, *, test_points: int = 1000) -> Problem:
    """Regression of a bent line over the sphere of radius √d: what lazy training is seen on.

    x is uniform on the sphere, as the tangent kernel of Jacot et al. (2018) has its inputs; the
    targets are tanh(⟨w, x⟩/√d) for a w ~ N(0, I), less their mean over the training points. The
    loss is r²/2.

    Parameters
    ----------
    n, d : numbers of training points and of coordinates.
    seed : fixes inputs and w, which is kept as the problem's `truth`.
    test_points : number of test points, drawn as the training points are.

    Raises
    ------
    TypeError, ValueError
        If a size is not a positive integer.
    """
    n = _checks.integer("n", n, at_least=1)
    d = _checks.integer("d", d, at_least=1)
    test_points = _checks.integer("test_points", test_points, at_least=1)
    rng = np.random.RandomState(_checks.integer("seed", seed, at_least=0))
    x = rng.standard_normal((n + test_points, d))
    x *= np.sqrt(d) / np.linalg.norm(x, axis=1, keepdims=True)
    truth = rng.standard_normal(d)
    y = np.tanh(x @ truth / np.sqrt(d))
    y -= y[:n].mean()
    return Problem(
        x[:n], y[:n], x[n:], y[n:], truth, description=f"sphere(n={n}, d={d}, seed={seed})"
    )


def opposing_outliers(
    n: int,
    d: int,
    size: float,
    seed: int = 0,
    *,
    share: float = 0.1,
    relevant: int = 3,
    test_points: int = 1000,
) -> Problem:
    """Regression with a few rows whose largest coordinate says nothing about their targets.

    The first d coordinates are N(0, I), the target is tanh(2⟨w, x⟩) with w = 1/√k on the first k
    of them. A last coordinate is +size and −size alternately on the first `share` of the rows and
    0 elsewhere: rows that a network can move together, but not all to their targets. Their
    gradients are large and oppose each other (Rosenfeld and Risteski, 2024, find such examples in
    images). The loss is r².

    Parameters
    ----------
    n : number of training points.
    d : coordinates that may matter; inputs have d + 1.
    size : of the last coordinate; 0 gives the control, the same data without it.
    seed : fixes the data, whatever the size.
    share : of the rows, rounded down; test points have it in as large a share.
    relevant : k.
    test_points : number of test points.

    Raises
    ------
    TypeError, ValueError
        If a number is not of its kind or out of its range, or `relevant` exceeds `d`.
    """
    n = _checks.integer("n", n, at_least=1)
    d = _checks.integer("d", d, at_least=1)
    test_points = _checks.integer("test_points", test_points, at_least=1)
    size = _checks.number("size", size, at_least=0.0)
    share = _checks.number("share", share, at_least=0.0, at_most=1.0)
    relevant = _checks.integer("relevant", relevant, at_least=1)
    if relevant > d:
        raise ValueError(f"relevant must be at most d = {d}, got {relevant}")
    rng = np.random.RandomState(_checks.integer("seed", seed, at_least=0, at_most=2**32 - 1))
    truth = np.repeat([1.0 / np.sqrt(relevant), 0.0], [relevant, d + 1 - relevant])

    def drawn(rows: int) -> tuple[np.ndarray, np.ndarray]:
        x = np.zeros((rows, d + 1))
        x[:, :d] = rng.standard_normal((rows, d))
        outliers = np.arange(int(share * rows))
        x[outliers, d] = np.where(outliers % 2 == 0, size, -size)
        return x, np.tanh(2.0 * (x @ truth))  # twice the largest numbers are none

    return Problem(
        *drawn(n),
        *drawn(test_points),
        truth,
        loss=_SQUARE,
        description=(
            f"opposing_outliers(n={n}, d={d}, size={size:g}, seed={seed}, share={share:g}, "
            f"relevant={relevant})"
        ),
    )


def xor_clusters(
    n: int,
    d: int,
    seed: int = 0,
    *,
    norm: float = 12.0,
    flipped: float = 0.1,
    test_points: int = 1000,
) -> Problem:
    """Classification of four clusters in the pattern of XOR, with some training labels wrong.

    x ~ N(μ, I) for a μ drawn from ±μ_1, of label 1, and ±μ_2, of label −1, where μ_1 and μ_2 are
    orthogonal and of the same norm. No linear predictor beats chance. The loss is the logistic
    one. (Xu et al., 2024, where a two-layer network fits the labels after one step and
    generalises after many. That is not about large steps: it comes out alike over a hundredfold
    of small ones.)

    Parameters
    ----------
    n, d : numbers of training points and of coordinates, d at least 2.
    seed : fixes the data. The centres lie along the first two coordinates, whatever the seed.
    norm : ‖μ‖.
    flipped : share of the training labels that are turned over, rounded down: the first ones.
    test_points : number of test points, with true labels.

    Raises
    ------
    TypeError, ValueError
        If a number is not of its kind or out of its range.
    """
    n = _checks.integer("n", n, at_least=1)
    d = _checks.integer("d", d, at_least=2)
    test_points = _checks.integer("test_points", test_points, at_least=1)
    norm = _checks.number("norm", norm, at_least=0.0)
    flipped = _checks.number("flipped", flipped, at_least=0.0, at_most=1.0)
    rng = np.random.RandomState(_checks.integer("seed", seed, at_least=0))
    cluster = rng.randint(4, size=n + test_points)
    x = rng.standard_normal((n + test_points, d))
    x[np.arange(len(x)), cluster // 2] += np.where(cluster % 2 == 0, norm, -norm)
    y = np.where(cluster // 2 == 0, 1.0, -1.0)
    y_train = y[:n].copy()
    y_train[: int(flipped * n)] *= -1.0
    return Problem(
        x[:n],
        y_train,
        x[n:],
        y[n:],
        norm * np.eye(2, d),
        loss=logistic,
        description=(
            f"xor_clusters(n={n}, d={d}, seed={seed}, norm={norm:g}, flipped={flipped:g})"
        ),
    )
