"""What `lazy` computes."""

from functools import partial

import numpy as np
import xarray as xr

from largestep import measures
from largestep.dynamics import GD, simulate
from largestep.experiments.budget import Budget
from largestep.experiments.data_seeds import over_data
from largestep.networks import Gaussian, ReLU
from largestep.problems import sphere
from largestep.store import Results

INPUTS = 10
WIDTHS = (16, 64, 256, 1024)
LAZY, CATAPULT, TOO_LARGE = 1.0, 3.0, 16.0
GRID = (0.5, 1.0, 1.5, 1.8, 2.2, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 8.0, 16.0)
GRID_WIDTH = 256
# A catapult throws the loss high before it lands.
_BOUND = 1e12

TANGENT, USUAL = "tangent parameterisation", "usual parameterisation"


def network(width: int, parameterisation: str) -> ReLU:
    """Return a network without biases, in either parameterisation.

    The tangent kernel's has weights N(0, 1) and a layer's outputs divided by √fan-in. As ReLU is
    homogeneous, gradient descent on it is gradient descent on this network with both layers
    N(0, 1/√(dm)): the factors (dm)^(-1/4) of the two layers are equal, so that one step size is
    one step size, times a constant. The usual one starts at N(0, 1/fan-in) instead.
    """
    both = Gaussian((INPUTS * width) ** -0.25)
    usual = Gaussian(INPUTS**-0.5), Gaussian(width**-0.5)
    return ReLU((INPUTS, width), False, both if parameterisation == TANGENT else usual)


def compute(budget: Budget) -> Results:
    """Return the ends of GD over widths, in both parameterisations, and over step sizes."""
    results = {
        way: over_data(f"lazy, {way}", budget, partial(_widths, budget, way))
        for way in (TANGENT, USUAL)
    }
    results["step sizes"] = over_data("lazy, step sizes", budget, partial(_grid, budget))
    return Results.from_dict(results)


def _widths(budget: Budget, way: str, seed: int) -> xr.Dataset:
    ends = [_ends(budget, network(m, way), (LAZY, CATAPULT), seed) for m in WIDTHS]
    return xr.concat(ends, xr.DataArray(list(WIDTHS), dims="width", name="width"))


def _grid(budget: Budget, seed: int) -> xr.Dataset:
    return _ends(budget, network(GRID_WIDTH, TANGENT), GRID, seed)


def _ends(budget: Budget, net: ReLU, kappas: tuple[float, ...], seed: int) -> xr.Dataset:
    """Return how GD with step sizes κ/λ_max of the start ends."""
    problem = sphere(30, INPUTS, seed)
    start = net.initialize(np.random.default_rng(seed))
    sharpness = float(measures.curvature().on(net, problem, start[np.newaxis])[0, 0])
    ends = [
        _end(
            simulate(
                net,
                problem,
                GD(),
                kappa / sharpness,
                steps=(steps := budget.steps(round(600 / kappa))),
                initial=start,
                seeds=seed,
                measure=(
                    "train_loss",
                    measures.kernel_distance(every=steps + 1),
                    measures.curvature(every=steps + 1),
                ),
                record=np.arange(steps + 1),
                residual_bound=_BOUND,
                threads=1,
            ).isel(schedule=0, seed=0, drop=True),
            problem.zero_loss,
        )
        for kappa in kappas
    ]
    return xr.concat(ends, xr.DataArray(list(kappas), dims="kappa", name="kappa"))


def _end(run: xr.Dataset, zero_loss: float) -> xr.Dataset:
    sharpness = run.curvature.sel(quantity="largest", drop=True)
    first, last = sharpness.isel(step=0, drop=True), sharpness.isel(step=-1, drop=True)
    return xr.Dataset(
        {
            "kernel_distance": run.kernel_distance.isel(step=-1, drop=True),
            "sharpness_ratio": last / first,
            "sharpness": first,
            "peak_loss": run.train_loss.max("step") / zero_loss,
            "end_loss": run.train_loss.isel(step=-1, drop=True) / zero_loss,
            "start_loss": run.train_loss.isel(step=0, drop=True) / zero_loss,
            "diverged_at": run.diverged_at,
        }
    )
