"""Every experiment that runs by default: computed in a tenth of the steps, claimed and drawn."""

import pytest

from largestep.experiments import Budget, find


@pytest.mark.parametrize("name", [n for n, e in find().items() if not e.by_name])
def test_it_computes_claims_and_draws(name, tmp_path, request):
    experiment = find()[name]
    if experiment.needs_torch:
        request.getfixturevalue("narrow")
    seeds = [0] if experiment.needs_torch else [0, 1]  # networks cost seconds each
    results = experiment.compute(Budget(seeds, quick=True))
    found = [claim.check(results) for claim in experiment.claims]
    assert len({(c["claim"], c["measured"]) for c in found}) == len(found)
    # So few seeds decide no median and no share of nine in ten.
    over_seeds = {c["verdict"] for c in found if c["over"] == "seeds"}
    assert over_seeds <= {"does not hold", "undecided"}
    assert all(c["undecided_because"] for c in found if c["verdict"] == "undecided")
    figures = experiment.draw(results)
    assert next(iter(figures)) == "figure"
    if experiment.captions:
        assert set(figures) <= set(experiment.captions)
    for label, figure in figures.items():
        figure.savefig(tmp_path / f"{label}.png")
        assert (tmp_path / f"{label}.png").stat().st_size > 10_000
