"""Whether what lies in a folder is what was written there, and what today's code would make."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from largestep import _files, store
from largestep.experiments import catalogue
from largestep.jobs.journal import damage

__all__ = ["Finding", "State", "verify"]

_JSON = {
    "claims.json": False,
    "config.json": True,
    "made_by.json": True,
    "measures.json": False,
    "report.json": False,
}
"""The files that are read, and whether each carries a digest of its own."""

State = Literal["whole", "damaged", "missing", "stale", "of another version", "left over"]


@dataclass(frozen=True)
class Finding:
    """What one file, or the results of one folder, have turned out to be.

    Attributes
    ----------
    path : of the file or folder.
    state : "damaged" and "missing" files are not what was written. "stale" results are, but the
        code that decides them has changed; those "of another version" were made with other
        versions of the libraries. "left over" is what a killed writer had begun.
    reason : in words; empty for what is whole.
    """

    path: Path
    state: State
    reason: str = ""


def verify(folder: Path) -> list[Finding]:
    """Check whatever largestep has written in a folder, and in the folders in it.

    Nothing is changed, and no code in the folder is run. Links are not followed.

    Parameters
    ----------
    folder : of results, of a sweep, or of training runs.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or nothing in it is largestep's.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    found = [finding for below in _folders(folder) for finding in _in(below)]
    if not found:
        raise FileNotFoundError(f"{folder} holds nothing that largestep has written")
    return found


def _folders(folder: Path) -> Iterator[Path]:
    yield folder
    for below in sorted(folder.iterdir()):
        if below.is_dir() and not below.is_symlink():
            yield from _folders(below)


def _in(folder: Path) -> Iterator[Finding]:
    """Yield what there is to say of the files of one folder."""
    for path in _files.temporaries(folder):
        yield Finding(path, "left over", "a writer was killed, or is at work; the next clears it")
    configs: dict[Path, Mapping[str, Any]] = {}
    for path in folder.glob("results.nc"):
        try:
            configs[path] = store.load(path)[1]
        except (OSError, ValueError) as error:
            yield Finding(path, "damaged", str(error))
        else:
            yield Finding(path, "whole")
    yield from _blocks(folder / "blocks")
    yield from _weights(folder)
    described: Mapping[str, Any] | None = None
    for path in (path for name in _JSON if (path := folder / name).exists()):
        try:
            content = _files.read_json(path, sealed=_JSON[path.name])
        except (OSError, ValueError) as error:
            yield Finding(path, "damaged", str(error))
            continue
        if path.name == "config.json":
            described = content
        yield Finding(path, "whole")
    if described is not None and "files" in described:
        try:
            yield from _experiment(folder, described)
        except (KeyError, TypeError, AttributeError) as error:
            yield Finding(folder / "config.json", "damaged", f"it does not say enough: {error!r}")
    elif described is not None and not (folder / "model.safetensors").exists():
        yield Finding(folder / "model.safetensors", "missing", "the weights of this model")
    if (folder / "made_by.json").exists():
        yield from _run(folder)
    for path, config in configs.items():
        if "x" in config:  # a sweep's
            yield from _made_by(path, config, "largestep.dynamics.grid", "ends")


def _blocks(path: Path) -> Iterator[Finding]:
    """Yield what there is to say of what a sweep has kept."""
    if not path.is_file():
        return
    damaged, half = damage(path)
    if damaged:
        yield Finding(path, "damaged", f"blocks that are not what was written: {damaged}")
    elif half:
        yield Finding(path, "left over", "half a block, which the next sweep removes")
    else:
        yield Finding(path, "whole")


def _weights(folder: Path) -> Iterator[Finding]:
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        return
    try:
        from largestep.deep import weights
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{paths[0]} cannot be checked: {error}") from error
    for path in paths:
        try:
            _, text = weights.read(path)
        except (OSError, ValueError) as error:
            yield Finding(path, "damaged", str(error))
            continue
        if text is None:
            yield Finding(path, "of another version", "it carries no digest to hold it against")
        else:
            yield Finding(path, "whole")


def _experiment(folder: Path, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what there is to say of an experiment's results beyond their own digest."""
    for name, written in config["files"].items():
        path = folder / Path(name).name
        if not path.exists():
            yield Finding(path, "missing", "config.json names it")
        elif _files.digest(path) != written:
            yield Finding(path, "damaged", "it is not the file that config.json names")
        elif path.suffix not in (".nc", ".json"):  # of these there is more to say
            yield Finding(path, "whole")
    experiment = catalogue.find().get(config["experiment"])
    if experiment is None:
        yield Finding(folder, "stale", f"there is no experiment {config['experiment']!r}")
        return
    yield from _made_by(folder / "results.nc", config, f"{experiment.package}.compute", "compute")


def _run(folder: Path) -> Iterator[Finding]:
    from largestep.experiments.trainings import made_by

    try:
        stored = _files.read_json(folder / "made_by.json")
        now = made_by(stored["model"])
    except (OSError, ValueError, KeyError, TypeError, ImportError):
        yield Finding(folder, "stale", "nothing says by which code it was made")
        return
    yield from _compared(folder, stored, now["code"], now["versions"])


def _made_by(path: Path, config: Mapping[str, Any], module: str, name: str) -> Iterator[Finding]:
    from largestep import provenance

    now = provenance.closure((module, name))
    yield from _compared(path, config, now.digest, now.versions)


def _compared(
    path: Path, stored: Mapping[str, Any], code: str, versions: Mapping[str, str]
) -> Iterator[Finding]:
    held = stored.get("versions", {})
    other = [f"{k} {held.get(k)}, now {v}" for k, v in versions.items() if held.get(k) != v]
    if stored.get("code") != code:
        yield Finding(path, "stale", "the code that decides it has changed")
    elif other:
        yield Finding(path, "of another version", f"made with {'; '.join(other)}")
