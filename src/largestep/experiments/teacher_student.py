"""`teacher-student`: neurons move in the plane and find their teachers."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep import measures, networks, problems
from largestep.experiments.base import Budget, Experiment
from largestep.experiments.claims import Claim
from largestep.experiments.common import (
    at_end,
    capped_and_not,
    diverges_rarely,
    drops_at_decay,
    falls,
    falls_with_length,
    kept_after_decay,
    reached_before_decay,
    stabilises,
)
from largestep.figures.neurons import draw_plane
from largestep.figures.relu import draw_rows
from largestep.schedules import constant, decay
from largestep.store import Results

# The paper's teacher: three unit neurons, by their angles, that PyTorch drew from its seed 1.
TEACHER_ANGLES = np.array([-3.0773569313586084, 2.772117041866298, -0.10039922461922876])
TEACHER_OUTPUTS = np.array([-1.0, -1.0, 1.0])

SMALL = "0.13"
LARGE = ("0.455, /2 at 10%", "0.455, /4 at 30%", "0.455, /5 at 50%")
LENGTHS = ("10%", "30%", "50%")
SCHEDULES = {
    SMALL: constant(0.13),
    LARGE[0]: decay(0.455, factor=2, at=0.1),
    LARGE[1]: decay(0.455, factor=4, at=0.3),
    LARGE[2]: decay(0.455, factor=5, at=0.5),
}
CAP, STEPS = 3.0, 14_126
STUDENT = networks.ReLU(
    widths=(2, 20),
    biases=False,
    weights_from=(networks.Gaussian(0.5), networks.Gaussian(0.0)),
)


def problem() -> problems.Problem:
    """Return the paper's fifteen points on the circle, with their teacher's targets."""
    teacher = networks.ReLU(widths=(2, 3), biases=False)
    directions = np.column_stack([np.cos(TEACHER_ANGLES), np.sin(TEACHER_ANGLES)])
    theta = np.concatenate([directions.ravel(), TEACHER_OUTPUTS])
    return problems.from_teacher(teacher, theta, n=15, seed=1, on_sphere=True)


def aligned_share(
    network: networks.Network, data: problems.Problem, thetas: np.ndarray
) -> np.ndarray:
    """Return the share of the student's mass within 5° of a teacher neuron's direction.

    A neuron's mass is |output weight| · ‖input weights‖: what it adds to the function. It is NaN
    while every neuron has none.
    """
    assert isinstance(network, networks.ReLU)
    (inputs, _), (outputs, _) = network.unpack(thetas)
    mass = np.abs(outputs[:, 0]) * np.linalg.norm(inputs, axis=-1)
    angles = np.arctan2(inputs[..., 1], inputs[..., 0])
    apart = np.abs(np.angle(np.exp(1j * (angles[..., np.newaxis] - TEACHER_ANGLES)))).min(axis=-1)
    total = mass.sum(axis=-1)
    aligned = (mass * (apart < np.radians(5))).sum(axis=-1)
    return np.divide(aligned, total, out=np.full_like(total, np.nan), where=total > 0)


def turned(network: networks.Network, data: problems.Problem, thetas: np.ndarray) -> np.ndarray:
    """Return the median angle, in degrees, by which the neurons have turned since the start."""
    assert isinstance(network, networks.ReLU)
    inputs = network.unpack(thetas)[0][0]
    angles = np.arctan2(inputs[..., 1], inputs[..., 0])
    moved = np.abs(np.angle(np.exp(1j * (angles - angles[0]))))
    return np.degrees(np.median(moved, axis=-1))


def compute(budget: Budget) -> Results:
    """Return the trajectories of SGD, as in the paper and with a cap on each example's step."""
    return capped_and_not(
        budget,
        "teacher-student",
        STUDENT,
        problem(),
        SCHEDULES,
        cap=CAP,
        steps=STEPS,
        measure=(
            "train_loss",
            "test_loss",
            measures.jacobian_rank(1e-4, every=3),
            measures.feature_sparsity(0.99, every=3),
            measures.parameters(every=3),
            measures.Measure(
                "aligned_share", aligned_share, "share of mass within 5° of a teacher"
            ),
            measures.Measure("turned", turned, "median turn of a neuron, degrees"),
        ),
    )


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw the measures, and the plane of neurons."""
    capped = results["capped"]
    return {
        "figure": draw_rows({"SGD": results["sgd"], "capped SGD": capped}),
        "neurons": draw_plane(capped, STUDENT, TEACHER_ANGLES, TEACHER_OUTPUTS),
    }


def rank(dataset: xr.Dataset) -> xr.DataArray:
    """Return the rank of the Jacobian."""
    return dataset.jacobian_rank


def sparsity(dataset: xr.Dataset) -> xr.DataArray:
    """Return the feature sparsity coefficient of the last hidden layer."""
    return dataset.feature_sparsity


def _aligned(schedule: str, results: Results) -> np.ndarray:
    return at_end(results["capped"].aligned_share, schedule)


def _turned(results: Results) -> np.ndarray:
    return at_end(results["capped"].turned, SMALL)


def _gain(results: Results) -> np.ndarray:
    return _aligned(LARGE[2], results) - _aligned(SMALL, results)


CLAIMS: tuple[Claim, ...] = (
    stabilises("capped", LARGE[2], until=0.5, step_size="η = 0.455 (capped)"),
    drops_at_decay("capped", LARGE[2], until=0.5),
    *falls_with_length("capped", rank, "rank", LARGE, LENGTHS),
    *falls_with_length("capped", sparsity, "feature sparsity", LARGE, LENGTHS),
    *falls_with_length("capped", lambda d: d.test_loss, "test loss", LARGE, LENGTHS),
    falls(
        "capped",
        sparsity,
        "feature sparsity",
        from_schedule=SMALL,
        to_schedule=LARGE[2],
        sentence="Large steps end at less than half of the small step's feature sparsity.",
        bound=0.5,
    ),
    falls(
        "capped",
        lambda d: d.test_loss,
        "test loss",
        from_schedule=SMALL,
        to_schedule=LARGE[2],
        sentence="Large steps end at a lower test loss than small ones.",
    ),
    reached_before_decay("capped", sparsity, "feature sparsity", LARGE[2], 0.5),
    kept_after_decay("capped", sparsity, "feature sparsity", LARGE[2], 0.5),
    Claim(
        "With small steps neurons barely move.",
        f"median turn of a neuron, degrees ({SMALL})",
        _turned,
        "below",
        10.0,
    ),
    Claim(
        "With large steps neurons align with the teacher's.",
        f"share of mass within 5° of a teacher, {LARGE[2]} minus {SMALL}, same seed",
        _gain,
        "above",
        0.0,
    ),
    diverges_rarely("sgd", LARGE[2]),
    diverges_rarely("capped", LARGE[2], dynamics="Capped SGD"),
)

EXPERIMENT = Experiment(
    name="teacher-student",
    title="Teacher and student",
    shows="With small steps neurons stay where they are; with large ones they find their teachers.",
    setting="""
Fifteen points on the unit circle, a teacher of three unit neurons with outputs ±1 (the paper's
own points and teacher), a student of 20 neurons without biases: input weights 0.5·N(0, 1), output
weights 0. SGD with batch size 1, 14 126 steps. Seeds draw the student and the order of the
examples.

At the paper's step size most initialisations diverge (first row). So the claims are checked on SGD
with a cap: an example's step size is min(η, 3 / (2‖∇h(x)‖²)), the same schedules otherwise (second
row). The rank is that of the Jacobian at 60 test inputs (tolerance 1e-4), the feature sparsity
coefficient is taken at the training points (correlation threshold 0.99). The plane shows the
input weights of one seed's neurons, from the hollow start to the filled end; the size of the end
is the neuron's mass.
""",
    seconds=15,
    compute=compute,
    claims=CLAIMS,
    draw=draw,
)
