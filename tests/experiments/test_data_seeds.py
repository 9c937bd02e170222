from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
import xarray as xr

from largestep.experiments.budget import Budget
from largestep.experiments.data_seeds import over_data
from largestep.jobs import processes


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


def test_processes_are_started_for_more_than_one_at_once(monkeypatch):
    started = []

    @contextmanager
    def noted(number):
        started.append(number)
        with ThreadPoolExecutor(number) as pool:
            yield pool

    monkeypatch.setattr(processes, "process_pool", noted)

    def own(seed):
        return xr.Dataset({"x": np.random.default_rng(seed).standard_normal()})

    alone = over_data("it", Budget([1, 2, 3], threads=1), own, processes=True)
    assert started == []
    together = over_data("it", Budget([1, 2, 3], threads=2), own, processes=True)
    assert started == [2]
    xr.testing.assert_identical(alone, together)
    with ThreadPoolExecutor(1) as given:
        elsewhere = over_data("it", Budget([1, 2, 3], executor=given), own, processes=True)
    assert started == [2]
    xr.testing.assert_identical(alone, elsewhere)
