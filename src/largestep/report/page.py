"""One self-contained HTML page of everything that a folder of results holds."""

import csv
import re
from base64 import b64encode
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2

from largestep import _files
from largestep.experiments.experiment import Experiment, Slide
from largestep.figures.labels import readable
from largestep.report import words

__all__ = [
    "LeftOut",
    "Made",
    "NotRun",
    "Picture",
    "Section",
    "Tally",
    "data_uri",
    "environment",
    "write_claims",
    "write_page",
]


VERDICTS = ("holds", "does not hold", "undecided", "not discriminating")

INSTRUMENTS = ("descent", "cobweb", "neurons")
"""What readers can play with, in the order of the page: functions of `play.js`."""


@dataclass(frozen=True)
class NotRun:
    """An experiment of which a folder holds no results.

    Attributes
    ----------
    experiment : what it is.
    claims : the sentences that it would check.
    """

    experiment: Experiment
    claims: list[str]


@dataclass(frozen=True)
class LeftOut:
    """An experiment whose results can't be shown.

    Attributes
    ----------
    experiment : what it is.
    reason : why they can't.
    """

    experiment: Experiment
    reason: str


@dataclass(frozen=True)
class Made:
    """How the page was made.

    Attributes
    ----------
    command : what makes it again.
    commit, machine, written : of the code, in words, and when.
    frozen : the hash of the file of frozen claims.
    """

    command: str
    commit: str | None
    machine: str
    written: str
    frozen: str


@dataclass(frozen=True)
class Picture:
    """A figure as the page shows it.

    Attributes
    ----------
    identity : its anchor.
    file : beside the page.
    source : all of it, as a data URI.
    caption, alt : what is said of it.
    moves : whether it is shown when asked for only.
    """

    identity: str
    file: str
    source: str
    caption: str
    alt: str
    moves: bool


@dataclass(frozen=True)
class Section:
    """What the page shows of one experiment.

    Attributes
    ----------
    experiment : what it is.
    folder : where its figures lie.
    claims : what `Claim.check` returned.
    config : the configuration of its results.
    confirmed : what `Claim.check` returned on fresh seeds; empty if none were run.
    fresh_seeds : those seeds.
    """

    experiment: Experiment
    folder: Path
    claims: list[dict[str, Any]]
    config: dict[str, Any]
    confirmed: list[dict[str, Any]] = field(default_factory=list)
    fresh_seeds: list[int] = field(default_factory=list)

    @property
    def paragraphs(self) -> list[str]:
        """The experiment's setting, paragraph by paragraph."""
        return self.experiment.setting.strip().split("\n\n")

    @cached_property
    def pictures(self) -> list[Picture]:
        """Its figures, the animation last."""
        names = [name for name in self.config["files"] if Path(name).suffix in (".svg", ".gif")]
        return [self._picture(name) for name in names]

    def _picture(self, name: str) -> Picture:
        said = self.config.get("captions", {}).get(Path(name).stem, {})
        seeds = f"{len(self.config['seeds'])} seed{'s' * (len(self.config['seeds']) != 1)}"
        return Picture(
            f"{self.experiment.name}-{Path(name).stem}",
            f"{self.folder.name}/{name}",
            data_uri(self.folder / name),
            said.get("text", self.experiment.shows).replace("{seeds}", seeds),
            said.get("alt", f"{self.experiment.title}: {self.experiment.shows}"),
            moves=name.endswith(".gif"),
        )

    @cached_property
    def anchors(self) -> list[str]:
        """An anchor for each claim: the experiment's name and the first words of the sentence."""
        found: list[str] = []
        for claim in self.claims:
            stem = anchor = f"{self.experiment.name}-{words.slug(claim['claim'])}"
            number = 1
            while anchor in found:
                number += 1
                anchor = f"{stem}-{number}"
            found.append(anchor)
        return found

    @property
    def data(self) -> list[str]:
        """The files of its numbers, beside the page."""
        return [
            f"{self.folder.name}/{name}"
            for name in ("results.nc", "ends.csv", "claims.json")
            if name in self.config["files"]
        ]

    def whose(self, claim: dict[str, Any]) -> str:
        """Return whose claim it is."""
        return claim["whose"] or self.experiment.paper.whose

    def again(self, claim: dict[str, Any]) -> dict[str, Any] | None:
        """Return what fresh seeds say of a claim."""
        same = [c for c in self.confirmed if all(c[k] == claim[k] for k in ("claim", "measured"))]
        return same[0] if same else None


@dataclass(frozen=True)
class Tally:
    """The claims of one experiment that are somebody's.

    Attributes
    ----------
    section : the experiment's.
    claims : those claims.
    """

    section: Section
    claims: list[dict[str, Any]]

    def count(self, verdict: str) -> int:
        """Return how many have the verdict."""
        return sum(claim["verdict"] == verdict for claim in self.claims)

    @property
    def again(self) -> int:
        """How many hold on the first seeds and on the fresh ones."""
        held = [self.section.again(c) for c in self.claims if c["verdict"] == "holds"]
        return sum(found is not None and found["verdict"] == "holds" for found in held)


@dataclass(frozen=True)
class Row:
    """A slide of the talk, and what became of it here.

    Attributes
    ----------
    slide : what the talk says.
    claim : what was found, None where the experiment was not run here.
    anchor : where that stands on the page.
    alike : all claims that check the same, that one among them.
    """

    slide: Slide
    claim: dict[str, Any] | None = None
    anchor: str = ""
    alike: list[dict[str, Any]] = field(default_factory=list)

    @property
    def held(self) -> int:
        """How many of those that check the same hold."""
        return sum(claim["verdict"] == "holds" for claim in self.alike)


def rows(sections: list[Section], not_run: list[NotRun], left_out: list[LeftOut]) -> list[Row]:
    """Return the talks on the papers of all experiments, slide by slide."""
    there = {section.experiment.name: section for section in sections}
    entries: list[Section | NotRun | LeftOut] = [*sections, *not_run, *left_out]
    everything = [entry.experiment for entry in entries]
    papers = {id(experiment.paper): experiment.paper for experiment in everything}
    found = []
    for slide in (slide for paper in papers.values() for slide in paper.slides):
        section = there.get(slide.experiment)
        row = Row(slide)
        for claim, anchor in zip(section.claims, section.anchors, strict=True) if section else ():
            if claim["claim"] == slide.claim:
                row = Row(slide, claim, anchor, alike(slide, sections))
                break
        found.append(row)
    return found


def alike(slide: Slide, sections: list[Section]) -> list[dict[str, Any]]:
    """Return the claims that check what a slide says."""
    return [
        claim
        for section in sections
        for claim in section.claims
        if slide.alike and claim["claim"].startswith(slide.alike)
    ]


def tallies(sections: list[Section]) -> dict[str, list[Tally]]:
    """Return the claims by whose they are, in the order in which they come."""
    found: dict[str, list[Tally]] = {}
    for section in sections:
        for whose in dict.fromkeys(map(section.whose, section.claims)):
            mine = [claim for claim in section.claims if section.whose(claim) == whose]
            found.setdefault(whose, []).append(Tally(section, mine))
    return found


def false_alarms(claims: list[dict[str, Any]]) -> float:
    """Return how many claims would hold by chance if each were false, and only just.

    An interval that covers at a level lies beyond the bound on the claimed side with half of what
    is missing from one.
    """
    return sum((1.0 - claim["level"]) / 2 for claim in claims if claim["level"] is not None)


def environment() -> jinja2.Environment:
    """Return what makes pages of the templates."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("largestep.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": words.number,
        "bound": words.bound,
        "interval": words.interval,
        "prose": words.prose,
        "readable": readable,
    }
    return made


def write_page(
    path: Path,
    sections: list[Section],
    not_run: list[NotRun],
    left_out: list[LeftOut],
    made: Made,
) -> None:
    """Write the page atomically.

    Parameters
    ----------
    path : of the HTML file.
    sections : one for each experiment, in order.
    not_run : the experiments of which there are no results.
    left_out : those whose results can't be shown.
    made : how it was.
    """
    claims = [claim for section in sections for claim in section.claims]
    played = [
        (name, section.experiment.name, played[name])
        for name in INSTRUMENTS
        for section in sections
        if name in (played := _play(section))
    ]
    page = (
        environment()
        .get_template("page.html")
        .render(
            sections=sections,
            not_run=not_run,
            left_out=left_out,
            rows=rows(sections, not_run, left_out),
            tallies=tallies(sections),
            verdicts=VERDICTS,
            claims=claims,
            false_alarms=false_alarms(claims),
            confirmed=any(section.confirmed for section in sections),
            played=played,
            made=made,
        )
    )
    _files.write_bytes(path, page.encode())


def write_claims(path: Path, sections: list[Section]) -> None:
    """Write every claim and what was found as a line of CSV, atomically."""
    columns = (
        *("experiment", "claim", "whose", "measured", "direction", "bound", "verdict"),
        *("statistic", "low", "high", "level", "seeds_used", "seeds", "control", "fresh_verdict"),
    )
    lines = []
    for section in sections:
        for claim in section.claims:
            low, high = claim["interval"] or (None, None)
            lines.append(
                claim
                | {"experiment": section.experiment.name, "whose": section.whose(claim)}
                | {"low": low, "high": high, "control": (claim["control"] or {}).get("verdict")}
                | {"fresh_verdict": (section.again(claim) or {}).get("verdict")}
            )

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, columns, extrasaction="ignore")
            table.writeheader()
            table.writerows(lines)

    _files.atomically(path, write)


def _play(section: Section) -> dict[str, Any]:
    """Return the material for instruments, by their names."""
    if "play.json" not in section.config["files"]:
        return {}
    found: dict[str, Any] = _files.read_json(section.folder / "play.json")
    return found


def data_uri(path: Path) -> str:
    """Return a picture as an address of its own; text is shorter as text."""
    if path.suffix == ".svg":
        text = re.sub(
            r"<\?xml.*?\?>|<!DOCTYPE.*?>", "", _files.read_bytes(path).decode(), flags=re.DOTALL
        )
        text = re.sub(r"\s+", " ", text).replace('"', "'").strip()
        return "data:image/svg+xml," + quote(text, safe=" ='/:;,.()-+*!@$?_~[]{}|^")
    return f"data:image/{path.suffix[1:]};base64,{b64encode(_files.read_bytes(path)).decode()}"
