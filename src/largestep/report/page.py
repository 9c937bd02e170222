"""One self-contained HTML page of everything that a folder of results holds."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from largestep import _files
from largestep.experiments.experiment import Experiment

__all__ = ["NotRun", "Section", "Tally", "write_page"]


VERDICTS = ("holds", "does not hold", "undecided", "not discriminating")


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
class Section:
    """What the page shows of one experiment.

    Attributes
    ----------
    experiment : what it is.
    folder : where its figures lie.
    pictures : file names of its figures, in order.
    claims : what `Claim.check` returned.
    config : the configuration of its results.
    confirmed : what `Claim.check` returned on fresh seeds; empty if none were run.
    fresh_seeds : those seeds.
    """

    experiment: Experiment
    folder: Path
    pictures: list[str]
    claims: list[dict[str, Any]]
    config: dict[str, Any]
    confirmed: list[dict[str, Any]]
    fresh_seeds: list[int]

    @property
    def paragraphs(self) -> list[str]:
        """The experiment's setting, paragraph by paragraph."""
        return self.experiment.setting.strip().split("\n\n")

    @property
    def images(self) -> list[str]:
        """The pictures as data URIs."""
        return [_data_uri(self.folder / name) for name in self.pictures]

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


def write_page(
    path: Path, sections: list[Section], not_run: list[NotRun], command: str, frozen: str
) -> None:
    """Write the page atomically.

    Parameters
    ----------
    path : of the HTML file.
    sections : one for each experiment, in order.
    not_run : the experiments of which there are no results.
    command : what makes the page again.
    frozen : the hash of the file of frozen claims.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("largestep.report"), autoescape=True, trim_blocks=True
    )
    environment.filters["number"] = _number
    environment.filters["bound"] = _bound
    claims = [claim for section in sections for claim in section.claims]
    page = environment.get_template("page.html").render(
        sections=sections,
        not_run=not_run,
        tallies=tallies(sections),
        verdicts=VERDICTS,
        claims=claims,
        false_alarms=false_alarms(claims),
        confirmed=any(section.confirmed for section in sections),
        command=command,
        frozen=frozen,
    )
    _files.atomically(path, lambda temporary: temporary.write_text(page, encoding="utf-8"))


def _data_uri(path: Path) -> str:
    kind = {".svg": "svg+xml"}.get(path.suffix, path.suffix[1:])
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _bound(claim: dict[str, Any]) -> str:
    bound = claim["bound"]
    if isinstance(bound, list):
        return f"within {_number(bound[0])} and {_number(bound[1])}"
    return f"{claim['direction']} {_number(bound)}"
