import numpy as np
import pytest
import xarray as xr

from largestep import store
from largestep.store import Results


@pytest.fixture
def results():
    dataset = xr.Dataset({"loss": ("step", np.arange(5.0))}, attrs={"network": "none"})
    return Results.from_dict(
        {"diagonal/sgd": dataset, "diagonal/gd": dataset * 2, "table": dataset}
    )


def test_results_come_back_as_they_were_saved(results, tmp_path):
    path = tmp_path / "results.nc"
    store.save(path, results, {"seeds": [0, 1]})
    loaded, config = store.load(path)
    assert config == {"seeds": [0, 1]}
    assert set(loaded) == {"diagonal", "table"}
    xr.testing.assert_identical(loaded, results)
    assert "configuration" not in results.attrs


def test_a_name_may_hold_any_sign(results, tmp_path):
    tree = Results.from_dict({"x² ∝ 0.2 or 1.9": results["table"].dataset})
    store.save(tmp_path / "r.nc", tree, {})
    assert list(store.load(tmp_path / "r.nc")[0]) == ["x² ∝ 0.2 or 1.9"]


def test_a_variable_may_be_called_as_its_node_is(results, tmp_path):
    tree = Results.from_dict({"loss": results["table"].dataset})
    store.save(tmp_path / "r.nc", tree, {})
    xr.testing.assert_identical(store.load(tmp_path / "r.nc")[0], tree)


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"nonsense", lambda b: b""]
)
def test_damaged_results_are_named(results, tmp_path, damage):
    path = tmp_path / "results.nc"
    store.save(path, results, {})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"results\.nc cannot be read as results"):
        store.load(path)


def test_missing_results_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no results at"):
        store.load(tmp_path / "results.nc")


def test_only_results_of_the_same_key_are_taken_up(results, tmp_path, capsys):
    path, computed = tmp_path / "results.nc", []

    def compute():
        computed.append(1)
        return results

    for key, times in (("a", 1), ("a", 1), ("b", 2), ("a", 3)):
        found = store.taken_up_or_computed(path, {"key": key}, compute)
        xr.testing.assert_identical(found, results)
        assert len(computed) == times
    path.write_bytes(path.read_bytes()[:500])
    store.taken_up_or_computed(path, {"key": "a"}, compute)
    assert len(computed) == 4
    assert "results.nc cannot be read as results" in capsys.readouterr().err
