"""What the page counts, and what it says of it."""

import pytest

from largestep.experiments import get
from largestep.report.page import NotRun, Section, false_alarms, tallies, write_page


def claim(verdict, *, whose=None, sentence="It is so.", bound=1.0, **changes):
    interval = [0.1, 0.2]
    found = {
        "claim": sentence,
        "whose": whose,
        "verdict": verdict,
        "undecided_because": "36 seeds would decide" if verdict == "undecided" else None,
        "statistic": 0.15,
        "interval": interval,
        "level": 0.95,
        "method": "order statistics, exact",
        "seeds": 20,
        "seeds_used": 18,
        "direction": "within" if isinstance(bound, list) else "below",
        "bound": bound,
        "measured": "median over seeds of: a ratio",
        "over": "seeds",
        "beside": {"large": 0.3},
        "control": None,
    }
    found["control"] = {**found, "what": "the small step", "verdict": "does not hold"}
    return {**found, **changes}


@pytest.fixture
def section(tmp_path):
    def make(*claims, confirmed=()):
        config = {"seeds": [0], "quick": False, "versions": {}, "code": "c"}
        return Section(get("diagonal"), tmp_path, [], list(claims), config, list(confirmed), [1000])

    return make


def test_claims_are_counted_by_whose_they_are(section):
    found = tallies(
        [
            section(claim("holds"), claim("undecided"), claim("holds", whose="rivals")),
            section(claim("not discriminating", whose="our own")),
        ]
    )
    counts = {
        whose: [
            [row.count(v) for v in ("holds", "undecided", "not discriminating")] for row in rows
        ]
        for whose, rows in found.items()
    }
    assert counts == {"the talk": [[1, 1, 0]], "rivals": [[1, 0, 0]], "our own": [[0, 0, 1]]}


def test_what_holds_again_is_counted(section):
    claims = [claim("holds", sentence=name) for name in "abc"]
    again = [claim("holds", sentence="a"), claim("undecided", sentence="b")]
    (row,) = tallies([section(*claims, confirmed=again)])["the talk"]
    assert row.again == 1


def test_false_alarms_are_half_of_what_the_levels_leave():
    assert false_alarms([claim("holds")] * 40) == pytest.approx(1.0)
    assert false_alarms([claim("undecided", level=None)]) == 0.0
    assert false_alarms([claim("holds", level=0.9375)]) == pytest.approx(0.03125)


def test_the_page_says_it_all(section, tmp_path):
    claims = [
        claim("holds", bound=[0.8, 1.25]),
        claim("undecided", sentence="Open."),
        claim("not discriminating", sentence="Passes of both."),
    ]
    again = [claim("does not hold", bound=[0.8, 1.25])]
    page = tmp_path / "page.html"
    not_run = [NotRun(get("resnet18"), ["The longer, the sparser."])]
    write_page(page, [section(*claims, confirmed=again)], not_run, "command", "0123456789abcdef0")
    text = " ".join(page.read_text().split())
    for said in (
        "within 0.8 and 1.25",
        "36 seeds would decide",
        "18 of 20",
        "the small step: 0.15",
        "fails",
        "medians: large 0.3",
        "95.0&nbsp;%, order statistics, exact",
        "3 claims are checked here",
        "0.1 would be expected to hold by chance",
        "0123456789abcdef",
        "holds of its control too",
        "ResNet-18 on CIFAR-10",
        "The longer, the sparser.",
        "not run here",
    ):
        assert said in text, said
