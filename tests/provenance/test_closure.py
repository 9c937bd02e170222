"""What a definition depends on, and what loses a result."""

import shutil
from pathlib import Path

import pytest

import largestep
from largestep.experiments import catalogue
from largestep.provenance import Sources, closure

OWN = Path(largestep.__file__).parent
ROOTS = {
    name: (f"{experiment.package}.compute", "compute")
    for name, experiment in catalogue.find().items()
}


@pytest.fixture
def package(tmp_path):
    """Return a function that writes files of a package and returns the closure of its start.f."""

    def write(**files):
        for name, text in {"__init__": "", **files}.items():
            path = tmp_path / "made" / name.replace("_of_house", "")
            if "_of_house" in name:
                path = tmp_path / "made" / "house" / name.replace("_of_house", "")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_suffix(".pyi" if name.startswith("stub") else ".py").write_text(text)
        stub = tmp_path / "made" / "house" / "stub.pyi"
        if stub.exists():
            stub.replace(stub.with_name("__init__.pyi"))
        return closure(("made.start", "f"), sources=Sources({"made": tmp_path / "made"}))

    return write


def test_it_follows_names_through_imports_aliases_and_attributes(package):
    found = package(
        start=(
            "import numpy as np\n"
            "from made import part\n"
            "from made.other import g as h\n"
            "unused = 3\n"
            "def f(x: part.K) -> 'part.K':\n"
            "    from made.late import late\n"
            "    return np.sum(h(x)) + part.value + late()\n"
        ),
        part="value = base * 2\nbase = 1\nclass K: pass\n",
        other="def g(x): return helper(x)\ndef helper(x): return x\ndef not_used(): pass\n",
        late="def late(): return 1\n",
    )
    assert found.definitions == (
        ("made.late", "late"),
        ("made.other", "g"),
        ("made.other", "helper"),
        ("made.part", "base"),
        ("made.part", "value"),
        ("made.start", "f"),
    )
    assert list(found.versions) == ["numpy"]


HOUSE = {
    "__init___of_house": "import lazy_loader\n",
    "stub_of_house": "from .kitchen import cook as cook\nfrom .cellar import dig as dig\n",
    "kitchen_of_house": "def cook(): return salt\nsalt = 1\ndef bake(): pass\n",
    "cellar_of_house": "def dig(): pass\n",
}


@pytest.mark.parametrize(
    "start",
    [
        "from made import house\ndef f(): return house.cook()\n",
        "from made.house import cook\ndef f(): return cook()\n",
        "import made.house\ndef f(): return made.house.kitchen.cook()\n",
        "import made.house as place\ndef f(): return place.cook()\n",
    ],
)
def test_lists_of_lazy_packages_are_followed_to_the_definition(package, start):
    assert package(start=start, **HOUSE).definitions == (
        ("made.house.kitchen", "cook"),
        ("made.house.kitchen", "salt"),
        ("made.start", "f"),
    )


def test_a_name_in_quotes_counts_where_a_package_is_looked_into_by_name(package):
    start = (
        "from made import house\n"
        "def f(): return named('dig')\n"
        "def named(name): return getattr(house, name)()\n"
    )
    assert package(start=start, **HOUSE).definitions == (
        ("made.house.cellar", "dig"),
        ("made.start", "f"),
        ("made.start", "named"),
    )


def test_what_is_looked_up_by_name_is_found_in_circles_too(package):
    start = (
        "from made import house\ndef f(): return g(), getattr(house, 'cook')\ndef g(): return f\n"
    )
    assert ("made.house.kitchen", "cook") in package(start=start, **HOUSE).definitions


BEFORE = '''"""Text."""
SCALE = 2
TABLE = {}
TABLE["x"] = SCALE


def f(x):
    """Say."""
    return SCALE * x  # a remark


def other():
    return 1
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Text."""', '"""Another text."""'),
        ('"""Say."""', '"""Say it otherwise."""'),
        ("  # a remark", ""),
        ("return 1", "return 2"),
        ("SCALE * x", "SCALE*x"),
    ],
)
def test_what_decides_nothing_changes_nothing(package, old, new):
    assert package(start=BEFORE).digest == package(start=BEFORE.replace(old, new)).digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SCALE = 2", "SCALE = 3"),
        ("SCALE * x", "x * SCALE"),
        ('TABLE["x"]', 'TABLE["y"]'),  # a module may change what it defines
        ("def f(x):", "def f(x=1):"),
    ],
)
def test_what_may_decide_changes_the_digest(package, old, new):
    assert package(start=BEFORE).digest != package(start=BEFORE.replace(old, new)).digest


def test_circles_end(package):
    found = package(
        start="from made.other import g\ndef f(): return g()\n",
        other="from made.start import f\ndef g(): return f()\n",
    )
    assert found.definitions == (("made.other", "g"), ("made.start", "f"))


def test_what_is_not_there_is_named(package):
    with pytest.raises(ImportError, match="there is no compute in"):
        closure(("largestep.schedules", "compute"))


@pytest.fixture(scope="module")
def before():
    return {name: closure(root).digest for name, root in ROOTS.items()}


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    ignored = shutil.ignore_patterns("__pycache__")
    return shutil.copytree(OWN, tmp_path_factory.mktemp("copied") / "largestep", ignore=ignored)


@pytest.fixture
def edited(before, copied):
    """Return a function that edits a copy of largestep, and says which experiments lose results."""
    whole = {}

    def lose(file, old, new):
        path = copied / file
        whole[path] = path.read_text() if path.exists() else None
        assert old in (whole[path] or "")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(whole[path].replace(old, new, 1) if old else new)
        after = Sources({"largestep": copied})
        return {n for n, root in ROOTS.items() if closure(root, sources=after).digest != before[n]}

    yield lose
    for path, text in whole.items():
        shutil.rmtree(path.parent) if text is None else path.write_text(text)


PAPER = "experiments/andriushchenko2023"


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (f"{PAPER}/one_dimension/__init__.py", 'title="One dimension"', 'title="One dimension."'),
        (f"{PAPER}/diagonal/__init__.py", "(the paper shows one)", "(the paper has one)"),
        (f"{PAPER}/teacher_student/show.py", "10.0,", "20.0,"),
        (f"{PAPER}/sde/figure.py", "figure(", "figure( "),
        ("figures/style.py", '"font.size": 9', '"font.size": 8'),
        ("dynamics/sgd.py", '"""Stochastic gradient descent."""', '"""SGD."""'),
        ("experiments/claims.py", "geomspace(2, 1000, 40)", "geomspace(2, 999, 40)"),
        ("experiments/frozen.json", "{", "{ "),
        ("experiments/doe2030/__init__.py", "", "PAPER = None\n"),
        ("cli/train.py", "= 40", "= 41"),
        ("_progress.py", "10.0", "5.0"),
    ],
)
def test_results_stay_when_nothing_that_decides_them_changes(edited, file, old, new):
    assert edited(file, old, new) == set()


# `logistic` needs the extra for its images alone.
SMALL = {name for name, e in catalogue.find().items() if not e.needs_torch} | {"logistic"}
DEEP = set(catalogue.find()) - SMALL
OWN_LOOPS = {"kappa", "robust-compressible", "subspace", "tuning-free", "updates-not-epochs"}
RELU = {
    *("regression-1d", "teacher-student", "three-layer", "sde", "rivals", "hold"),
    *("survival", "columns", "step-sizes"),
    *("lazy", "opposing-signals", "stable-minima", "batch-sharpness", "xor-clusters"),
    "collapse",
}


@pytest.mark.parametrize(
    ("file", "old", "new", "lost"),
    [
        (
            "dynamics/gradient_regularization.py",
            "uphill[j] = theta[j]",
            "uphill[j] = 2 * theta[j]",
            {"rivals", "gradient-regularization"},
        ),
        ("dynamics/sde.py", "self.substeps", "self.substeps + 0", {"sde", "shrinkage"}),
        ("dynamics/loss_noise_sde.py", "level = 0.0", "level = 0.0 + 0.0", {"sde"}),
        (
            "dynamics/hold_loss.py",
            "divisor: float = 2.0",
            "divisor: float = 3.0",
            {"hold", "hold-elsewhere", "survival", "step-sizes"},
        ),
        ("dynamics/kernel.py", "mark = 0", "mark = 0 + 0", SMALL),
        ("networks/relu.py", "hidden = 0", "hidden = 0 + 0", RELU),
        (
            f"{PAPER}/three_layer/setting.py",
            "steps=10_001",
            "steps=10_002",
            {"three-layer", "hold", "survival", "columns"},
        ),
        (
            "schedules.py",
            "def exponential(start",
            "def exponential(begin",
            DEEP - OWN_LOOPS - {"sensitivity"} | {"stable-minima"},
        ),
        (
            "measures/trajectory.py",
            "return thetas",
            "return +thetas",
            {
                *("surface", "one-dimension", "teacher-student", "bouncing"),
                *("logistic", "stability", "collapse"),
            },
        ),
        ("deep/measures/errors.py", "argmax(1)", "argmax(dim=1)", DEEP - OWN_LOOPS),
        ("deep/measures/movement.py", "1.0 - float", "1 - float", set()),
        ("deep/models/vgg.py", "64", "65", set()),
    ],
)
def test_results_fall_with_what_decides_them(edited, file, old, new, lost):
    assert edited(file, old, new) == lost
