"""The claims and bounds that are confirmed on fresh seeds, as they were before those were run.

``python -m largestep.experiments.frozen`` writes `frozen.json` anew from the claims as they stand.
A bound that has been changed after its results were seen belongs in docs/claims.md, too.
"""

from collections.abc import Iterable
from pathlib import Path

from largestep import _files
from largestep.experiments import catalogue
from largestep.experiments.experiment import Experiment

__all__ = ["FILE", "FIRST_SEED", "digest", "freeze", "refuse_changed", "sentences"]

FILE = Path(__file__).with_name("frozen.json")

FIRST_SEED = 1000
"""Seeds from here on were never looked at while bounds were chosen."""


def freeze() -> None:
    """Write down the claims of every experiment."""
    _files.write_json(FILE, {name: _claims(e) for name, e in catalogue.find().items()})


def digest() -> str:
    """Return the hash of the file."""
    return _files.digest(FILE)


def sentences() -> dict[str, list[str]]:
    """Return what each experiment claims, as far as it is frozen, without importing it."""
    return {
        name: [claim["claim"] for claim in claims]
        for name, claims in _files.read_json(FILE).items()
    }


def refuse_changed(experiments: Iterable[Experiment]) -> None:
    """Let experiments pass whose claims are the frozen ones.

    Raises
    ------
    ValueError
        If one's are not; the error names it and the first claim that differs.
    """
    frozen = _files.read_json(FILE)
    for experiment in experiments:
        before, now = frozen.get(experiment.name, []), _claims(experiment)
        if before != now:
            changed = next((c["claim"] for c in now if c not in before), "one that is gone")
            raise ValueError(
                f"{experiment.name} can't be confirmed: its claims are not the frozen ones (the "
                f"first that differs: {changed!r}). python -m largestep.experiments.frozen freezes "
                "them as they are now; that must come before the seeds that confirm are run"
            )


def _claims(experiment: Experiment) -> list[dict[str, object]]:
    return [claim.frozen() for claim in experiment.claims]


if __name__ == "__main__":
    freeze()
