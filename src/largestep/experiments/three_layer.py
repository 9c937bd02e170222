"""`three-layer`: the same with two hidden layers and biases."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep import measures, networks, problems
from largestep.experiments.base import Budget, Experiment
from largestep.experiments.claims import Claim
from largestep.experiments.common import (
    capped_and_not,
    diverges_rarely,
    drops_at_decay,
    falls,
    falls_with_length,
    kept_after_decay,
    reached_before_decay,
    stabilises,
)
from largestep.experiments.teacher_student import rank, sparsity
from largestep.figures.relu import draw_rows
from largestep.schedules import constant, decay, power
from largestep.store import Results

SMALL = "0.011"
LARGE = ("0.04 ↗ 0.10, /3.5 at 10%", "0.04 ↗ 0.15, /2.5 at 30%", "0.04 ↗ 0.18, /5 at 50%")
LENGTHS = ("10%", "30%", "50%")
# η_t = 0.04·(1 + 5√t), t the fraction of the whole run.
WARM_UP = power(0.04, 0.24, exponent=0.5)
SCHEDULES = {
    SMALL: constant(0.011),
    LARGE[0]: decay(WARM_UP, factor=3.5, at=0.1),
    LARGE[1]: decay(WARM_UP, factor=2.5, at=0.3),
    LARGE[2]: decay(WARM_UP, factor=5, at=0.5),
}
CAP, STEPS = 3.0, 10_001
TEACHER = networks.ReLU(widths=(5, 2, 2), weights_from=networks.Gaussian(1.0))
STUDENT = networks.ReLU(widths=(5, 10, 10), weights_from=networks.Gaussian(0.8))
DATA_SEED = 0


def problem() -> problems.Problem:
    """Return fifty Gaussian points with a random teacher's targets."""
    theta = TEACHER.initialize(np.random.default_rng(DATA_SEED))
    return problems.from_teacher(TEACHER, theta, n=50, seed=DATA_SEED)


def compute(budget: Budget) -> Results:
    """Return the trajectories of SGD, as in the paper and with a cap on each example's step."""
    return capped_and_not(
        budget,
        "three-layer",
        STUDENT,
        problem(),
        SCHEDULES,
        cap=CAP,
        steps=STEPS,
        measure=(
            "train_loss",
            "test_loss",
            measures.jacobian_rank(1e-4, every=15),
            measures.feature_sparsity(0.99, layer=0, every=3),
            measures.feature_sparsity(0.99, every=3),
        ),
    )


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw the measures of both dynamics."""
    return {"figure": draw_rows({"SGD": results["sgd"], "capped SGD": results["capped"]})}


def first_layer(dataset: xr.Dataset) -> xr.DataArray:
    """Return the feature sparsity coefficient of the first hidden layer."""
    return dataset.feature_sparsity_1


CLAIMS: tuple[Claim, ...] = (
    stabilises("capped", LARGE[2], until=0.5, step_size="0.04 and above (capped)"),
    drops_at_decay("capped", LARGE[2], until=0.5),
    *falls_with_length("capped", rank, "rank", LARGE, LENGTHS),
    *falls_with_length("capped", sparsity, "feature sparsity (last layer)", LARGE, LENGTHS),
    *falls_with_length("capped", lambda d: d.test_loss, "test loss", LARGE, LENGTHS),
    falls(
        "capped",
        first_layer,
        "feature sparsity (first layer)",
        from_schedule=SMALL,
        to_schedule=LARGE[2],
        sentence="Large steps make the first layer's features sparser.",
    ),
    falls(
        "capped",
        sparsity,
        "feature sparsity (last layer)",
        from_schedule=SMALL,
        to_schedule=LARGE[2],
        sentence="Large steps make the last layer's features sparser.",
    ),
    falls(
        "capped",
        lambda d: d.test_loss,
        "test loss",
        from_schedule=SMALL,
        to_schedule=LARGE[2],
        sentence="Large steps end at a lower test loss than small ones.",
    ),
    reached_before_decay("capped", sparsity, "feature sparsity (last layer)", LARGE[2], 0.5),
    kept_after_decay("capped", sparsity, "feature sparsity (last layer)", LARGE[2], 0.5),
    diverges_rarely("sgd", LARGE[2]),
    diverges_rarely("capped", LARGE[2], dynamics="Capped SGD"),
)

EXPERIMENT = Experiment(
    name="three-layer",
    title="Three layers",
    shows="Both hidden layers of a deeper network grow sparse while the loss stays on its plateau.",
    setting="""
Fifty Gaussian points in five dimensions, a teacher of two hidden layers of two neurons (weights
N(0, 1), PyTorch's default biases), a student of two hidden layers of ten (weights 0.8·N(0, 1)).
SGD with batch size 1, 10 001 steps; the large steps warm up as 0.04·(1 + 5√t), t the fraction of
the whole run. Seeds draw the student and the order of the examples; the data are largestep's own,
the settings the paper's.

First row: SGD as in the paper. Second row, which the claims use: each example's step size capped
at 3 / (2‖∇h(x)‖²), so that no seed is lost to divergence. The rank is that of the Jacobian at 181
test inputs (tolerance 1e-4), the feature sparsity coefficients are taken at the training points
(correlation threshold 0.99).
""",
    seconds=20,
    compute=compute,
    claims=CLAIMS,
    draw=draw,
)
