"""The page of a diagnosis: what a probe saw of a training, and what seems wrong with it."""

from pathlib import Path

from largestep import _files
from largestep.diagnosis import Diagnosis
from largestep.report.page import data_uri, environment

__all__ = ["write_diagnosis"]


def write_diagnosis(path: Path, diagnosis: Diagnosis, title: str, figure: Path) -> None:
    """Write the page atomically: one file that needs no network.

    Parameters
    ----------
    path : of the HTML file.
    diagnosis : what was found.
    title : what the training is called.
    figure : what the probe saw, as PNG or SVG.
    """
    page = (
        environment()
        .get_template("doctor.html")
        .render(diagnosis=diagnosis, title=title, figure=data_uri(figure))
    )
    _files.write_bytes(path, page.encode())
