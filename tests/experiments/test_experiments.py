import numpy as np
import pytest

from largestep import experiments
from largestep.experiments import Budget, one_dimension, surface, teacher_student


@pytest.mark.parametrize("name", [n for n in experiments.NAMES if n not in experiments.BY_NAME])
def test_every_experiment_computes_claims_and_draws(name, tmp_path):
    experiment = experiments.get(name)
    results = experiment.compute(Budget(seeds=[0, 1, 2], quick=True))
    found = [claim.check(results) for claim in experiment.claims]
    assert len({(c["claim"], c["measured"]) for c in found}) == len(found)
    assert all(c["verdict"] in ("holds", "does not hold", "undecided") for c in found)
    figures = experiment.draw(results)
    assert next(iter(figures)) == "figure"
    for label, figure in figures.items():
        figure.savefig(tmp_path / f"{label}.png")
        assert (tmp_path / f"{label}.png").stat().st_size > 10_000


def test_unknown_experiments_are_refused():
    with pytest.raises(ValueError, match=r"must be one of diagonal, .*, got 'resnet'"):
        experiments.get("resnet")


def test_the_recursion_of_one_dimension_is_that_of_sgd():
    rng = np.random.default_rng(0)
    theta, x, step_size, truth = rng.uniform(0.5, 1.5, size=4)
    new = theta - step_size * (x * theta**2 - x * truth**2) * 2 * x * theta
    w, a = theta**2 / truth**2, 2 * step_size * x**2 * truth**2
    assert new**2 / truth**2 == pytest.approx(w * (1 - a * (w - 1)) ** 2)


def test_the_theory_of_one_dimension():
    sharpness = np.array([0.5, 0.95, 1.05, 2.0, 2.05])
    assert one_dimension.predicted(one_dimension.CONSTANT, sharpness).tolist() == [
        "converges",
        "converges",
        "stabilises",
        "stabilises",
        "diverges",
    ]


def test_folding_keeps_the_predictor_and_signs_agree(rng):
    theta = rng.standard_normal((5, 60))
    folded = surface.folded(theta)
    network = surface.NETWORK
    np.testing.assert_allclose(network.coefficients(folded), network.coefficients(theta))
    assert (folded[:, :30] >= 0).all()


def test_the_plane_holds_start_truth_and_the_flows_end(rng):
    end = np.abs(rng.standard_normal(60))
    axes = surface.plane(end)
    origin, first, second = axes
    np.testing.assert_allclose(
        [first @ first, second @ second, first @ second], [1, 1, 0], atol=1e-12
    )
    for theta in (origin, surface.truth(), end):
        x, y = surface.projected(theta, axes)
        np.testing.assert_allclose(origin + x * first + y * second, theta, atol=1e-12)


def test_mass_near_a_teacher_is_counted():
    angles = np.array([teacher_student.TEACHER_ANGLES[0] + 0.05, 1.0, *np.full(18, 2.0)])
    inputs = np.column_stack([np.cos(angles), np.sin(angles)])
    outputs = np.array([3.0, -1.0, *np.zeros(18)])
    theta = np.concatenate([inputs.ravel(), outputs])
    start = np.concatenate([inputs.ravel(), np.zeros(20)])
    share = teacher_student.aligned_share(
        teacher_student.STUDENT, teacher_student.problem(), np.stack([start, theta])
    )
    assert np.isnan(share[0])
    assert share[1] == pytest.approx(0.75)
