"""What an experiment is: what it computes, what it claims, what it shows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from largestep.experiments.budget import Budget
    from largestep.experiments.claims import Claim
    from largestep.experiments.setting import Setting
    from largestep.store import Results

__all__ = ["Caption", "Experiment", "Paper", "Slide"]


@dataclass(frozen=True)
class Caption:
    """What is said of a figure.

    Attributes
    ----------
    text : what it shows and how it is drawn, under it; ``{seeds}`` becomes their number.
    alt : what it looks like, for those who can't see it.
    """

    text: str
    alt: str


@dataclass(frozen=True)
class Slide:
    """One step of the talk on a paper, and where it is checked.

    Attributes
    ----------
    says : what the talk says there.
    reported : the paper's number, or where it shows it.
    experiment : the name of the one that checks it.
    claim : that experiment's claim, by its sentence.
    alike : how the sentences of all claims begin that check the same, there and elsewhere.
    """

    says: str
    reported: str
    experiment: str
    claim: str
    alike: str = ""


@dataclass(frozen=True)
class Paper:
    """Where experiments come from.

    Attributes
    ----------
    citation : authors, title, year.
    order : its place on the page.
    whose : whose claims they check: the page counts them apart.
    links : where to read it, by what the link is called.
    slides : the talk on it, in order.
    """

    citation: str
    order: int
    whose: str = "other papers"
    links: Mapping[str, str] = field(default_factory=dict)
    slides: tuple[Slide, ...] = ()


@dataclass(frozen=True)
class Experiment:
    """An entry of the catalogue: one figure of a paper, found in a folder of its own.

    The folder's package holds the entry and nothing that costs time to import. Beside it stand
    ``compute.py`` with ``compute(budget)``, which returns `Results`; ``show.py`` with ``CLAIMS``,
    ``draw(results)`` (figures by file name, the first is "figure") and perhaps ``CAPTIONS`` (each
    figure's `Caption` by its name, the animation's as "animation"), ``animate(results, path)`` and
    ``play(results)`` (what the page needs to let readers play with it, as JSON); and, where others
    use it too, ``setting.py`` with ``setting()``.

    Attributes
    ----------
    package : the folder's package, ``__name__`` there.
    name : as the command line knows it.
    title : what the page calls it.
    shows : one sentence on what it shows.
    setting : paragraphs on the exact setting, and where it departs from the paper's.
    seconds : about how long its default number of seeds takes on two cores.
    order : its place among the paper's.
    seeds : its default number of seeds.
    by_name : whether it runs only when it is named: it takes long, or needs a data set.
    needs_torch : whether it needs the extra.
    needs : what else it needs, other people's packages by the names they are installed by.
    """

    package: str
    name: str
    title: str
    shows: str
    setting: str
    seconds: float
    order: int
    seeds: int = 20
    by_name: bool = False
    needs_torch: bool = False
    needs: tuple[str, ...] = ()

    @property
    def paper(self) -> Paper:
        """The paper that it belongs to."""
        paper: Paper = import_module(self.package.rpartition(".")[0]).PAPER
        return paper

    def part(self, name: str) -> ModuleType:
        """Return a module of its folder.

        Raises
        ------
        ImportError
            If it can't be imported, whatever it raises then.
        """
        try:
            return import_module(f"{self.package}.{name}")
        except Exception as error:  # whatever a stranger's code may raise
            if isinstance(error, ImportError):
                raise
            raise ImportError(f"{self.package}.{name} fails to import: {error!r}") from error

    def refuse_missing(self) -> None:
        """See that what it needs beside PyTorch is there.

        Raises
        ------
        ModuleNotFoundError
            If it is not; the error says what to install.
        """
        installed = {d.name.lower() for d in distributions()} if self.needs else set()
        missing = [package for package in self.needs if package not in installed]
        if missing:
            raise ModuleNotFoundError(
                f"{self.name} needs other people's packages: pip install {' '.join(missing)}"
            )

    def compute(self, budget: "Budget") -> "Results":
        """Return its datasets."""
        return self.part("compute").compute(budget)

    @property
    def claims(self) -> "tuple[Claim, ...]":
        """What must come out."""
        return self.part("show").CLAIMS

    def draw(self, results: "Results") -> Mapping[str, "Figure"]:
        """Return its figures by file name; the first is "figure"."""
        return self.part("show").draw(results)

    @property
    def animate(self) -> "Callable[[Results, Path], None] | None":
        """What writes a moving picture, if it has one."""
        return getattr(self.part("show"), "animate", None)

    @property
    def captions(self) -> "Mapping[str, Caption]":
        """What is said of its figures, by their names, as far as something is."""
        return getattr(self.part("show"), "CAPTIONS", {})

    @property
    def play(self) -> "Callable[[Results], dict[str, Any]] | None":
        """What returns the material for the page's instrument of that name, if it has one."""
        return getattr(self.part("show"), "play", None)

    @property
    def swept(self) -> bool:
        """Whether its setting can be swept."""
        return find_spec(f"{self.package}.setting") is not None

    def its_setting(self) -> "Setting":
        """Return its problem, network, schedules and steps.

        Raises
        ------
        ValueError
            If it has no single one.
        """
        if not self.swept:
            raise ValueError(f"{self.name} has no setting of its own")
        setting: Any = self.part("setting").setting()
        return setting
