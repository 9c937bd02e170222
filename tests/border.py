"""Draws calls of every public function, with one or two arguments gone wrong.

A call may give a result, or raise a ValueError or TypeError that names the argument and the value.
Anything else lets something through to where nobody looks. `make fuzz` draws a million.
"""

import argparse
import ast
import importlib
import inspect
import re
import subprocess
import sys
import warnings
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np

import largestep as ls

rng = np.random.default_rng(0)
X, Y = rng.standard_normal((6, 3)), np.array([1.0, -1.0, 1.0, 1.0, -1.0, -1.0])
PROBLEM = ls.problems.Problem(X, Y)
DIAGONAL = ls.networks.DiagonalLinear(3)
RELU = ls.networks.ReLU((3, 4, 2))
SCALAR = ls.networks.ScalarQuadratic()
PATCHES = ls.networks.Patches(1, 3, 2)
THETA = {network: rng.standard_normal(network.parameters) for network in (DIAGONAL, RELU, SCALAR)}
THETAS = np.stack([THETA[DIAGONAL], THETA[DIAGONAL] / 2])
TWO = ls.schedules.linear(0.1, 0.2)


@ls.networks.compiled
def _line(theta, x, layout, workspace, gradient):
    gradient[0] = x[0]
    return theta[0] * x[0]


class Line(ls.networks.Network):
    inputs, parameters, prediction_and_gradient = 1, 1, _line

    def initialize(self, rng):
        return np.zeros(1)


def on(method, *, of=DIAGONAL):
    """Return a method of a network with arguments that fit."""
    inputs = X[:, : of.inputs]
    point = np.ones(of.parameters) if of not in THETA else THETA[of]
    return getattr(of, method), {"theta": point, "x": inputs}


def measured(name, **settings):
    """Return a function that makes a measure and takes it along."""

    def call(**arguments):
        return getattr(ls.measures, name)(**arguments).on(DIAGONAL, PROBLEM, THETAS)

    return call, settings


def schedule(**arguments):
    return TWO(**arguments)


LOSS = {"h": Y / 2, "y": Y}
CALLS = {
    "compaction.compact": (
        ls.compaction.compact,
        {"network": DIAGONAL, "theta": THETA[DIAGONAL], "x": X},
    ),
    "dynamics.GD": (ls.dynamics.GD, {"cap": 4.0, "momentum": 0.5}),
    "dynamics.SGD": (ls.dynamics.SGD, {"batch_size": 2, "cap": 4.0, "momentum": 0.5}),
    "dynamics.SAM": (ls.dynamics.SAM, {"rho": 0.1}),
    "dynamics.LabelNoise": (ls.dynamics.LabelNoise, {"sigma": 0.1}),
    "dynamics.JacobianPenalizedGD": (ls.dynamics.JacobianPenalizedGD, {"strength": 0.1}),
    "dynamics.ConstantNoiseSDE": (ls.dynamics.ConstantNoiseSDE, {"delta": 0.1, "substeps": 2}),
    "dynamics.HoldLoss": (
        ls.dynamics.HoldLoss,
        {"target": 0.1, "hold": 0.5, "divisor": 2.0, "cap": 3.0, "gain": 1e-3, "batch_size": 1},
    ),
    "dynamics.plateau_noise": (
        ls.dynamics.plateau_noise,
        {"train_loss": 0.1, "problem": PROBLEM, "batch_size": 2},
    ),
    "dynamics.GradientRegularization": (
        ls.dynamics.GradientRegularization,
        {"strength": 0.1, "reach": -0.05},
    ),
    "dynamics.LossNoiseSDE": (ls.dynamics.LossNoiseSDE, {"substeps": 2}),
    "losses.Squared": (ls.losses.Squared, {"factor": 1.0}),
    **{
        f"losses.{type(loss).__name__}.{name}": (getattr(loss, name), LOSS)
        for loss in (ls.losses.squared, ls.losses.logistic, ls.losses.perceptron)
        for name in ("value", "slope", "curvature")
    },
    "measures.batch_sharpness": measured("batch_sharpness", batch_size=2, batches=3, every=1),
    "measures.critical_step_size": measured("critical_step_size", batch_size=2, every=1),
    "measures.curvature": measured("curvature", every=1),
    "measures.kernel_distance": measured("kernel_distance", every=1),
    "measures.kinks": (ls.measures.kinks, {"every": 2}),
    "measures.weighted_variation": (ls.measures.weighted_variation, {"every": 2}),
    "measures.effective_rank": measured("effective_rank", points=3, every=1),
    "measures.jacobian_rank": measured("jacobian_rank", relative_tolerance=0.1, points=3),
    "measures.nonzero_coordinates": measured("nonzero_coordinates", relative_tolerance=0.1),
    "measures.feature_sparsity": (
        ls.measures.feature_sparsity,
        {"correlation_threshold": 0.9, "layer": 0, "every": 2},
    ),
    "measures.parameters": measured("parameters", every=2),
    "measures.predictions": measured("predictions", every=2),
    "measures.named": (ls.measures.named, {"measures": ["train_loss"]}),
    "metrics.critical_step_size": (ls.metrics.critical_step_size, {"rows": X, "batch_size": 2}),
    "metrics.coherence": (ls.metrics.coherence, {"rows": X}),
    "metrics.kinks": (
        ls.metrics.kinks,
        {
            "positions": np.array([0.1, 0.5, np.inf]),
            "jumps": np.ones(3),
            "interval": (0.0, 1.0),
            "merged_within": 0.02,
            "above": 0.01,
        },
    ),
    "metrics.weighted_variation": (
        ls.metrics.weighted_variation,
        {"positions": np.array([0.1, 0.5, 2.0]), "jumps": np.ones(3), "x": Y},
    ),
    "metrics.stability": (
        ls.metrics.stability,
        {
            "step_size": 0.1,
            "sharpness": 2.0,
            "trace": 3.0,
            "frobenius_norm": 2.0,
            "batch_size": 2,
        },
    ),
    "metrics.effective_rank": (ls.metrics.effective_rank, {"jacobian": X}),
    "metrics.jacobian_rank": (
        ls.metrics.jacobian_rank,
        {"jacobian": X, "relative_tolerance": 1e-4},
    ),
    "metrics.singular_values": (ls.metrics.singular_values, {"matrix": X}),
    "metrics.nonzero_coordinates": (
        ls.metrics.nonzero_coordinates,
        {"coefficients": X, "relative_tolerance": 1e-4},
    ),
    "metrics.feature_sparsity": (
        ls.metrics.feature_sparsity,
        {
            "features": X,
            "correlation_threshold": 0.9,
            "active_above": 0.1,
            "max_units": 2,
            "seed": 0,
        },
    ),
    "metrics.plateau": (
        ls.metrics.plateau,
        {
            "steps": np.arange(40.0),
            "loss": np.full(40, 0.5),
            "band": 4.0,
            "min_share": 0.1,
            "blocks": 10,
            "floor": 1e-5,
        },
    ),
    "networks.DiagonalLinear": (ls.networks.DiagonalLinear, {"d": 3, "u0": 0.1, "v0": 0.0}),
    "networks.DiagonalLinear.coefficients": (DIAGONAL.coefficients, {"theta": THETA[DIAGONAL]}),
    "networks.Linear": (ls.networks.Linear, {"d": 3}),
    "networks.ScalarQuadratic": (ls.networks.ScalarQuadratic, {"theta0": 0.1}),
    "networks.Patches": (ls.networks.Patches, {"patches": 2, "d": 3, "units": 2}),
    "networks.ReLU": (ls.networks.ReLU, {"widths": (3, 4), "biases": True}),
    "networks.ReLU.unpack": (RELU.unpack, {"theta": THETA[RELU]}),
    "networks.ReLU.features": on("features", of=RELU),
    "networks.Gaussian": (ls.networks.Gaussian, {"scale": 1.0}),
    "networks.Signs": (ls.networks.Signs, {"scale": 1.0}),
    **{
        f"networks.{type(network).__name__}.{method}": on(method, of=network)
        for network in (DIAGONAL, RELU, SCALAR, PATCHES, Line())
        for method in ("predict", "jacobian", "jacobian_core")
    },
    "problems.Problem": (
        ls.problems.Problem,
        {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y, "truth": Y},
    ),
    "problems.sparse_regression": (
        ls.problems.sparse_regression,
        {"n": 4, "d": 3, "nonzeros": 1, "seed": 0, "test_points": 3, "noise": 0.1},
    ),
    "problems.one_dimensional_regression": (
        ls.problems.one_dimensional_regression,
        {"test_points": 5},
    ),
    "problems.feature_noise": (
        ls.problems.feature_noise,
        {
            "n": 4,
            "weak": 0.2,
            "noise_coordinates": 2,
            "noise": 0.1,
            "only_weak": 0.5,
            "seed": 0,
            "test_points": 3,
        },
    ),
    "problems.sphere": (ls.problems.sphere, {"n": 4, "d": 3, "seed": 0, "test_points": 3}),
    "problems.opposing_outliers": (
        ls.problems.opposing_outliers,
        {"n": 20, "d": 4, "size": 6.0, "seed": 0, "share": 0.1, "relevant": 3, "test_points": 3},
    ),
    "problems.xor_clusters": (
        ls.problems.xor_clusters,
        {"n": 8, "d": 3, "seed": 0, "norm": 2.0, "flipped": 0.1, "test_points": 3},
    ),
    "problems.from_teacher": (
        ls.problems.from_teacher,
        {"teacher": DIAGONAL, "theta": THETA[DIAGONAL], "n": 4, "seed": 0, "test_points": 3},
    ),
    "schedules.as_schedule": (ls.schedules.as_schedule, {"value": 0.1}),
    "schedules.constant": (ls.schedules.constant, {"step_size": 0.1}),
    "schedules.linear": (ls.schedules.linear, {"start": 0.1, "end": 0.2, "until": 0.5}),
    "schedules.exponential": (ls.schedules.exponential, {"start": 0.1, "end": 0.2, "until": 0.5}),
    "schedules.power": (
        ls.schedules.power,
        {"start": 0.1, "end": 0.2, "exponent": 0.5, "until": 0.5},
    ),
    "schedules.decay": (ls.schedules.decay, {"before": 0.1, "factor": 2.0, "at": 0.5}),
    "schedules.piecewise": (ls.schedules.piecewise, {"pieces": {0.0: 0.1, 0.5: 0.2}}),
    "schedules.Schedule": (schedule, {"t": np.array([0.0, 0.5, 1.0])}),
    "simulate": (
        ls.simulate,
        {
            "network": DIAGONAL,
            "problem": PROBLEM,
            "dynamics": ls.dynamics.SGD(),
            "schedules": 0.1,
            "steps": 3,
            "seeds": [0, 1],
            "measure": ["train_loss", "jacobian_rank"],
            "record": np.array([0, 3]),
            "order": np.zeros((3, 1), np.int64),
            "initial": THETA[DIAGONAL],
            "residual_bound": 1e6,
            "threads": 1,
        },
    ),
    "sweep": (
        ls.sweep,
        {
            "network": DIAGONAL,
            "problem": PROBLEM,
            "x": {"step_size": np.array([0.1])},
            "y": {"factor": [2.0]},
            "steps": 3,
            "seeds": [0],
            "fixed": {"decay_at": 0.5},
            "threads": 1,
        },
    ),
    "statistics.share_interval": (
        ls.statistics.share_interval,
        {"yes": 1, "n": 3, "level": 0.95},
    ),
    "statistics.median_interval": (
        ls.statistics.median_interval,
        {"values": np.arange(6.0), "level": 0.95},
    ),
    "statistics.mean_interval": (
        ls.statistics.mean_interval,
        {"values": np.arange(6.0), "level": 0.95},
    ),
    "statistics.cliffs_delta": (ls.statistics.cliffs_delta, {"x": Y, "y": Y + 1}),
    "statistics.energy_test": (
        ls.statistics.energy_test,
        {"x": Y, "y": Y + 1, "permutations": 9, "seed": 0},
    ),
    "statistics.holm": (ls.statistics.holm, {"p_values": np.array([0.1, 0.5])}),
}
"""Every public function, with arguments that fit."""

NOT_CALLED = {
    "networks.Network": "a contract, called through those that keep it",
    "networks.Initialization": "a contract",
    "networks.FanInUniform": "takes nothing",
    "networks.compiled": "compiles source, takes no arrays",
    "losses.compiled": "compiles source, takes no arrays",
    "losses.CONTRACT": "a type",
    "losses.Loss": "a contract",
    "losses.Logistic": "takes nothing",
    "losses.logistic": "a value, its methods are called",
    "losses.Perceptron": "takes nothing",
    "losses.perceptron": "a value, its methods are called",
    "losses.squared": "a value, its methods are called",
    "dynamics.Descent": "a contract",
    "dynamics.Dynamics": "a contract",
    "dynamics.NormalizedGD": "takes nothing",
    "dynamics.simulate": "`simulate`",
    "measures.Measure": "called through the measures",
    "measures.train_loss": "takes nothing",
    "measures.train_error": "takes nothing",
    "measures.test_loss": "takes nothing",
    "measures.test_error": "takes nothing",
    "metrics.FeatureSparsity": "made by the library",
    "metrics.Plateau": "made by the library",
    "metrics.Stability": "made by the library",
    "statistics.Interval": "made by the library",
    "compaction.Compacted": "made by the library",
    "diagnosis": "takes what a probe has recorded",
    "jobs": "takes functions and executors, no arrays",
    "experiments": "takes names, no arrays",
    "deep": "PyTorch checks what it is given",
    "__version__": "a text",
}
"""Public names that are not drawn, and why."""


def public(package="largestep"):
    """Yield the dotted names, below largestep, of all that the lists of names offer."""
    module = importlib.import_module(package)
    stub = Path(module.__file__).with_suffix(".pyi")
    if not stub.exists():
        names = module.__all__
    else:
        nodes = ast.parse(stub.read_text()).body
        names = [a.name for n in nodes if isinstance(n, ast.ImportFrom) for a in n.names]
    for name in names:
        below = f"{package}.{name}".removeprefix("largestep.")
        if below in NOT_CALLED:
            continue
        if inspect.ismodule(getattr(module, name)):
            yield from public(f"{package}.{name}")
        else:
            yield below


def _scalars():
    return [
        *(0, 1, 2, -1, 7, 0.0, 0.5, -0.5, 1.5, True, False, np.bool_(True)),
        *(np.int8(1), np.uint8(200), np.uint64(2**64 - 1), np.float16(0.5), np.float32(0.3)),
        *(np.longdouble(0.4), np.nan, np.inf, -np.inf, 1e308, -1e308, 5e-324, 1e-300),
        *(10**400, -(10**400), 10**5000, 2**63, -(2**63) - 1, Fraction(1, 3), Decimal("0.1")),
        *("1", b"1", "", None, 1j, np.array(1.0), np.array([1.0]), [], {}, (), object()),
        *([1.0], {"a": 1}, lambda x: x, np.ma.masked, np.datetime64("2020"), range(3), int),
    ]


def _arrays(valid, draw):
    """Return an array that is like a valid one but for something."""
    a = np.array(valid)
    flat = a.reshape(-1)
    values = [np.nan, np.inf, -np.inf, 1e308, -1e308, 1.7e308, 1e-320, 1e200, -0.0, 2.5, 1e15]

    def with_value(value, everywhere):
        b = np.array(a, dtype=np.float64)
        b.reshape(-1)[slice(None) if everywhere else draw.integers(max(flat.size, 1))] = value
        return b

    def frozen():
        b = a.copy()
        b.flags.writeable = False
        return b

    makers = [
        lambda: a[:-1],
        lambda: a[:1],
        lambda: a[:0],
        lambda: a[..., :0],
        lambda: a[np.newaxis],
        lambda: a[..., np.newaxis],
        lambda: flat,
        lambda: flat[:1].reshape(()) if flat.size else flat,
        lambda: np.concatenate([a, a]),
        lambda: np.concatenate([a, a], axis=-1),
        lambda: a.T,
        lambda: np.empty((0,)),
        lambda: np.empty((0, 0)),
        lambda: np.ones((1,) * 5),
        lambda: np.broadcast_to(1.0, (3, 400_000)),
        lambda: np.broadcast_to(1.0, (2000,)),
        lambda: a[::-1],
        lambda: np.repeat(a, 2, axis=0)[::2],
        lambda: np.asfortranarray(a),
        frozen,
        lambda: a.astype(draw.choice(["f4", "f2", "g", "c16", "?", "u1", "i8", "i1", ">f8"])),
        lambda: a.astype(draw.choice(["O", "S", "U"])),
        lambda: np.zeros(a.shape, draw.choice(["M8[s]", "m8[s]", "i4,f8", "V3"])),
        lambda: np.ma.masked_array(a, mask=draw.random(a.shape) < 0.5),
        lambda: np.ma.masked_array(a),
        lambda: a.view(type("Own", (np.ndarray,), {})),
        lambda: a.tolist(),
        lambda: [a.tolist(), [1.0]],
        lambda: tuple(flat.tolist()),
        lambda: memoryview(np.ascontiguousarray(a)),
        lambda: with_value(draw.choice(values), everywhere=False),
        lambda: with_value(draw.choice(values), everywhere=False),
        lambda: with_value(draw.choice(values), everywhere=True),
        lambda: np.full(a.shape, 10**400, dtype=object),
    ]
    with np.errstate(invalid="ignore"):  # what is no number, as an integer
        return makers[draw.integers(len(makers))]()


def gone_wrong(valid, draw):
    """Return a value to be tried in place of a valid one."""
    if isinstance(valid, dict) and valid and draw.random() < 0.5:
        key = list(valid)[draw.integers(len(valid))]
        return {**valid, key: gone_wrong(valid[key], draw)}
    if isinstance(valid, np.ndarray | list) and draw.random() < 0.85:
        try:
            return _arrays(valid, draw)
        except (TypeError, ValueError):  # a list of names is no array
            pass
    scalars = _scalars()
    return scalars[draw.integers(len(scalars))]


def attempt(seed):
    """Draw one case; return what came of it and, if that is no good, the case."""
    draw = np.random.default_rng(seed)
    name = list(CALLS)[draw.integers(len(CALLS))]
    call, valid = CALLS[name]
    wrong = list(draw.permutation(list(valid))[: draw.integers(1, 3)])
    arguments = {**valid, **{key: gone_wrong(valid[key], draw) for key in wrong}}
    outcome = outcome_of(call, arguments)
    return outcome, None if outcome in ("result", "refused") else (seed, name, wrong, arguments)


def outcome_of(call, arguments):
    """Return "result", "refused", or what is no good."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            call(**arguments)
        except (ValueError, TypeError) as error:
            text = str(error)
            inner = [k for value in arguments.values() if isinstance(value, dict) for k in value]
            named = any(
                re.search(rf"\b{re.escape(str(k).removesuffix('s'))}s?\b", text)
                for k in [*arguments, *inner]
            )
            if named and ("got" in text or ":" in text):
                return "refused"
            return f"unnamed: {type(error).__name__}: {text[:120]}"
        except Exception as error:
            return f"{type(error).__name__}: {str(error)[:120]}"
    return "result"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--here", action="store_true", help="in this process: a crash ends it")
    options = parser.parse_args()
    if options.here:
        classes = Counter()
        for seed in range(options.first, options.first + options.cases):
            outcome, case = attempt(seed)
            classes["result" if outcome == "result" else outcome] += 1
            if case is not None:
                print(f"seed {case[0]}: {case[1]}({', '.join(case[2])}): {outcome}", flush=True)
        print({k: v for k, v in classes.items() if k in ("result", "refused")})
        sys.exit(any(outcome not in ("result", "refused") for outcome in classes))
    bad = 0
    for first in range(options.first, options.first + options.cases, 20_000):
        number = min(20_000, options.first + options.cases - first)
        command = [sys.executable, "-m", "tests.border", "--here"]
        done = subprocess.run([*command, "--first", str(first), "--cases", str(number)])
        print(f"cases {first} to {first + number - 1}: exit status {done.returncode}", flush=True)
        bad += done.returncode != 0
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
