"""The bake-off: its problems, its methods, who chooses from the grids, and what the claims say."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import xarray as xr

from largestep import experiments, reproduction
from largestep.experiments import Budget, experiment
from largestep.experiments.extensions.tuning_free import compute, judged, names

torch = pytest.importorskip("torch")
from torch.nn import functional  # noqa: E402

from largestep.experiments.extensions.tuning_free import contest, methods, problems  # noqa: E402

PACKAGES = {
    "schedule_free": "schedulefree",
    "prodigy": "prodigyopt",
    "layerwise_dog": "dog",
    "momo": "momo",
}
WAYS = {
    **names.METHODS,
    **{name: (maker, {"step_size": sizes[1]}) for name, (maker, sizes) in names.GRIDS.items()},
}


def tiny(seed=0):
    """Return three well separated classes in four dimensions, for a network with batch norm."""
    rng = np.random.default_rng(0)
    y = torch.arange(60) % 3
    x = torch.from_numpy(rng.standard_normal((60, 4)).astype(np.float32))
    x[torch.arange(60), y] += 3.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = torch.nn.Sequential(
            torch.nn.Linear(4, 16),
            torch.nn.BatchNorm1d(16),
            torch.nn.ReLU(),
            torch.nn.Linear(16, 3),
        )
    return problems._classified(model, (x, y), (x, y), features="2", epochs=4, batch_size=12)


def ended(task, make, seed=0):
    return dict(zip(names.QUANTITIES, contest.run_one(task, make, seed), strict=True))


@pytest.mark.parametrize("name", names.PROBLEMS.values())
def test_a_problem_is_fixed_by_its_seed_and_starts_no_better_than_a_constant(name):
    build = getattr(problems, name)
    first, again, other = build(3), build(3), build(4)
    weights = [[p.detach() for p in task.model.parameters()] for task in (first, again, other)]
    assert all(map(torch.equal, weights[0], weights[1]))
    assert not all(map(torch.equal, weights[0], weights[2]))
    for part in ("train", "test"):
        assert all(map(torch.equal, getattr(first, part), getattr(other, part)))
    assert first.features in dict(first.model.named_modules())
    x, y = first.test
    with torch.no_grad():
        outputs = first.model.eval()(x[:100])
        loss, error = first.loss(outputs, y[:100]), first.error(outputs, y[:100])
    assert bool(loss.isfinite())
    assert float(error) > 0.6 * first.constant > 0.0


def test_a_fifth_of_the_labels_is_wrong():
    clean, noisy = problems.residual(0), problems.wrong_labels(0)
    assert float((clean.train[1] != noisy.train[1]).double().mean()) == 0.2
    assert torch.equal(clean.test[1], noisy.test[1])


@pytest.mark.parametrize("name", WAYS)
def test_a_method_learns_in_twenty_steps_and_does_so_again(name):
    maker, settings = WAYS[name]
    if maker in PACKAGES:
        pytest.importorskip(PACKAGES[maker])
    make = partial(getattr(methods, maker), **settings)
    found = ended(tiny(), make)
    assert found["test_error"] < 1.2 * found["constant"]
    assert 0.0 < found["sparsity"] < 1.0
    assert found["collapsed"] == 0.0
    np.testing.assert_equal(ended(tiny(), make), found)
    assert ended(tiny(1), make)["train_loss"] != found["train_loss"]


def test_a_run_that_diverges_says_when_and_has_no_error():
    task = replace(
        tiny(), loss=lambda outputs, y: 1e3 * functional.mse_loss(outputs.sum(1), y * 1.0)
    )
    found = ended(task, partial(methods.grid_sgd, step_size=1e9))
    assert 0 < found["diverged_at"] < 20
    assert np.isnan(found["test_error"])


def test_times_are_side_by_side_and_those_of_a_step():
    makes = [methods.usual_adamw, methods.cdat]
    once, twice = contest.time_all(tiny, makes)
    assert 0.0 < once < twice < 1e3  # it differentiates twice


def test_the_first_step_of_cdat_on_a_parabola_is_half_the_way():
    # Adam's first direction is −1, its curvature 6, the slope 6θ: η = ½ · 6θ/6.
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, 2.0)
    method = methods.cdat(model, 10)
    loss = method.step(lambda: (3.0 * model(torch.ones(1, 1)) ** 2).mean())
    assert float(loss) == 12.0
    assert model.weight.item() == pytest.approx(1.0, abs=1e-6)


def test_step_sizes_rise_stay_and_fall():
    assert [methods.constant_then_linear(t) for t in (0.0, 0.5, 0.75)] == [1.0, 1.0, 0.5]
    assert [methods.cosine(t) for t in (0.0, 0.5)] == pytest.approx([1.0, 0.5])
    assert methods.warm_cosine(0.0) < 0.03
    assert methods.warm_cosine(0.05) == 1.0


def planted(error, monkeypatch, budget):
    """Return the results where a run's error is what is said of it."""

    def rows(quick, runs):
        found = {
            "train_loss": 0.1,
            "sparsity": 0.5,
            "constant": 1.0,
            "diverged_at": np.nan,
            "collapsed": 0.0,
            "recoveries": 0.0,
        }
        return [
            [({"test_error": error(run)} | found | sparser(run))[q] for q in names.QUANTITIES]
            for run in runs
        ]

    def sparser(run):
        return {"sparsity": 0.3} if run.method == names.HELD_ADAMW else {}

    monkeypatch.setattr(compute, "_train", rows)
    monkeypatch.setattr(compute, "_time", lambda shared, blocks: [1.0] * len(blocks[0]))
    with ThreadPoolExecutor(1) as pool:
        return compute.compute(replace(budget, executor=pool))


def test_seeds_that_are_shown_choose_nothing_and_runs_are_taken_up(monkeypatch, tmp_path):
    budget = Budget([0, 1], quick=True, folder=tmp_path)

    def misleading(run):
        # The smallest step size is the best for the seed that chooses, the largest for the others.
        size = run.step_size or 1.0
        return size / 10 if run.seed in names.CHOOSING else 0.1 / size

    first = planted(misleading, monkeypatch, budget)
    chosen = first["contest"].dataset.step_size.sel({"method": list(names.GRIDS)})
    assert (chosen == [sizes[0] for _, sizes in names.GRIDS.values()]).all()
    with monkeypatch.context() as context:
        again = planted(lambda run: pytest.fail("it runs again"), context, budget)
    xr.testing.assert_identical(again["contest"].to_dataset(), first["contest"].to_dataset())
    with pytest.raises(ValueError, match="seeds must not hold 900, which chooses"):
        compute.compute(Budget([899, 900]))


def test_of_a_grid_what_is_lost_least_comes_first():
    grid = xr.Dataset(
        {
            "test_error": (("trial", "choosing"), [[0.1, np.nan], [0.3, 0.3], [0.2, 0.2]]),
            "diverged_at": (("trial", "choosing"), [[np.nan, 5.0], [np.nan] * 2, [np.nan] * 2]),
            "collapsed": (("trial", "choosing"), [[0.0, np.nan], [0.0, 0.0], [0.0, 0.0]]),
        }
    )
    assert compute.choose(grid) == 2


@pytest.fixture
def contested(monkeypatch):
    """Return results by what HoldEdge's error is over the grids' best, and what is typed."""

    def results(held, typed=1.5):
        def error(run):
            factor = {names.HELD_ADAMW: held, names.HELD_SGD: held, names.TYPED: typed}
            of_grid = 1.0 if run.step_size in (3e-3, None) else 1.2
            if run.step_size == 1.0:
                return 0.9  # lost
            return (
                0.1
                * factor.get(run.method, of_grid)
                * (1 + 0.001 * (run.seed * len(run.problem) % 5))
            )

        return planted(error, monkeypatch, Budget(list(range(5))))

    return results


def verdict(results, sentence):
    (claim,) = (c for c in experiments.get("tuning-free").claims if c.sentence == sentence)
    return claim.check(results)


def test_the_claims_tell_a_good_method_from_a_bad_one(contested, tmp_path):
    near = f"{names.HELD_ADAMW}, one setting, is near the best of the grids on most problems."
    less = f"{names.HELD_ADAMW} errs less than what people type."
    nowhere = f"{names.HELD_ADAMW} fails nowhere: more than nine runs in ten learn."
    sparser = f"{names.HELD_ADAMW} is sparser than the best of the grids."
    rival = f"MoMo-Adam errs more than {names.HELD_ADAMW}."
    results = contested(held=0.9)
    good = {claim: verdict(results, claim) for claim in (near, less, nowhere, sparser, rival)}
    assert {found["verdict"] for found in good.values()} == {"holds"}
    assert good[near]["control"]["verdict"] == "does not hold"
    assert good[nowhere]["control"]["statistic"] == 0.0
    for name, figure in experiments.get("tuning-free").draw(results).items():
        figure.savefig(tmp_path / f"{name}.png")
    bad = contested(held=2.0)
    assert {verdict(bad, claim)["verdict"] for claim in (near, less)} == {"does not hold"}
    assert verdict(contested(held=0.9, typed=1.0), near)["verdict"] == "not discriminating"
    assert verdict(contested(held=8.0), nowhere)["verdict"] == "does not hold"


def test_what_is_lost_counts_as_a_constant_and_half_a_point_is_near(contested):
    found = judged.judged(contested(held=8.0))
    assert bool(found.lost.sel({"method": names.HELD_ADAMW}).all())
    assert (found.error.sel({"method": names.HELD_ADAMW}) == 1.0).all()
    assert not found.lost.sel({"method": names.TYPED}).any()
    one = {"problem": ["MLP", "autoencoder", "transformer, ReLU"], "method": ["a"], "seed": [0]}
    errors = np.array([0.014, 0.014, 0.0103])[:, np.newaxis, np.newaxis]
    close = judged.near(
        xr.Dataset(
            {"error": (tuple(one), errors), "best_error": ("problem", [0.01] * 3)}, coords=one
        )
    )
    assert close.values.ravel().tolist() == [True, False, False]


def test_missing_packages_are_named_before_anything_is_computed(monkeypatch, tmp_path):
    monkeypatch.setattr(experiment, "distributions", lambda: [])
    with pytest.raises(
        ModuleNotFoundError,
        match="tuning-free needs other people's packages: pip install dog-optimizer momo-opt",
    ):
        reproduction.reproduce(["tuning-free"], tmp_path)


def test_a_quick_look_has_few_problems_and_methods():
    assert set(names.QUICK_PROBLEMS) < set(names.PROBLEMS)
    assert set(names.QUICK_METHODS) < set(names.METHODS)
    assert experiments.get("tuning-free").by_name
