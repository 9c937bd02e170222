"""What the README and the pages show runs as it stands there; nothing public is left out."""

import json
import re
import sys
from importlib import import_module
from inspect import cleandoc, ismodule
from itertools import accumulate
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest
import yaml
from matplotlib.figure import Figure

import largestep as ls
from largestep.store import Results

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def blocks(page):
    """Return a page's Python; `extending.md` has a test of its own."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def run(page, texts, **given):
    """Run blocks one after the other, with what the page takes for granted."""
    for text in texts:
        exec(compile(text, str(page), "exec"), given)
    return given


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """Return what a reader of the pages on deep networks has: a model, data and a loop's names."""
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        x = torch.randn(64, 8)
        model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
        batches = list(zip(x.split(16), (x[:, 0] > 0).long().split(16), strict=True))
        yield {
            "model": model,
            "optimizer": torch.optim.SGD(model.parameters(), lr=0.1),
            "loss_function": torch.nn.functional.cross_entropy,
            "criterion": torch.nn.functional.cross_entropy,
            "epochs": 1,
            **dict.fromkeys(("batches", "loader", "test_loader"), batches),
            "calibration": batches[:2],
            "held_out": batches[2:],
        }


def test_the_readmes_python_runs(rng):
    page = ROOT / "README.md"
    texts = [text for text in blocks(page) if "largestep.deep" not in text]
    made = run(page, texts, activations=np.maximum(rng.standard_normal((50, 6)), 0))
    assert made["runs"].test_loss.sizes["seed"] == 20
    assert made["held"].diverged_at.isnull().all()


@pytest.mark.filterwarnings("ignore:the loss never came down to the target")
def test_the_readmes_training_loop_runs(reader):
    page = ROOT / "README.md"
    made = run(page, [text for text in blocks(page) if "largestep.deep" in text], **reader)
    assert made["probe"].dataset().sizes["step"]
    assert made["report"].parameters_after <= made["report"].parameters_before


def test_the_page_on_networks_runs():
    run(DOCS / "networks.md", blocks(DOCS / "networks.md"))


@pytest.mark.parametrize("name", ["tutorial", "gallery"])
def test_pages_draw_what_they_name(name):
    page = DOCS / f"{name}.md"
    made = run(page, blocks(page))
    for drawing in re.findall(r"<!-- draws (\w+): \S", page.read_text()):
        assert isinstance(made[drawing], Figure)


@pytest.mark.filterwarnings("ignore:the loss never came down to the target")
@pytest.mark.parametrize("name", ["theorist", "practitioner"])
def test_the_notebooks_run(name, monkeypatch, tmp_path):
    if name == "practitioner":
        pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((ROOT / "examples" / f"{name}.ipynb").read_text())
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    assert all(c["outputs"] == [] for c in notebook["cells"] if c["cell_type"] == "code")
    run(ROOT / "examples" / f"{name}.ipynb", cells)


def test_what_docstrings_say_of_a_name_is_not_taken_for_its_type():
    text = """Do it.

    Parameters
    ----------
    network, problem : what is trained,
        on what.

    Returns
    -------
    Numbers: one for each.

    Raises
    ------
    ValueError
        If it can't.
    """
    pytest.importorskip("griffe")
    apart = run_path(str(DOCS / "hooks" / "docstrings.py"))["apart"]
    written = apart(cleandoc(text))
    assert "network, problem\n    what is trained,\n    on what." in written
    assert "**Returns** Numbers: one for each." in written
    assert "ValueError\n    If it can't." in written


def test_formulas_become_mathematics_without_a_script():
    pytest.importorskip("latex2mathml")
    page = run_path(str(DOCS / "hooks" / "mathematics.py"))["on_page_content"]
    made = page('<p><span class="arithmatex">\\(a &lt; \\theta_\\star^2\\)</span></p>')
    assert made.startswith("<p><math")
    assert "arithmatex" not in made


def test_dollars_of_the_theory_come_in_pairs():
    text = re.sub(r"\$\$.*?\$\$", "", (DOCS / "theory.md").read_text(), flags=re.DOTALL)
    assert all(p.count("$") % 2 == 0 for p in re.split(r"\n\n|\n- ", text))


@pytest.mark.filterwarnings("default")  # those of other people's libraries are theirs
@pytest.mark.parametrize("name", ["probe", "doctor", "step_size", "curvature", "text"])
def test_the_pages_on_deep_networks_run(name, reader):
    # Whole trainers are run in tests/deep/test_adapters.py.
    texts = [text for text in blocks(DOCS / f"{name}.md") if "Trainer(" not in text]
    run(DOCS / f"{name}.md", texts, **reader)


def test_the_page_on_training_runs_on_fewer_images(reader, monkeypatch):
    few = ls.deep.data.load("digits", train=32)
    monkeypatch.setattr(ls.deep.data, "load", lambda name, *, train: few)
    run(DOCS / "deep.md", blocks(DOCS / "deep.md"))


def test_the_page_on_compaction_runs(reader, tmp_path, monkeypatch):
    batches = reader["batches"]
    smaller, _ = ls.deep.compact(reader["model"].eval(), batches[:2], held_out=batches[2:])
    import_module("largestep.deep.compaction.export").save(smaller, tmp_path, batches[0][0])
    monkeypatch.syspath_prepend(tmp_path)
    network = ls.networks.ReLU(widths=(3, 4))
    small = {
        "network": network,
        "theta": network.initialize(np.random.default_rng(0)),
        "problem": ls.problems.sparse_regression(n=9, d=3, nonzeros=1),
    }
    try:
        run(DOCS / "compaction.md", blocks(DOCS / "compaction.md"), **reader, **small)
    finally:
        sys.modules.pop("model", None)


def test_the_claim_of_contributing_is_checked(sparse_problem, diagonal):
    runs = ls.simulate(
        diagonal,
        sparse_problem,
        schedules={"small": 0.01, "large": 0.1},
        steps=50,
        seeds=range(3),
        measure=["nonzero_coordinates"],
    )
    page = ROOT / "CONTRIBUTING.md"
    (claim,) = run(page, blocks(page))["CLAIMS"]
    assert claim.check(Results.from_dict({"sgd": runs}))["seeds_used"] == 3


def test_the_citation_holds_what_is_required():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors", "type", "license"} <= set(cited)
    assert cited["version"] == ls.__version__
    (paper,) = cited["references"]
    assert {"type", "title", "authors", "year"} <= set(paper)
    assert all({"family-names", "given-names"} <= set(author) for author in paper["authors"])


def test_no_star_of_a_symbol_is_taken_for_emphasis():
    for path in (*DOCS.rglob("*.md"), *(ROOT / "src").rglob("*.py")):
        assert not re.search(r"[θw]\*[²)·,. ]", path.read_text()), f"{path}: write ⋆"


def test_every_page_is_in_the_navigation():
    entries = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    pages = [p for e in entries for p in ([e] if isinstance(e, str) else next(iter(e.values())))]
    assert sorted(pages) == sorted(p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*.md"))


def test_the_reference_holds_every_public_name():
    pytest.importorskip("torch")
    pages = "\n".join(page.read_text() for page in (DOCS / "reference").glob("*.md"))
    shown = set(re.findall(r"^::: (\S+)$", pages, re.MULTILINE))
    packages = ["largestep"]
    for package in packages:
        if package in shown:
            continue
        for name in import_module(package).__all__:
            value = getattr(import_module(package), name)
            if hasattr(value, "__path__"):
                packages.append(f"{package}.{name}")
            elif name != "__version__":
                where = value.__name__ if ismodule(value) else f"{value.__module__}.{name}"
                above = accumulate(where.split("."), "{}.{}".format)
                assert shown.intersection(above), f"{package}.{name} is not in the reference"
