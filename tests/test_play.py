"""What the page computes in a browser is what the library computes."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import largestep as ls
from largestep.experiments.andriushchenko2023.surface import compute, show

SCRIPT = Path(ls.__file__).parent / "report" / "templates" / "play.js"

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")


def node(body, given):
    """Return what a function body returns that sees `play`, the page's script, and `given`."""
    program = f"""
        const play = require({json.dumps(str(SCRIPT))});
        const given = JSON.parse(require("fs").readFileSync(0, "utf8"));
        console.log(JSON.stringify((() => {{ {body} }})()));
    """
    done = subprocess.run(
        ["node", "-e", program], input=json.dumps(given), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def material():
    return show.play(None)["descent"]


def test_the_orders_of_the_examples_are_those_of_the_library(material):
    streams = [np.random.SeedSequence(seed).spawn(3)[1] for seed in range(3)]
    for n in (7, 20, 1000):
        found = node(
            "return play.orders(given.streams.slice(0, 3), given.n, 500).map((o) => [...o])",
            {**material, "n": n},
        )
        expected = [np.random.default_rng(s).integers(0, n, size=(500, 1)).ravel() for s in streams]
        np.testing.assert_array_equal(found, expected)


def trained(material, large, steps, every):
    """Return the page's runs of three seeds, constant large step until half of the steps."""
    return node(
        """
        const orders = play.orders(given.streams.slice(0, 3), given.x.length, given.steps);
        const stepSize = play.phase(given.large, 6, 0.5);
        return orders.map((o) => {
          const run = play.descend(given, stepSize, o, given.steps, given.every);
          return { ...run, u: [...run.u], v: [...run.v] };
        });
        """,
        {**material, "large": large, "steps": steps, "every": every},
    )


def simulated(large, steps, every):
    return ls.simulate(
        compute.NETWORK,
        compute.problem(),
        ls.dynamics.SGD(),
        {"it": ls.schedules.decay(large, factor=6, at=0.5)},
        steps=steps,
        seeds=range(3),
        record=range(0, steps + 1, every),
        measure=["train_loss", "nonzero_coordinates", "parameters"],
    ).isel(schedule=0)


# What differs is rounding, which chaos doubles every few dozen large steps.
@pytest.mark.parametrize(("large", "steps", "exact"), [(0.1, 5000, 1e-9), (0.6, 400, 1e-6)])
def test_the_trajectory_is_that_of_the_library(material, large, steps, exact):
    every = steps // 10
    expected = simulated(large, steps, every)
    for seed, run in enumerate(trained(material, large, steps, every)):
        mine = expected.sel(seed=seed)
        assert run["diverged"] is None
        assert run["steps"] == mine.step.values.tolist()
        np.testing.assert_allclose(run["train"], mine.train_loss, rtol=exact)
        np.testing.assert_array_equal(run["coordinates"], mine.nonzero_coordinates)
        np.testing.assert_allclose(
            run["u"] + run["v"], mine.parameters.isel(step=-1), rtol=exact, atol=exact
        )


def test_a_run_that_diverges_does_so_at_the_step_of_the_library(material):
    expected = simulated(1.5, 200, 20)
    for seed, run in enumerate(trained(material, 1.5, 200, 20)):
        assert run["diverged"] == expected.diverged_at.sel(seed=seed).item()


@pytest.mark.parametrize("a", [0.5, 1.5, 2.0])
def test_the_map_is_that_of_the_library(a):
    runs = ls.simulate(
        ls.networks.ScalarQuadratic(theta0=0.5),
        ls.problems.Problem([[1.0]], [1.0]),
        ls.dynamics.SGD(),
        a / 2,
        steps=20,
        record=range(21),
        measure=["parameters"],
    )
    found = node("return play.squares(0.5, given.a, 20)", {"a": a})
    np.testing.assert_allclose(found, runs.parameters.values.ravel(), rtol=1e-6)


def test_medians_leave_out_what_is_no_number():
    assert node("return [play.median([3, NaN, 1]), play.median([4, 1, 2])]", {}) == [2, 2]
