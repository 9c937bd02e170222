"""What `kappa` says of results that are known, and that it trains."""

import numpy as np
import pytest
import xarray as xr

from largestep import experiments
from largestep.store import Results

torch = pytest.importorskip("torch")
from largestep.experiments.extensions.kappa import compute  # noqa: E402

EXPERIMENT = experiments.get("kappa")


def made(sparsity, error, ruined=0.0):
    """Return results whose sparsity and error are these at κ = 2, and 0.6 and 4 % elsewhere."""
    labels = [*compute.KAPPAS, compute.TEN_TIMES]
    seeds = np.linspace(-0.01, 0.01, 5)
    values = {
        "sparsity": [sparsity if label == "κ = 2" else 0.6 for label in labels],
        "test_error": [error if label == "κ = 2" else 0.04 for label in labels[:-1]] + [0.9],
        "train_error": [0.0] * 4 + [ruined, 0.9],
        "step_size": [0.1] * 6,
        "recoveries": [0] * 6,
    }
    dataset = xr.Dataset(
        {
            name: (("schedule", "seed"), np.add.outer(column, seeds * (name == "sparsity")))
            for name, column in values.items()
        },
        coords={"schedule": labels, "seed": range(5)},
    )
    return Results.from_dict(dict.fromkeys(compute.OPTIMIZERS, dataset))


def verdicts(results):
    return [claim.check(results)["verdict"] for claim in EXPERIMENT.claims]


def test_claims_hold_where_they_should_and_not_elsewhere():
    assert verdicts(made(0.3, 0.045)) == ["holds"] * 7
    assert verdicts(made(0.59, 0.06, 0.5)) == ["does not hold"] * 6 + ["does not hold"]
    assert EXPERIMENT.draw(made(0.3, 0.045))["figure"].axes


@pytest.mark.filterwarnings("ignore:κ should be")  # thirty steps are too few
def test_every_kappa_trains():
    found = compute._at_every_kappa("momentum", 3, 2)
    assert list(found.schedule.values) == [*compute.KAPPAS, compute.TEN_TIMES]
    assert (found.test_error < 0.95).sel(schedule="κ = 1")
    assert found.step_size.sel(schedule=compute.TEN_TIMES) == pytest.approx(
        10 * found.step_size.sel(schedule=compute.USUAL).item()
    )
    again = compute._train("momentum", 3, 2, 1.0)
    assert again["test_error"] == found.test_error.sel(schedule=compute.USUAL)
