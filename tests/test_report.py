"""What the page counts, and what it says of it."""

import json
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest

from largestep.experiments import find, frozen, get
from largestep.report import words
from largestep.report.page import LeftOut, Made, NotRun, Section, false_alarms, tallies, write_page

MADE = Made("command", "0c0ffee", "a machine", "2026-01-01", "0123456789abcdef0")


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
    def make(*claims, confirmed=(), **more):
        config = {"seeds": [0], "quick": False, "versions": {}, "code": "c", "files": {}, **more}
        return Section(get("diagonal"), tmp_path, list(claims), config, list(confirmed), [1000])

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
    write_page(page, [section(*claims, confirmed=again)], not_run, [], MADE)
    text = " ".join(page.read_text().split())
    for said in (
        "within 0.8 and 1.25",
        "36 seeds would decide",
        "18 of 20",
        "the small step, which fails: 0.15 [0.1, 0.2]",
        "medians: large: 0.3",
        "95.0&nbsp;%, order statistics, exact",
        "3 claims are checked here",
        "0.1 would be expected to hold by chance",
        "0123456789abcdef",
        "What holds of its control too",
        "0c0ffee",
        "ResNet-18 on CIFAR-10",
        "The longer, the sparser.",
        "not run here",
    ):
        assert said in text, said


def test_what_is_broken_is_named_and_the_rest_is_shown(section, tmp_path):
    page = tmp_path / "page.html"
    left_out = [LeftOut(get("sde"), "results.nc is not as it was written")]
    write_page(page, [section(claim("holds"))], [], left_out, MADE)
    text = page.read_text()
    assert "results.nc is not as it was written" in text
    assert "It is so." in text


def test_markup_in_labels_stays_text(section, tmp_path):
    evil = "<script>alert('x')</script> & `<b>`"
    (tmp_path / "play.json").write_text(json.dumps({"cobweb": {"steps": "</script><b>"}}))
    (tmp_path / "figure.svg").write_text('<svg title="x&quot;y"><text>"a" &lt;#%></text></svg>')
    shown = section(
        claim("holds", sentence=evil, measured=evil, beside={evil: 1.0}, whose=evil),
        files={"play.json": "", "figure.svg": ""},
        captions={"figure": {"text": evil, "alt": f'"{evil}'}},
    )
    page = tmp_path / "page.html"
    write_page(page, [shown], [], [], MADE)
    text = page.read_text()
    assert "<script>alert" not in text
    assert "</script><b>" not in text
    assert "<code>&lt;b&gt;</code>" in text
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    (source,) = (value for name, value in parser.attributes if name == "src")
    assert unquote(source.partition(",")[2]).startswith("<svg title='x&quot;y'>")


def test_equal_sentences_have_anchors_of_their_own(section):
    shown = section(claim("holds"), claim("holds"), claim("undecided"))
    assert shown.anchors == ["diagonal-it-is-so", "diagonal-it-is-so-2", "diagonal-it-is-so-3"]


def test_slides_are_claims_that_there_are():
    frozen_claims = frozen.sentences()
    for paper in {id(e.paper): e.paper for e in find().values()}.values():
        for slide in paper.slides:
            assert slide.claim in frozen_claims[slide.experiment]
            assert slide.claim.startswith(slide.alike)


@pytest.mark.parametrize(
    ("value", "written"), [(0.0, "0"), (1e-12, "1·10⁻¹²"), (-3.14159, "−3.14"), (None, "–")]
)
def test_numbers_are_written_for_people(value, written):
    assert words.number(value) == written


class Balanced(HTMLParser):
    """Keeps which elements are open: none may be, at the end."""

    EMPTY = frozenset({"meta", "link", "br", "img", "input"})

    def __init__(self):
        super().__init__()
        self.open, self.attributes = [], []

    def handle_starttag(self, tag, attrs):
        self.attributes += attrs
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
