"""Experiments are found in folders; what is broken there breaks nothing else."""

import sys

import pytest

import largestep.experiments
from largestep import reproduction
from largestep.cli import main
from largestep.experiments import broken, find, get

ENTRY = """
from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__, name="bounce", title="Bounce", shows="It bounces.", setting="A ball.", seconds=1,
    order=1, by_name=True,
)
"""
COMPUTE = """
import largestep as ls
from largestep.store import Results

def compute(budget):
    problem = ls.problems.sparse_regression(n=10, d=5, nonzeros=1)
    runs = ls.simulate(
        ls.networks.DiagonalLinear(5), problem, schedules=0.1, steps=50, seeds=budget.seeds
    )
    return Results.from_dict({"sgd": runs})
"""
SHOW = """
from largestep.experiments.claims import Claim
from largestep.figures.style import figure

CLAIMS = (
    Claim(
        "It falls.", "final loss", lambda r: r["sgd"].dataset.train_loss[0, :, -1], "below", 1e9
    ),
)

def draw(results):
    drawing, (ax,) = figure(1, 1, size=(4, 3))
    ax.plot(results["sgd"].dataset.train_loss[0].T)
    return {"figure": drawing}
"""


@pytest.fixture
def paper(tmp_path, monkeypatch):
    """Return the folder of a paper that stands elsewhere, and is found all the same."""
    monkeypatch.setattr(
        largestep.experiments, "__path__", [*largestep.experiments.__path__, str(tmp_path)]
    )
    folder = tmp_path / "doe2030"
    (folder / "bounce").mkdir(parents=True)
    (folder / "__init__.py").write_text(
        "from largestep.experiments.experiment import Paper\nPAPER = Paper('Doe, 2030', order=9)\n"
    )
    for name, text in (("__init__", ENTRY), ("compute", COMPUTE), ("show", SHOW)):
        (folder / "bounce" / f"{name}.py").write_text(text)
    # A process reads its own code once; here it changes from test to test.
    own = sys.modules["largestep.provenance.closure"]._own
    own.cache_clear()
    yield folder
    own.cache_clear()
    for name in [n for n in sys.modules if "doe2030" in n]:
        del sys.modules[name]


def test_names_are_unique_and_entries_whole():
    found = find()
    assert broken() == []
    assert list(found)[:3] == ["diagonal", "diagonal-dense", "diagonal-gd"]
    for name, experiment in found.items():
        assert name == experiment.name
        assert experiment.package.endswith(name.replace("-", "_"))
        assert experiment.seconds > 0
        assert experiment.shows.endswith(".")


def test_an_unknown_experiment_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"must be one of diagonal, .*, got 'resnet'"):
        get("resnet")


def test_a_folder_is_all_that_a_new_experiment_takes(paper, tmp_path):
    assert find()["bounce"].paper.citation == "Doe, 2030"
    out = tmp_path / "results"
    reproduction.reproduce(["bounce"], out, seeds=3)
    assert "It bounces." in (out / "report.html").read_text()
    assert (out / "bounce" / "figure.svg").exists()


def test_a_broken_entry_is_listed_with_its_reason(paper, capsys, monkeypatch):
    (paper / "bounce" / "__init__.py").write_text("import nothing_like_this\n")
    assert "bounce" not in find()
    assert "diagonal" in find()
    assert "No module named 'nothing_like_this'" in broken()[0].reason
    with pytest.raises(ValueError, match="experiment bounce is broken: ModuleNotFoundError"):
        get("bounce")
    monkeypatch.setattr("sys.argv", ["largestep", "list"])
    with pytest.raises(SystemExit):
        main()
    assert "bounce is broken" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("part", "text", "reason"),
    [
        ("compute", "1/0\ndef compute(budget): ...", "ZeroDivisionError"),
        ("compute", "def compute(", "SyntaxError"),
        ("compute", "", "there is no compute in"),
        ("show", "raise OSError('gone')\nCLAIMS = draw = None", "gone"),
    ],
)
def test_a_part_that_fails_to_import_stops_no_other(paper, tmp_path, capsys, part, text, reason):
    (paper / "bounce" / f"{part}.py").write_text(text)
    out = tmp_path / "results"
    reproduction.reproduce(["bounce", "shrinkage"], out, seeds=1, quick=True)
    errors = capsys.readouterr().err
    assert "bounce is broken and left out" in errors
    assert reason in errors
    assert (out / "shrinkage" / "figure.png").exists()
    with pytest.raises(ValueError, match="every one is broken"):
        reproduction.reproduce(["bounce"], out, seeds=1)
