"""One self-contained HTML page of everything that a folder of results holds."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from largestep import _files
from largestep.experiments.experiment import Experiment

__all__ = ["Section", "write_page"]


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
    """

    experiment: Experiment
    folder: Path
    pictures: list[str]
    claims: list[dict[str, Any]]
    config: dict[str, Any]

    @property
    def paragraphs(self) -> list[str]:
        """The experiment's setting, paragraph by paragraph."""
        return self.experiment.setting.strip().split("\n\n")

    @property
    def images(self) -> list[str]:
        """The pictures as data URIs."""
        return [_data_uri(self.folder / name) for name in self.pictures]

    def count(self, verdict: str) -> int:
        """Return how many claims have the verdict."""
        return sum(claim["verdict"] == verdict for claim in self.claims)


def write_page(path: Path, sections: list[Section], command: str) -> None:
    """Write the page atomically.

    Parameters
    ----------
    path : of the HTML file.
    sections : one for each experiment, in order.
    command : what makes the page again.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("largestep.report"), autoescape=True, trim_blocks=True
    )
    environment.filters["number"] = _number
    page = environment.get_template("page.html").render(sections=sections, command=command)
    _files.write_bytes(path, page.encode())


def _data_uri(path: Path) -> str:
    kind = {".svg": "svg+xml"}.get(path.suffix, path.suffix[1:])
    return f"data:image/{kind};base64,{base64.b64encode(_files.read_bytes(path)).decode()}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
