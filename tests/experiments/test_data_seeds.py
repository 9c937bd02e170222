import numpy as np
import pytest
import xarray as xr

from largestep.experiments.budget import Budget
from largestep.experiments.data_seeds import over_data


def test_each_seed_has_its_own_place_whatever_the_order():
    def own(seed):
        return xr.Dataset({"x": ("k", np.full(2, seed))}, attrs={"same": 1, "problem": seed})

    found = over_data("it", Budget([7, 3, 5], threads=3), own)
    assert found.seed.values.tolist() == [7, 3, 5]
    assert found.x.sel(seed=3).values.tolist() == [3, 3]
    assert found.attrs == {"same": 1}


def test_a_seed_that_fails_fails_as_it_did():
    def fails(seed):
        raise ValueError(f"seed {seed} is bad")

    with pytest.raises(ValueError, match="seed 4 is bad"):
        over_data("it", Budget([4]), fails)
