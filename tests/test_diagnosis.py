"""The doctor's rules, each on what it should and should not find; it needs no PyTorch."""

import json

import numpy as np
import pytest
import xarray as xr

from largestep.diagnosis import RULES, diagnose, read

STEPS = np.arange(0, 401, 100)
LAYERS = ["first", "second"]


def training(losses=None, **quantities):
    """Return what a probe sees of a training that goes well, but for what is given."""
    losses = np.exp(-np.arange(400) / 60) + 0.01 if losses is None else losses
    by_step = {
        "batch_sharpness": np.linspace(5, 18, 5),
        "edge": np.full(5, 20.0),
        "noise_scale": np.array([40.0, 60, 300, np.inf, 900]),
        "batch_size": np.full(5, 32.0),
        "unlearned": np.array([0, 0.1, 0.03, 0.02, 0.01]),
        "test_error": np.array([0.9, 0.3, 0.1, 0.08, 0.09]),
    }
    by_layer = {
        "units": np.full((5, 2), 100.0),
        "dead": np.full((5, 2), 10.0),
        "merged": np.full((5, 2), 5.0),
        "activation_size": np.array([[1.0, 0.5]] * 5),
    }
    data = {name: ("step", values) for name, values in by_step.items()}
    data |= {name: (("step", "layer"), values) for name, values in by_layer.items()}
    data["train_loss"] = ("loss_step", losses)
    for name, values in quantities.items():
        if values is None:
            del data[name]
        else:
            data[name] = (data[name][0], np.asarray(values, dtype=float))
    coords = {"step": STEPS, "layer": LAYERS, "loss_step": np.arange(1, len(losses) + 1)}
    return xr.Dataset(data, coords)


def last_layers(first, second):
    return np.concatenate([np.full((4, 2), 10.0), [[first, second]]])


FLAT = np.full(400, 2.3)
ILL = {
    "diverging": training(np.geomspace(1, 30, 400)),
    "loss burst": training(np.where(np.arange(400) == 50, 9.0, np.exp(-np.arange(400) / 60))),
    "loss not falling": training(FLAT),
    "step too large": training(batch_sharpness=np.full(5, 60.0)),
    "step too small": training(FLAT, batch_sharpness=np.full(5, 0.01)),
    "batch too large": training(batch_size=np.full(5, 1024.0)),
    "label noise": training(unlearned=np.array([0, 0.4, 0.3, 0.3, 0.3])),
    "test error rising": training(test_error=[0.9, 0.1, 0.12, 0.3, 0.2]),
    "dead units": training(dead=last_layers(10, 80)),
    "duplicate units": training(merged=last_layers(70, 10)),
    "collapse near": training(dead=last_layers(48, 10), merged=last_layers(48, 10)),
    "exploding layer": training(activation_size=[[1.0, 0.5]] * 4 + [[1.0, 40.0]]),
}


def names(found):
    return {finding.name for finding in found.findings}


def test_nothing_is_found_where_all_is_well():
    found = diagnose(training())
    assert found.findings == ()
    assert found.unjudged == ()
    assert found.clear == tuple(rule.name for rule in RULES)
    assert str(found).startswith("Nothing found in 400 steps.")


def test_every_rule_has_an_illness_here():
    assert list(ILL) == [rule.name for rule in RULES]


@pytest.mark.parametrize("name", ILL)
def test_each_illness_is_found_and_told_with_its_evidence(name):
    found = diagnose(ILL[name])
    (finding,) = (f for f in found.findings if f.name == name)
    rule = next(rule for rule in RULES if rule.name == name)
    assert finding.threshold == rule.threshold
    assert finding.step in (0, 51, 400)
    assert f"step {finding.step}" in finding.text
    assert str(found).count(finding.advice) == 1
    also = {"step too small": {"loss not falling"}, "diverging": {"loss burst"}}
    assert names(found) == {name} | also.get(name, set())


def test_layers_are_named_and_the_worst_comes_first():
    found = diagnose(training(dead=last_layers(60, 80))).findings
    assert [(f.where, f.value) for f in found] == [("second", 0.8), ("first", 0.6)]
    assert "layer second: 80% of the units are dead (step 400; above 50%)" in found[0].text


def test_a_loss_that_is_not_finite_diverges_from_there():
    losses = np.exp(-np.arange(400) / 60)
    losses[250:] = np.nan
    found = diagnose(training(losses))
    (finding,) = found.findings
    assert (finding.name, finding.step, finding.value) == ("diverging", 251, np.inf)
    told = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert told["findings"][0]["value"] == "inf"


def test_what_is_not_recorded_is_not_judged_and_the_measure_is_named():
    found = diagnose(training(noise_scale=None, batch_size=None, edge=None))
    reasons = {unjudged.name: unjudged.reason for unjudged in found.unjudged}
    assert reasons["batch too large"] == (
        "noise_scale and batch_size are not recorded: GradientNoise() does"
    )
    missing = "edge is not recorded: BatchSharpness() and StepSize(optimizer) do"
    assert reasons["step too large"] == reasons["step too small"] == missing
    assert not {"batch too large", "step too large"} & set(found.clear)
    assert "Not judged:\n  step too large: edge is not recorded" in str(found)


@pytest.mark.parametrize(
    ("dataset", "rule", "reason"),
    [
        (training(np.ones(7)), "loss not falling", "7 losses are recorded, 20 are needed"),
        (training(np.empty(0)), "diverging", "0 losses are recorded, 20 are needed"),
        (training(edge=np.full(5, np.nan)), "step too large", "κ is nowhere finite"),
        (training(FLAT), "label noise", "nothing is learnt yet"),
        (training(noise_scale=np.full(5, np.nan)), "batch too large", "nowhere known"),
        (training(dead=np.full((5, 2), np.nan)), "dead units", "no layer was ever finite"),
        (training(test_error=[0.9, 0.2, *[np.nan] * 3]), "test error rising", "three meas"),
    ],
)
def test_what_the_record_does_not_tell_is_not_judged(dataset, rule, reason):
    found = diagnose(dataset)
    (unjudged,) = (u for u in found.unjudged if u.name == rule)
    assert reason in unjudged.reason
    assert rule not in found.clear


def test_a_measure_that_was_not_due_at_the_end_is_judged_where_it_was():
    dead = last_layers(10, 80)
    dead[-1] = np.nan
    dead[2] = [10, 80]
    dead[3] = np.nan
    units = np.where(np.isnan(dead), np.nan, 100.0)
    found = diagnose(training(dead=dead, units=units, merged=dead * 0))
    assert [(f.name, f.step) for f in found.findings] == [("dead units", 200)]


def test_other_datasets_and_files_are_refused(tmp_path):
    with pytest.raises(TypeError, match="dataset must be a Dataset, got 3"):
        diagnose(3)
    with pytest.raises(ValueError, match=r"must be one of a deep\.Probe, .* variables a$"):
        diagnose(xr.Dataset({"a": 1}))
    path = tmp_path / "probe.nc"
    path.write_bytes(b"no file of a probe")
    with pytest.raises(
        ValueError, match=r"probe\.nc is no file of a probe, written by Probe\.save"
    ):
        read(path)
    with pytest.raises(OSError, match=r"none\.nc"):
        read(tmp_path / "none.nc")
    training().to_netcdf(path, engine="h5netcdf")
    assert diagnose(read(path)) == diagnose(training())
