import numpy as np
import pytest
import xarray as xr

from largestep.experiments.extensions.hold_elsewhere.compute import GRID, noise_target
from largestep.experiments.extensions.hold_elsewhere.show import grids_best


def test_the_target_by_the_noise_is_a_geometric_mean_and_no_less_than_the_default():
    assert noise_target(0.2, 0.5) == pytest.approx(np.sqrt(0.04))
    assert noise_target(0.0, 0.5) == 0.02


def test_the_grids_best_has_the_lowest_median_and_loses_no_seed():
    losses = np.full((2, len(GRID), 3), 9.0)
    losses[0, 2] = [1.0, 2.0, 30.0]
    losses[0, 3] = [0.1, 0.1, np.nan]
    losses[1, 5] = [3.0, 4.0, 5.0]
    dataset = xr.Dataset(
        {"test_loss": (("problem", "way", "seed"), losses)},
        coords={"way": [f"{eta:g}" for eta in GRID]},
    )
    assert grids_best(dataset).T.tolist() == [[1.0, 2.0, 30.0], [3.0, 4.0, 5.0]]
